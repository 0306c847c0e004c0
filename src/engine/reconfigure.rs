//! What may change between turns: where an engine listens, what it still connects to, and how its
//! connections behave.

use std::net::SocketAddr;

use super::Engine;
use crate::app::{App, Close, Role};
use crate::device::Device;
use crate::tcp::{Settings, TcpConfig};

impl<A: App, D: Device> Engine<A, D> {
    /// Accepts connections to `at` from the next turn on. Listening there already is no error. The
    /// half-open table is as large as the listeners at the start needed it. O(connections).
    pub fn listen(&mut self, at: SocketAddr) {
        if self.admission.listeners.add(at) {
            self.recount();
        }
    }

    /// Stops accepting at `at`: SYNs are answered with RST (RFC 9293 section 3.10.7.1). What is
    /// half open or established stays. O(connections).
    pub fn stop_listening(&mut self, at: SocketAddr) {
        self.admission.listeners.remove(at);
        self.recount();
    }

    /// Gives up the connects with this token that have not opened yet (RFC 9293 section 3.10.4,
    /// CLOSE in SYN-SENT): `App::on_connect_failed` is called with [`Close::Aborted`] in the next
    /// turn, and a SYN-ACK that comes later is answered with RST. O(connections).
    pub fn cancel_connect(&mut self, token: u64) {
        for index in self.slots.indices().collect::<Vec<_>>() {
            let slot = self.slots.at(index);
            let opening = slot.app.is_none() && slot.over.is_none();
            if opening && slot.role(&self.io) == (Role::Connected { token }) {
                slot.send_abort(&mut self.io);
                slot.over = Some(Close::Aborted);
                self.list(index);
            }
        }
    }

    /// The protocol's settings.
    pub fn tcp_config(&self) -> &TcpConfig {
        &self.config.tcp
    }

    /// Changes the protocol's settings for all connections, those included that are open. What a
    /// handshake has agreed on (MSS, scales, timestamps) and timers that are armed stay as they
    /// are.
    pub fn set_tcp_config(&mut self, tcp: TcpConfig) {
        self.config.tcp = tcp;
        self.io.configure(Settings::new(tcp));
        self.tell_device();
    }
}
