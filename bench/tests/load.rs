//! The load as every measurement uses it.

use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;

fn settles_after(requests: u64, connections: u32, order: Order) {
    let setup = Setup { connections, batch: 1, order };
    let mut contender = Contender::new(Kind::Reflect, setup);
    assert_eq!(contender.connect(), connections);
    contender.request(requests);
    contender.settle();
    assert_eq!(contender.frames_in_use(), 0);
}

#[test]
fn a_skewed_load_settles_after_more_requests_than_the_load_is_patient() {
    settles_after(200_000, 64, Order::Zipf);
}

#[test]
fn no_requests_at_all_are_sent_at_once() {
    settles_after(0, 1, Order::Uniform);
}
