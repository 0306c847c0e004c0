//! From a caller's wishes to running cores: one thread per queue, pinned to its processor, with the
//! device, the engine and the application of that core inside.

mod clock;
mod control;
mod core_loop;
mod error;
mod ready;
mod reserve;
mod settings;
mod signals;
mod stats;

pub use control::Stop;
pub use error::Error;
pub use ready::Ready;
pub use settings::{Backend, Cidr, Mode, Numbers, ParseSettingError, Poll};
