//! The public callback API: what an application is to Sidestep, on every backend.
//!
//! An application implements [`App`]; there is one value of it per core, and everything it is given
//! is borrowed for the length of one callback. Commands to [`Tx`] take effect after the callback
//! returns: no callback is ever entered from inside another, and none runs on a connection that is
//! gone.

mod close;
mod conn_id;
mod core_handle;
mod mailbox;
mod rx;
mod tx;
mod wishes;

pub use close::{Close, Notice, Peer, Refuse, Role};
pub use conn_id::{ConnId, CoreId};
pub use core_handle::{ConnectError, Core};
pub use mailbox::{CoreContext, Mailbox, PostError};
pub use rx::{Rx, RxBuf};
pub use tx::Tx;

pub(crate) use core_handle::{ConnectRequest, CoreCommands};
pub(crate) use mailbox::{Inboxes, MailboxReader};
pub(crate) use rx::split_frame;
pub(crate) use tx::{Commands, Outbox, TxContext};
pub(crate) use wishes::Wishes;

/// A server or client application: one value per core, called back by the engine of that core.
///
/// Nothing here needs `Send`, `Sync` or `'static`: only the factory that makes the value crosses
/// threads. Callbacks run to completion on the core's thread, so a slow one delays every connection
/// of the core.
pub trait App {
    /// State of one connection, kept inline in its slot.
    type Conn;
    /// What other threads may post to a connection with [`Mailbox::post`].
    type Message: Send;

    /// The handshake is complete: accept the connection by returning its state.
    ///
    /// # Errors
    /// Returning [`Refuse`] resets the connection; no further callback is made for it.
    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<Self::Conn, Refuse>;

    /// Bytes have arrived, or the peer has finished sending ([`Rx::fin`]): at most once a turn.
    ///
    /// What is neither consumed nor held stays unread and keeps the advertised window smaller; the
    /// callback comes again when more arrives, or when [`Tx`] space returns after a short write.
    fn on_data(&mut self, conn: &mut Self::Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>);

    /// There is space to write again: exactly once after each short write. The bytes that
    /// [`App::on_data`] left unread are offered again right after it.
    fn on_space(&mut self, _conn: &mut Self::Conn, _tx: &mut Tx<'_>) {}

    /// The timer set by [`Tx::set_timer`] has expired.
    fn on_timer(&mut self, _conn: &mut Self::Conn, _tx: &mut Tx<'_>) {}

    /// Something is wrong with the way to the peer, which ends nothing yet. What is not interesting
    /// may be ignored, as this does.
    fn on_notice(&mut self, _conn: &mut Self::Conn, _what: Notice, _tx: &mut Tx<'_>) {}

    /// Another thread posted a message to this connection.
    fn on_message(&mut self, _conn: &mut Self::Conn, _message: Self::Message, _tx: &mut Tx<'_>) {}

    /// The server begins to shut down: once for each open connection. Finish what is idle here;
    /// what is not done when the drain time is over is reset.
    fn on_drain(&mut self, _conn: &mut Self::Conn, _tx: &mut Tx<'_>) {}

    /// The connection is over: exactly once for each that was opened, with its state by value.
    fn on_close(&mut self, _conn: Self::Conn, _why: Close) {}

    /// A connection asked for with [`Core::connect`] did not come to be.
    fn on_connect_failed(&mut self, _token: u64, _why: Close) {}

    /// Once a turn, after the other callbacks.
    fn on_turn(&mut self, _core: &mut Core<'_>) {}
}
