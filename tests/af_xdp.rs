//! The AF_XDP device over veth: frames in and out, modes, refusals, and nothing left behind.
#![cfg(feature = "af-xdp")]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sidestep::device::af_xdp::{
    AfXdp, AfXdpConfig, AfXdpError, BusyPoll, Mode, Nic, Obtained, Steer,
};
use sidestep::device::{Batch, Class, Device, Frame, Place, Pool, PoolConfig, Waker};
use sidestep::runtime::Interface;
use sidestep::runtime::lab::{Lab, Namespace, VethEnd};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const PORT: u16 = 80;
/// Bound of every wait for something to happen, in turns of [`PAUSE`].
const PATIENCE: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

struct Net {
    lab: Lab,
    server: Namespace,
    client: Namespace,
}

fn net(queues: u32) -> Option<Net> {
    let mut lab = common::or_skip(Lab::new("xdp"))?;
    let server = common::or_skip(lab.namespace("server"))?;
    let client = lab.namespace("client").expect("a second namespace");
    let end = |namespace, name, addresses, offloads| VethEnd {
        namespace,
        name,
        addresses,
        queues,
        offloads,
    };
    lab.join(
        end(&server, "x0", &["10.9.0.1/24", "fd09::1/64"], true),
        end(&client, "x1", &["10.9.0.2/24", "fd09::2/64"], false),
    )
    .expect("a veth pair");
    Some(Net { lab, server, client })
}

fn nic(name: &str) -> Nic {
    Interface::find(name).expect("our end of the pair").nic()
}

fn pool() -> Pool {
    let config = PoolConfig { frames: 4_096, reserve: 64, ..PoolConfig::default() };
    Pool::new(config).expect("frames")
}

fn open(steer: &Steer, nic: &Nic, mode: Mode) -> AfXdp {
    let config = AfXdpConfig { mode, ..AfXdpConfig::default() };
    AfXdp::open(steer, nic, &config, pool()).expect("a device")
}

/// Attached and open on `interface` in copy mode.
fn device(interface: &str) -> (Steer, AfXdp) {
    let nic = nic(interface);
    let steer = Steer::attach(&nic, Mode::Copy).expect("an attached program");
    let device = open(&steer, &nic, Mode::Copy);
    (steer, device)
}

/// Receives until `count` frames have come.
fn receive(device: &mut AfXdp, count: usize) -> Vec<Frame> {
    let waker = Waker::new().expect("an eventfd");
    let mut batch = Batch::new(64);
    let mut frames = Vec::new();
    for _ in 0..PATIENCE {
        device.receive(&mut batch);
        frames.extend(batch.drain());
        if frames.len() >= count {
            return frames;
        }
        device.wait(Some(PAUSE), &waker);
    }
    panic!("{} of {count} frames came", frames.len());
}

fn send(device: &mut AfXdp, bytes: &[u8]) {
    let mut frame = device.pool().alloc(Class::Data).expect("a frame");
    device.pool().extend(&mut frame, bytes.len());
    device.pool().bytes_mut(&mut frame).copy_from_slice(bytes);
    assert!(device.transmit(&frame), "no room in the tx ring");
    device.pool().release(frame);
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if condition() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("never: {what}");
}

