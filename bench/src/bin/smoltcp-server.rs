//! A peer on the wire: smoltcp over the same AF_XDP device, answering any HTTP request.
//!
//! The response is that of `sidestep serve --app hello`. The address is this program's own, as
//! smoltcp must answer ARP itself.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, BusyPoll, Mode, Steer};
use sidestep::device::{Device as _, Pool, PoolConfig};
use sidestep::runtime::Interface;
use sidestep_bench::phy::Phy;
use smoltcp::iface::{
    Config, Interface as Stack, PollIngressSingleResult, SocketHandle, SocketSet,
};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\n\
    Hello, World!";
/// How a request ends.
const END: &[u8] = b"\r\n\r\n";
/// Longest request.
const REQUEST: usize = 1_024;
/// Packets of one turn: what Sidestep's engine takes too.
const BATCH: usize = 64;
/// Bytes of each of a socket's two buffers.
const BUFFER: usize = 4_096;

#[derive(Debug, Parser)]
#[command(about = "Answers HTTP requests with smoltcp over AF_XDP, spinning")]
struct Options {
    /// Network interface
    #[arg(long, value_name = "IF")]
    interface: String,

    /// IPv4 address that the kernel does not have, in a network of 24 bits, and port
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,

    /// Listening sockets: as many as connections at a time
    #[arg(long, default_value_t = 1_024)]
    sockets: u32,

    /// Receive queue
    #[arg(long, default_value_t = 0)]
    queue: u32,

    /// Processor to run on
    #[arg(long, default_value_t = 0)]
    core: usize,
}

fn main() -> ExitCode {
    let Err(error) = run(&Options::parse());
    eprintln!("smoltcp-server: {error}");
    ExitCode::from(2)
}

/// Serves until a signal ends the process, which takes the XDP program with it.
fn run(options: &Options) -> Result<core::convert::Infallible, Box<dyn std::error::Error>> {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: options.core }) {
        return Err(format!("there is no processor {}", options.core).into());
    }
    let IpAddr::V4(address) = options.listen.ip() else {
        return Err("--listen: this server has IPv4 only".into());
    };
    let nic = Interface::find(&options.interface)?.nic();
    let mut steer = Steer::attach(&nic, Mode::Auto)?;
    steer.own(&nic, options.listen.ip())?;
    let busy_poll = Some(BusyPoll::default());
    let config = AfXdpConfig { queue: options.queue, busy_poll, ..AfXdpConfig::default() };
    let pool = Pool::new(PoolConfig::default())?;
    let device = AfXdp::open(&steer, &nic, &config, pool)?;
    let mode = device.obtained().name();
    println!("ready backend=smoltcp mode={mode} listen={} queues=1", options.listen);

    let start = Instant::now();
    let now = || {
        let micros = start.elapsed().as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    };
    let mut phy = Phy::new(device, BATCH);
    let mut stack = stack(&mut phy, address, now());
    let mut sockets = SocketSet::new(Vec::with_capacity(options.sockets as usize));
    let port = options.listen.port();
    let handles: Vec<SocketHandle> =
        (0..options.sockets).map(|_| sockets.add(socket(port))).collect();
    loop {
        let now = now();
        phy.fill();
        while stack.poll_ingress_single(now, &mut phy, &mut sockets)
            != PollIngressSingleResult::None
        {}
        for &handle in &handles {
            serve(sockets.get_mut::<tcp::Socket<'_>>(handle), port);
        }
        stack.poll_egress(now, &mut phy, &mut sockets);
        phy.device().flush();
    }
}

fn stack(phy: &mut Phy<AfXdp>, address: Ipv4Addr, now: smoltcp::time::Instant) -> Stack {
    let config = Config::new(EthernetAddress(phy.device().link().mac).into());
    let mut stack = Stack::new(config, phy, now);
    stack.update_ip_addrs(|addresses| {
        let ours = IpCidr::new(IpAddress::Ipv4(address), 24);
        addresses.push(ours).expect("room for one address");
    });
    stack
}

fn socket(port: u16) -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.listen(port).expect("a port that is not zero");
    socket
}

/// One answer for each request, and a new start for a socket whose connection is over.
fn serve(socket: &mut tcp::Socket<'_>, port: u16) {
    while socket.can_recv() && socket.send_capacity() - socket.send_queue() >= HELLO.len() {
        // Copied, as it may lie on both sides of the buffer's end.
        let mut request = [0; REQUEST];
        let len = socket.peek_slice(&mut request).unwrap_or(0);
        let end = request[..len].windows(END.len()).position(|part| part == END);
        let Some(end) = end else { break };
        let _ = socket.recv_slice(&mut request[..end + END.len()]);
        // There is room: it was just asked for. A socket that was reset meanwhile takes nothing.
        let _ = socket.send_slice(HELLO);
    }
    match socket.state() {
        tcp::State::CloseWait => socket.close(),
        tcp::State::Closed => socket.listen(port).expect("a port that is not zero"),
        _ => {}
    }
}
