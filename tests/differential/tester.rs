//! The peer of the TCP under test: makes segments of events, and steps of what is answered.

use super::event::{AckFrom, SeqFrom, Sequence, Shape, Stamp};
use super::step::{Number, Step, SynAnswer};
use crate::packet::stream_byte;
use crate::segments::path::Path;
use crate::segments::segment::{ACK, FIN, RST, SYN, Segment, TcpOption};

/// The tester's timestamps begin here, and go on by [`CLOCK_STEP`] with each segment.
const CLOCK: u32 = 5_000_000;
const CLOCK_STEP: u32 = 10;
/// Numbers so near to an edge are counted from it.
const NEAR_EDGE: i32 = 2_000;

pub(crate) struct Tester<'a> {
    sequence: &'a Sequence,
    path: Path,
    /// The TCP's initial sequence number, once it has said it.
    iss: Option<u32>,
    /// The tester's own, as the TCP took it: what it acknowledges first is the SYN.
    irs: u32,
    opening: bool,
    /// What it acknowledged last, and the right edge of its window.
    next: u32,
    edge: u32,
    scale: u8,
    /// What it has sent, and how much of it the tester has acknowledged.
    max: u32,
    una: u32,
    /// The timestamp of its SYN.
    stamp: Option<u32>,
    clock: u32,
    /// Edges that were sent to: the windows of two TCPs differ.
    edges: Vec<u32>,
}

