//! The XDP program on one frame.

use sidestep::device::af_xdp::{Steer, Verdict};

/// What the program does with `frame`, which it may change into `out`, and the counters that moved.
pub(crate) fn run(
    steer: &mut Steer,
    frame: &[u8],
    out: &mut Vec<u8>,
) -> (Verdict, Vec<&'static str>) {
    let before = steer.counters();
    let verdict = steer.run(frame, out).expect("the kernel runs the program");
    let after = steer.counters();
    let both = before.iter().zip(after.iter()).filter(|(before, after)| before != after);
    let moved = both.map(|((name, before), (_, after))| {
        assert_eq!(after, before + 1, "{name}");
        name
    });
    (verdict, moved.collect())
}
