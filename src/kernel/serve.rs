//! What happens to one connection in one turn.

use std::net::Shutdown;

use super::core::KernelCore;
use super::listen;
use super::own;
use super::slots::Flags;
use super::socket::{self, READ_FRAMES, Received, Sent};
use crate::app::{App, Close, Commands, Rx, Tx, TxContext};
use crate::device::Place;
use crate::engine::Counter;
use crate::time::Instant;

impl<A: App> KernelCore<A> {
    /// Writes, reads, and calls the application back: `on_drain`, `on_space`, `on_data`, each at
    /// most once.
    pub(super) fn serve(&mut self, at: u32, now: Instant) {
        self.slots.place(at).flags.remove(Flags::QUEUED);
        let Some(slot) = self.slots.get(at) else { return };
        if slot.has(Flags::CONNECTING) {
            return self.finish_connect(at, now);
        }
        if !self.flush(at) {
            return;
        }
        let drain = self.take(at, Flags::DRAIN);
        if drain && !self.call(at, now, |app, conn, _, tx| app.on_drain(conn, tx)) {
            return;
        }
        let space = self.space_is_back(at);
        if space {
            let slot = self.slots.place(at);
            slot.flags.remove(Flags::PROGRESS | Flags::SPACE_OWED);
            if !self.call(at, now, |app, conn, _, tx| app.on_space(conn, tx)) {
                return;
            }
        }
        let again = self.take(at, Flags::OFFER) || drain || space;
        let mut offer = again && !self.slots.place(at).inbox.is_empty();
        match self.read(at) {
            News::Some => offer = true,
            News::None => {}
            News::Ended => return,
        }
        if !offer || self.call(at, now, |app, conn, rx, tx| app.on_data(conn, rx, tx)) {
            self.settle(at);
        }
    }

    /// Whether the flag was set; it isn't now.
    fn take(&mut self, at: u32, flag: Flags) -> bool {
        let slot = self.slots.place(at);
        let was = slot.flags.contains(flag);
        slot.flags.remove(flag);
        was
    }

    /// Calls the application back and carries out what it asked for; false if the connection is
    /// gone.
    pub(super) fn call(
        &mut self,
        at: u32,
        now: Instant,
        f: impl FnOnce(&mut A, &mut A::Conn, &mut Rx<'_>, &mut Tx<'_>),
    ) -> bool {
        let (id, segment) = (self.slots.id(at), self.slots.segment);
        let slot = self.slots.place(at);
        let Some(state) = &mut slot.state else { return false };
        let fin = slot.flags.contains(Flags::PEER_FIN);
        let limit = self.config.tcp.send_buffer;
        let finish = slot.flags.contains(Flags::FINISHED);
        let mut commands = Commands { finish, ..Commands::NONE };
        let mut rx = Rx {
            pool: &self.pool,
            inbox: &mut slot.inbox,
            held: &mut slot.held,
            owner: id,
            fin,
            urgent: None,
        };
        let mut tx = Tx {
            context: TxContext { pool: &self.pool, limit, segment, now },
            outbox: &mut slot.outbox,
            commands: &mut commands,
            id,
        };
        f(&mut self.app, state, &mut rx, &mut tx);
        self.carry_out(at, now, commands)
    }

    /// False if the connection is gone.
    pub(super) fn carry_out(&mut self, at: u32, now: Instant, commands: Commands) -> bool {
        if commands.abort {
            self.reset(at, Close::Aborted);
            return false;
        }
        let slot = self.slots.place(at);
        slot.flags.set(Flags::FINISHED, commands.finish);
        slot.flags.set(Flags::SPACE_OWED, commands.wants_space || slot.has(Flags::SPACE_OWED));
        if commands.wishes.any {
            if let Some(idle) = commands.wishes.keep_alive {
                slot.flags.set(Flags::NO_PROBES, idle.is_none());
            }
            if let Some(stream) = &slot.stream {
                own::fulfil(stream, &commands.wishes, &self.config.tcp);
            }
        }
        match commands.timer {
            None => {}
            Some(None) => self.wheel.cancel(at),
            Some(Some(after)) => self.wheel.arm(at, now.tick().after(after)),
        }
        true
    }

    /// Ends the connection with RST.
    pub(super) fn reset(&mut self, at: u32, why: Close) {
        if let Some(stream) = self.slots.place(at).stream.take() {
            listen::reset(stream);
            self.counters.inc(Counter::ResetsSent);
        }
        self.close(at, why);
    }

    /// Ends the connection as the socket is.
    pub(super) fn close(&mut self, at: u32, why: Close) {
        let slot = self.slots.place(at);
        slot.inbox.clear(&self.pool, Place::Received);
        slot.outbox.queue.clear(&self.pool, Place::Sending);
        let origin = slot.origin.take();
        self.wheel.cancel(at);
        if let Some((listener, remote)) = origin {
            self.leave(listener, remote);
        }
        if let Some(state) = self.slots.remove(at) {
            self.connections -= 1;
            self.counters.close(why);
            if why == Close::Reset {
                self.counters.inc(Counter::ResetsReceived);
            }
            self.app.on_close(state, why);
        }
    }

