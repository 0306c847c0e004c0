//! Congestion marks between us and the Linux kernel, over a TAP device that marks packets each way.
#![cfg(all(feature = "cli", feature = "tap"))]

mod common;
#[path = "common/talker.rs"]
mod talker;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant as Clock};

use sidestep::app::Close;
use sidestep::device::{
    Batch, Class, Device, DeviceCounters, Frame, LinkProperties, Pool, PoolConfig, Tap, TapConfig,
    Waker,
};
use sidestep::engine::{Counter, Engine, EngineConfig, Listen, LocalAddress};
use sidestep::runtime::lab::{Lab, Namespace};
use sidestep::tcp::Ecn;
use sidestep::time::Instant;
use talker::Talker;

const OURS: &str = "10.9.1.1:7";
const KERNEL: &str = "10.9.1.2:7";
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES: usize = 4 << 20;
/// One ECN-capable packet of so many is marked.
const ONE_OF: u32 = 50;
/// Where the ECN field and the checksum lie in a frame with IPv4.
const CLASS: usize = 15;
const CHECKSUM: usize = 24;

/// A device whose link meets congestion now and then.
struct Marking {
    tap: Tap,
    arriving: Batch,
    seen: u32,
}

impl Marking {
    /// Marks a packet, if it is its turn and it is ECN-capable (RFC 3168 section 5).
    fn mark(&mut self, packet: &mut [u8]) {
        if packet.len() < 34 || packet[12..14] != [8, 0] || packet[CLASS] & 3 == 0 {
            return;
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(ONE_OF) {
            return;
        }
        let added = u16::from(3 - (packet[CLASS] & 3));
        packet[CLASS] |= 3;
        let sum = !u16::from_be_bytes([packet[CHECKSUM], packet[CHECKSUM + 1]]);
        let (sum, carry) = sum.overflowing_add(added);
        let sum = !(sum + u16::from(carry));
        packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Device for Marking {
    fn pool(&self) -> &Pool {
        self.tap.pool()
    }

    fn link(&self) -> &LinkProperties {
        self.tap.link()
    }

    fn receive(&mut self, batch: &mut Batch) {
        self.tap.receive(&mut self.arriving);
        let pool = self.tap.pool().clone();
        for mut frame in self.arriving.drain().collect::<Vec<Frame>>() {
            self.mark(pool.bytes_mut(&mut frame));
            batch.push(frame);
        }
    }

    fn room(&self) -> usize {
        self.tap.room()
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        // A copy: the frame goes unmarked if it goes again.
        let pool = self.tap.pool().clone();
        let Some(mut copy) = pool.alloc(Class::Control) else { return self.tap.transmit(frame) };
        pool.extend(&mut copy, frame.len());
        pool.bytes_mut(&mut copy).copy_from_slice(pool.bytes(frame));
        self.mark(pool.bytes_mut(&mut copy));
        let sent = self.tap.transmit(&copy);
        pool.release(copy);
        sent
    }

    fn flush(&mut self) {
        self.tap.flush();
    }

    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker) {
        self.tap.wait(timeout, waker);
    }

    fn counters(&self) -> DeviceCounters {
        self.tap.counters()
    }
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// The engine, until the other side is through.
fn serve(ecn: Ecn, opens: bool, open: &Barrier, over: &AtomicBool) -> Vec<u64> {
    let pool = PoolConfig { frames: 4_096, huge_pages: false, ..PoolConfig::default() };
    let tap = Tap::open(&TapConfig::new("t0"), Pool::new(pool).expect("memory")).expect("a device");
    open.wait();
    // The kernel's side is being set up.
    open.wait();
    let device = Marking { tap, arriving: Batch::new(64), seen: 0 };
    let mut config = EngineConfig::new([9; 32]);
    config.addresses.push(LocalAddress { ip: at(OURS).ip(), prefix_len: 24, owned: true });
    config.listeners.push(Listen { at: at(OURS) });
    config.tcp.ecn = ecn;
    let app = Talker::new(opens.then(|| at(KERNEL)));
    let mut engine = Engine::standalone(config, device, app).expect("an eventfd");
    let (waker, origin) = (Waker::new().expect("an eventfd"), Clock::now());
    let end = origin + 2 * PATIENCE;
    while Clock::now() < end && !(over.load(Ordering::Acquire) && engine.connections() == 0) {
        let now = Instant::from_nanos(1_000_000_000 + origin.elapsed().as_nanos() as u64);
        if !engine.turn(now).worked {
            engine.device_mut().wait(Some(Duration::from_millis(1)), &waker);
        }
    }
    assert_eq!(engine.app().closed, [Close::Finished]);
    let counters = engine.counters();
    COUNTERS.iter().map(|counter| counters.get(*counter)).collect()
}

const COUNTERS: [Counter; 6] = [
    Counter::EcnConnections,
    Counter::AccurateEcnConnections,
    Counter::EcnFallbacks,
    Counter::CongestionMarksReceived,
    Counter::CongestionMarksReported,
    Counter::CongestionMarkReductions,
];

/// The kernel's side: sends, and wants everything back.
fn converse(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let sent: Vec<u8> = (0..BYTES).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect();
    let mut back = Vec::new();
    thread::scope(|scope| {
        let mut half = stream.try_clone().expect("a descriptor");
        let bytes = &sent;
        scope.spawn(move || {
            half.write_all(bytes).expect("sent");
            half.shutdown(Shutdown::Write).expect("finished");
        });
        stream.read_to_end(&mut back).expect("an echo");
    });
    assert!(back == sent, "every byte comes back");
}

/// One connection; `None` if the kernel does not know this setting of `tcp_ecn`.
fn talk(host: &Namespace, kernel: u8, ours: Ecn, we_open: bool) -> Option<Vec<u64>> {
    let known = host.inside(|| fs::write("/proc/sys/net/ipv4/tcp_ecn", kernel.to_string()).is_ok());
    if !known.expect("inside") {
        return None;
    }
    let (over, open) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        let engine =
            scope.spawn(|| host.inside(|| serve(ours, we_open, &open, &over)).expect("inside"));
        open.wait();
        host.ip(&["link", "set", "dev", "t0", "up"]).expect("up");
        host.ip(&["address", "add", "10.9.1.2/24", "dev", "t0"]).expect("an address");
        host.inside(|| {
            let listener = we_open.then(|| TcpListener::bind(KERNEL).expect("a socket"));
            open.wait();
            converse(match listener {
                Some(listener) => listener.accept().expect("a connection").0,
                None => TcpStream::connect_timeout(&at(OURS), PATIENCE).expect("a connection"),
            });
        })
        .expect("inside");
        over.store(true, Ordering::Release);
        Some(engine.join().expect("no panic"))
    })
}

/// Agreed on as often as expected, and marks answered both ways.
fn check(counts: &[u64], accurate: u64, what: &str) {
    let &[agreed, counted, fallbacks, received, reported, reductions] = counts else {
        panic!("{counts:?}");
    };
    assert_eq!((agreed, counted, fallbacks), (1, accurate, 0), "{what}");
    assert!(received > 3 && reported > 0 && reductions > 0, "{what}: {counts:?}");
    assert!(reductions <= reported, "{what}: {counts:?}");
}

fn stage() -> Option<(Lab, Namespace)> {
    let mut lab = common::or_skip(Lab::new("ecn"))?;
    let host = common::or_skip(lab.namespace("kernel"))?;
    Some((lab, host))
}

#[test]
fn the_kernel_and_we_answer_each_others_classic_marks() {
    let Some((_lab, host)) = stage() else { return };
    for (kernel, ours, we_open) in
        [(1, Ecn::Accept, false), (2, Ecn::Classic, true), (2, Ecn::Accurate, true)]
    {
        let what = format!("tcp_ecn={kernel}, we {ours}");
        check(&talk(&host, kernel, ours, we_open).expect("known"), 0, &what);
    }
    let none = talk(&host, 2, Ecn::Accept, false).expect("known");
    assert_eq!(none, [0; 6], "nobody asks");
}

#[test]
fn the_kernel_and_we_count_each_others_marks() {
    let Some((_lab, host)) = stage() else { return };
    for (kernel, ours, we_open) in [(3, Ecn::Accept, false), (3, Ecn::Accurate, true)] {
        let Some(counts) = talk(&host, kernel, ours, we_open) else {
            // Not println!, which the test harness keeps to itself.
            let _ = writeln!(std::io::stdout(), "skipped: no tcp_ecn=3 in this kernel");
            return;
        };
        check(&counts, 1, &format!("tcp_ecn={kernel}, we {ours}"));
    }
}
