//! getsockopt and setsockopt. The engine has one configuration for all connections: an option that
//! changes it does so for all of them, which scripts with one connection cannot tell.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::errno::{Errno, Outcome};
use crate::shared::Shared;
use crate::sockets::Kind;
use crate::stack::Stack;

impl Shared {
    /// The option's bytes.
    pub(crate) fn getsockopt(&self, fd: RawFd, level: i32, name: i32) -> Outcome<Vec<u8>> {
        self.at_once(|stack| {
            stack.progress(fd);
            stack.sockets.get(fd)?;
            let value = stack.option(fd, level, name)?;
            Ok(value.to_ne_bytes().to_vec())
        })
    }

    pub(crate) fn setsockopt(&self, fd: RawFd, level: i32, name: i32, value: &[u8]) -> Outcome<()> {
        self.at_once(|stack| {
            stack.sockets.get(fd)?;
            let first = value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
            let first = first.ok_or(Errno(libc::EINVAL))?;
            match (level, name) {
                (libc::SOL_SOCKET, libc::SO_LINGER) => {
                    let time = value.get(4..8).and_then(|bytes| bytes.first_chunk());
                    let time = time.map(|bytes| i32::from_ne_bytes(*bytes));
                    let time = time.ok_or(Errno(libc::EINVAL))?;
                    stack.sockets.get_mut(fd)?.resets = first != 0 && time == 0;
                    Ok(())
                }
                _ => stack.set_option(fd, level, name, first),
            }
        })
    }
}

impl Stack {
    fn option(&mut self, fd: RawFd, level: i32, name: i32) -> Outcome<i32> {
        let tcp = self.settings.tcp;
        let error = if name == libc::SO_ERROR { self.tell_end(fd) } else { None };
        let socket = self.sockets.get_mut(fd)?;
        if let Some(value) = socket.kept.get(&(level, name)) {
            return Ok(*value);
        }
        let value = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => {
                error.or(socket.error.take()).map_or(0, |Errno(error)| error)
            }
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => libc::IPPROTO_TCP,
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                i32::from(matches!(socket.kind, Kind::Listening(_)))
            }
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => i32::from(socket.keep_alive),
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => tcp.receive_buffer as i32,
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => tcp.send_buffer as i32,
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => i32::from(tcp.no_delay),
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => tcp.user_timeout.as_millis() as i32,
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        };
        Ok(value)
    }

    fn set_option(&mut self, fd: RawFd, level: i32, name: i32, value: i32) -> Outcome<()> {
        let number = u32::try_from(value).map_err(|_| Errno(libc::EINVAL))?;
        let seconds = Duration::from_secs(number.into());
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_REUSEPORT) => {
                self.sockets.get_mut(fd)?.kept.insert((level, name), value);
            }
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => {
                self.sockets.get_mut(fd)?.keep_alive = value != 0;
                let idle = (value != 0).then_some(self.settings.keep_alive_idle);
                self.configure(|tcp| tcp.keep_alive = idle);
            }
            // Exactly, while Linux doubles them.
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
                self.configure(|tcp| tcp.receive_buffer = number)
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => self.configure(|tcp| tcp.send_buffer = number),
            (libc::IPPROTO_TCP, _) => self.set_tcp_option(name, number, seconds)?,
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        }
        Ok(())
    }

    fn set_tcp_option(&mut self, name: i32, number: u32, seconds: Duration) -> Outcome<()> {
        let byte = number.min(255) as u8;
        match name {
            libc::TCP_NODELAY => self.configure(|tcp| tcp.no_delay = number != 0),
            libc::TCP_KEEPIDLE => {
                self.settings.keep_alive_idle = seconds;
                self.configure(|tcp| tcp.keep_alive = tcp.keep_alive.map(|_| seconds));
            }
            libc::TCP_KEEPINTVL => self.configure(|tcp| tcp.keep_alive_interval = seconds),
            libc::TCP_KEEPCNT => self.configure(|tcp| tcp.keep_alive_probes = byte),
            libc::TCP_MAXSEG => {
                let mss = u16::try_from(number).map_err(|_| Errno(libc::EINVAL))?;
                self.configure(|tcp| tcp.mss_clamp = Some(mss));
            }
            libc::TCP_USER_TIMEOUT => {
                let timeout = Duration::from_millis(number.into());
                self.configure(|tcp| tcp.user_timeout = timeout);
            }
            libc::TCP_SYNCNT => self.configure(|tcp| tcp.connect_retries = byte),
            libc::TCP_LINGER2 => self.configure(|tcp| tcp.fin_wait_2 = seconds),
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        }
        Ok(())
    }
}