    /// Hands the kernel what it takes; false if the connection is gone.
    fn flush(&mut self, at: u32) -> bool {
        let slot = self.slots.place(at);
        let Some(stream) = &slot.stream else { return false };
        let idle = slot.outbox.queue.is_empty() || !slot.flags.contains(Flags::WRITABLE);
        // A broken connection takes nothing, but what it brought before is still to be read.
        if idle || slot.flags.contains(Flags::ERROR) {
            return true;
        }
        match socket::transmit(stream, &self.pool, &mut slot.outbox.queue) {
            Sent::Bytes { count, all } => {
                slot.flags.set(Flags::WRITABLE, all);
                if count > 0 {
                    slot.flags |= Flags::PROGRESS;
                    self.counters.add(Counter::BytesSent, count as u64);
                }
                true
            }
            Sent::Broken(why) => {
                self.close(at, why);
                false
            }
        }
    }

    fn read(&mut self, at: u32) -> News {
        let wanted = self.wants_bytes(at);
        let free = self.frames_to_read() as usize;
        let slot = self.slots.place(at);
        let Some(stream) = &slot.stream else { return News::Ended };
        if wanted == 0 {
            return News::None;
        }
        let frames = usize::from(slot.read_frames).min(free);
        match socket::receive(stream, &self.pool, &mut slot.inbox, wanted, frames) {
            Received::Bytes { count, filled } => {
                if !filled && !slot.has(Flags::ENDING) {
                    slot.flags.remove(Flags::READABLE);
                }
                slot.read_frames = if filled { READ_FRAMES as u8 } else { 1 };
                self.counters.add(Counter::BytesReceived, count as u64);
                News::Some
            }
            Received::Fin => {
                slot.flags.remove(Flags::READABLE | Flags::ENDING);
                slot.flags |= Flags::PEER_FIN;
                News::Some
            }
            Received::Nothing => {
                slot.flags.remove(Flags::READABLE | Flags::ENDING);
                News::None
            }
            Received::NoFrames => {
                self.wait_to_read(at);
                News::None
            }
            Received::Broken(why) => {
                self.close(at, why);
                News::Ended
            }
        }
    }

    /// After the callbacks of this turn: writes, finishes, ends, and sees whether there is more to
    /// do.
    fn settle(&mut self, at: u32) {
        if !self.flush(at) {
            return;
        }
        let more_to_read = self.wants_bytes(at) > 0;
        let slot = self.slots.place(at);
        let Some(stream) = &slot.stream else { return };
        if slot.flags.contains(Flags::ERROR) && !more_to_read {
            slot.flags.remove(Flags::ERROR);
            if let Ok(Some(error)) | Err(error) = stream.take_error() {
                return self.close(at, socket::why(&error));
            }
        }
        let written = slot.outbox.queue.is_empty();
        let done = slot.has(Flags::FINISHED) && written;
        if done && slot.flags.contains(Flags::PEER_FIN) {
            return self.close(at, Close::Finished);
        }
        if done && !slot.flags.contains(Flags::SHUT) {
            if stream.shutdown(Shutdown::Write).is_err() {
                return self.close(at, Close::Reset);
            }
            slot.flags |= Flags::SHUT;
            if !slot.flags.contains(Flags::NO_PROBES) {
                listen::ask_while_half_closed(stream, &self.config.tcp);
            }
        }
        let slot = self.slots.place(at);
        let more_to_read = more_to_read && !slot.has(Flags::READ_STARVED);
        let more_to_write = !written && slot.has(Flags::WRITABLE);
        if more_to_read || more_to_write || self.space_is_back(at) {
            self.enqueue(at);
        } else if self.space_wanted(at) && self.pool.free_for_data() == 0 {
            self.wait_to_write(at);
        }
    }

    /// Most bytes that may be read now.
    fn wants_bytes(&mut self, at: u32) -> usize {
        let slot = self.slots.place(at);
        if !slot.has(Flags::READABLE) || slot.has(Flags::PEER_FIN) {
            return 0;
        }
        self.config.tcp.receive_buffer.saturating_sub(slot.inbox.bytes() + slot.held) as usize
    }

    /// Whether an `on_space` is owed and the budget has space. Half of it: a writer that is woken
    /// for every few bytes is a slow one. Not again before some bytes went: a buffer that did not
    /// fit would be tried all the time.
    fn space_wanted(&mut self, at: u32) -> bool {
        let half = self.config.tcp.send_buffer / 2;
        let slot = self.slots.place(at);
        let queue = &slot.outbox.queue;
        let owed = slot.has(Flags::SPACE_OWED) && !slot.has(Flags::FINISHED);
        owed && queue.bytes() <= half && (slot.has(Flags::PROGRESS) || queue.is_empty())
    }

    fn space_is_back(&mut self, at: u32) -> bool {
        self.space_wanted(at) && self.pool.free_for_data() > 0
    }
}

/// What reading brought.
enum News {
    Some,
    None,
    Ended,
}
