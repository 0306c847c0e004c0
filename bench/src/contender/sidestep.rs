//! Sidestep with the smallest application there is.

use core::net::SocketAddr;

use sidestep::app::{App, Peer, Refuse, Rx, Tx};
use sidestep::engine::{Engine, EngineConfig, Listen, LocalAddress};
use sidestep::time::Instant;

use super::{RESPONSE, Server};
use crate::generator::Generator;
use crate::traffic::{PAYLOAD, PORT, SERVER};

/// Answers each request of [`PAYLOAD`] bytes with [`RESPONSE`].
#[derive(Debug)]
pub struct Responses;

impl App for Responses {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    #[inline]
    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        while rx.len() >= PAYLOAD && tx.space() >= PAYLOAD {
            rx.consume(PAYLOAD);
            tx.write(&RESPONSE);
        }
        if rx.fin() && rx.is_empty() {
            tx.finish();
        }
    }
}

/// The engine on the load.
pub struct Sidestep(Engine<Responses, Generator>);

impl Sidestep {
    /// With room for so many connections and packets a turn; all other settings are the defaults.
    ///
    /// # Panics
    /// If the system has no eventfd left.
    pub fn new(generator: Generator, connections: u32, batch: u32) -> Sidestep {
        let mut config = EngineConfig::new([7; 32]);
        config.addresses.push(LocalAddress { ip: SERVER.into(), prefix_len: 24, owned: true });
        config.listeners.push(Listen { at: SocketAddr::new(SERVER.into(), PORT) });
        config.limits.connections = connections;
        config.limits.batch = batch;
        config.limits.time_wait = 64;
        Sidestep(Engine::standalone(config, generator, Responses).expect("an engine"))
    }
}

impl Server for Sidestep {
    fn turn(&mut self, now: Instant) {
        self.0.turn(now);
    }

    fn generator(&mut self) -> &mut Generator {
        self.0.device_mut()
    }
}
