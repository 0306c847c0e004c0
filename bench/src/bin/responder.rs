//! The ceiling on the wire: [`Stateless`] over one AF_XDP queue, answering any HTTP request.
//!
//! A request is whatever payload a segment carries, and the response is that of `sidestep serve
//! --app hello`. There are no connections here: nothing is retransmitted, reassembled or timed.

use core::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, BusyPoll, Mode, Steer};
use sidestep::device::{Batch, Device, Pool, PoolConfig, Waker};
use sidestep::runtime::Interface;
use sidestep::wire::Addr;
use sidestep_bench::Stateless;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\n\
    Hello, World!";
/// Packets of one turn: what Sidestep's engine takes too.
const BATCH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Poll {
    /// Spin.
    Busy,
    /// Sleep in the kernel until a packet arrives.
    Sleep,
}

#[derive(Debug, Parser)]
#[command(about = "Answers HTTP requests over AF_XDP without keeping any state")]
struct Options {
    /// Network interface
    #[arg(long, value_name = "IF")]
    interface: String,

    /// Address and port to answer for
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,

    /// Receive queue
    #[arg(long, default_value_t = 0)]
    queue: u32,

    /// What to do when there is nothing to do
    #[arg(long, value_enum, default_value_t = Poll::Sleep)]
    poll: Poll,

    /// Processor to run on
    #[arg(long, default_value_t = 0)]
    core: usize,
}

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse());
    eprintln!("responder: {error}");
    ExitCode::from(2)
}

/// Serves until a signal ends the process, which takes the XDP program with it.
fn run(options: &Options) -> Result<core::convert::Infallible, Box<dyn std::error::Error>> {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: options.core }) {
        return Err(format!("there is no processor {}", options.core).into());
    }
    let nic = Interface::find(&options.interface)?.nic();
    let steer = Steer::attach(&nic, Mode::Auto)?;
    let busy = options.poll == Poll::Busy;
    let config = AfXdpConfig {
        queue: options.queue,
        busy_poll: busy.then(BusyPoll::default),
        ..AfXdpConfig::default()
    };
    let mut device = AfXdp::open(&steer, &nic, &config, Pool::new(PoolConfig::default())?)?;
    steer.serve(options.listen.ip(), options.listen.port())?;
    let mode = device.obtained().name();
    println!("ready backend=responder mode={mode} listen={} queues=1", options.listen);
    let stateless = Stateless::new(Addr::from(options.listen.ip()), options.listen.port(), HELLO);
    let waker = Waker::new()?;
    let mut batch = Batch::new(BATCH);
    loop {
        if turn(&mut device, &stateless, &mut batch) == 0 && !busy {
            waker.before_sleep();
            device.wait(None, &waker);
            waker.after_sleep();
        }
    }
}

/// Answers what has arrived; returns how many packets that was.
fn turn(device: &mut AfXdp, stateless: &Stateless, batch: &mut Batch) -> usize {
    device.receive(batch);
    let received = batch.frames().len();
    for mut frame in batch.drain() {
        if stateless.answer(device.pool(), &mut frame) {
            // With no room it is lost, as on any wire.
            device.transmit(&frame);
        }
        device.pool().release(frame);
    }
    device.flush();
    received
}