fn sum(words: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in words.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet and IPv4 header in front of `payload`.
fn ipv4(macs: &[u8], from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend((20 + payload.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    ip.extend([from.octets(), to.octets()].concat());
    let check = sum(&ip, 0).to_be_bytes();
    ip[10..12].copy_from_slice(&check);
    [macs, &[8, 0], &ip, payload].concat()
}

/// A RST that answers the SYN in `syn`.
fn refusal(syn: &[u8]) -> Vec<u8> {
    let tcp = &syn[34..];
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(1);
    let mut reply = [&tcp[2..4], &tcp[0..2], &[0; 4], &seq.to_be_bytes()].concat();
    reply.extend([0x50, 0x14, 0, 0, 0, 0, 0, 0]);
    let pseudo = [&SERVER.octets()[..], &CLIENT.octets(), &[0, 6, 0, 20], &reply].concat();
    let check = sum(&pseudo, 0).to_be_bytes();
    reply[16..18].copy_from_slice(&check);
    let macs = [&syn[6..12], &syn[0..6]].concat();
    ipv4(&macs, SERVER, CLIENT, 6, &reply)
}

#[test]
fn a_kernel_client_is_answered_and_the_rest_of_the_host_goes_on() {
    let Some(net) = net(1) else { return };
    let refused = net.server.inside(|| {
        let (steer, mut device) = device("x0");
        steer.serve(SERVER.into(), PORT).expect("an entry");
        let listener = TcpListener::bind((SERVER, PORT + 1)).expect("a kernel listener");
        let refused = thread::scope(|scope| {
            let client = scope.spawn(|| {
                net.client
                    .inside(|| {
                        let mut kernel = connect(PORT + 1).expect("the kernel's own port");
                        kernel.write_all(b"hello").expect("written");
                        let mut echo = [0; 5];
                        kernel.read_exact(&mut echo).expect("echoed by the kernel");
                        assert_eq!(&echo, b"hello");
                        connect(PORT).expect_err("a RST").kind()
                    })
                    .expect("inside")
            });
            let (mut connection, _) = listener.accept().expect("a connection");
            let mut bytes = [0; 5];
            connection.read_exact(&mut bytes).expect("read");
            connection.write_all(&bytes).expect("written");

            let mut frames = receive(&mut device, 1);
            let syn = frames.pop().expect("one frame");
            let bytes = device.pool().bytes(&syn).to_vec();
            assert_eq!((bytes[23], &bytes[36..38], bytes[47]), (6, &[0, 80][..], 2), "a SYN");
            device.pool().release(syn);
            send(&mut device, &refusal(&bytes));
            device.flush();
            client.join().expect("the client")
        });
        eventually("the reply is completed", || {
            device.receive(&mut Batch::new(64));
            device.pool().census().posted == 0
        });
        assert_eq!(steer.counters().get("redirected_tcp"), Some(1));
        assert!(steer.counters().get("passed") > Some(0));
        assert_eq!(device.counters().rx_packets, 1);
        refused
    });
    assert_eq!(refused.expect("inside"), std::io::ErrorKind::ConnectionRefused);
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&SocketAddr::from((SERVER, port)), Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

#[test]
fn a_kernel_socket_gets_more_packets_than_the_tx_ring_holds() {
    const COUNT: u16 = 5_000;
    let Some(net) = net(1) else { return };
    let client = net.client.inside(|| {
        let socket = UdpSocket::bind((CLIENT, 9)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        (socket, nic("x1").mac)
    });
    let (socket, mac) = client.expect("inside");
    net.server
        .inside(|| {
            let (_steer, mut device) = device("x0");
            let macs = [mac, device.link().mac].concat();
            for number in 0..COUNT {
                let [high, low] = number.to_be_bytes();
                // A checksum of zero means none.
                let datagram = [0, 7, 0, 9, 0, 10, 0, 0, high, low];
                send(&mut device, &ipv4(&macs, SERVER, CLIENT, 17, &datagram));
                // The client reads along: its socket holds a few hundred.
                if number % 100 == 99 {
                    device.flush();
                    for expected in number - 99..=number {
                        let mut bytes = [0; 16];
                        let len = socket.recv(&mut bytes).expect("a datagram");
                        assert_eq!(bytes[..len], expected.to_be_bytes());
                    }
                    device.receive(&mut Batch::new(64));
                }
            }
            eventually("all is completed", || {
                device.receive(&mut Batch::new(64));
                device.pool().census().posted == 0
            });
            let census = device.pool().census();
            let (free, fill) = (census.at(Place::Free), census.at(Place::Fill));
            assert_eq!(free + fill, device.pool().frames(), "frames lost");
            assert_eq!(device.counters().tx_packets, u64::from(COUNT));
        })
        .expect("inside");
}

#[test]
fn a_full_tx_ring_is_emptied_by_one_flush() {
    let Some(net) = net(1) else { return };
    let mac = nic_inside(&net.client, "x1").mac;
    net.server
        .inside(|| {
            let (_steer, mut device) = device("x0");
            let macs = [mac, device.link().mac].concat();
            let datagram = ipv4(&macs, SERVER, CLIENT, 17, &[0, 7, 0, 9, 0, 8, 0, 0]);
            let room = device.room();
            assert_eq!(room, AfXdpConfig::default().tx_ring as usize);
            // Frames are fewer than twice the ring: the second round needs the first one's.
            for _round in 0..3 {
                for _ in 0..room - 64 {
                    send(&mut device, &datagram);
                }
                assert_eq!(device.room(), 64);
                device.flush();
                assert_eq!(device.room(), room, "the kernel took them all");
                eventually("all is completed", || {
                    device.receive(&mut Batch::new(64));
                    device.pool().census().posted == 0
                });
            }
        })
        .expect("inside");
}

#[test]
fn busy_polling_is_accepted_and_has_nothing_to_drive_on_veth() {
    let Some(net) = net(1) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
            let busy_poll = Some(BusyPoll::default());
            let config = AfXdpConfig { busy_poll, ..AfXdpConfig::default() };
            let mut device = AfXdp::open(&steer, &nic, &config, pool()).expect("a device");
            device.receive(&mut Batch::new(64));
            assert!(!device.is_busy_polled());
            assert_eq!(device.counters().kicks, 0, "a system call in vain");
        })
        .expect("inside");
}

/// Two devices at the two ends, and `count` segments from the client's to the server's.
fn between_devices(mode: Mode, expected: Obtained) {
    const COUNT: u16 = 3_000;
    let Some(net) = net(1) else { return };
    let server = nic_inside(&net.server, "x0");
    net.server
        .inside(|| {
            let steer = Steer::attach(&server, mode).expect("attached");
            let mut device = open(&steer, &server, mode);
            assert_eq!(device.obtained(), expected);
            assert!(device.link().name.starts_with(&format!("af-xdp {} x0/0", expected.name())));
            steer.serve(SERVER.into(), PORT).expect("an entry");
            let mac = server.mac;
            thread::scope(|scope| {
                // The sender waits for the receiver every 500, which its fill ring holds.
                let (done, wait) = std::sync::mpsc::channel();
                let sender = scope.spawn(move || {
                    net.client.inside(move || {
                        let (_steer, mut device) = self::device("x1");
                        let macs = [mac, device.link().mac].concat();
                        for number in 0..COUNT {
                            let [high, low] = number.to_be_bytes();
                            let mut segment = [0, 9, 0, 80, high, low, 0, 0].to_vec();
                            segment.resize(20 + usize::from(number % 1_400), low);
                            send(&mut device, &ipv4(&macs, CLIENT, SERVER, 6, &segment));
                            if number % 50 == 49 {
                                device.flush();
                                device.receive(&mut Batch::new(64));
                            }
                            if number % 500 == 499 {
                                wait.recv_timeout(Duration::from_secs(20)).expect("received");
                            }
                        }
                    })
                });
                let mut next = 0u16;
                while next < COUNT {
                    for frame in receive(&mut device, 1) {
                        let bytes = device.pool().bytes(&frame);
                        assert_eq!(bytes[38..40], next.to_be_bytes());
                        assert_eq!(bytes.len(), 34 + 20 + usize::from(next % 1_400));
                        assert!(bytes[42..].iter().all(|&byte| byte == next as u8));
                        device.pool().release(frame);
                        next += 1;
                        if next.is_multiple_of(500) {
                            done.send(()).expect("the sender waits");
                        }
                    }
                }
                sender.join().expect("the sender").expect("inside");
            });
            assert_eq!(device.counters().rx_dropped, 0);
            assert_eq!(steer.counters().get("redirected_tcp"), Some(COUNT.into()));
        })
        .expect("inside");
}

fn nic_inside(namespace: &Namespace, name: &str) -> Nic {
    namespace.inside(|| nic(name)).expect("inside")
}

#[test]
fn frames_pass_unchanged_in_copy_mode() {
    between_devices(Mode::Auto, Obtained::Copy);
}

#[test]
fn frames_pass_unchanged_in_generic_mode() {
    between_devices(Mode::Generic, Obtained::Generic);
}

#[test]
fn another_thread_ends_a_sleep() {
    let Some(net) = net(1) else { return };
    net.server
        .inside(|| {
            let (_steer, mut device) = device("x0");
            let waker = Waker::new().expect("an eventfd");
            waker.before_sleep();
            let other = waker.clone();
            let thread = thread::spawn(move || other.wake());
            // Without the wake-up this would never return.
            device.wait(None, &waker);
            waker.after_sleep();
            thread.join().expect("the other thread");
        })
        .expect("inside");
}

#[test]
fn why_no_better_mode_was_obtained_is_remembered() {
    let Some(net) = net(1) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            let steer = Steer::attach(&nic, Mode::Auto).expect("attached");
            let device = open(&steer, &nic, Mode::Auto);
            let why = device.attempts().to_string();
            assert!(why.starts_with("binding zero-copy: EOPNOTSUPP"), "{why}");
            drop(device);
            let config = AfXdpConfig { mode: Mode::ZeroCopy, ..AfXdpConfig::default() };
            let error = AfXdp::open(&steer, &nic, &config, pool()).expect_err("veth has none");
            let text = error.to_string();
            assert!(matches!(error, AfXdpError::NoMode { .. }), "{text}");
            assert!(text.contains("veth") && text.contains("EOPNOTSUPP"), "{text}");
        })
        .expect("inside");
}

#[test]
fn every_queue_has_its_own_socket() {
    let Some(net) = net(2) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            assert_eq!((nic.rx_queues, nic.tx_queues), (2, 2));
            let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
            let open = |queue| {
                let config = AfXdpConfig { queue, mode: Mode::Copy, ..AfXdpConfig::default() };
                AfXdp::open(&steer, &nic, &config, pool())
            };
            let (_zero, _one) = (open(0).expect("queue 0"), open(1).expect("queue 1"));
            let error = open(2).expect_err("no such queue");
            assert!(matches!(error, AfXdpError::NoSuchQueue { queues: 2, .. }), "{error}");
            let error = open(1).expect_err("taken");
            assert!(matches!(error, AfXdpError::QueueTaken { queue: 1, .. }), "{error}");
            assert!(error.to_string().contains("EBUSY"), "{error}");
        })
        .expect("inside");
}

