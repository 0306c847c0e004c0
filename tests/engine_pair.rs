//! Two engines joined by a wire in memory: an echo server and a client that streams through it.

use sidestep::app::{App, Close, Core, Peer, Refuse, Rx, Tx};
use sidestep::device::{Place, Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{Counter, Engine, EngineConfig, Listen, LocalAddress};
use sidestep::tcp::Ecn;
use sidestep::time::Instant;
use std::net::SocketAddr;
use std::time::Duration;

/// Returns every byte, in the frame it came in; finishes when the peer does.
#[derive(Default)]
struct Echo {
    closed: Vec<Close>,
}

impl App for Echo {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        if let Some(bytes) = rx.hold(rx.len())
            && let Err(bytes) = tx.send(bytes)
        {
            panic!("no space for {} bytes: more than the window was on the way", bytes.len());
        }
        if rx.fin() {
            tx.finish();
        }
    }

    fn on_close(&mut self, (): (), why: Close) {
        self.closed.push(why);
    }
}

/// Sends `total` bytes of a pattern, checks what comes back.
struct Client {
    server: SocketAddr,
    connected: bool,
    closed: Vec<Close>,
    total: usize,
}

#[derive(Default)]
struct Progress {
    sent: usize,
    received: usize,
}

fn byte(at: usize) -> u8 {
    (at * 7 + at / 251) as u8
}

impl Client {
    fn write_pattern(&self, progress: &mut Progress, tx: &mut Tx<'_>) {
        let mut block = [0u8; 1_000];
        while progress.sent < self.total {
            let n = block.len().min(self.total - progress.sent);
            for (i, b) in block[..n].iter_mut().enumerate() {
                *b = byte(progress.sent + i);
            }
            let written = tx.write(&block[..n]);
            progress.sent += written;
            if written < n {
                return;
            }
        }
        tx.finish();
    }
}

impl App for Client {
    type Conn = Progress;
    type Message = ();

    fn on_open(&mut self, _: &Peer, tx: &mut Tx<'_>) -> Result<Progress, Refuse> {
        let mut progress = Progress::default();
        self.write_pattern(&mut progress, tx);
        Ok(progress)
    }

    fn on_data(&mut self, progress: &mut Progress, rx: &mut Rx<'_>, _: &mut Tx<'_>) {
        for b in rx.chunks().flatten() {
            assert_eq!(*b, byte(progress.received), "byte {}", progress.received);
            progress.received += 1;
        }
        rx.consume(rx.len());
    }

    fn on_space(&mut self, progress: &mut Progress, tx: &mut Tx<'_>) {
        self.write_pattern(progress, tx);
    }

    fn on_close(&mut self, progress: Progress, why: Close) {
        assert_eq!(progress.received, self.total);
        self.closed.push(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        if !self.connected {
            self.connected = true;
            core.connect(self.server, None, 1).expect("room for one request");
        }
    }
}

fn pool() -> Pool {
    let config = PoolConfig { frames: 2_048, frame_size: 2_048, reserve: 64, huge_pages: false };
    Pool::new(config).expect("memory for a pool")
}

fn config(ip: &str, secret: u8) -> EngineConfig {
    let mut config = EngineConfig::new([secret; 32]);
    let ip = ip.parse().expect("an address");
    config.addresses.push(LocalAddress { ip, prefix_len: 24, owned: true });
    config
}

fn pump(from: &Port, to: &Port) -> bool {
    let mut any = false;
    while let Some(packet) = from.receive() {
        to.send(&packet);
        from.recycle(packet);
        any = true;
    }
    any
}

#[test]
fn a_megabyte_goes_through_the_echo_and_all_frames_come_back() {
    run("10.9.0.1:7", ["10.9.0.1", "10.9.0.2"], 1 << 20, Instant::ZERO, 0);
}

#[test]
fn timers_fire_however_long_the_machine_has_been_up() {
    // Lost: the ARP request, the SYN and its retransmission. Ticks wrap every 156 hours.
    for hours in [0, 77, 79, 100, 155, 157] {
        let start = Instant::ZERO + Duration::from_secs(hours * 3_600);
        run("10.9.0.1:7", ["10.9.0.1", "10.9.0.2"], 1_000, start, 3);
    }
}

#[test]
fn the_same_over_ipv6() {
    run("[fd00::1]:7", ["fd00::1", "fd00::2"], 1 << 20, Instant::ZERO, 0);
}

/// `lost`: how many of the client's first packets are.
fn run(server_at: &str, [ours, theirs]: [&str; 2], total: usize, start: Instant, mut lost: usize) {
    let loss = lost > 0;
    let server_at: SocketAddr = server_at.parse().expect("an address");
    let mut server_config = config(ours, 1);
    server_config.listeners.push(Listen { at: server_at });
    let (device, server_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 1], 1_500);
    let mut server = Engine::standalone(server_config, device, Echo::default()).expect("engine");
    let (device, client_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 2], 1_500);
    let client = Client { server: server_at, connected: false, closed: Vec::new(), total };
    let mut client = Engine::standalone(config(theirs, 2), device, client).expect("engine");

    let mut now = start;
    for _ in 0..5_000 {
        let a = client.turn(now);
        while lost > 0 && client_port.receive().is_some() {
            lost -= 1;
        }
        let moved = pump(&client_port, &server_port);
        let b = server.turn(now);
        let moved = pump(&server_port, &client_port) || moved;
        if client.app().closed.len() == 1 && server.app().closed.len() == 1 {
            break;
        }
        now = now + Duration::from_micros(10);
        if !moved && !a.worked && !b.worked {
            let next = [a.next_deadline, b.next_deadline].into_iter().flatten().min();
            now = next.expect("a timer, or nothing will ever happen").max(now);
        }
    }
    assert_eq!(client.app().closed, [Close::Finished]);
    assert_eq!(server.app().closed, [Close::Finished]);
    assert_eq!(client.counters().get(Counter::BytesSent), total as u64);
    assert_eq!(client.counters().get(Counter::Retransmissions) > 0, loss);
    for _ in 0..2 {
        client.turn(now);
        server.turn(now);
    }
    for pool in [client.pool(), server.pool()] {
        assert_eq!(pool.census().at(Place::Free), pool.frames(), "{:?}", pool.census());
    }
}

