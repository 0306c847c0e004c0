//! The load as every measurement uses it.

use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;

#[test]
fn a_skewed_load_settles_after_more_requests_than_the_load_is_patient() {
    let setup = Setup { connections: 64, batch: 1, order: Order::Zipf };
    let mut contender = Contender::new(Kind::Reflect, setup);
    assert_eq!(contender.connect(), 64);
    contender.request(200_000);
    contender.settle();
    assert_eq!(contender.frames_in_use(), 0);
}

#[test]
fn no_requests_at_all_are_sent_at_once() {
    let setup = Setup { connections: 1, batch: 1, order: Order::Uniform };
    let mut contender = Contender::new(Kind::Reflect, setup);
    assert_eq!(contender.connect(), 1);
    contender.request(0);
    contender.settle();
    assert_eq!(contender.frames_in_use(), 0);
}
