//! Our side: an engine in a thread of its own, with the echo application.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant as Clock};

use crossbeam_utils::CachePadded;
use sidestep::app::Close;
use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer, fitting};
use sidestep::device::{Census, Device, Faulty, Place, Pool, PoolConfig, Tap, TapConfig, Waker};
use sidestep::engine::{Counter, Counters, Engine, EngineConfig, Listen, LocalAddress};
use sidestep::runtime::Interface;
use sidestep::tcp::{Ecn, TcpConfig};
use sidestep::time::Instant;

use super::cell::Cell;
use super::stage::{Stage, on_tap};
use super::talker::Talker;

/// Percent of the packets that are dropped each way in a lossy cell, and as many duplicated and
/// delayed.
const LOSS: u8 = 1;
/// How long the engine may go on after the kernel's side is through.
const LAST_WORDS: Duration = Duration::from_secs(10);
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// What our side tells when it is over.
pub(crate) struct Report {
    counters: Arc<CachePadded<Counters>>,
    closed: Vec<Close>,
    census: Census,
}

impl Report {
    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }

    /// A good end, after which the connection has no frame any more.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.closed != [Close::Finished] {
            return Err(format!("our connections ended {:?}", self.closed));
        }
        let held = [Place::Received, Place::Held, Place::Sending, Place::Returned];
        if held.iter().any(|place| self.census.at(*place) > 0) {
            return Err(format!("frames were not given back: {:?}", self.census));
        }
        Ok(())
    }
}

/// Runs our side while `other` does the kernel's.
pub(crate) fn beside<R: Send>(
    stage: &Stage,
    cell: &Cell,
    other: impl FnOnce() -> R,
) -> Result<(R, Report), String> {
    let (over, open) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        let engine = scope.spawn(|| {
            stage.ours.enter().expect("a namespace of ours");
            if on_tap(cell) {
                tap(stage, cell, &open, &over)
            } else {
                af_xdp(stage, cell, &open, &over)
            }
        });
        open.wait();
        let result = other();
        over.store(true, Ordering::Release);
        Ok((result, engine.join().map_err(|_| "our side panicked")?))
    })
}

fn pool(mtu: u32) -> Pool {
    let frames = PoolConfig { frames: 8_192, reserve: 128, huge_pages: false, frame_size: 2_048 };
    Pool::new(fitting(frames, mtu)).expect("memory")
}

fn af_xdp(stage: &Stage, cell: &Cell, open: &Barrier, over: &AtomicBool) -> Report {
    let nic = Interface::find(Stage::OUR_INTERFACE).expect("our end of the pair").nic();
    let mut steer = Steer::attach(&nic, Mode::Copy).expect("an attached program");
    steer.own(&nic, stage.our_address.ip()).expect("room in the table");
    let config = AfXdpConfig { mode: Mode::Copy, ..AfXdpConfig::default() };
    let device = AfXdp::open(&steer, &nic, &config, pool(nic.mtu)).expect("a device");
    open.wait();
    with_faults(stage, cell, device, over)
}

fn tap(stage: &Stage, cell: &Cell, open: &Barrier, over: &AtomicBool) -> Report {
    let mtu = cell.mtu.bytes(cell.v4);
    let config = TapConfig { mtu, ..TapConfig::new(Stage::OUR_INTERFACE) };
    let device = Tap::open(&config, pool(u32::from(mtu))).expect("a device");
    open.wait();
    with_faults(stage, cell, device, over)
}

fn with_faults<D: Device>(stage: &Stage, cell: &Cell, device: D, over: &AtomicBool) -> Report {
    if cell.lossy {
        serve(stage, cell, Faulty::new(device, LOSS), over)
    } else {
        serve(stage, cell, device, over)
    }
}

fn config(stage: &Stage, cell: &Cell) -> EngineConfig {
    let mut config = EngineConfig::new([cell.number() as u8; 32]);
    let ip = stage.our_address.ip();
    let prefix_len = if ip.is_ipv4() { 24 } else { 64 };
    config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
    config.listeners.push(Listen { at: stage.our_address });
    config.tcp = TcpConfig {
        timestamps: cell.timestamps.us(),
        sack: cell.sack.us(),
        window_scaling: cell.scaling.us(),
        ecn: if cell.ecn.us() { Ecn::Classic } else { Ecn::Off },
        // The wire is short: waiting as long as on the Internet would only take time.
        delayed_ack: Duration::from_millis(5),
        rto_min: Duration::from_millis(50),
        ..TcpConfig::default()
    };
    config
}

fn serve<D: Device>(stage: &Stage, cell: &Cell, device: D, over: &AtomicBool) -> Report {
    let app = Talker::new((!cell.kernel_opens).then_some(stage.kernel_address));
    let mut engine = Engine::standalone(config(stage, cell), device, app).expect("an eventfd");
    let waker = Waker::new().expect("an eventfd");
    let origin = Clock::now();
    let now = || Instant::from_nanos(1_000_000_000 + origin.elapsed().as_nanos() as u64);
    let mut end: Option<Clock> = None;
    let mut last_work = Clock::now();
    loop {
        let turn = engine.turn(now());
        if over.load(Ordering::Acquire) {
            let end = *end.get_or_insert_with(|| Clock::now() + LAST_WORDS);
            if engine.connections() == 0 && !turn.worked || Clock::now() >= end {
                break;
            }
        }
        if turn.worked {
            last_work = Clock::now();
        } else if last_work.elapsed() > Duration::from_micros(50) {
            let due = turn.next_deadline.map_or(LONGEST_SLEEP, |at| at.since(now()));
            engine.device_mut().wait(Some(due.min(LONGEST_SLEEP)), &waker);
        }
    }
    Report {
        counters: Arc::clone(engine.counters()),
        closed: engine.app().closed.clone(),
        census: engine.pool().census(),
    }
}