#[test]
fn a_program_that_is_attached_already_is_named() {
    let Some(net) = net(1) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            let _first = Steer::attach(&nic, Mode::Copy).expect("attached");
            let error = Steer::attach(&nic, Mode::Auto).expect_err("attached already");
            let text = error.to_string();
            let AfXdpError::ForeignProgram { id, program, .. } = error else { panic!("{text}") };
            assert!(id > 0 && program == "steer" && text.contains("EBUSY"), "{text}");
        })
        .expect("inside");
}

#[test]
fn an_interface_that_cannot_work_is_refused() {
    let Some(net) = net(1) else { return };
    net.server.ip(&["link", "set", "dev", "x0", "mtu", "9000"]).expect("a large MTU");
    net.client.ip(&["link", "set", "dev", "x1", "mtu", "9000"]).expect("a large MTU");
    net.server
        .inside(|| {
            let nic = nic("x0");
            let error = Steer::attach(&nic, Mode::Copy).expect_err("no XDP with this MTU");
            assert!(matches!(error, AfXdpError::DriverMtu { mtu: 9000, .. }), "{error}");
            // The generic hook takes any MTU, our frames don't.
            let steer = Steer::attach(&nic, Mode::Generic).expect("attached");
            let config = AfXdpConfig { mode: Mode::Generic, ..AfXdpConfig::default() };
            let error = AfXdp::open(&steer, &nic, &config, pool()).expect_err("too large");
            let text = error.to_string();
            assert!(text.contains("9000") && text.contains("mtu 1774"), "{text}");
        })
        .expect("inside");
    net.server.ip(&["link", "set", "dev", "x0", "down"]).expect("down");
    let nic = nic_inside(&net.server, "x0");
    let error = net.server.inside(|| Steer::attach(&nic, Mode::Auto).err()).expect("inside");
    assert!(matches!(error, Some(AfXdpError::Down { .. })), "{error:?}");
}

