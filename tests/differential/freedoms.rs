//! Where two TCPs may differ, each with its reason; everything else is a fault of one of them.

use super::event::{Event, SeqFrom, Sequence, Shape, Stamp};
use super::step::{Difference, Field, Step};
use super::subject::{Run, View};
use crate::segments::segment::{ACK, FIN, RST, SYN, URG};

/// A difference, and all that it may depend on.
pub(crate) struct Case<'a> {
    pub(crate) sequence: &'a Sequence,
    /// Number of the step: 0 before the first event.
    pub(crate) at: usize,
    pub(crate) field: Field,
    pub(crate) ours: &'a Step,
    pub(crate) kernel: &'a Step,
}

pub(crate) struct Freedom {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) excuses: fn(&Case<'_>) -> bool,
    /// The two are in different states from here on: the rest can't be compared.
    pub(crate) parts: bool,
}

pub(crate) struct Judgement {
    pub(crate) used: Vec<&'static str>,
    pub(crate) whole: bool,
}

impl Case<'_> {
    fn event(&self) -> Option<&Event> {
        self.sequence.events.get(self.at.checked_sub(1)?)
    }

    /// The segment of this step.
    fn shape(&self) -> Option<&Shape> {
        match self.event() {
            Some(Event::Segment(shape)) => Some(shape),
            _ => None,
        }
    }

    fn has(&self, flags: u16) -> bool {
        self.shape().is_some_and(|shape| shape.flags & flags == flags)
    }

    /// Whether one of the segments up to here is such.
    fn before(&self, is_such: impl Fn(&Shape) -> bool) -> bool {
        self.count(is_such) > 0
    }

    /// How many of the segments up to here are such.
    fn count(&self, is_such: impl Fn(&Shape) -> bool) -> usize {
        let events = self.sequence.events[..self.at].iter();
        events.filter(|event| matches!(event, Event::Segment(shape) if is_such(shape))).count()
    }

    /// Whether the application has finished by now, in one way or another.
    fn finished(&self) -> bool {
        self.closed() || self.sequence.events[..self.at].contains(&Event::Shutdown)
    }

    /// Whether the application has closed by now.
    fn closed(&self) -> bool {
        self.sequence.events[..self.at].contains(&Event::Close)
    }

    fn is(&self, fields: &[Field]) -> bool {
        fields.contains(&self.field)
    }
}

/// All of it is old, but not by a single number.
fn ends_at_window(shape: &Shape) -> bool {
    let len = i32::from(shape.len) + i32::from(shape.flags & FIN != 0);
    shape.seq.0 == SeqFrom::Next && len > 0 && shape.seq.1 + len == 0
}

