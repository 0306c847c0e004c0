//! A client made of single frames with an 802.1Q tag, for kernels without VLAN devices.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer};
use sidestep::device::{Batch, Class, Device, Pool, PoolConfig, Waker};
use sidestep::runtime::Interface;

const SERVER: [u8; 4] = [10, 9, 5, 1];
const CLIENT: [u8; 4] = [10, 9, 5, 2];
const TCP: u8 = 6;
const VLAN: u16 = 5;

/// An interface whose frames to one address come here, and not to the kernel.
pub(crate) struct RawEnd {
    device: AfXdp,
    mac: [u8; 6],
    _steer: Steer,
}

impl RawEnd {
    pub(crate) fn open(interface: &str, address: &str) -> RawEnd {
        let nic = Interface::find(interface).expect("there").nic();
        let address: IpAddr = address.parse().expect("an address");
        let mut steer = Steer::attach(&nic, Mode::Copy).expect("attached");
        let pool =
            Pool::new(PoolConfig { frames: 1_024, ..PoolConfig::default() }).expect("frames");
        let device = AfXdp::open(&steer, &nic, &AfXdpConfig::default(), pool).expect("a queue");
        steer.own(&nic, address).expect("ours");
        RawEnd { device, mac: nic.mac, _steer: steer }
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Sends a frame until one comes that is the answer, for at most five seconds.
    pub(crate) fn ask(&mut self, frame: &[u8], answers: fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let (mut batch, waker) = (Batch::new(64), Waker::new().expect("an eventfd"));
        let pool = self.device.pool().clone();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let mut out = pool.alloc(Class::Data).expect("a frame");
            pool.extend(&mut out, frame.len());
            pool.bytes_mut(&mut out).copy_from_slice(frame);
            assert!(self.device.transmit(&out));
            pool.release(out);
            self.device.flush();
            for _ in 0..5 {
                self.device.wait(Some(Duration::from_millis(50)), &waker);
                self.device.receive(&mut batch);
                let mut answer = None;
                for got in batch.drain() {
                    let bytes = pool.bytes(&got);
                    if answers(bytes) {
                        answer = Some(bytes.to_vec());
                    }
                    pool.release(got);
                }
                if answer.is_some() {
                    return answer;
                }
            }
        }
        None
    }
}

fn header(to: [u8; 6], from: [u8; 6], kind: u16) -> Vec<u8> {
    let mut frame = [to, from].concat();
    for word in [0x8100, VLAN, kind] {
        frame.extend(word.to_be_bytes());
    }
    frame
}

fn has_header(frame: &[u8], kind: u16) -> bool {
    frame.len() > 18 && frame[12..18] == header([0; 6], [0; 6], kind)[12..]
}

pub(crate) fn arp_request(mac: [u8; 6]) -> Vec<u8> {
    let mut frame = header([0xff; 6], mac, 0x0806);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(CLIENT);
    frame.extend([0; 6]);
    frame.extend(SERVER);
    frame
}

pub(crate) fn is_arp_reply(frame: &[u8]) -> bool {
    has_header(frame, 0x0806) && frame[24..26] == [0, 2] && frame[32..36] == SERVER
}

pub(crate) fn syn(from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0];
    ip.extend([CLIENT, SERVER].concat());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    // From port 4000 to port 80: sequence number 1, SYN, window 64 KiB, no options.
    let mut tcp =
        vec![0x0f, 0xa0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
    let pseudo = [&CLIENT[..], &SERVER, &[0, TCP, 0, tcp.len() as u8], &tcp].concat();
    let sum = checksum(&pseudo);
    tcp[16..18].copy_from_slice(&sum);
    [header(to, from, 0x0800), ip, tcp].concat()
}

pub(crate) fn is_syn_ack(frame: &[u8]) -> bool {
    let is_tcp = has_header(frame, 0x0800) && frame.len() >= 58 && frame[27] == TCP;
    is_tcp && frame[38..40] == [0, 80] && frame[51] == 0x12 && frame[46..50] == [0, 0, 0, 2]
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}
