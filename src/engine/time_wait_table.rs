//! Connections in TIME-WAIT: compact entries in the order in which they expire.

use super::ends::{Ends, FarAddresses};
use super::flow::{Flow, Hop};
use super::slab::Slab;
use crate::tcp::TimeWait;
use crate::time::Tick;

/// One connection in TIME-WAIT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    ends: Ends,
    pub(crate) hop: Hop,
    pub(crate) state: TimeWait,
    expires: Expiry,
    earlier: u32,
    later: u32,
}

const NONE: u32 = u32::MAX;

/// When a wait is over, in units of 64 ticks (8.4 ms), rounded up. It wraps, so that what is
/// compared with it must be less than 274 s away: a wait is no longer than four minutes.
#[derive(Clone, Copy, Debug)]
struct Expiry(u16);

impl Expiry {
    const UNIT: u32 = 1 << 6;

    fn at(tick: Tick) -> Expiry {
        Expiry(tick.0.div_ceil(Expiry::UNIT) as u16)
    }

    /// The tick it stands for, `now` being near.
    fn tick(self, now: Tick) -> Tick {
        let units = now.0 / Expiry::UNIT;
        let ahead = self.0.wrapping_sub(units as u16) as i16;
        Tick(units.wrapping_add_signed(ahead.into()).wrapping_mul(Expiry::UNIT))
    }
}

/// All of them wait equally long, so a list is a timer: new ones at its end, expired ones at its
/// front. All operations are O(1).
#[derive(Debug)]
pub(crate) struct TimeWaitTable {
    slab: Slab<Waiting>,
    /// Addresses too long for an entry.
    far: FarAddresses,
    first: u32,
    last: u32,
}

impl TimeWaitTable {
    pub(crate) fn new(limit: u32) -> TimeWaitTable {
        TimeWaitTable {
            slab: Slab::new(limit),
            far: FarAddresses::new(limit),
            first: NONE,
            last: NONE,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.slab.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slab.is_full()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Waiting> {
        self.slab.get(index)
    }

    /// Addresses and ports of an entry.
    pub(crate) fn flow(&self, index: u32) -> Option<Flow> {
        self.slab.get(index).map(|waiting| self.far.flow(&waiting.ends))
    }

    /// Whether this entry is of that flow.
    pub(crate) fn is_of(&self, index: u32, flow: &Flow) -> bool {
        self.slab.get(index).is_some_and(|waiting| self.far.is(&waiting.ends, flow))
    }

    /// The one that expires first.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// When it does.
    pub(crate) fn deadline(&self, now: Tick) -> Option<Tick> {
        self.slab.get(self.first).map(|waiting| waiting.expires.tick(now))
    }

    /// Adds a connection that expires after all others; `None` if the table is full.
    pub(crate) fn insert(
        &mut self,
        flow: &Flow,
        hop: Hop,
        state: TimeWait,
        expires: Tick,
    ) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let (ends, expires) = (self.far.keep(flow)?, Expiry::at(expires));
        let waiting = Waiting { ends, hop, state, expires, earlier: NONE, later: NONE };
        let index = self.slab.insert(waiting)?;
        self.link_last(index);
        Some(index)
    }

    pub(crate) fn remove(&mut self, index: u32) {
        self.unlink(index);
        if let Some(waiting) = self.slab.remove(index) {
            self.far.forget(&waiting.ends);
        }
    }

    /// The wait of this one starts over.
    pub(crate) fn restart(&mut self, index: u32, expires: Tick) {
        self.unlink(index);
        if let Some(waiting) = self.slab.get_mut(index) {
            waiting.expires = Expiry::at(expires);
        }
        self.link_last(index);
    }

    fn link_last(&mut self, index: u32) {
        let earlier = core::mem::replace(&mut self.last, index);
        match self.slab.get_mut(earlier) {
            Some(before) => before.later = index,
            None => self.first = index,
        }
        if let Some(waiting) = self.slab.get_mut(index) {
            (waiting.earlier, waiting.later) = (earlier, NONE);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(&Waiting { earlier, later, .. }) = self.slab.get(index) else { return };
        match self.slab.get_mut(earlier) {
            Some(before) => before.later = later,
            None => self.first = later,
        }
        match self.slab.get_mut(later) {
            Some(after) => after.earlier = earlier,
            None => self.last = earlier,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::demux::Demux;
    use crate::tcp::{LocalOffer, Settings, Tcb, TcpConfig};
    use crate::time::Instant;
    use crate::wire::tcp::Flags;
    use crate::wire::{Addr, Seq};

    fn add(table: &mut TimeWaitTable, port: u16) -> Option<u32> {
        let settings = Settings::new(TcpConfig::default());
        let offer = LocalOffer::new(&settings.config, 1_500, true);
        let tcb = Tcb::connect(Seq(0), 0, &offer, &settings, Instant::ZERO);
        // Every other one is of IPv6.
        let remote = if port.is_multiple_of(2) { Addr::UNSPECIFIED_V4 } else { Addr([0xfd; 16]) };
        let flow = Flow { remote, remote_port: port, local_port: 80, local: 0 };
        table.insert(
            &flow,
            Hop::to([0; 6]),
            TimeWait::new(&tcb, 0, Flags::empty()),
            Tick(u32::from(port)),
        )
    }

    fn order(table: &mut TimeWaitTable) -> Vec<u16> {
        let mut ports = Vec::new();
        while let Some(index) = table.first() {
            ports.extend(table.flow(index).map(|flow| flow.remote_port));
            table.remove(index);
        }
        ports
    }

    #[test]
    fn they_expire_in_order_and_a_restart_goes_last() {
        let mut table = TimeWaitTable::new(4);
        let added: Vec<_> = (1..=5).map(|port| add(&mut table, port)).collect();
        assert_eq!(added[4], None);
        table.restart(added[1].expect("room"), Tick(9));
        table.remove(added[2].expect("room"));
        assert_eq!(order(&mut table), [1, 4, 2]);
        assert_eq!((table.len(), table.far.len()), (0, 0));
        assert!(add(&mut table, 7).is_some() && !table.is_full());
    }

    #[test]
    fn an_entry_is_found_by_its_flow_whatever_the_length_of_the_address() {
        let mut table = TimeWaitTable::new(2);
        for port in [1, 2] {
            let index = add(&mut table, port).expect("room");
            let flow = table.flow(index).expect("an entry");
            assert_eq!((flow.remote_port, flow.remote.is_v4()), (port, port == 2));
            assert!(table.is_of(index, &flow));
            assert!(!table.is_of(index, &Flow { remote_port: 3, ..flow }));
        }
    }

    #[test]
    fn a_wait_is_never_too_short_and_hardly_longer() {
        let longest = Tick(0).until(Tick(0).after(TcpConfig::LONGEST_TIME_WAIT));
        for now in [0, 63, 64, 1 << 22, u32::MAX - 100, u32::MAX] {
            for ahead in [0, 1, 64, 100, 457_764, longest] {
                let (now, due) = (Tick(now), Tick(now.wrapping_add(ahead)));
                for seen in [now, due] {
                    let tick = Expiry::at(due).tick(seen);
                    assert!(!due.is_after(tick), "{due:?} becomes {tick:?}");
                    assert!(due.until(tick) < Expiry::UNIT, "{due:?} becomes {tick:?}");
                }
            }
        }
    }

    #[test]
    fn an_entry_takes_64_bytes_all_in() {
        let entry = Slab::<Waiting>::ENTRY_BYTES;
        let all = entry + Demux::BYTES_EACH;
        assert!(all <= 64, "{all}, {entry} of them for the entry");
    }
}
