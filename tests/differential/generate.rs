//! Sequences from seeds: mostly what a peer does, and often what it should not.

use sidestep::sim::Rng;

use super::event::{AckFrom, Event, SeqFrom, Sequence, Shape, Stamp};
use crate::segments::path::Family;
use crate::segments::segment::{ACK, FIN, PSH, RST, SYN, URG};

const EVENTS: std::ops::Range<u64> = 4..14;
/// Bytes that the application writes in a sequence at most: congestion control must not matter.
const WRITTEN: usize = 4_000;
/// Offsets at which TCPs go wrong.
const NEAR: [i32; 8] = [-1, 1, 2, -2, 10, -10, 500, -500];
const FAR: [i32; 6] = [300_000, -300_000, 1_000_000, -1_000_000, i32::MAX, i32::MIN];

impl Sequence {
    pub(crate) fn from_seed(seed: u64) -> Sequence {
        let mut rng = Rng::new(seed).fork(0xd1ff);
        // Near the wrap-around as often as anywhere else.
        let start = if rng.chance(500_000) {
            (rng.range(0..3_000) as u32).wrapping_sub(1_500)
        } else {
            rng.next_u64() as u32
        };
        let mut sequence = Sequence {
            seed,
            family: *rng.pick(&Family::BOTH),
            active: rng.chance(200_000),
            start,
            mss: *rng.pick(&[Some(1_460), Some(1_460), Some(1_000), None]),
            scale: *rng.pick(&[Some(7), Some(0), None]),
            sack: rng.chance(600_000),
            timestamps: rng.chance(500_000),
            events: Vec::new(),
        };
        let orderly = rng.chance(850_000);
        if orderly {
            sequence.events.extend(handshake(sequence.active));
        }
        let count = rng.range(EVENTS);
        let mut written = 0;
        for _ in 0..count {
            let event = match rng.range(0..100) {
                0..20 => call(&mut rng, &mut written),
                20 if rng.chance(200_000) => Event::Wait,
                _ => Event::Segment(segment(&mut rng, orderly)),
            };
            sequence.events.push(event);
        }
        sequence
    }
}

fn plain(flags: u16, len: u16) -> Shape {
    Shape {
        flags,
        seq: (SeqFrom::Next, 0),
        ack: (AckFrom::Max, 0),
        len,
        window: 40_000,
        urgent: 0,
        stamp: Stamp::Fresh,
    }
}

fn syn() -> Shape {
    Shape { seq: (SeqFrom::Start, 0), ..plain(SYN, 0) }
}

fn handshake(active: bool) -> Vec<Event> {
    let shapes =
        if active { vec![Shape { flags: SYN | ACK, ..syn() }] } else { vec![syn(), plain(ACK, 0)] };
    shapes.into_iter().map(Event::Segment).collect()
}

fn call(rng: &mut Rng, written: &mut usize) -> Event {
    match rng.range(0..20) {
        0..9 => {
            let n = *rng.pick(&[1, 100, 536, 1_000, 2_000]);
            let n = n.min(WRITTEN - *written);
            *written += n;
            if n > 0 { Event::Write(n) } else { Event::Read(1_000_000) }
        }
        9..15 => Event::Read(*rng.pick(&[1, 100, 1_000_000])),
        15..17 => Event::Shutdown,
        17..19 => Event::Close,
        _ => Event::Abort,
    }
}

/// One segment. In a conversation that did not begin in order, one of a handshake more often.
fn segment(rng: &mut Rng, orderly: bool) -> Shape {
    let mut shape = match rng.range(0..100) {
        0..25 => plain(*rng.pick(&[ACK, ACK | PSH]), length(rng)),
        25..37 => plain(ACK, 0),
        37..47 => ahead(rng),
        47..57 => behind(rng),
        57..64 => plain(FIN | ACK, *rng.pick(&[0, 0, 1, 700])),
        64..71 => reset(rng),
        71..78 => syn_again(rng),
        78..86 => bad_ack(rng),
        86..90 => plain(*rng.pick(&[0, PSH, FIN, URG, FIN | SYN, FIN | PSH | URG]), length(rng)),
        90..93 => Shape { urgent: rng.range(0..900) as u16, ..plain(ACK | URG, length(rng)) },
        93..97 => at_edge(rng),
        _ => Shape { window: *rng.pick(&[0, 1, 100, 1_000]), ..plain(ACK, length(rng)) },
    };
    if !orderly && rng.chance(300_000) {
        shape = if rng.chance(600_000) { syn() } else { plain(ACK, 0) };
    }
    shape.stamp = match rng.range(0..20) {
        0 => Stamp::Missing,
        1 => Stamp::Old(rng.range(1..2_000) as u32),
        2 => Stamp::Old(0),
        _ => Stamp::Fresh,
    };
    shape
}

fn length(rng: &mut Rng) -> u16 {
    *rng.pick(&[0, 1, 2, 100, 500, 1_000])
}

fn ahead(rng: &mut Rng) -> Shape {
    let by = *rng.pick(&[1, 100, 500, 1_000, 1_500, 2_000, 3_000]);
    let flags = *rng.pick(&[ACK, ACK, ACK, ACK | FIN]);
    Shape { seq: (SeqFrom::Next, by), ..plain(flags, length(rng).max(1)) }
}

/// All of it old, or only its beginning.
fn behind(rng: &mut Rng) -> Shape {
    let by = *rng.pick(&[1, 2, 100, 500, 1_000]);
    let flags = *rng.pick(&[ACK, ACK, ACK, ACK | FIN]);
    Shape { seq: (SeqFrom::Next, -by), ..plain(flags, length(rng)) }
}

fn off(rng: &mut Rng) -> i32 {
    if rng.chance(700_000) { *rng.pick(&NEAR) } else { *rng.pick(&FAR) }
}

fn reset(rng: &mut Rng) -> Shape {
    let seq = if rng.chance(400_000) { 0 } else { off(rng) };
    let ack = if rng.chance(700_000) { 0 } else { off(rng) };
    let shape = plain(*rng.pick(&[RST, RST | ACK]), 0);
    Shape { seq: (SeqFrom::Next, seq), ack: (AckFrom::Max, ack), ..shape }
}

fn syn_again(rng: &mut Rng) -> Shape {
    let from = *rng.pick(&[SeqFrom::Start, SeqFrom::Next]);
    let by = if rng.chance(400_000) { 0 } else { off(rng) };
    let shape = plain(*rng.pick(&[SYN, SYN, SYN | ACK]), *rng.pick(&[0, 0, 0, 100]));
    Shape { seq: (from, by), ..shape }
}

fn bad_ack(rng: &mut Rng) -> Shape {
    let from = *rng.pick(&[AckFrom::Max, AckFrom::Una]);
    Shape { ack: (from, off(rng)), ..plain(ACK, length(rng)) }
}

fn at_edge(rng: &mut Rng) -> Shape {
    let by = *rng.pick(&[-1, 0, 1, -100, 100]);
    let (flags, len) = *rng.pick(&[(ACK, 0), (ACK, 1), (RST, 0), (ACK | FIN, 0), (ACK, 100)]);
    Shape { seq: (SeqFrom::Edge, by), ..plain(flags, len) }
}
