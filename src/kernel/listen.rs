//! Listening sockets, one on each address for each core.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::config::KernelError;
use super::own;
use crate::device::syn_count;
use crate::engine::Listen;
use crate::tcp::TcpConfig;
use crate::tcp::congestion::Algorithm;

/// The listening sockets of one core.
#[derive(Debug)]
pub struct Listeners {
    pub(super) sockets: Vec<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// Listens at every one of `at`, once for each of `cores`: the kernel spreads new connections
    /// over them (`SO_REUSEPORT`). All or nothing. `backlog` is for each core.
    ///
    /// A port of zero becomes a free one, the same for all cores: see [`Listeners::addresses`].
    ///
    /// # Errors
    /// [`KernelError::Machine`] names the address, the call that was refused, and what to do.
    pub fn bind(
        at: &[Listen],
        tcp: &TcpConfig,
        backlog: u32,
        cores: usize,
    ) -> Result<Vec<Listeners>, KernelError> {
        let mut all: Vec<_> = (0..cores).map(|_| Listeners { sockets: Vec::new() }).collect();
        for listen in at {
            let mut at = listen.at;
            for (core, listeners) in all.iter_mut().enumerate() {
                let (socket, bound) = open(at, core > 0, tcp, backlog)?;
                at = bound;
                listeners.sockets.push((socket, bound));
            }
        }
        Ok(all)
    }

    /// Where they listen, ports resolved.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(|(_, at)| *at)
    }
}

/// What Linux takes.
const MOST_SYN_RETRIES: u8 = 127;

type Tried<T> = Result<T, (&'static str, io::Error)>;

fn open(
    at: SocketAddr,
    shared: bool,
    tcp: &TcpConfig,
    backlog: u32,
) -> Result<(TcpListener, SocketAddr), KernelError> {
    try_open(at, shared, tcp, backlog).map_err(|(step, answer)| KernelError::Machine {
        tried: format!("listening on {at}: {step}"),
        advice: advice(at, &answer),
        answer,
    })
}

fn try_open(
    at: SocketAddr,
    shared: bool,
    tcp: &TcpConfig,
    backlog: u32,
) -> Tried<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))
        .map_err(|e| ("socket", e))?;
    if at.is_ipv6() {
        socket.set_only_v6(true).map_err(|e| ("IPV6_V6ONLY", e))?;
    }
    // Binds beside connections of a former server that are still in TIME-WAIT.
    socket.set_reuse_address(true).map_err(|e| ("SO_REUSEADDR", e))?;
    // The first socket binds without sharing, so that a second server on this port is told so;
    // it then lets those of our other cores in.
    if shared {
        socket.set_reuse_port(true).map_err(|e| ("SO_REUSEPORT", e))?;
    }
    socket.bind(&at.into()).map_err(|e| ("bind", e))?;
    socket.set_reuse_port(true).map_err(|e| ("SO_REUSEPORT", e))?;
    configure(&socket, tcp)?;
    if tcp.syn_retries != TcpConfig::default().syn_retries {
        let tries = tcp.syn_retries.clamp(1, MOST_SYN_RETRIES);
        syn_count::set(&socket, tries).map_err(|e| ("TCP_SYNCNT", e))?;
    }
    socket.set_nonblocking(true).map_err(|e| ("O_NONBLOCK", e))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(|e| ("listen", e))?;
    let bound = socket.local_addr().map_err(|e| ("getsockname", e))?;
    let bound = bound.as_socket().unwrap_or(at);
    Ok((TcpListener::from_std(socket.into()), bound))
}

/// After our FIN: a peer that has been silent for `fin_wait_2` is asked whether it lives, and given
/// up if it doesn't answer. A half-closed connection may last.
pub(super) fn ask_while_half_closed(stream: &TcpStream, tcp: &TcpConfig) {
    // The connection is good without it: a dead peer is only noticed later.
    let _ = SockRef::from(stream).set_tcp_keepalive(&keep_alive(tcp, tcp.fin_wait_2));
}

