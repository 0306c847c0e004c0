//! Keeps the kernel's hands off the ports that we serve.
//!
//! AF_XDP takes our segments before the kernel sees them, so another program could listen on the
//! same port and never get a connection. A kernel socket that is bound and not listening prevents
//! that, and finds out whether somebody listens already. An address that the kernel does not have
//! needs no reservation: nobody else can bind to it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::error::Error;

/// The reserved ports; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    _sockets: Vec<Socket>,
}

impl Reservation {
    /// Reserves every one of `endpoints`; `scope` is the interface's index, for link-local
    /// addresses.
    pub(super) fn make(endpoints: &[SocketAddr], scope: u32) -> Result<Reservation, Error> {
        let reserve =
            |&at: &SocketAddr| bind(scoped(at, scope)).map_err(|error| refused(at, error));
        let sockets = endpoints.iter().map(reserve).collect::<Result<_, _>>()?;
        Ok(Reservation { _sockets: sockets })
    }
}

fn bind(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    // Binds beside connections of a former server that are still in TIME-WAIT. Taken back at once,
    // or the next to come with the same option could listen beside us.
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.set_reuse_address(false)?;
    Ok(socket)
}

fn scoped(at: SocketAddr, scope: u32) -> SocketAddr {
    match at {
        SocketAddr::V6(mut at) if at.ip().is_unicast_link_local() => {
            at.set_scope_id(scope);
            SocketAddr::V6(at)
        }
        other => other,
    }
}

fn refused(at: SocketAddr, answer: io::Error) -> Error {
    let (ip, port): (IpAddr, u16) = (at.ip(), at.port());
    let advice = match answer.kind() {
        io::ErrorKind::AddrInUse => format!(
            "a kernel socket has this port already; find it with 'ss -tlnp sport = :{port}' and \
             stop it, or choose another port with --listen"
        ),
        io::ErrorKind::PermissionDenied => String::from(
            "ports below 1024 need CAP_NET_BIND_SERVICE: run as root, or choose a higher port with \
             --listen",
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "the kernel lost {ip} from its interfaces, or it is not usable yet (IPv6 addresses are \
             checked for a second after they were added): see 'ip address'"
        ),
        _ => String::from("see 'ip address' and the limits of this process ('ulimit -n')"),
    };
    Error::machine(format!("reserving TCP port {at} in the kernel"), answer, advice)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn nobody_else_can_listen_on_a_reserved_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("bound");
        let error = Reservation::make(&[at], 0).expect_err("it is listened on");
        let text = error.to_string();
        assert!(text.contains(&format!("sport = :{}", at.port())), "{text}");
        drop(listener);

        let reservation = Reservation::make(&[at], 0).expect("free now");
        // The standard library sets SO_REUSEADDR, as most servers do.
        let error = TcpListener::bind(at).expect_err("reserved");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(reservation);
        TcpListener::bind(at).expect("given back");
    }

    #[test]
    fn link_local_addresses_get_their_interface() {
        let at = "[fe80::1]:80".parse().expect("valid");
        assert_eq!(scoped(at, 7), "[fe80::1%7]:80".parse().expect("valid"));
        let at = "[fd00::1]:80".parse().expect("valid");
        assert_eq!(scoped(at, 7), at);
    }
}
