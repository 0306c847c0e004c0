//! What a server says when it can accept.

use core::fmt;
use std::net::SocketAddr;

use super::settings::Backend;

/// A server that can accept: what it got and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The backend in use, never [`Backend::Auto`].
    pub backend: Backend,
    /// How packets move: `zero-copy`, `copy` or `generic` on AF_XDP, `tap`, or `sockets`.
    pub mode: String,
    /// Where it listens, wildcards resolved where the backend did.
    pub listen: Vec<SocketAddr>,
    /// Receive queues served, which is the number of cores.
    pub queues: usize,
}

/// The line that scripts wait for:
/// `ready backend=af-xdp mode=copy listen=10.9.0.1:80 queues=1`.
impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready backend={} mode={} listen=", self.backend, self.mode)?;
        for (i, at) in self.listen.iter().enumerate() {
            write!(f, "{}{at}", if i == 0 { "" } else { "," })?;
        }
        write!(f, " queues={}", self.queues)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_contract() {
        let mut ready = Ready {
            backend: Backend::AfXdp,
            mode: String::from("copy"),
            listen: vec!["10.9.0.1:80".parse().expect("valid")],
            queues: 1,
        };
        let line = "ready backend=af-xdp mode=copy listen=10.9.0.1:80 queues=1";
        assert_eq!(ready.to_string(), line);
        ready.listen.push("[fd09::1]:80".parse().expect("valid"));
        assert!(ready.to_string().contains(" listen=10.9.0.1:80,[fd09::1]:80 "));
    }
}
