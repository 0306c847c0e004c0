//! A hierarchical timer wheel: arm and cancel in O(1), one tick of precision at any distance.
//!
//! ```text
//! level   slots   a slot spans          the level spans
//!   0      64     1 tick      131 µs      8.4 ms
//!   1      64     2^6 ticks   8.4 ms      537 ms
//!   2      64     2^12        537 ms       34 s
//!   3      64     2^18         34 s        37 min
//!   4      64     2^24         37 min      39 h
//!   5       4     2^30         39 h       156 h: the whole circle of a u32
//! ```
//!
//! An entry lives at the level of the highest bit in which its deadline differs from `elapsed`, in
//! the slot that the deadline's six bits of that level name. Two things follow. Below the top,
//! every occupied slot lies after the current one, so no level wraps and the earliest entry is in
//! the first occupied slot of the lowest occupied level. And when `elapsed` reaches a slot's first
//! tick, all of that slot's entries belong to lower levels: they are moved there (the cascade), at
//! most five times in an entry's life. Time that passes over empty slots costs nothing, however
//! long.
//!
//! ```text
//!  level 1  [ . . # . . # . ]         # occupied: a bit in the level's u64
//!                 │ cascade when elapsed gets there
//!                 ▼
//!  level 0  [ . . . # # . . ] ──► due ──► pop_expired
//! ```
//!
//! Lists are circular and doubly linked through a table indexed by entry, 12 bytes for each; the
//! heads of the lists are the table's first nodes, so that linking has no special cases.

use crate::time::Tick;

const BITS: u32 = 6;
const SLOTS: u32 = 1 << BITS;
const LEVELS: u32 = 6;
const TOP_SLOTS: u32 = 1 << (u32::BITS - BITS * (LEVELS - 1));

/// The list of entries to hand out now; the lists before it are the slots.
const DUE: u32 = SLOTS * (LEVELS - 1) + TOP_SLOTS;
/// The list of entries taken from a slot that `elapsed` reached, not yet placed anew.
const CASCADE: u32 = DUE + 1;
const LISTS: u32 = CASCADE + 1;

/// Entries that may be moved down a level in one turn, about 0.1 ms of cache misses.
///
/// A slot of level 4 can hold a million keep-alive timers. Moving them all at once would stall the
/// core; this way they delay other timers by some turns, and packets not at all.
const CASCADE_BUDGET: u32 = 1024;

/// The longest time [`Wheel::next_deadline`] asks for, 19 hours: then `elapsed` is never so far
/// behind that a new deadline, compared with it, would seem to lie in the past.
const MAX_SLEEP: u32 = Tick::MAX_AHEAD / 2;

/// A link of a circular list: a list's head, or an entry. One that points to itself is in no list.
#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
    deadline: Tick,
}

/// The timers of one core, at most one for each id.
///
/// Each turn calls [`Wheel::advance`] once and then [`Wheel::pop_expired`] as often as its budget
/// allows. A deadline may lie up to [`Tick::MAX_AHEAD`] (39 hours) ahead. While a timer is armed,
/// the two must be called every [`MAX_SLEEP`]: [`Wheel::next_deadline`] sees to it.
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    capacity: usize,
    /// For each level, which of its slots hold entries.
    occupied: [u64; LEVELS as usize],
    /// The tick up to which slots have been emptied; never after `now`.
    elapsed: Tick,
    /// The time last told by `advance`.
    now: Tick,
    armed: usize,
    moves_left: u32,
}

impl Wheel {
    /// Memory for each timer.
    #[cfg(test)]
    pub(crate) const BYTES_EACH: usize = size_of::<Node>();

