//! Sidestep with the smallest applications there are.

use core::net::SocketAddr;

use sidestep::app::{App, Peer, Refuse, Rx, Tx};
use sidestep::engine::{Engine, EngineConfig, Listen, LocalAddress};
use sidestep::time::Instant;

use super::{BLOCK, RESPONSE, Server};
use crate::generator::Load;
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

/// Reads and forgets.
#[derive(Debug)]
pub struct Sink;

impl App for Sink {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, _: &mut Tx<'_>) {
        rx.consume(rx.len());
    }
}

/// Writes as much as there is space for, always.
#[derive(Debug)]
pub struct Source;

impl App for Source {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, tx: &mut Tx<'_>) -> Result<(), Refuse> {
        self.on_space(&mut (), tx);
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Rx<'_>, _: &mut Tx<'_>) {}

    fn on_space(&mut self, (): &mut (), tx: &mut Tx<'_>) {
        while tx.write(&BLOCK) == BLOCK.len() {}
    }
}

/// The engine on a load.
pub struct Sidestep<A: App, L>(Engine<A, L>);

impl<A: App, L: Load> Sidestep<A, L> {
    /// With room for so many connections and packets a turn; all other settings are the defaults.
    ///
    /// # Panics
    /// If the system has no eventfd left.
    pub fn new(app: A, load: L, connections: u32, batch: u32) -> Sidestep<A, L> {
        let mut config = EngineConfig::new([7; 32]);
        config.addresses.push(LocalAddress { ip: SERVER.into(), prefix_len: 24, owned: true });
        config.listeners.push(Listen { at: SocketAddr::new(SERVER.into(), PORT) });
        config.limits.connections = connections;
        config.limits.batch = batch;
        config.limits.time_wait = 64;
        Sidestep(Engine::standalone(config, load, app).expect("an engine"))
    }
}

impl<A: App, L: Load> Server<L> for Sidestep<A, L> {
    fn turn(&mut self, now: Instant) {
        self.0.turn(now);
    }

    fn load(&mut self) -> &mut L {
        self.0.device_mut()
    }
}
