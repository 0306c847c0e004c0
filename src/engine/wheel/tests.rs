use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn drain(wheel: &mut Wheel, now: u32) -> Vec<u32> {
    wheel.advance(Tick(now));
    core::iter::from_fn(|| wheel.pop_expired()).collect()
}

#[test]
fn an_entry_takes_twelve_bytes() {
    assert_eq!(size_of::<Node>(), 12);
}

#[test]
fn a_timer_fires_at_its_tick_and_not_before_at_any_distance() {
    for start in [0, 77, u32::MAX, u32::MAX - 5, 1 << 30, (1 << 31) - 1, 3 << 30, (3 << 30) - 1] {
        for ahead in (0..=30).flat_map(|b| [1u32 << b, (1 << b) + 1, (1 << b) - 1]).skip(3) {
            let due = start.wrapping_add(ahead);
            let mut wheel = Wheel::new(1, Tick(start));
            wheel.arm(0, Tick(due));
            assert_eq!(drain(&mut wheel, due.wrapping_sub(1)), [0; 0], "{start} + {ahead}");
            assert_eq!(drain(&mut wheel, due), [0], "{start} + {ahead}");
            assert!(!wheel.is_armed(0) && wheel.armed == 0);
        }
    }
}

#[test]
fn following_next_deadline_finds_the_exact_tick_in_a_few_wakes() {
    let mut wheel = Wheel::new(1, Tick(123_456));
    let due = 123_456 + (1 << 30) - 1_000;
    wheel.arm(0, Tick(due));
    for wakes in 1.. {
        assert!(wakes <= LEVELS + 2, "a wake per level, and two for a long sleep");
        let next = wheel.next_deadline().unwrap();
        if !drain(&mut wheel, next.0).is_empty() {
            assert_eq!(next.0, due);
            break;
        }
    }
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn equal_deadlines_fire_in_the_order_armed_and_the_past_fires_at_once() {
    let mut wheel = Wheel::new(8, Tick(1_000));
    for id in [3, 1, 2] {
        wheel.arm(id, Tick(9_000));
    }
    wheel.arm(5, Tick(999));
    assert_eq!(wheel.next_deadline(), Some(Tick(1_000)));
    assert_eq!(wheel.pop_expired(), Some(5));
    assert_eq!(wheel.pop_expired(), None);
    assert_eq!(drain(&mut wheel, 10_000), [3, 1, 2]);
}

#[test]
fn an_empty_wheel_survives_any_sleep() {
    let mut wheel = Wheel::new(1, Tick(0));
    wheel.advance(Tick(u32::MAX - 3)); // "backwards" as ticks compare
    wheel.arm(0, Tick(5));
    assert_eq!(drain(&mut wheel, 4), [0; 0]);
    assert_eq!(drain(&mut wheel, 5), [0]);
}

#[test]
fn a_huge_slot_cascades_over_several_turns_and_keeps_order() {
    let count = 3 * CASCADE_BUDGET + 7;
    let mut wheel = Wheel::new(count as usize, Tick(0));
    let base = 5 << (BITS * 2); // one slot of level 2
    for id in 0..count {
        wheel.arm(id, Tick(base + 64 + (count - id) / 128));
    }
    let (mut popped, mut turns) = (Vec::new(), 0);
    while popped.len() < count as usize {
        assert_eq!(wheel.armed, count as usize - popped.len());
        popped.extend(drain(&mut wheel, base + 2_000));
        assert!(wheel.armed == 0 || !wheel.next_deadline().unwrap().is_after(wheel.now));
        turns += 1;
        assert!(turns < 20);
    }
    assert!(turns > 6, "each entry moves twice, {CASCADE_BUDGET} a turn: took {turns}");
    assert!(popped.is_sorted_by_key(|&id| (count - id) / 128), "out of order");
}

#[test]
fn nothing_is_allocated_after_new() {
    let mut wheel = Wheel::new(1_000, Tick(0));
    let (at, room) = (wheel.nodes.as_ptr(), wheel.nodes.capacity());
    wheel.arm(999, Tick(1));
    wheel.arm(0, Tick(1));
    assert_eq!((wheel.nodes.as_ptr(), wheel.nodes.capacity()), (at, room));
    assert_eq!(wheel.nodes.len(), 1_000 + LISTS as usize);
}

#[derive(Clone, Debug)]
enum Op {
    Arm { id: u32, ahead: i64 },
    Cancel { id: u32 },
    Advance { by: u32, pops: usize },
}

const IDS: u32 = 48;

/// Distances of every magnitude equally often.
fn distance() -> impl Strategy<Value = u32> {
    (0u32..=30, any::<u32>())
        .prop_map(|(bits, r)| (1 << bits) | (r & ((1 << bits) - 1)) >> 1)
        .prop_map(|d| d.min(Tick::MAX_AHEAD))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..IDS, distance()).prop_map(|(id, d)| Op::Arm { id, ahead: d.into() }),
        1 => (0..IDS, 0..200i64).prop_map(|(id, d)| Op::Arm { id, ahead: -d }),
        2 => (0..IDS).prop_map(|id| Op::Cancel { id }),
        2 => (distance(), 0..8usize).prop_map(|(by, pops)| Op::Advance { by, pops }),
        2 => distance().prop_map(|by| Op::Advance { by, pops: usize::MAX }),
    ]
}

