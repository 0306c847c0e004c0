//! The protocol as functions of (connection, segment, now): no I/O, no clock, no allocation.
//!
//! The states of RFC 9293 section 3.3.2 are kept in four forms, each as large as the state needs:
//!
//! * LISTEN and CLOSED keep nothing: `stateless` answers what arrives there.
//! * SYN-RECEIVED of a passive open is a `HalfOpen`, a compact entry.
//! * SYN-SENT, SYN-RECEIVED of a simultaneous open and the synchronized states are a `Tcb`.
//! * TIME-WAIT is a `TimeWait`, compact again.
//!
//! Each has a `segment_arrives` that follows the steps of section 3.10.7 and returns what happened;
//! the engine moves frames, timers and callbacks accordingly. Sending is `output`'s: it looks at
//! a connection and says what the next segment is.

mod accurate;
mod config;
pub mod congestion;
pub mod cookie;
pub mod delivery_rate;
mod ecn;
mod frto;
mod half_open;
pub mod isn;
mod negotiate;
mod outcome;
pub(crate) mod output;
mod own;
pub(crate) mod path_error;
pub(crate) mod path_mtu;
mod path_search;
mod predicted;
pub mod prr;
pub(crate) mod rack;
mod receive;
mod recovery;
pub mod rtt;
mod settings;
pub(crate) mod stateless;
mod syn_sent;
mod synchronized;
mod tcb;
mod time_wait;
mod timeout;
mod undo;
pub mod validation;

pub(crate) use accurate::{Accurate, Progress};
pub use config::{TcpConfig, UserTimeoutLimits};
pub(crate) use ecn::EcnFacts;
pub use ecn::{Ecn, UnknownEcn};
pub(crate) use half_open::{HalfOpen, HalfOpenVerdict};
pub(crate) use negotiate::LocalOffer;
pub(crate) use outcome::{Answer, Drop, Event, Outcome, Payload};
pub(crate) use own::Own;
pub(crate) use path_search::{PATH_LIFETIME, PathNews, PathSearch};
pub(crate) use recovery::Recovery;
pub(crate) use settings::Settings;
pub(crate) use synchronized::{reported_duplicate, segment_arrives};
pub(crate) use tcb::{Facts, State, Tcb};
pub(crate) use time_wait::{TimeWait, TimeWaitVerdict};
pub(crate) use timeout::Expiry;
pub(crate) use undo::{Ack, Cause, Episode, News, Verdict};
