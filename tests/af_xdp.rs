//! The AF_XDP device over veth: frames in and out in every mode.
#![cfg(feature = "af-xdp")]

mod common;
#[path = "common/veth.rs"]
mod veth;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, BusyPoll, Mode, Obtained, Steer};
use sidestep::device::{Batch, Class, Device, Frame, Place, Waker};

use veth::{device, eventually, net, net_of, nic, nic_inside, open, pool};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const PORT: u16 = 80;
/// An MTU that fits one of the kernel's frames, and one that doesn't.
const ORDINARY: usize = 1_500;
const JUMBO: usize = 9_000;
/// Bound of every wait for something to happen, in turns of [`PAUSE`].
const PATIENCE: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

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
    let mut frame = device.pool().alloc(Class::Control).expect("a frame");
    device.pool().extend(&mut frame, bytes.len());
    device.pool().bytes_mut(&mut frame).copy_from_slice(bytes);
    assert!(device.transmit(&frame), "no room in the tx ring");
    device.pool().release(frame);
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
    to_a_kernel_socket(ORDINARY);
}

#[test]
fn a_kernel_socket_gets_packets_that_are_several_descriptors() {
    to_a_kernel_socket(JUMBO);
}

fn to_a_kernel_socket(mtu: usize) {
    const COUNT: u16 = 5_000;
    // The client reads along: its socket holds a few hundred thousand bytes.
    let step = (75_000 / mtu) as u16;
    let Some(net) = net_of(1, mtu) else { return };
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
                let mut data = [high, low].to_vec();
                data.resize(mtu - 28, low);
                let [long, short] = (8 + data.len() as u16).to_be_bytes();
                // A checksum of zero means none.
                let datagram = [&[0, 7, 0, 9, long, short, 0, 0], &data[..]].concat();
                send(&mut device, &ipv4(&macs, SERVER, CLIENT, 17, &datagram));
                if number % step == step - 1 {
                    device.flush();
                    for expected in number + 1 - step..=number {
                        let mut bytes = [0; JUMBO];
                        let len = socket.recv(&mut bytes).expect("a datagram");
                        assert_eq!((len, &bytes[..2]), (mtu - 28, &expected.to_be_bytes()[..]));
                        assert!(bytes[2..len].iter().all(|&byte| byte == expected as u8));
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
                for _ in 0..room - 256 {
                    send(&mut device, &datagram);
                }
                assert_eq!(device.room(), 256);
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

/// Segments passed between two devices.
const SEGMENTS: u16 = 3_000;

/// Segments sent before the receiver must have them: an emulated card's ring holds 256.
const WINDOW: u16 = 100;

/// Bytes of data in the segment of this number: all lengths up to the link's.
fn data_len(device: &AfXdp, number: u16) -> usize {
    usize::from(number) * 7 % (usize::from(device.link().mtu) - 40)
}

/// Sends [`SEGMENTS`] segments of all lengths to `mac`, [`WINDOW`] at a time.
fn send_segments(device: &mut AfXdp, mac: [u8; 6], go_on: &Receiver<()>) {
    let macs = [mac, device.link().mac].concat();
    for number in 0..SEGMENTS {
        let [high, low] = number.to_be_bytes();
        let mut segment = [0, 9, 0, 80, high, low, 0, 0].to_vec();
        segment.resize(20 + data_len(device, number), low);
        send(device, &ipv4(&macs, CLIENT, SERVER, 6, &segment));
        if number % 50 == 49 {
            device.flush();
            device.receive(&mut Batch::new(64));
        }
        if number % WINDOW == WINDOW - 1 {
            go_on.recv_timeout(Duration::from_secs(20)).expect("received");
        }
    }
}

fn check_segments(device: &mut AfXdp, go_on: &Sender<()>) {
    let mut next = 0u16;
    while next < SEGMENTS {
        for frame in receive(device, 1) {
            let bytes = device.pool().bytes(&frame);
            assert_eq!(bytes[38..40], next.to_be_bytes());
            // Drivers pad to the least length of Ethernet.
            let end = 54 + data_len(device, next);
            assert_eq!(bytes.len().max(60), 60.max(end));
            let data = &bytes[42..end];
            assert!(data.iter().all(|&byte| byte == next as u8));
            device.pool().release(frame);
            next += 1;
            if next.is_multiple_of(WINDOW) {
                go_on.send(()).expect("the sender waits");
            }
        }
    }
}

fn between_devices(mode: Mode, expected: Obtained, mtu: usize) {
    let Some(net) = net_of(1, mtu) else { return };
    net.server
        .inside(|| {
            let server = nic("x0");
            let steer = Steer::attach(&server, mode).expect("attached");
            let mut device = open(&steer, &server, mode);
            assert_eq!(device.obtained(), expected);
            assert!(device.link().name.starts_with(&format!("af-xdp {} x0/0", expected.name())));
            steer.serve(SERVER.into(), PORT).expect("an entry");
            let (done, go_on) = channel();
            thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let send = move || send_segments(&mut self::device("x1").1, server.mac, &go_on);
                    net.client.inside(send)
                });
                check_segments(&mut device, &done);
                sender.join().expect("the sender").expect("inside");
            });
            assert_eq!(device.counters().rx_dropped, 0);
            assert_eq!(device.counters().rx_packets, u64::from(SEGMENTS));
            assert_eq!(steer.counters().get("redirected_tcp"), Some(SEGMENTS.into()));
        })
        .expect("inside");
}

#[test]
#[ignore = "SIDESTEP_TEST_NICS=A,B names two interfaces joined by a wire, for zero-copy"]
fn frames_pass_unchanged_between_cards() {
    let names = std::env::var("SIDESTEP_TEST_NICS").expect("SIDESTEP_TEST_NICS=A,B");
    let (a, b) = names.split_once(',').expect("two names");
    for busy_poll in [None, Some(BusyPoll::default())] {
        let config = AfXdpConfig { mode: Mode::ZeroCopy, busy_poll, ..AfXdpConfig::default() };
        let (a, b) = (nic(a), nic(b));
        let steer = Steer::attach(&a, Mode::ZeroCopy).expect("attached");
        let mut device = AfXdp::open(&steer, &a, &config, pool()).expect("a device");
        assert_eq!(device.obtained(), Obtained::ZeroCopy);
        steer.serve(SERVER.into(), PORT).expect("an entry");
        let (done, go_on) = channel();
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let steer = Steer::attach(&b, Mode::ZeroCopy).expect("attached");
                let mut device = AfXdp::open(&steer, &b, &config, pool()).expect("a device");
                send_segments(&mut device, a.mac, &go_on);
                eventually("all is completed", || {
                    device.receive(&mut Batch::new(64));
                    device.pool().census().posted == 0
                });
                println!("sender: {:?}", device.counters());
            });
            check_segments(&mut device, &done);
            sender.join().expect("the sender");
        });
        println!("receiver: {:?} busy {}", device.counters(), device.is_busy_polled());
    }
}

#[test]
fn frames_pass_unchanged_in_copy_mode() {
    between_devices(Mode::Auto, Obtained::Copy, ORDINARY);
}

#[test]
fn jumbo_frames_pass_unchanged_in_copy_mode() {
    between_devices(Mode::Auto, Obtained::Copy, JUMBO);
}

#[test]
fn frames_pass_unchanged_in_generic_mode() {
    between_devices(Mode::Generic, Obtained::Generic, ORDINARY);
}

#[test]
fn jumbo_frames_pass_unchanged_in_generic_mode() {
    between_devices(Mode::Generic, Obtained::Generic, JUMBO);
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
