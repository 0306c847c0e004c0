//! The TAP device against the kernel at its other end.
#![cfg(feature = "tap")]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use sidestep::device::{
    Batch, Class, Device, Place, Pool, PoolConfig, Tap, TapConfig, TapError, Tee, Waker,
};
use sidestep::runtime::lab::{Lab, Namespace};

const PATIENCE: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

fn namespace() -> Option<(Lab, Namespace)> {
    let mut lab = common::or_skip(Lab::new("tap"))?;
    let host = common::or_skip(lab.namespace("host"))?;
    Some((lab, host))
}

fn pool() -> Pool {
    let config = PoolConfig { frames: 256, reserve: 16, ..PoolConfig::default() };
    Pool::new(config).expect("frames")
}

/// The next packet of `ethertype` from the kernel that `wanted` accepts.
fn next(device: &mut impl Device, ethertype: u16, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let waker = Waker::new().expect("an eventfd");
    let mut batch = Batch::new(8);
    for _ in 0..PATIENCE {
        device.receive(&mut batch);
        let mut found = None;
        for frame in batch.drain() {
            let bytes = device.pool().bytes(&frame);
            if bytes[12..14] == ethertype.to_be_bytes() && wanted(bytes) {
                found.get_or_insert(bytes.to_vec());
            }
            device.pool().release(frame);
        }
        if let Some(bytes) = found {
            return bytes;
        }
        device.wait(Some(PAUSE), &waker);
    }
    panic!("no packet of type {ethertype:#x} came");
}

fn send(device: &mut impl Device, bytes: &[u8]) {
    let mut frame = device.pool().alloc(Class::Control).expect("a frame");
    device.pool().extend(&mut frame, bytes.len());
    device.pool().bytes_mut(&mut frame).copy_from_slice(bytes);
    assert!(device.transmit(&frame));
    device.pool().release(frame);
    device.flush();
}

/// Answers an ARP request for 10.9.1.1 with our hardware address.
fn arp_reply(request: &[u8], mac: [u8; 6]) -> Vec<u8> {
    let (their_mac, their_ip) = (&request[22..28], &request[28..32]);
    let head = [&request[14..20], &[0, 2]].concat();
    let body = [&head, &mac[..], &request[38..42], their_mac, their_ip].concat();
    [their_mac, &mac, &[8, 6], &body].concat()
}

#[test]
fn the_kernel_talks_to_us_and_hears_us() {
    let Some((_lab, host)) = namespace() else { return };
    host.inside(|| {
        let config = TapConfig::new("t0");
        let Some(tap) = common::or_skip(Tap::open(&config, pool())) else { return };
        assert_eq!(tap.link().name, "tap t0");
        host.ip(&["link", "set", "dev", "t0", "up"]).expect("up");
        host.ip(&["address", "add", "10.9.1.2/24", "dev", "t0"]).expect("an address");
        let mut device = Tee::new(tap, Vec::new()).expect("a recording in memory");

        let socket = UdpSocket::bind("10.9.1.2:9").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        socket.send_to(b"hello", "10.9.1.1:7").expect("sent");
        let request = next(&mut device, 0x0806, |bytes| bytes[38..42] == [10, 9, 1, 1]);
        send(&mut device, &arp_reply(&request, config.mac));

        let mut datagram = next(&mut device, 0x0800, |bytes| bytes[23] == 17);
        assert_eq!(datagram[0..6], config.mac);
        assert_eq!(&datagram[42..], b"hello");
        // Back to where it came from: swapping leaves both checksums as they are.
        for (a, b, len) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
            let (front, back) = datagram.split_at_mut(b);
            front[a..a + len].swap_with_slice(&mut back[..len]);
        }
        send(&mut device, &datagram);
        let mut echo = [0; 16];
        let (len, from) = socket.recv_from(&mut echo).expect("an echo");
        assert_eq!((&echo[..len], from), (&b"hello"[..], ([10, 9, 1, 1], 7).into()));

        let census = device.pool().census();
        assert_eq!(census.at(Place::Free), device.pool().frames(), "frames lost");
        assert_eq!(device.counters().tx_packets, 2);
        assert!(device.error().is_none());
    })
    .expect("inside");
}

#[test]
fn an_interface_that_is_taken_is_refused() {
    let Some((_lab, host)) = namespace() else { return };
    host.inside(|| {
        let config = TapConfig::new("t0");
        let Some(_first) = common::or_skip(Tap::open(&config, pool())) else { return };
        let error = Tap::open(&config, pool()).expect_err("taken");
        assert!(matches!(error, TapError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("another process has it"), "{error}");
        let queues = TapConfig { multi_queue: true, ..TapConfig::new("t1") };
        let _both = [(); 2].map(|()| Tap::open(&queues, pool()).expect("a queue each"));
    })
    .expect("inside");
}