pub(crate) const FREEDOMS: [Freedom; 32] = [
    Freedom {
        name: "segments without timestamps",
        reason: "RFC 7323 section 3.2: where both have timestamps, a segment without one SHOULD be \
                 dropped. We drop it; the kernel takes it.",
        excuses: |case| {
            let missing = |shape: &Shape| shape.stamp == Stamp::Missing && shape.flags & RST == 0;
            case.sequence.timestamps && case.shape().is_some_and(missing)
        },
        parts: true,
    },
    Freedom {
        name: "echo of a segment that ends where the window begins",
        reason: "RFC 9293 section 3.10.7.4, table 6: outside, and by RFC 7323 section 5.3 its \
                 timestamp is not recorded. The kernel takes it for one inside.",
        excuses: |case| case.is(&[Field::Echo]) && case.before(ends_at_window),
        parts: false,
    },
    Freedom {
        name: "ACK of a segment that ends where the window begins",
        reason: "RFC 9293 again: we drop all of it, the kernel takes its ACK and has less to send \
                 again.",
        excuses: |case| {
            case.is(&[Field::Again, Field::Data, Field::Fin, Field::Seq])
                && case.before(ends_at_window)
        },
        parts: true,
    },
    Freedom {
        name: "ACKs out of order",
        reason: "RFC 7323 section 5.3, R1: a segment with an old timestamp is answered. The kernel \
                 takes one that says nothing new for an ACK that was overtaken.",
        excuses: |case| {
            let old = |shape: &Shape| matches!(shape.stamp, Stamp::Old(1..)) && shape.len == 0;
            case.is(&[Field::Ack, Field::Seq, Field::Sack, Field::Echo])
                && case.kernel.ack.is_none()
                && case.shape().is_some_and(old)
        },
        parts: false,
    },
    Freedom {
        name: "FIN in a SACK block",
        reason: "RFC 2018 section 3 and RFC 2883 section 4 speak of data; whether the FIN behind \
                 it counts is left open. The kernel counts it.",
        excuses: |case| case.is(&[Field::Sack]) && case.before(|shape| shape.flags & FIN != 0),
        parts: false,
    },
    Freedom {
        name: "SACK blocks beside data",
        reason: "RFC 2018 section 4 wants the option where it helps. We leave it out of full \
                 segments rather than cut them anew; the kernel cuts them.",
        excuses: |case| case.is(&[Field::Sack]) && case.ours.data.is_some(),
        parts: false,
    },
    Freedom {
        name: "acknowledgements from before the connection",
        reason: "RFC 5961 section 5.2 takes an ACK of SND.UNA - MAX.SND.WND or later. The kernel \
                 also refuses what acknowledges less than the first byte ever sent.",
        excuses: |case| case.shape().is_some_and(|shape| shape.ack.1 < 0),
        parts: true,
    },
    Freedom {
        name: "window scale in a simultaneous open",
        reason: "RFC 7323 section 2.2: a SYN-ACK has the option only if the SYN had. The kernel \
                 sends its SYN again with all that was in it.",
        excuses: |case| case.is(&[Field::Syn]) && case.sequence.active && case.has(SYN),
        parts: true,
    },
    Freedom {
        name: "SYN-ACK to a SYN-ACK",
        reason: "RFC 9293 section 3.10.7.4, first: it is not in the window and only acknowledged. \
                 The kernel takes its ACK for that of the handshake.",
        excuses: |case| {
            !case.sequence.active && case.before(|shape| shape.flags & (SYN | ACK) == SYN | ACK)
        },
        parts: true,
    },
    Freedom {
        name: "RST that acknowledges",
        reason: "RFC 9293 section 3.10.5 sends <SEQ=SND.NXT><CTL=RST>; an ACK beside it does not \
                 matter.",
        excuses: |case| {
            let seqs = |step: &Step| step.resets.iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
            case.is(&[Field::Reset]) && seqs(case.ours) == seqs(case.kernel)
        },
        parts: false,
    },
    Freedom {
        name: "beyond the right edge",
        reason: "RFC 9293 section 3.10.7.4, table 6: outside, or cut off there. The kernel takes \
                 what begins at the edge or a little behind it.",
        excuses: |case| {
            let len = |shape: &Shape| i32::from(shape.len);
            let beyond = |s: &Shape| s.seq.1 >= 0 || s.seq.1 + len(s) > 0;
            case.before(|shape| shape.seq.0 == SeqFrom::Edge && beyond(shape))
        },
        parts: true,
    },
    Freedom {
        name: "text that goes on behind the FIN",
        reason: "RFC 9293 section 3.10.7.4, seventh: what comes after a FIN is ignored. The kernel \
                 resets the connection if the segment begins before it.",
        excuses: |case| {
            let over = |shape: &Shape| shape.len > 0 && shape.seq.1 < 0;
            case.before(|shape| shape.flags & FIN != 0) && case.shape().is_some_and(over)
        },
        parts: true,
    },
    Freedom {
        name: "text after close",
        reason: "RFC 9293 section 3.6.1, SHLD-3: it resets the connection. Our application sees it \
                 when it is in order; the kernel at once, and resets for a FIN out of order too.",
        excuses: |case| {
            let new = |shape: &Shape| shape.len > 0 || shape.flags & FIN != 0;
            case.closed() && case.shape().is_some_and(new)
        },
        parts: true,
    },
    Freedom {
        name: "two ends of one stream",
        reason: "RFC 9293 knows of one FIN. We believe the last that came, and nothing beyond \
                 it; the kernel the first that is in order.",
        excuses: |case| {
            let ahead = |shape: &Shape| shape.flags & FIN != 0 && shape.seq.1 > 0;
            case.count(|shape| shape.flags & FIN != 0) > 1
                || case.before(ahead) && case.shape().is_some_and(|shape| shape.len > 0)
        },
        parts: true,
    },
    Freedom {
        name: "timestamps in TIME-WAIT",
        reason: "RFC 6191 section 2 needs the last one of the connection. We keep that of before \
                 TIME-WAIT; the kernel goes on recording, from RSTs too.",
        excuses: |case| {
            case.is(&[Field::Echo]) && case.finished() && case.before(|s| s.flags & FIN != 0)
        },
        parts: false,
    },
    Freedom {
        name: "RST at the number of the FIN",
        reason: "RFC 5961 section 3.2: outside of the window, dropped. The kernel takes it, for \
                 peers that don't count their own FIN.",
        excuses: |case| {
            case.before(|s| s.flags & FIN != 0)
                && case.before(|s| s.flags & RST != 0 && s.seq == (SeqFrom::Next, -1))
        },
        parts: true,
    },
    Freedom {
        name: "RST and SYN to what is nearly gone",
        reason: "RFC 5961 sections 3.2 and 4.2: challenged, if inside of the window. The kernel \
                 keeps too little of a connection that is closed, or in TIME-WAIT, for that.",
        excuses: |case| case.finished() && (case.has(RST) || case.has(SYN)),
        parts: true,
    },
    Freedom {
        name: "tail loss probes",
        reason: "RFC 8985 section 7: after two round trips or so. The kernel's are off here, as \
                 its clock is the machine's.",
        excuses: |case| {
            case.is(&[Field::Again])
                && case.kernel.again.is_none()
                && case.event() != Some(&Event::Wait)
        },
        parts: false,
    },
    Freedom {
        name: "windows of bytes and of packets",
        reason: "RFC 5681 section 2 counts the congestion window in bytes. The kernel counts \
                 packets: after a timeout it sends nothing beside the first.",
        excuses: |case| {
            let so_far = &case.sequence.events[..case.at];
            case.is(&[Field::Data, Field::Fin, Field::Ack, Field::Echo])
                && so_far.contains(&Event::Wait)
        },
        parts: true,
    },
    Freedom {
        name: "abort in CLOSING and LAST-ACK",
        reason: "RFC 9293 section 3.10.5: nothing is sent. The kernel sends a RST if text was not \
                 read or sent, we always do: the peer may still wait for our FIN.",
        excuses: |case| {
            matches!(case.event(), Some(Event::Abort | Event::Close))
                && case.is(&[Field::Reset])
                && case.kernel.resets.is_empty()
                && case.before(|shape| shape.flags & FIN != 0)
        },
        parts: true,
    },
    Freedom {
        name: "SYN again soon after a bad ACK",
        reason: "RFC 6298 section 2.1: no sooner than after a second. The kernel hurries, as the \
                 peer may just have forgotten an old connection.",
        excuses: |case| {
            case.is(&[Field::Syn])
                && case.sequence.active
                && case.kernel.syns.iter().all(|s| s.again)
        },
        parts: false,
    },
    Freedom {
        name: "old segments without ACK",
        reason: "RFC 9293 section 3.10.7.4: what is not acceptable is answered (first), what has \
                 no ACK dropped (fifth). The kernel looks for the ACK first.",
        excuses: |case| {
            let no_ack = |shape: &Shape| shape.flags & (ACK | SYN | RST) == 0;
            case.kernel.ack.is_none() && case.shape().is_some_and(no_ack)
        },
        parts: false,
    },
    Freedom {
        name: "another SYN in the window of a handshake",
        reason: "RFC 9293 section 3.10.7.4, fourth: back to LISTEN, without a word. The kernel \
                 sends a RST, as RFC 793 did.",
        excuses: |case| !case.sequence.active && case.has(SYN) && case.is(&[Field::Reset]),
        parts: true,
    },
    Freedom {
        name: "timestamp of an old ACK",
        reason: "RFC 7323 section 5.3, R3: recorded, as the segment is in the window. The kernel \
                 looks no further than its ACK.",
        excuses: |case| case.is(&[Field::Echo]) && case.before(|shape| shape.ack.1 < 0),
        parts: false,
    },
    Freedom {
        name: "duplicates that PAWS refuses",
        reason: "RFC 2883 section 4 reports what was received twice, and this was not received. \
                 The kernel reports it.",
        excuses: |case| {
            let old = |shape: &Shape| matches!(shape.stamp, Stamp::Old(1..)) && shape.seq.1 < 0;
            case.is(&[Field::Sack]) && case.sequence.timestamps && case.shape().is_some_and(old)
        },
        parts: false,
    },
    Freedom {
        name: "silly windows",
        reason: "RFC 9293 section 3.8.6.2.1: how much of a small window is worth using depends on \
                 the largest ever seen, and on a timer that the RFC leaves open.",
        excuses: |case| {
            case.is(&[Field::Data, Field::Fin, Field::Ack, Field::Seq, Field::Echo])
                && case.before(|shape| shape.window < 2_000)
        },
        parts: true,
    },
    Freedom {
        name: "unread text after a reset",
        reason: "RFC 9293 section 3.10.7.4, second: all queues are flushed. The kernel lets the \
                 application read on.",
        excuses: |case| case.is(&[Field::Returned]) && case.before(|s| s.flags & RST != 0),
        parts: false,
    },
    Freedom {
        name: "what can't come in TIME-WAIT",
        reason: "RFC 9293 section 3.10.7.4: a segment without ACK is dropped (fifth), text is \
                 ignored (seventh). The kernel answers everything there.",
        excuses: |case| {
            let odd = |shape: &Shape| shape.flags & (ACK | SYN | RST) == 0 || shape.len > 0;
            case.ours.ack.is_none()
                && case.finished()
                && case.shape().is_some_and(odd)
                && case.before(|shape| shape.flags & FIN != 0)
        },
        parts: false,
    },
    Freedom {
        name: "impossible ACKs in TIME-WAIT",
        reason: "RFC 9293 section 3.10.7.4, fifth: an ACK of what was never sent is answered; in \
                 TIME-WAIT, only the FIN. The kernel looks at nothing else there.",
        excuses: |case| {
            let never_sent = |shape: &Shape| shape.ack.1 > 0 && shape.len == 0;
            case.kernel.ack.is_none()
                && case.shape().is_some_and(never_sent)
                && case.before(|shape| shape.flags & FIN != 0)
        },
        parts: false,
    },
    Freedom {
        name: "SYN again with an old timestamp",
        reason: "RFC 7323 section 5.3 is about segments of a connection. To us this is still the \
                 SYN that begins it; the kernel refuses it as old.",
        excuses: |case| {
            let old = |shape: &Shape| matches!(shape.stamp, Stamp::Old(1..));
            !case.sequence.active && case.has(SYN) && case.shape().is_some_and(old)
        },
        parts: true,
    },
    Freedom {
        name: "new SYN in TIME-WAIT with unread text",
        reason: "RFC 6191 section 2 lets a new connection begin, if it may. With us it may once \
                 the application has read what the old one brought.",
        excuses: |case| {
            case.has(SYN)
                && case.finished()
                && case.before(|shape| shape.flags & FIN != 0)
                && case.kernel.syns.iter().any(|syn| !syn.again)
        },
        parts: true,
    },
    Freedom {
        name: "reading up to the urgent mark",
        reason: "RFC 6093 section 4 has urgent data in line. The kernel's read ends at the mark \
                 all the same.",
        excuses: |case| case.is(&[Field::Returned]) && case.before(|s| s.flags & URG != 0),
        parts: false,
    },
];