/// A client whose flow changes its queue after the handshake: the server's cores are two engines.
mod queues {
    use super::*;
    use sidestep::sim::cores;

    #[test]
    fn a_flow_that_changes_its_queue_goes_on() {
        let at: SocketAddr = "10.9.0.1:7".parse().expect("an address");
        let mut devices = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..2 {
            let (device, port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 1], 1_500);
            let mut config = config("10.9.0.1", 1);
            config.listeners.push(Listen { at });
            devices.push((config, device, Echo::default()));
            ports.push(port);
        }
        let mut servers = cores(devices).expect("engines");
        let (device, client_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 2], 1_500);
        let client = Client { server: at, connected: false, closed: Vec::new(), total: 100_000 };
        let mut client = Engine::standalone(config("10.9.0.2", 2), device, client).expect("engine");
        let mut now = Instant::ZERO;
        let mut packets = 0;
        for _ in 0..5_000 {
            client.turn(now);
            while let Some(packet) = client_port.receive() {
                // The sender hashes anew every so often, the first time between SYN and ACK.
                packets += 1;
                ports[packets / 2 % 2].send(&packet);
            }
            for (server, port) in servers.iter_mut().zip(&ports) {
                server.turn(now);
                pump(port, &client_port);
            }
            now = now + Duration::from_micros(50);
            if client.app().closed.len() == 1 {
                break;
            }
        }
        assert_eq!(client.app().closed, [Close::Finished]);
        let sum = |counter| servers.iter().map(|s| s.counters().get(counter)).sum::<u64>();
        assert!(sum(Counter::StraysPassedOn) > 10);
        assert_eq!(sum(Counter::ResetsSent), 0);
        assert_eq!(sum(Counter::ConnectionsAccepted), 1);
    }
}

/// Two per cent of packets are lost each way: nearly all of it is repaired by SACK and RACK, hardly
/// ever by waiting for a timeout.
#[test]
fn loss_is_repaired_without_waiting() {
    let at: SocketAddr = "10.9.0.1:7".parse().expect("an address");
    let mut server_config = config("10.9.0.1", 1);
    server_config.listeners.push(Listen { at });
    let (device, server_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 1], 1_500);
    let mut server = Engine::standalone(server_config, device, Echo::default()).expect("engine");
    let (device, client_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 2], 1_500);
    let client = Client { server: at, connected: false, closed: Vec::new(), total: 4 << 20 };
    let mut client = Engine::standalone(config("10.9.0.2", 2), device, client).expect("engine");
    let mut random = 1u64;
    let mut lossy = |from: &Port, to: &Port| {
        let mut any = false;
        while let Some(packet) = from.receive() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if !(random >> 33).is_multiple_of(50) {
                to.send(&packet);
            }
            any = true;
        }
        any
    };
    let mut now = Instant::ZERO;
    while client.app().closed.is_empty() {
        let a = client.turn(now);
        let moved = lossy(&client_port, &server_port);
        let b = server.turn(now);
        let moved = lossy(&server_port, &client_port) || moved;
        now = now + Duration::from_micros(20);
        if !moved && !a.worked && !b.worked {
            let next = [a.next_deadline, b.next_deadline].into_iter().flatten().min();
            now = next.expect("a timer, or nothing will ever happen").max(now);
        }
    }
    let sum = |c| client.counters().get(c) + server.counters().get(c);
    let (again, timeouts) = (sum(Counter::Retransmissions), sum(Counter::RetransmissionTimeouts));
    assert!(again > 50 && timeouts * 10 < again, "{again} retransmissions, {timeouts} timeouts");
}

/// The question for the neighbour's address is lost, not the SYN, which hadn't left: it asks for
/// ECN, as a SYN that was lost no longer may (RFC 3168 section 6.1.1.1).
#[test]
fn a_lost_question_for_the_way_is_no_lost_syn() {
    let at: SocketAddr = "10.9.0.1:7".parse().expect("an address");
    let (device, server_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 1], 1_500);
    let server_config = config("10.9.0.1", 1);
    let mut server = Engine::standalone(server_config, device, Echo::default()).expect("engine");
    let (device, client_port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 2], 1_500);
    let client = Client { server: at, connected: false, closed: Vec::new(), total: 1 };
    let mut client_config = config("10.9.0.2", 2);
    client_config.tcp.ecn = Ecn::Classic;
    let mut client = Engine::standalone(client_config, device, client).expect("engine");
    let mut now = Instant::ZERO;
    client.turn(now);
    let lost = client_port.receive().expect("a question");
    assert_eq!(lost[12..14], [8, 6], "ARP");
    for _ in 0..100 {
        let next = client.turn(now).next_deadline.expect("a timer");
        while let Some(packet) = client_port.receive() {
            if packet[12..14] == [8, 0] {
                const SYN_ECE_CWR: u8 = 0xc2;
                assert_eq!(packet[14 + 20 + 13], SYN_ECE_CWR);
                return;
            }
            server_port.send(&packet);
        }
        server.turn(now);
        if !pump(&server_port, &client_port) {
            now = next.max(now);
        }
    }
    panic!("no SYN came");
}
