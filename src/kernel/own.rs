//! What an application sets for one connection, as the kernel takes it.

use core::time::Duration;
use std::io;

use mio::net::TcpStream;
use socket2::SockRef;

use super::listen::keep_alive;
use crate::app::Wishes;
use crate::tcp::TcpConfig;

/// A connection is good without what was wished for: a refusal by the kernel, of values that it
/// does not know, is no reason to end it.
pub(super) fn fulfil(stream: &TcpStream, wishes: &Wishes, tcp: &TcpConfig) {
    let socket = SockRef::from(stream);
    if let Some(on) = wishes.no_delay {
        let _ = socket.set_tcp_nodelay(on);
    }
    if let Some(timeout) = wishes.user_timeout {
        let _ = set_user_timeout(&socket, timeout);
    }
    if let Some(dscp) = wishes.dscp {
        // One of the two fits the socket's family; the ECN bits are the kernel's.
        let class = u32::from(dscp) << 2;
        let _ = socket.set_tos_v4(class);
        let _ = socket.set_tclass_v6(class);
    }
    match wishes.keep_alive {
        Some(Some(idle)) => {
            let _ = socket.set_tcp_keepalive(&keep_alive(tcp, idle));
        }
        Some(None) => {
            let _ = socket.set_keepalive(false);
        }
        None => {}
    }
}

/// Linux counts milliseconds in 31 bits, 24 days: as good as for ever.
pub(super) fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout.min(Duration::from_millis(i32::MAX as u64))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> TcpStream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("an address");
        TcpStream::from_std(std::net::TcpStream::connect(at).expect("somebody listens"))
    }

    #[test]
    fn the_kernel_keeps_to_what_is_set_for_a_connection() {
        let (stream, tcp) = (connected(), TcpConfig::default());
        let (idle, patience) = (Duration::from_secs(77), Duration::from_secs(33));
        let wishes = Wishes {
            no_delay: Some(true),
            keep_alive: Some(Some(idle)),
            user_timeout: Some(patience),
            dscp: Some(46),
            ..Wishes::NONE
        };
        fulfil(&stream, &wishes, &tcp);
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("TCP_NODELAY"));
        assert!(socket.keepalive().expect("SO_KEEPALIVE"));
        assert_eq!(socket.tos_v4().expect("IP_TOS"), 46 << 2);
        assert_eq!(socket.tcp_keepalive_time().expect("TCP_KEEPIDLE"), idle);
        assert_eq!(socket.tcp_user_timeout().expect("TCP_USER_TIMEOUT"), Some(patience));

        let off =
            Wishes { keep_alive: Some(None), user_timeout: Some(Duration::MAX), ..Wishes::NONE };
        fulfil(&stream, &off, &tcp);
        assert!(!socket.keepalive().expect("SO_KEEPALIVE"));
        let longest = socket.tcp_user_timeout().expect("TCP_USER_TIMEOUT");
        assert!(longest.is_some_and(|timeout| timeout > Duration::from_secs(24 * 86_400)));
    }
}