#[test]
fn a_veth_peer_with_more_queues_is_refused_by_name() {
    let Some(mut lab) = common::or_skip(Lab::new("xdp")) else { return };
    let Some(server) = common::or_skip(lab.namespace("server")) else { return };
    let client = lab.namespace("client").expect("a second namespace");
    let end = |namespace, name, queues| VethEnd {
        namespace,
        name,
        addresses: &[],
        queues,
        offloads: false,
    };
    lab.join(end(&server, "x0", 1), end(&client, "x1", 4)).expect("a veth pair");
    let nic = nic_inside(&server, "x0");
    let error = server.inside(|| Steer::attach(&nic, Mode::Copy).err()).expect("inside");
    let text = error.expect("too few queues").to_string();
    assert!(text.contains("ENOSPC") && text.contains("(1 receive, 1 transmit)"), "{text}");
}

/// Runs the test `name` of this file in another process inside of `namespace`.
fn elsewhere(namespace: &Namespace, wrapper: &[&str], name: &str) -> Child {
    let exe = std::env::current_exe().expect("this program");
    let mut command = match wrapper {
        [] => namespace.command(&exe.to_string_lossy()),
        [first, rest @ ..] => {
            let mut command: Command = namespace.command(first);
            command.args(rest).arg(&exe);
            command
        }
    };
    command.args(["--exact", "--nocapture", name]).env("SIDESTEP_TEST_CHILD", name);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child")
}

