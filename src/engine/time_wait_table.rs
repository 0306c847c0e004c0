//! Connections in TIME-WAIT: compact entries in the order in which they expire.

use super::flow::{Flow, Hop};
use super::slab::Slab;
use crate::tcp::TimeWait;
use crate::time::Tick;

/// One connection in TIME-WAIT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) flow: Flow,
    pub(crate) hop: Hop,
    pub(crate) state: TimeWait,
    expires: Tick,
    earlier: u32,
    later: u32,
}

const NONE: u32 = u32::MAX;

/// All of them wait equally long, so a list is a timer: new ones at its end, expired ones at its
/// front. All operations are O(1).
#[derive(Debug)]
pub(crate) struct TimeWaitTable {
    slab: Slab<Waiting>,
    first: u32,
    last: u32,
}

impl TimeWaitTable {
    pub(crate) fn new(limit: u32) -> TimeWaitTable {
        TimeWaitTable { slab: Slab::new(limit), first: NONE, last: NONE }
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

    /// The one that expires first, and when.
    pub(crate) fn first(&self) -> Option<(u32, Tick)> {
        self.slab.get(self.first).map(|waiting| (self.first, waiting.expires))
    }

    /// Adds a connection that expires after all others; `None` if the table is full.
    pub(crate) fn insert(
        &mut self,
        flow: Flow,
        hop: Hop,
        state: TimeWait,
        expires: Tick,
    ) -> Option<u32> {
        let waiting = Waiting { flow, hop, state, expires, earlier: NONE, later: NONE };
        let index = self.slab.insert(waiting)?;
        self.link_last(index);
        Some(index)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Waiting> {
        self.unlink(index);
        self.slab.remove(index)
    }

    /// The wait of this one starts over.
    pub(crate) fn restart(&mut self, index: u32, expires: Tick) {
        self.unlink(index);
        if let Some(waiting) = self.slab.get_mut(index) {
            waiting.expires = expires;
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
    use crate::tcp::{LocalOffer, Settings, Tcb, TcpConfig};
    use crate::time::Instant;
    use crate::wire::tcp::Flags;
    use crate::wire::{Addr, Seq};

    fn add(table: &mut TimeWaitTable, port: u16) -> Option<u32> {
        let settings = Settings::new(TcpConfig::default());
        let offer = LocalOffer::new(&settings.config, 1_500, true);
        let tcb = Tcb::connect(Seq(0), 0, &offer, &settings, Instant::ZERO);
        let remote = Addr::UNSPECIFIED_V4;
        let flow = Flow { remote, remote_port: port, local_port: 80, local: 0 };
        table.insert(
            flow,
            Hop::to([0; 6]),
            TimeWait::new(&tcb, 0, Flags::empty()),
            Tick(u32::from(port)),
        )
    }

    fn order(table: &mut TimeWaitTable) -> Vec<u16> {
        let mut ports = Vec::new();
        while let Some((index, _)) = table.first() {
            ports.extend(table.remove(index).map(|waiting| waiting.flow.remote_port));
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
        assert_eq!(table.len(), 0);
        assert!(add(&mut table, 7).is_some() && !table.is_full());
    }

    #[test]
    fn an_entry_takes_at_most_64_bytes() {
        let bytes = Slab::<Waiting>::ENTRY_BYTES;
        assert!(bytes <= 64, "{bytes}");
    }
}
