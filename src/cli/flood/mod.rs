//! `sidestep flood`: segments from addresses that nobody has, for laboratories only.

mod forge;
mod pace;

use core::time::Duration;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use forge::{Forge, Kind};
use pace::Pace;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer};
use crate::device::{Batch, Class, Device, Pool, PoolConfig};
use crate::runtime::lab::{GroundError, find_in_lab};
use crate::runtime::{Error, Interface};
use crate::wire::{Link, Mac};

/// Packets between two looks at the clock: what one call to the kernel transmits.
const BURST: u64 = 32;
/// Packets that may be on their way. Few, so that what is forged is still in the cache.
const FRAMES: u32 = 512;
/// How often, and how far apart, to ask the kernel who has the address.
const ASK_ROUNDS: u32 = 100;
const ASK_PAUSE: Duration = Duration::from_millis(10);
/// The discard port (RFC 863): what is sent there only makes the kernel ask.
const DISCARD: u16 = 9;

pub(super) const HELP: &str = "\
Only in laboratories of this program: the interface must be an end of a veth pair that sidestep
made, in a network namespace that sidestep made (`ip netns` lists it as sidestep-…), while the
process that made them runs. `sidestep demo` makes such a laboratory, `make bench-flood` floods in
one.

Example, while a demonstration runs:
  ip netns exec sidestep-demo-…-client \\
      sidestep flood --interface cli0 --to 10.9.0.1:80 --kind syn --seconds 10 --rate 100000

It says on stdout when it begins, and what was sent when it is over or interrupted:
  flooding kind=syn to=10.9.0.1:80
  sent kind=syn packets=1000000 seconds=10.000 rate=100000

Addresses are drawn from all that are unicast and none of 10.0.0.0/8 (IPv6: from 2000::/3). What is
answered to them comes to the interface and dies there. On veth the receiving side's work is done on
the processor that sends, so a flood without --rate measures both.";

/// What to send, where to, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct FloodOptions {
    /// Interface to send from: an end of a veth pair in a laboratory of this program
    #[arg(long, value_name = "IF")]
    interface: String,

    /// Whom to flood: an address on that link, and a port
    #[arg(long, value_name = "ADDR:PORT")]
    to: SocketAddr,

    /// What to send: each segment from another address and port, with other numbers
    ///
    /// syn: SYNs with the options that Linux sends;
    /// ack: ACKs, timestamps included, as of guessed cookies;
    /// rst: RSTs;
    /// fin: FINs;
    /// data: segments with --payload bytes;
    /// mix: these in turn
    #[arg(long, value_name = "syn|ack|rst|fin|data|mix", default_value_t = Kind::Syn)]
    #[arg(verbatim_doc_comment)]
    kind: Kind,

    /// How long, at most 60
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,

    /// Packets per second [default: as many as one processor can]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,

    /// Bytes of payload in segments that carry data
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
    payload: u16,

    /// Start of the sequence of random numbers: the same one sends the same packets
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Processor to run on [default: wherever the system puts it]
    #[arg(long, value_name = "N")]
    core: Option<usize>,
}

/// Sends until the time is over or somebody interrupts.
pub(super) fn run(options: &FloodOptions) -> Result<(), Error> {
    let interface = find_in_lab(&options.interface)?;
    if let Some(id) = options.core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        return Err(Error::configuration(format!("--core {id}: there is no such processor here")));
    }
    let dst = hardware_address(&interface, options.to.ip())?;
    let link = Link { src: Mac(interface.mac), dst, vlan: None };
    let payload = usize::from(options.payload);
    let forge = Forge::new(options.kind, link, options.to, payload, options.seed);
    let over = interrupted()?;
    let nic = interface.nic();
    // Loaded and not attached: what comes in is not for us.
    let steer = Steer::load(nic.rx_queues)?;
    let pool = Pool::new(PoolConfig { frames: FRAMES, reserve: 0, ..PoolConfig::default() })?;
    let config = AfXdpConfig { mode: Mode::Copy, ..AfXdpConfig::default() };
    let device = AfXdp::open(&steer, &nic, &config, pool)?;
    println!("flooding kind={} to={}", options.kind, options.to);
    let begun = Instant::now();
    let length = Duration::from_secs(options.seconds);
    let packets = send(device, forge, Pace::new(options.rate, length), &over);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "sent kind={} packets={packets} seconds={seconds:.3} rate={:.0}",
        options.kind,
        packets as f64 / seconds
    );
    Ok(())
}

/// Returns how many packets the kernel took.
fn send(mut device: AfXdp, mut forge: Forge, pace: Pace, over: &AtomicBool) -> u64 {
    let pool = device.pool().clone();
    let mut nothing = Batch::new(BURST as usize);
    let begun = Instant::now();
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let Some(due) = pace.due(begun.elapsed()) else { break };
        let burst = due.saturating_sub(sent).min(BURST);
        if burst == 0 {
            thread::sleep(pace.pause(begun.elapsed(), sent));
            continue;
        }
        // Nothing is redirected to us: this only takes back what was transmitted.
        device.receive(&mut nothing);
        if (device.room() as u64) < burst || u64::from(pool.free()) < burst {
            // The other end is full: it may need this processor.
            device.flush();
            thread::yield_now();
            continue;
        }
        for _ in 0..burst {
            let Some(mut frame) = pool.alloc(Class::Control) else { break };
            let (headers, payload) = forge.headers();
            pool.extend(&mut frame, headers.len() + payload);
            headers.emit(pool.bytes_mut(&mut frame));
            sent += u64::from(device.transmit(&frame));
            pool.release(frame);
        }
        device.flush();
    }
    sent
}

/// Set once somebody wants the flood to end.
fn interrupted() -> Result<Arc<AtomicBool>, Error> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let advice = "see the limits of this process ('ulimit -a')";
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|answer| Error::machine("listening to signals", answer, advice))?;
    }
    Ok(flag)
}

/// Has the kernel ask whose address it is.
fn hardware_address(interface: &Interface, ip: IpAddr) -> Result<Mac, Error> {
    let any: IpAddr = if ip.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    for round in 0..ASK_ROUNDS {
        let neighbours = interface.neighbours()?;
        if let Some(found) = neighbours.iter().find(|neighbour| neighbour.ip == ip) {
            return Ok(Mac(found.mac));
        }
        if round == 0 {
            // An error of it is no news: then there is no answer either.
            let _ = UdpSocket::bind((any, 0)).and_then(|from| from.send_to(&[], (ip, DISCARD)));
        }
        thread::sleep(ASK_PAUSE);
    }
    Err(Error::configuration(format!(
        "--to {ip}: nobody on {} answers for this address; it must be one of the other end of the \
         veth pair",
        interface.name
    )))
}

impl From<GroundError> for Error {
    fn from(error: GroundError) -> Error {
        match error {
            GroundError::Interface(error) => error.into(),
            other => Error::told(&other),
        }
    }
}