fn is_child(name: &str) -> bool {
    std::env::var_os("SIDESTEP_TEST_CHILD").is_some_and(|child| child == name)
}

/// Not a test by itself: the process that the next test kills.
#[test]
fn holder() {
    if !is_child("holder") {
        return;
    }
    let (_steer, _device) = device("x0");
    println!("holding");
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn nothing_stays_attached_when_the_process_is_killed() {
    let Some(net) = net(1) else { return };
    let attached = || {
        let link = net.server.ip(&["link", "show", "dev", "x0"]).expect("the link");
        link.contains("prog/xdp")
    };
    let mut child = elsewhere(&net.server, &[], "holder");
    eventually("the child attaches", attached);
    child.kill().expect("killed");
    child.wait().expect("dead");
    // A successor need not wait for the kernel to clean up.
    net.server.inside(|| drop(device("x0"))).expect("inside");
    eventually("the program is gone", || !attached());
    drop(net.lab);
}

/// Not a test by itself: the process that may lock little memory.
#[test]
fn pauper() {
    if !is_child("pauper") {
        return;
    }
    let nic = nic("x0");
    let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
    let error = AfXdp::open(&steer, &nic, &AfXdpConfig::default(), pool());
    println!("{}", error.expect_err("memory that may not be locked"));
}

#[test]
fn a_locked_memory_limit_is_explained() {
    let Some(net) = net(1) else { return };
    let wrapper = [
        "prlimit",
        "--memlock=65536:65536",
        "setpriv",
        "--bounding-set=-ipc_lock,-sys_resource",
        "--inh-caps=-ipc_lock,-sys_resource",
    ];
    let child = elsewhere(&net.server, &wrapper, "pauper");
    let output = child.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ENOBUFS") && text.contains("limit is 65536 bytes"), "{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
