//! TCP segments: what is read from one ([`Segment`]) and what is written before one ([`Headers`]).

mod accecn;
mod flags;
mod headers;
mod options;
mod sack;
mod segment;
mod user_timeout;

pub use accecn::{AccEcn, AccEcnOrder};
pub use flags::Flags;
pub(crate) use headers::COMMON_HEADERS;
pub use headers::{Headers, MAX_HEADERS};
pub(super) use options::{ALIGNED_TIMESTAMPS, TIMESTAMPS_LEN};
pub use options::{MAX_OPTIONS, Options, Timestamps};
pub use sack::{MAX_SACK_BLOCKS, SackBlocks};
pub(super) use segment::Found;
pub use segment::Segment;
pub use user_timeout::UserTimeout;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