    /// A wheel for ids below `capacity`. Reserves 12 bytes for each; touches them as they are used.
    ///
    /// # Panics
    /// If `capacity` is over 2^32 − 1,000.
    pub(crate) fn new(capacity: usize, now: Tick) -> Wheel {
        assert!(capacity <= (u32::MAX - 1_000) as usize, "more timers than a u32 can name");
        let mut nodes = Vec::with_capacity(capacity + LISTS as usize);
        nodes.extend((0..LISTS).map(Node::unlinked));
        let occupied = [0; LEVELS as usize];
        Wheel { nodes, capacity, occupied, elapsed: now, now, armed: 0, moves_left: CASCADE_BUDGET }
    }

    /// Arms `id` for `at`, or moves it there. In the past, it expires at once.
    ///
    /// # Panics
    /// If `id` is not below the capacity.
    pub(crate) fn arm(&mut self, id: u32, at: Tick) {
        let node = self.touch(id);
        if self.is_linked(node) {
            self.unlink(node);
        } else {
            self.armed += 1;
        }
        self.nodes[node as usize].deadline = at;
        self.place(node);
    }

    /// Disarms `id`; nothing happens if it is not armed.
    pub(crate) fn cancel(&mut self, id: u32) {
        if self.is_armed(id) {
            self.unlink(LISTS + id);
            self.armed -= 1;
        }
    }

    /// Whether `id` is armed: it has a deadline and has not been popped.
    pub(crate) fn is_armed(&self, id: u32) -> bool {
        self.deadline(id).is_some()
    }

    /// When `id` expires, if it is armed.
    pub(crate) fn deadline(&self, id: u32) -> Option<Tick> {
        let index = LISTS as usize + id as usize;
        let node = self.nodes.get(index)?;
        (node.next as usize != index).then_some(node.deadline)
    }

    /// Tells the time and grants a turn's cascade budget. A `now` before the last one changes
    /// nothing.
    pub(crate) fn advance(&mut self, now: Tick) {
        self.moves_left = CASCADE_BUDGET;
        if self.armed == 0 {
            // Nothing to order: any jump is right, even one too long to compare.
            (self.elapsed, self.now) = (now, now);
        } else if now.is_after(self.now) {
            self.now = now;
        }
    }

    /// Disarms and returns the earliest entry due at the time last told, in order of deadlines
    /// (first armed first among equals; those armed in the past come when they come).
    ///
    /// `None` means no more this turn: none is due, or the cascade budget is spent, in which case
    /// [`Wheel::next_deadline`] is not in the future.
    #[inline]
    pub(crate) fn pop_expired(&mut self) -> Option<u32> {
        // If nothing is left of a look at this very tick, another one is for nothing.
        let left = self.first(DUE).or(self.first(CASCADE)).is_some();
        if left || self.elapsed != self.now { self.look_for_expired() } else { None }
    }

    fn look_for_expired(&mut self) -> Option<u32> {
        loop {
            if let Some(node) = self.first(DUE) {
                self.unlink(node);
                self.armed -= 1;
                return Some(node - LISTS);
            }
            if self.first(CASCADE).is_some() {
                if self.moves_left == 0 {
                    return None;
                }
                self.cascade();
            } else if let Some((slot, start)) = self.next_slot()
                && !start.is_after(self.now)
            {
                self.elapsed = start;
                self.empty_slot(slot);
            } else {
                // No slot begins up to now: every entry's place is right for now as it was before.
                self.elapsed = self.now;
                return None;
            }
        }
    }

