//! Flood mode over veth: kernel clients whose handshakes the driver answers in the engine's place.
#![cfg(feature = "af-xdp")]

mod common;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "common/veth.rs"]
mod veth;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sidestep::app::{App, Peer, Refuse, Rx, Tx};
use sidestep::device::Waker;
use sidestep::device::af_xdp::{Mode, Shield, Steer};
use sidestep::engine::{
    CookieConfig, Counter, Engine, EngineConfig, Listen, LocalAddress, SynCookies,
};
use sidestep::runtime::lab::Namespace;
use sidestep::tcp::cookie::{Key, KeyWriter};
use sidestep::time::Instant;

const PORT: u16 = 80;
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CONNECTIONS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(10);
const UNIX_MS: u64 = 1_767_225_600_000;

struct Echo;

impl App for Echo {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let written = rx.chunks().map(|chunk| tx.write(chunk)).sum();
        rx.consume(written);
        if rx.fin() && rx.is_empty() {
            tx.finish();
        }
    }
}

/// Set when the client is gone, however it went.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One echo on a connection of its own.
fn talk() {
    let at = SocketAddr::from((SERVER, PORT));
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).expect("a handshake");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"hello").expect("written");
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).expect("an echo");
    assert_eq!(&echo, b"hello");
}

/// Cookies sent by the engine, received by it, and sent by the driver.
fn serve(mode: Mode, forced: bool, client: &Namespace) -> [u64; 3] {
    let nic = veth::nic("x0");
    let steer = Steer::attach(&nic, mode).expect("an attached program");
    let device = veth::open(&steer, &nic, mode);
    steer.serve(SERVER.into(), PORT).expect("an entry");
    if forced {
        steer.shield().set_answers(true);
    }
    let mut writer = KeyWriter::new(Key::new([9; 16]));
    // The engine's clock and the driver's are the same one here.
    let origin = Shield::monotonic_ns();
    writer.set_clock(UNIX_MS);
    steer.shield().publish_keys(&writer.keys());
    steer.shield().set_clock(origin, UNIX_MS);
    let mut config = EngineConfig::new([3; 32]);
    config.addresses.push(LocalAddress { ip: SERVER.into(), prefix_len: 24, owned: false });
    config.listeners.push(Listen { at: (SERVER, PORT).into() });
    let keys = Some(writer.keys());
    config.cookies = CookieConfig { when: SynCookies::Always, keys, ..CookieConfig::default() };
    let waker = Waker::new().expect("an eventfd");
    let mut engine = Engine::standalone(config, device, Echo).expect("an engine");
    let over = Arc::new(AtomicBool::new(false));
    let now = || Instant::from_nanos(Shield::monotonic_ns() - origin);
    // The first turn says that there is a flood.
    engine.turn(now());
    thread::scope(|scope| {
        let done = Over(Arc::clone(&over));
        scope.spawn(move || {
            let _done = done;
            client.inside(|| (0..CONNECTIONS).for_each(|_| talk())).expect("the client");
        });
        while !over.load(Ordering::Acquire) {
            if !engine.turn(now()).worked {
                use sidestep::device::Device;
                engine.device_mut().wait(Some(Duration::from_millis(1)), &waker);
            }
        }
    });
    let counters = engine.counters();
    let driver = steer.counters().get("syn_cookies_sent").expect("a counter");
    let [sent, received] = [Counter::SynCookiesSent, Counter::SynCookiesReceived];
    [counters.get(sent), counters.get(received), driver]
}

#[test]
fn kernel_clients_are_answered_by_the_driver_or_by_the_engine() {
    let Some(net) = veth::net(1) else { return };
    let serve =
        |mode, forced| net.server.inside(|| serve(mode, forced, &net.client)).expect("inside");
    // On the generic hook the driver leaves it to the engine, and on veth unless it is told.
    for mode in [Mode::Generic, Mode::Copy] {
        let [engine, received, driver] = serve(mode, false);
        assert_eq!((engine, received, driver), (CONNECTIONS, CONNECTIONS, 0), "{mode:?}");
    }
    // What veth is sent by XDP_TX is delivered if the other end has a program as well.
    let attach = || Steer::attach(&veth::nic("x1"), Mode::Copy).expect("an attached program");
    let passing = net.client.inside(attach).expect("inside");
    let [engine, received, driver] = serve(Mode::Copy, true);
    assert_eq!((engine, received, driver), (0, CONNECTIONS, CONNECTIONS));
    drop(passing);
}
