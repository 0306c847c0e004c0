//! Script numbers and live numbers: both sides' sequence numbers and timestamps.
//!
//! A script counts the engine's sequence numbers from its initial one, and writes its own as it
//! likes; on the wire its own are shifted, so that they wrap in some runs and not in others.

use super::ast::{Options, Packet};
use super::facade::stream_byte;
use crate::segments::path::Path;
use crate::segments::segment::{ACK, SYN, Segment, TcpOption};

/// What is known so far of the two numberings.
#[derive(Debug)]
pub(crate) struct Names {
    /// Live minus script, of the engine's sequence numbers.
    local: u32,
    /// Whether the next SYN of the engine, alone, tells `local`.
    connecting: bool,
    /// Live minus script, of the script's sequence numbers.
    remote: u32,
    /// The script's initial sequence number of this connection, in the script's numbers.
    initial: Option<u32>,
    /// That of a SYN that the engine has not answered: there may be a new connection.
    offered: Option<u32>,
    /// The engine's timestamps: script, live.
    timestamps: Vec<(u32, u32)>,
    /// One behind the last byte that the engine sent.
    sent_to: u32,
}

impl Names {
    pub(crate) fn new(remote_shift: u32) -> Names {
        Names {
            local: 0,
            connecting: false,
            remote: remote_shift,
            initial: None,
            offered: None,
            timestamps: Vec::new(),
            sent_to: 0,
        }
    }

    /// The engine connects: its next SYN has a new initial sequence number.
    pub(crate) fn connect(&mut self) {
        self.new_connection();
        self.connecting = true;
        self.initial = None;
    }

    fn new_connection(&mut self) {
        self.sent_to = 0;
        self.timestamps.clear();
    }

    /// A sequence number of the engine's as it is on the wire.
    pub(crate) fn live(&self, seq: u32) -> u32 {
        seq.wrapping_add(self.local)
    }

    /// The live segment that an injected packet stands for.
    pub(crate) fn injected(&mut self, path: &Path, packet: &Packet) -> Result<Segment, String> {
        let initial = match packet.flags & (SYN | ACK) {
            SYN => {
                self.offered = Some(packet.seq);
                packet.seq
            }
            _ if packet.flags & SYN != 0 => *self.initial.get_or_insert(packet.seq),
            _ => self.initial.unwrap_or_default(),
        };
        let data = packet.seq.wrapping_sub(initial);
        let data = if packet.flags & SYN != 0 { 0 } else { data.wrapping_sub(1) };
        let payload = (0..packet.len).map(|i| stream_byte(u64::from(data.wrapping_add(i))));
        let options = match &packet.options {
            Options::These(options) => options.iter().map(|o| self.live_option(o)).collect(),
            Options::Unwritten => Vec::new(),
            Options::Any => return Err(String::from("`<...>` says nothing of what to inject")),
        };
        Ok(Segment {
            src_port: path.remote.port(),
            dst_port: path.local.port(),
            seq: packet.seq.wrapping_add(self.remote),
            ack: packet.ack.map_or(0, |ack| ack.wrapping_add(self.local)),
            flags: packet.flags,
            window: packet.window.unwrap_or(65_535),
            urgent: packet.urgent.unwrap_or(0),
            ecn: packet.ecn.unwrap_or(0),
            options,
            payload: payload.collect(),
        })
    }

    fn live_option(&self, option: &TcpOption) -> TcpOption {
        if let TcpOption::Sack(blocks) = option {
            return TcpOption::Sack(shifted(blocks, self.local));
        }
        let TcpOption::Timestamps { val, ecr } = option else { return option.clone() };
        let near = self.timestamps.iter().rev().find(|(script, _)| script <= ecr);
        let ecr = match near {
            Some((script, live)) => live.wrapping_add(ecr - script),
            None => *ecr,
        };
        TcpOption::Timestamps { val: *val, ecr }
    }

    /// A segment of the engine in the script's numbers. Its first SYN sets them.
    pub(crate) fn received(&mut self, live: &Segment) -> Segment {
        if live.has(SYN) && !live.has(ACK) && self.connecting {
            self.local = live.seq;
            self.connecting = false;
        }
        if live.has(SYN | ACK) {
            let answered = live.ack.wrapping_sub(self.remote).wrapping_sub(1);
            if self.offered == Some(answered) && self.initial != self.offered {
                // Crossing SYNs are one connection, whose number our SYN told.
                let crossing = self.initial.is_none() && self.local != 0;
                self.initial = self.offered;
                if !crossing {
                    self.new_connection();
                    self.local = live.seq;
                }
            }
        }
        let mut segment = live.clone();
        segment.seq = live.seq.wrapping_sub(self.local);
        if live.has(ACK) {
            segment.ack = live.ack.wrapping_sub(self.remote);
        }
        for option in &mut segment.options {
            if let TcpOption::Sack(blocks) = option {
                *blocks = shifted(blocks, self.remote.wrapping_neg());
            }
        }
        segment
    }

    /// Notes what the script calls the timestamp of the segment that came, if it names it.
    pub(crate) fn learn_timestamp(&mut self, packet: &Packet, live: &Segment) {
        let Options::These(options) = &packet.options else { return };
        let script = options.iter().find_map(|option| match option {
            TcpOption::Timestamps { val, .. } => Some(*val),
            _ => None,
        });
        if let (Some(script), Some((live, _))) = (script, live.timestamps()) {
            self.timestamps.push((script, live));
        }
    }

    /// The timestamp that the engine sent last, of those that the script named.
    pub(crate) fn last_timestamp(&self) -> Option<u32> {
        self.timestamps.last().map(|(_, live)| *live)
    }

    /// Where the payload of a segment of the engine differs from the stream, by script number. The
    /// one old byte of a probe may be anything (RFC 9293 section 3.8.4).
    pub(crate) fn wrong_byte(&mut self, segment: &Segment) -> Option<u32> {
        let end = segment.seq.wrapping_add(segment.payload.len() as u32);
        let probe = segment.payload.len() == 1 && end <= self.sent_to;
        self.sent_to = self.sent_to.max(end);
        if probe {
            return None;
        }
        let expected = |at: u32| stream_byte(u64::from(at.wrapping_sub(1)));
        let mut numbered = (segment.seq..).zip(&segment.payload);
        numbered.find(|(at, byte)| **byte != expected(*at)).map(|(at, _)| at)
    }
}

/// SACK blocks in the other numbering.
fn shifted(blocks: &[(u32, u32)], by: u32) -> Vec<(u32, u32)> {
    blocks.iter().map(|(left, right)| (left.wrapping_add(by), right.wrapping_add(by))).collect()
}