impl Tester<'_> {
    pub(crate) fn new(sequence: &Sequence, path: Path) -> Tester<'_> {
        let start = sequence.start;
        Tester {
            sequence,
            path,
            iss: None,
            irs: start,
            opening: true,
            next: start,
            edge: start,
            scale: 0,
            max: 0,
            una: 0,
            stamp: None,
            clock: CLOCK,
            edges: Vec::new(),
        }
    }

    /// The segment that a shape means now.
    pub(crate) fn segment(&mut self, shape: &Shape) -> Segment {
        let (from, by) = shape.seq;
        let base = match from {
            SeqFrom::Next => self.next,
            SeqFrom::Edge => self.edge,
            SeqFrom::Start => self.sequence.start,
        };
        if from == SeqFrom::Edge {
            self.edges.push(self.edge);
        }
        let seq = base.wrapping_add_signed(by);
        let ack = match shape.ack.0 {
            AckFrom::Max => self.max,
            AckFrom::Una => self.una,
        };
        let ack = ack.wrapping_add_signed(shape.ack.1);
        let acks = shape.flags & ACK != 0;
        if acks && (1..=self.max.wrapping_sub(self.una)).contains(&ack.wrapping_sub(self.una)) {
            self.una = ack;
        }
        // The first byte follows the SYN.
        let text = if shape.flags & SYN != 0 { seq.wrapping_add(1) } else { seq };
        let at = text.wrapping_sub(self.irs.wrapping_add(1));
        let byte = |i: u32| stream_byte(u64::from(at.wrapping_add(i)));
        Segment {
            src_port: self.path.remote.port(),
            dst_port: self.path.local.port(),
            seq,
            ack: if acks { ack } else { 0 },
            flags: shape.flags,
            window: shape.window,
            urgent: shape.urgent,
            options: self.options(shape),
            payload: (0..u32::from(shape.len)).map(byte).collect(),
            ..Segment::default()
        }
    }

    fn options(&mut self, shape: &Shape) -> Vec<TcpOption> {
        let sequence = self.sequence;
        let mut options = Vec::new();
        if shape.flags & SYN != 0 {
            options.extend(sequence.mss.map(TcpOption::Mss));
            options.extend(sequence.scale.map(TcpOption::WindowScale));
            options.extend(sequence.sack.then_some(TcpOption::SackPermitted));
        }
        if !sequence.timestamps || shape.stamp == Stamp::Missing {
            return options;
        }
        let val = match shape.stamp {
            Stamp::Old(by) => self.clock.wrapping_sub(by),
            _ => {
                self.clock += CLOCK_STEP;
                self.clock
            }
        };
        let ecr = if shape.flags & ACK != 0 { self.stamp.unwrap_or(0) } else { 0 };
        options.push(TcpOption::Timestamps { val, ecr });
        options
    }

    /// Sums up what was sent in answer. An error is a segment that no TCP may send.
    pub(crate) fn step(&mut self, answers: &[Segment]) -> Result<Step, String> {
        let mut step = Step::default();
        for answer in answers {
            self.answer(answer, &mut step).map_err(|what| format!("{answer}: {what}"))?;
        }
        Ok(step)
    }

    fn answer(&mut self, answer: &Segment, step: &mut Step) -> Result<(), String> {
        let again = self.iss == Some(answer.seq);
        if answer.has(SYN) && !again {
            // A connection begins, maybe not the first of this sequence.
            (self.iss, self.max, self.una) = (Some(answer.seq), answer.seq, answer.seq);
            self.opening = true;
        }
        if self.opening && answer.has(ACK) && !answer.has(RST) {
            self.opening = false;
            self.irs = answer.ack.wrapping_sub(1);
        }
        let iss = self.base();
        let from = answer.seq.wrapping_sub(iss) as i32;
        let ack = answer.has(ACK).then(|| self.number(answer.ack));
        if answer.has(RST) {
            // Zero is no number of anybody's: there was no acknowledgement to take one from.
            step.resets.push((if answer.seq == 0 { 0 } else { from }, ack));
            return Ok(());
        }
        let timestamps = answer.timestamps();
        if answer.has(SYN) {
            // The one that is echoed: later ones say nothing that this one doesn't.
            self.stamp = timestamps.map(|(val, _)| val);
        }
        let end = answer.seq.wrapping_add(answer.seq_len());
        let new = end.wrapping_sub(self.max) as i32;
        if answer.has(SYN) {
            step.syns.push(SynAnswer {
                again,
                ack,
                mss: answer.mss(),
                sack: answer.options.contains(&TcpOption::SackPermitted),
                scaled: answer.window_scale().is_some(),
                timestamps: timestamps.is_some(),
            });
            self.scale =
                answer.window_scale().filter(|_| self.sequence.scale.is_some()).unwrap_or(0);
        } else {
            self.text(answer, from, new, step)?;
        }
        if new > 0 {
            self.max = end;
        }
        if let Some(ack) = ack {
            let scale = if answer.has(SYN) { 0 } else { self.scale };
            self.next = answer.ack;
            self.edge = answer.ack.wrapping_add(u32::from(answer.window) << scale);
            // What rides on a retransmission comes when that does.
            let is_old = answer.seq_len() > 0 && new <= 0 && !answer.has(SYN);
            if is_old {
                return Ok(());
            }
            step.ack = Some(ack);
            step.bare = answer.is_pure_ack().then_some(from);
            step.echo = timestamps.map(|(_, ecr)| ecr);
            step.sack = self.blocks(answer);
        }
        Ok(())
    }

    /// Data and FIN: those that are new, and whether any came before.
    fn text(&self, answer: &Segment, from: i32, new: i32, step: &mut Step) -> Result<(), String> {
        let len = answer.payload.len() as i32;
        for (at, byte) in (from - 1..).zip(&answer.payload) {
            if *byte != stream_byte(at as u64) {
                return Err(format!("wrong byte at {at}"));
            }
        }
        if answer.seq_len() == 0 {
            return Ok(());
        }
        if new <= 0 {
            step.again = step.again.or(Some(from));
            return Ok(());
        }
        let fin = i32::from(answer.has(FIN));
        if fin > 0 {
            step.fin = Some(from + len);
        }
        let old = (len + fin - new).max(0);
        if old < len {
            let bytes = &answer.payload[old as usize..];
            step.data.get_or_insert((from + old, Vec::new())).1.extend(bytes);
        }
        Ok(())
    }

    fn blocks(&self, answer: &Segment) -> Vec<(Number, Number)> {
        let blocks = answer.options.iter().find_map(|option| match option {
            TcpOption::Sack(blocks) => Some(blocks.as_slice()),
            _ => None,
        });
        let number = |n: &u32| self.number(*n);
        blocks.unwrap_or_default().iter().map(|(l, r)| (number(l), number(r))).collect()
    }

    /// The TCP's initial number. Before it said one, what the tester says is counted from zero.
    fn base(&self) -> u32 {
        self.iss.unwrap_or(0)
    }

    fn number(&self, n: u32) -> Number {
        let near = |edge: &u32| (n.wrapping_sub(*edge) as i32).saturating_abs() <= NEAR_EDGE;
        match self.edges.iter().rev().find(|edge| near(edge)) {
            Some(edge) => Number::Edge(n.wrapping_sub(*edge) as i32),
            None => Number::Start(n.wrapping_sub(self.irs) as i32),
        }
    }
}
