//! What a simulation may find wrong.

use crate::app::ConnId;
use crate::device::Census;
use crate::time::Instant;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The callback contract of [`App`](crate::app::App).
    #[error("{id:?}: {what}")]
    Callback {
        /// Whose callback.
        id: ConnId,
        /// What was wrong with it.
        what: &'static str,
    },
    /// A connection's timer fired early, late, or unasked.
    #[error("{id:?}: the timer due at {due:?} {what} at {now:?}")]
    Timer {
        /// Whose timer.
        id: ConnId,
        /// For when it was set.
        due: Option<Instant>,
        /// When that was noticed.
        now: Instant,
        /// What happened.
        what: &'static str,
    },
    /// Bytes came out that were not those that went in.
    #[error("{flow}: {what} at byte {position}")]
    Bytes {
        /// Which flow, as `local<remote`.
        flow: String,
        /// What was wrong.
        what: String,
        /// Position in the stream.
        position: u64,
    },
    /// Frames were lost, made up, or left in hand between turns.
    #[error("host {host}: {what}: {census:?}")]
    Frames {
        /// Number of the host.
        host: usize,
        /// What was wrong.
        what: &'static str,
        /// Where the frames were.
        census: Census,
    },
    /// Time does not go on, or `on_turn` was not called once in a turn.
    #[error("host {host} at {now:?}: {what}")]
    Turn {
        /// Number of the host.
        host: usize,
        /// When.
        now: Instant,
        /// What was wrong.
        what: &'static str,
    },
    /// Congestion marks were made up, or their reports.
    #[error("at {now:?}: {what}")]
    Marks {
        /// When.
        now: Instant,
        /// What was wrong.
        what: String,
    },
    /// Something was left when everything should have been over.
    #[error("at {now:?}: {what}")]
    Unfinished {
        /// When.
        now: Instant,
        /// What was left.
        what: String,
    },
}
