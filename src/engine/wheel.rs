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

use crate::device::prefetch;
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

    /// Starts loading what [`Wheel::deadline`] will look at.
    #[inline]
    pub(crate) fn prefetch(&self, id: u32) {
        if let Some(node) = self.nodes.get(LISTS as usize + id as usize) {
            prefetch::read(node);
        }
    }

    /// When `id` expires, if it is armed.
    #[inline]
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
mod tests;