pub(super) fn keep_alive(tcp: &TcpConfig, idle: Duration) -> TcpKeepalive {
    /// Linux takes at most this many seconds, and this many probes.
    const LONGEST: Duration = Duration::from_secs(32_767);
    const MOST_PROBES: u32 = 127;
    let seconds = |d: Duration| d.clamp(Duration::from_secs(1), LONGEST);
    TcpKeepalive::new()
        .with_time(seconds(idle))
        .with_interval(seconds(tcp.keep_alive_interval))
        .with_retries(u32::from(tcp.keep_alive_probes).clamp(1, MOST_PROBES))
}

/// Sets what the kernel can keep to. Accepted connections inherit it from their listener.
pub(super) fn configure(socket: &Socket, tcp: &TcpConfig) -> Tried<()> {
    socket.set_tcp_nodelay(tcp.no_delay).map_err(|e| ("TCP_NODELAY", e))?;
    // RFC 6093 section 4: urgent bytes belong to the stream.
    socket.set_out_of_band_inline(true).map_err(|e| ("SO_OOBINLINE", e))?;
    own::set_user_timeout(&SockRef::from(socket), tcp.user_timeout)
        .map_err(|e| ("TCP_USER_TIMEOUT", e))?;
    if tcp.congestion != Algorithm::default() {
        let name = kernel_name(tcp.congestion);
        socket.set_tcp_congestion(name.as_bytes()).map_err(|e| ("TCP_CONGESTION", e))?;
    }
    if let Some(idle) = tcp.keep_alive {
        socket.set_tcp_keepalive(&keep_alive(tcp, idle)).map_err(|e| ("SO_KEEPALIVE", e))?;
    }
    Ok(())
}

fn kernel_name(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::NewReno => String::from("reno"),
        other => other.to_string(),
    }
}

/// Closes a connection with RST instead of FIN.
pub(super) fn reset(stream: mio::net::TcpStream) {
    // It can only fail on a socket that the kernel has given up already: then there is no need.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

fn advice(at: SocketAddr, answer: &io::Error) -> String {
    let port = at.port();
    match answer.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another socket has port {port}; find it with 'ss -tlnp sport = :{port}' and stop it, \
             or choose another port"
        ),
        io::ErrorKind::PermissionDenied => String::from(
            "ports below 1024 need CAP_NET_BIND_SERVICE: run as root, or choose a higher port",
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "no interface of this machine has {}: see 'ip address', or listen on all addresses",
            at.ip()
        ),
        io::ErrorKind::NotFound => String::from(
            "the kernel has no such congestion control: see 'sysctl \
             net.ipv4.tcp_available_congestion_control', or load its module",
        ),
        _ => String::from("see 'ip address' and the limits of this process ('ulimit -n')"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(at: &str, cores: usize) -> Result<Vec<Listeners>, KernelError> {
        let at = Listen { at: at.parse().expect("an address") };
        Listeners::bind(&[at], &TcpConfig::default(), 16, cores)
    }

    #[test]
    fn cores_share_a_port_and_nobody_else_does() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let ours = bind(at, 3).expect("a free port");
            let bound = ours[0].addresses().next().expect("one address");
            assert!(ours.iter().all(|core| core.addresses().eq([bound])));
            let text = bind(&bound.to_string(), 2).expect_err("taken").to_string();
            assert!(text.starts_with(&format!("machine: listening on {bound}: bind failed (")));
            assert!(text.contains(&format!("sport = :{}'", bound.port())), "{text}");
        }
    }

    #[test]
    fn an_address_of_nobody_is_named() {
        let text = bind("192.0.2.1:0", 1).expect_err("TEST-NET-1").to_string();
        assert!(text.contains("192.0.2.1:0: bind") && text.contains("no interface"), "{text}");
    }
}