    /// When to call [`Wheel::advance`] next: at or before the earliest deadline, never after it.
    /// Exact within 8 ms or so; further away it is the start of the earliest entry's slot, and
    /// never further than [`MAX_SLEEP`]. `None`: no entry.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        if self.first(DUE).is_some() || self.first(CASCADE).is_some() {
            return Some(self.elapsed);
        }
        let (_, start) = self.next_slot()?;
        Some(start.min(Tick(self.elapsed.0.wrapping_add(MAX_SLEEP))))
    }

    /// The earliest occupied slot and its first tick.
    fn next_slot(&self) -> Option<(u32, Tick)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)? as u32;
        let bits = self.occupied[level as usize];
        let shift = BITS * level;
        if level == LEVELS - 1 {
            // The top level is a circle: look from the slot after the current one, once around.
            let from = (self.elapsed.0 >> shift) + 1;
            let ahead = ((bits | bits << TOP_SLOTS) >> from).trailing_zeros();
            let slot = (from + ahead) % TOP_SLOTS;
            return Some((level * SLOTS + slot, Tick(slot << shift)));
        }
        let slot = bits.trailing_zeros();
        debug_assert!(slot > self.elapsed.0 >> shift & (SLOTS - 1), "a slot was passed over");
        let block = self.elapsed.0 >> shift & !(SLOTS - 1);
        Some((level * SLOTS + slot, Tick((block | slot) << shift)))
    }

    /// Takes all entries out of `slot`, whose first tick is `elapsed`.
    fn empty_slot(&mut self, slot: u32) {
        self.occupied[(slot / SLOTS) as usize] &= !(1 << (slot % SLOTS));
        // A slot of level 0 is one tick: its entries are due. Both lists are empty at this point.
        let list = if slot < SLOTS { DUE } else { CASCADE };
        let Node { prev, next, .. } = self.nodes[slot as usize];
        debug_assert!(next != slot && self.first(list).is_none());
        self.join(list, next);
        self.join(prev, list);
        self.join(slot, slot);
    }

    /// Places the entries of the slot that was reached where they now belong, as the budget allows.
    fn cascade(&mut self) {
        while self.moves_left > 0
            && let Some(node) = self.first(CASCADE)
        {
            self.moves_left -= 1;
            self.unlink(node);
            self.place(node);
        }
    }

    /// Links `node` at the end of the list its deadline belongs to.
    fn place(&mut self, node: u32) {
        let at = self.nodes[node as usize].deadline;
        let list = if at.is_after(self.elapsed) {
            let level = (at.0 ^ self.elapsed.0).ilog2() / BITS;
            let slot = at.0 >> (BITS * level) & (SLOTS - 1);
            self.occupied[level as usize] |= 1 << slot;
            level * SLOTS + slot
        } else {
            DUE
        };
        self.join(self.nodes[list as usize].prev, node);
        self.join(node, list);
    }

    /// Takes `node` out of the list it is in.
    fn unlink(&mut self, node: u32) {
        let Node { prev, next, .. } = self.nodes[node as usize];
        self.join(prev, next);
        self.join(node, node);
        if prev == next && prev < DUE {
            self.occupied[(prev / SLOTS) as usize] &= !(1 << (prev % SLOTS));
        }
    }

    fn join(&mut self, before: u32, after: u32) {
        self.nodes[before as usize].next = after;
        self.nodes[after as usize].prev = before;
    }

    /// The first entry of `list`.
    #[inline]
    fn first(&self, list: u32) -> Option<u32> {
        let next = self.nodes[list as usize].next;
        (next != list).then_some(next)
    }

    fn is_linked(&self, node: u32) -> bool {
        self.nodes[node as usize].next != node
    }

    /// The node of `id`, made if this is its first use.
    fn touch(&mut self, id: u32) -> u32 {
        assert!((id as usize) < self.capacity, "timer {id} of {}", self.capacity);
        let node = LISTS + id;
        let made = self.nodes.len() as u32;
        if node >= made {
            // Within the capacity reserved by `new`: this never allocates.
            self.nodes.extend((made..=node).map(Node::unlinked));
        }
        node
    }
}

impl Node {
    fn unlinked(index: u32) -> Node {
        Node { prev: index, next: index, deadline: Tick(0) }
    }
}

#[cfg(test)]
mod tests {
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
        for start in [0, 77, u32::MAX, u32::MAX - 5, 1 << 30, (1 << 31) - 1, 3 << 30, (3 << 30) - 1]
        {
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
            self.now
                .wrapping_add_signed(i64::from(tick.0.wrapping_sub(self.tick(self.now).0) as i32))
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
}
