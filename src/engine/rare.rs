//! What few connections have, and most of those only for a while: a row in a table of its own, so
//! that quiet connections don't carry it.

use super::disorder::Disorder;
use super::io::Io;
use super::slab::Handle;
use super::slots::{Has, Slot};
use crate::app::Role;
use crate::tcp::Recovery;
use crate::tcp::validation::Validation;

/// One connection's row. It goes when nothing is left in it.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// While segments of ours are missing, or may have been.
    recovery: Option<Recovery>,
    /// How much of the congestion window is used, while it is a large one.
    validation: Option<Validation>,
    /// What came beyond a hole, or twice.
    disorder: Option<Disorder>,
    /// Of a connection that we open, until it is open.
    token: Option<u64>,
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.recovery.is_none()
            && self.validation.is_none()
            && self.disorder.is_none()
            && self.token.is_none()
    }
}

impl<C> Slot<C> {
    fn row<'a, D>(&self, io: &'a Io<D>) -> Option<&'a Rare> {
        io.rare.get(self.rare?.index())
    }

    fn row_mut<'a, D>(&self, io: &'a mut Io<D>) -> Option<&'a mut Rare> {
        io.rare.get_mut(self.rare?.index())
    }

    /// The row, made if there is none. There is one for each slot: there is always room.
    fn make_row<'a, D>(&mut self, io: &'a mut Io<D>) -> Option<&'a mut Rare> {
        if self.rare.is_none() {
            self.rare = io.rare.insert(Rare::default()).and_then(Handle::new);
        }
        self.row_mut(io)
    }

    fn drop_row_if_empty<D>(&mut self, io: &mut Io<D>) {
        if self.row(io).is_some_and(Rare::is_empty) {
            self.drop_row(io);
        }
    }

    /// The connection is over: its rows in the tables go. Its frames must have gone before.
    pub(super) fn leave<D>(&mut self, io: &mut Io<D>) {
        self.drop_row(io);
        io.far.forget(&self.ends);
    }

    fn drop_row<D>(&mut self, io: &mut Io<D>) {
        if let Some(handle) = self.rare.take() {
            io.rare.remove(handle.index());
        }
    }

    /// The bookkeeping of missing segments, if there is any.
    pub(super) fn recovery<'a, D>(&self, io: &'a Io<D>) -> Option<&'a Recovery> {
        self.row(io)?.recovery.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn recovery_mut<'a, D>(&self, io: &'a mut Io<D>) -> Option<&'a mut Recovery> {
        self.row_mut(io)?.recovery.as_mut()
    }

    /// The same; there is one afterwards.
    pub(super) fn need_recovery<'a, D>(&mut self, io: &'a mut Io<D>) -> Option<&'a mut Recovery> {
        self.make_row(io)?;
        self.has |= Has::RECOVERY;
        Some(self.row_mut(io)?.recovery.get_or_insert_default())
    }

    /// Writes back what was copied.
    pub(super) fn keep<D>(&self, recovery: Recovery, io: &mut Io<D>) {
        if let Some(place) = self.recovery_mut(io) {
            *place = recovery;
        }
    }

    pub(super) fn drop_recovery<D>(&mut self, io: &mut Io<D>) {
        self.has -= Has::RECOVERY;
        if let Some(row) = self.row_mut(io) {
            row.recovery = None;
            self.drop_row_if_empty(io);
        }
    }

    pub(super) fn validation_mut<'a, D>(&self, io: &'a mut Io<D>) -> Option<&'a mut Validation> {
        self.row_mut(io)?.validation.as_mut()
    }

    /// The validation of the window; begun now, if it hasn't been.
    pub(super) fn need_validation<'a, D>(
        &mut self,
        io: &'a mut Io<D>,
    ) -> Option<&'a mut Validation> {
        let now = io.now;
        Some(self.make_row(io)?.validation.get_or_insert_with(|| Validation::new(now)))
    }

    pub(super) fn drop_validation<D>(&mut self, io: &mut Io<D>) {
        if let Some(row) = self.row_mut(io) {
            row.validation = None;
            self.drop_row_if_empty(io);
        }
    }

    /// What came beyond a hole or twice, to be looked at.
    pub(super) fn disorder<'a, D>(&self, io: &'a Io<D>) -> Option<&'a Disorder> {
        self.row(io)?.disorder.as_ref()
    }

    /// The same, to be worked on: [`put_disorder`](Slot::put_disorder) must follow.
    pub(super) fn take_disorder<D>(&mut self, io: &mut Io<D>) -> Disorder {
        let taken = self.row_mut(io).and_then(|row| row.disorder.take());
        taken.unwrap_or_default()
    }

    pub(super) fn put_disorder<D>(&mut self, mut disorder: Disorder, io: &mut Io<D>) {
        if disorder.is_empty() {
            self.has -= Has::DISORDER;
            return self.drop_row_if_empty(io);
        }
        match self.make_row(io) {
            Some(row) => {
                row.disorder = Some(disorder);
                self.has |= Has::DISORDER;
            }
            None => disorder.clear(&io.pool, &mut io.reassembly),
        }
    }

    /// We open the connection, under this name. False if there is no room for it.
    pub(super) fn set_token<D>(&mut self, token: u64, io: &mut Io<D>) -> bool {
        self.has |= Has::CONNECTED;
        self.make_row(io).is_some_and(|row| {
            row.token = Some(token);
            true
        })
    }

    /// Whether the peer opened the connection.
    pub(super) fn is_accepted(&self) -> bool {
        !self.has.contains(Has::CONNECTED)
    }

    /// Which side opens the connection; not to be asked once it is open.
    pub(super) fn role<D>(&self, io: &Io<D>) -> Role {
        match self.row(io).and_then(|row| row.token) {
            Some(token) => Role::Connected { token },
            None => Role::Accepted,
        }
    }

    /// The connection is open: nobody will ask for the token again.
    pub(super) fn forget_token<D>(&mut self, io: &mut Io<D>) {
        if let Some(row) = self.row_mut(io) {
            row.token = None;
            self.drop_row_if_empty(io);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_no_more_than_four_lines() {
        assert!(size_of::<Rare>() <= 256, "{}", size_of::<Rare>());
    }
}
