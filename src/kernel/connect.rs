//! Connections that the application opens.

use std::io;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::core::KernelCore;
use super::listen::configure;
use super::slots::Flags;
use crate::app::{App, Close, ConnectRequest, Role};
use crate::tcp::TcpConfig;
use crate::time::Instant;

impl<A: App> KernelCore<A> {
    pub(super) fn connect(&mut self, request: ConnectRequest, now: Instant) {
        let started = start(&request, &self.config.tcp)
            .and_then(|stream| self.place(stream, Flags::CONNECTING, request.token));
        match started {
            Ok(at) => {
                self.connecting += 1;
                // A connection to this very machine may be there already.
                self.finish_connect(at, now);
            }
            Err(error) => self.app.on_connect_failed(request.token, why(&error)),
        }
    }

    /// The kernel has news of a connection that is being opened.
    pub(super) fn finish_connect(&mut self, at: u32, now: Instant) {
        let slot = self.slots.place(at);
        let token = slot.token;
        let Some(stream) = &slot.stream else { return };
        let addresses = match stream.take_error() {
            Ok(None) => stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?))),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match addresses {
            Ok((local, remote)) => {
                slot.flags.remove(Flags::CONNECTING | Flags::ERROR);
                slot.flags |= Flags::WRITABLE;
                self.connecting -= 1;
                self.open(at, local, remote, Role::Connected { token }, now);
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => self.give_up_connect(at, why(&error)),
        }
    }

    pub(super) fn give_up_connect(&mut self, at: u32, why: Close) {
        let token = self.slots.place(at).token;
        self.connecting -= 1;
        self.close(at, why);
        self.app.on_connect_failed(token, why);
    }
}

fn start(request: &ConnectRequest, tcp: &TcpConfig) -> io::Result<TcpStream> {
    let socket =
        Socket::new(Domain::for_address(request.remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    configure(&socket, tcp).map_err(|(_, error)| error)?;
    if let Some(local) = request.local {
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
    }
    match socket.connect(&request.remote.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Why a connection did not come to be.
fn why(error: &io::Error) -> Close {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Close::Refused,
        io::ErrorKind::TimedOut => Close::TimedOut,
        io::ErrorKind::HostUnreachable => Close::Unreachable,
        // No route, no port, no descriptor, no place.
        _ => Close::NoResources,
    }
}
