//! What an idle connection takes in memory: in pages, which is no matter of chance.

use sidestep_bench::counting::Counting;

#[path = "../src/bin/bench-connections/crowd.rs"]
mod crowd;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What a connection may take, half open ones and the limits' rounding in the demux included.
const CONNECTION: f64 = 256.0;
const TIME_WAIT: f64 = 64.0;

#[test]
fn a_hundred_thousand_connections_are_held_used_and_closed_in_what_they_may_take() {
    let report = crowd::hold(100_000, 20_000, &ALLOCATOR);
    let connection = report.connection.resident;
    assert!(connection <= CONNECTION, "{connection} bytes for a connection");
    let time_wait = report.time_wait.resident;
    assert!(time_wait <= TIME_WAIT, "{time_wait} bytes for a connection in TIME-WAIT");
    assert!(report.grown < 64 << 10, "{} bytes allocated on the way", report.grown);
    assert_eq!(report.stages.len(), 6, "{:?}", report.stages);
    println!("{connection:.1} bytes for a connection, {time_wait:.1} in TIME-WAIT");
}