/// Compares step by step. An error is the first difference that nothing excuses.
pub(crate) fn judge(
    sequence: &Sequence,
    our_run: &Run,
    kernel_run: &Run,
) -> Result<Judgement, String> {
    let mut judgement = Judgement { used: Vec::new(), whole: true };
    for (at, (a, b)) in our_run.steps.iter().zip(&kernel_run.steps).enumerate() {
        for Difference { field, ours, kernel } in a.differences(b) {
            let case = Case { sequence, at, field, ours: a, kernel: b };
            let Some(freedom) = FREEDOMS.iter().find(|freedom| (freedom.excuses)(&case)) else {
                return Err(format!("step {at}: {field:?}: ours {ours}, the kernel's {kernel}"));
            };
            judgement.used.push(freedom.name);
            if freedom.parts {
                judgement.whole = false;
                return Ok(judgement);
            }
        }
    }
    let Some(difference) = difference_of_views(sequence, &our_run.view, &kernel_run.view) else {
        return Ok(judgement);
    };
    let none = Step::default();
    let at = sequence.events.len();
    let case = Case { sequence, at, field: Field::View, ours: &none, kernel: &none };
    let Some(freedom) = FREEDOMS.iter().find(|freedom| (freedom.excuses)(&case)) else {
        return Err(difference);
    };
    judgement.used.push(freedom.name);
    Ok(judgement)
}

/// What both applications have, as long as they look: not after they have closed.
fn difference_of_views(sequence: &Sequence, ours: &View, kernel: &View) -> Option<String> {
    if sequence.events.iter().any(|event| matches!(event, Event::Close | Event::Abort)) {
        return None;
    }
    // A reset takes what was not read, and the end with it (RFC 9293 section 3.10.7.4). After the
    // end, sockets don't tell it from that.
    let same = if ours.reset && kernel.reset {
        ours.opened == kernel.opened
    } else if ours.fin && kernel.fin {
        ours.read == kernel.read
    } else {
        ours == kernel
    };
    (!same).then(|| format!("the application: ours {ours:?}, the kernel's {kernel:?}"))
}

#[test]
fn every_freedom_has_a_name_of_its_own_and_a_source() {
    for (n, freedom) in FREEDOMS.iter().enumerate() {
        assert!(freedom.reason.contains("RFC "), "{}", freedom.name);
        assert!(FREEDOMS[..n].iter().all(|other| other.name != freedom.name), "{}", freedom.name);
    }
}
