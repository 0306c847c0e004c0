//! The applications that the `sidestep` command serves, on any backend.

mod chargen;
mod discard;
mod echo;
mod files;
mod hello;
mod http;
#[cfg(test)]
mod tests;

pub use chargen::Chargen;
pub use discard::Discard;
pub use echo::Echo;
pub use files::{Files, RootError};
pub use hello::Hello;