/// What the wheel must do, in 64-bit time that never wraps: the order key of each armed id.
struct Model {
    origin: u32,
    now: u64,
    keys: HashMap<u32, u64>,
}

impl Model {
    fn tick(&self, at: u64) -> Tick {
        Tick(self.origin.wrapping_add(at as u32))
    }

    fn at(&self, tick: Tick) -> u64 {
        self.now.wrapping_add_signed(i64::from(tick.0.wrapping_sub(self.tick(self.now).0) as i32))
    }

    fn pop(&mut self, wheel: &mut Wheel) -> bool {
        let due = self.keys.values().copied().min().filter(|&key| key <= self.now);
        let popped = wheel.pop_expired();
        assert_eq!(popped.is_some(), due.is_some(), "popped {popped:?}, due {due:?}");
        if let Some(id) = popped {
            assert_eq!(self.keys.remove(&id), due, "{id} was not the earliest");
        }
        popped.is_some()
    }

    fn check(&self, wheel: &Wheel) {
        assert_eq!(wheel.armed, self.keys.len());
        let earliest = self.keys.values().copied().min();
        let bound = wheel.next_deadline().map(|t| self.at(t));
        assert_eq!(bound.is_some(), earliest.is_some());
        assert!(bound <= earliest, "wake at {bound:?} for {earliest:?}");
        assert!(bound.is_none_or(|b| b >= self.at(wheel.elapsed)));
        assert!((0..IDS).all(|id| wheel.is_armed(id) == self.keys.contains_key(&id)));
    }
}

proptest! {
    #[test]
    fn behaves_like_an_ordered_map(origin: u32, ops in prop::collection::vec(op(), 1..200)) {
        let mut wheel = Wheel::new(IDS as usize, Tick(origin));
        // Far enough from zero that the past has a name too.
        let start = 1 << 40;
        let mut model = Model { origin, now: start, keys: HashMap::new() };
        wheel.advance(model.tick(start));
        for op in ops {
            match op {
                Op::Arm { id, ahead } => {
                    let at = model.now.wrapping_add_signed(ahead);
                    wheel.arm(id, model.tick(at));
                    prop_assert_eq!(wheel.deadline(id), Some(model.tick(at)));
                    // Armed behind the drained part, it queues up with what is due there.
                    model.keys.insert(id, at.max(model.at(wheel.elapsed)));
                }
                Op::Cancel { id } => {
                    wheel.cancel(id);
                    model.keys.remove(&id);
                }
                Op::Advance { by, pops } => {
                    let lag = model.now - model.at(wheel.elapsed);
                    if lag + u64::from(by) > MAX_SLEEP.into() {
                        while model.pop(&mut wheel) {}
                    }
                    model.now += u64::from(by);
                    wheel.advance(model.tick(model.now));
                    let pops = if by > MAX_SLEEP { usize::MAX } else { pops };
                    for _ in 0..pops {
                        if !model.pop(&mut wheel) {
                            break;
                        }
                    }
                }
            }
            model.check(&wheel);
        }
    }
}
