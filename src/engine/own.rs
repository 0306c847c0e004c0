//! The table of what single connections have of their own.

use super::io::Io;
use super::slots::Slot;
use crate::app::Wishes;
use crate::tcp::{Facts, Own, Settings};

/// A row for each slot, found by the slot's index, and written when a connection first has
/// something of its own. The memory is reserved at the start, and touched as rows are needed.
#[derive(Debug)]
pub(crate) struct OwnTable {
    rows: Vec<Own>,
}

impl OwnTable {
    pub(crate) fn new(connections: u32) -> OwnTable {
        OwnTable { rows: Vec::with_capacity(connections as usize) }
    }

    fn get(&self, index: u32) -> Option<&Own> {
        self.rows.get(index as usize)
    }

    /// The row, whatever is in it.
    fn row(&mut self, index: u32) -> &mut Own {
        let index = index as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, Own::default());
        }
        &mut self.rows[index]
    }
}

impl<C> Slot<C> {
    /// What the connection has of its own, if anything.
    #[inline]
    pub(super) fn own<'a, D>(&self, io: &'a Io<D>) -> Option<&'a Own> {
        if self.tcb.has(Facts::OWN) { io.own.get(self.id.slot()) } else { None }
    }

    /// The same, to be changed; it has a row afterwards.
    pub(super) fn own_mut<'a, D>(&mut self, io: &'a mut Io<D>) -> &'a mut Own {
        let row = io.own.row(self.id.slot());
        if !self.tcb.has(Facts::OWN) {
            self.tcb.facts |= Facts::OWN;
            *row = Own::default();
        }
        row
    }

    /// The settings of this connection: those of all, or, put into `space`, its own.
    #[inline]
    pub(super) fn settings<'a, D>(
        &self,
        io: &'a Io<D>,
        space: &'a mut Option<Settings>,
    ) -> &'a Settings {
        match self.own(io).and_then(|own| own.settings(&io.settings)) {
            Some(own) => space.insert(own),
            None => &io.settings,
        }
    }

    /// What a callback set for its connection.
    pub(super) fn fulfil<D>(&mut self, wishes: &Wishes, io: &mut Io<D>) {
        let own = self.own_mut(io);
        if let Some(on) = wishes.no_delay {
            own.set_no_delay(on);
        }
        if let Some(timeout) = wishes.user_timeout {
            own.set_user_timeout(timeout);
        }
        if let Some(idle) = wishes.keep_alive {
            own.set_keep_alive(idle);
            let mut space = None;
            let settings = self.settings(io, &mut space);
            self.tcb.watch(settings, io.now);
        }
    }
}
