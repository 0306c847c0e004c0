//! The XDP program on packets made by hand, run by the kernel without a network (BPF_PROG_RUN).
#![cfg(feature = "af-xdp")]

mod common;
#[path = "common/steered.rs"]
mod steered;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer, Verdict};
use sidestep::device::{Pool, PoolConfig};
use sidestep::runtime::Interface;
use sidestep::runtime::lab::{Lab, VethEnd};

/// Served, and an address that the kernel has too.
const SERVED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Owned: the kernel has it not.
const OWNED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 7);
/// Neither.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 8);
const PORT: u16 = 80;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

fn served6() -> Ipv6Addr {
    "fd09::1".parse().expect("an address")
}

fn owned6() -> Ipv6Addr {
    "fd09::7".parse().expect("an address")
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let macs = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    [&macs[..], &ethertype.to_be_bytes(), payload].concat()
}

fn vlan(tag: u16, inner: &[u8]) -> Vec<u8> {
    [&inner[..12], &tag.to_be_bytes(), &[0, 5], &inner[12..]].concat()
}

/// `fragment`: the field with flags and offset.
fn ipv4(to: Ipv4Addr, protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let total = (words * 4 + payload.len()) as u16;
    let mut header = vec![0x40 | words as u8, 0];
    header.extend(total.to_be_bytes());
    header.extend([0, 1]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0, 10, 9, 0, 2]);
    header.extend(to.octets());
    ethernet(0x0800, &[&header, options, payload].concat())
}

fn ipv6(to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, 64]);
    header.extend("fd09::2".parse::<Ipv6Addr>().expect("an address").octets());
    header.extend(to.octets());
    ethernet(0x86dd, &[&header, payload].concat())
}

/// An extension header of eight bytes.
fn extension(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

fn fragment(next: u8, field: u16) -> [u8; 8] {
    let [high, low] = field.to_be_bytes();
    [next, 0, high, low, 0, 0, 0, 9]
}

fn tcp(port: u16) -> Vec<u8> {
    let mut segment = 40_000u16.to_be_bytes().to_vec();
    segment.extend(port.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

fn arp(target: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 9, 0, 2, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    ethernet(0x0806, &body)
}

fn icmp(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], rest].concat()
}

struct Bench {
    steer: Steer,
    out: Vec<u8>,
}

impl Bench {
    /// What the program does with `frame`: its verdict and the counter that moved (of two, the
    /// first).
    fn run(&mut self, frame: &[u8]) -> (Verdict, &'static str) {
        let (verdict, moved) = steered::run(&mut self.steer, frame, &mut self.out);
        assert_eq!(self.out, frame, "steering changes nothing");
        match moved.as_slice() {
            [one] => (verdict, one),
            // Malformed packets count as passed too.
            ["passed", "malformed"] => (verdict, "malformed"),
            other => panic!("moved {other:?}"),
        }
    }

    fn check(&mut self, what: &str, frame: &[u8], expected: (Verdict, &str)) {
        assert_eq!(self.run(frame), expected, "{what}");
    }
}

const PASS: (Verdict, &str) = (Verdict::Pass, "passed");
const MALFORMED: (Verdict, &str) = (Verdict::Pass, "malformed");
const OURS: (Verdict, &str) = (Verdict::Redirect, "redirected_tcp");
const CONTROL: (Verdict, &str) = (Verdict::Redirect, "redirected_control");
const NO_SOCKET: (Verdict, &str) = (Verdict::Drop, "no_socket");
const FRAGMENT_DROPPED: (Verdict, &str) = (Verdict::Drop, "fragments_dropped");

/// Runs `f` on a program that redirects queue 0 to an AF_XDP socket in a lab of its own.
fn with_socket(f: impl FnOnce(&mut Bench) + Send) {
    let Some(mut lab) = common::or_skip(Lab::new("steer")) else { return };
    let Some(a) = common::or_skip(lab.namespace("a")) else { return };
    let b = lab.namespace("b").expect("a second namespace");
    let end =
        |namespace, name| VethEnd { namespace, name, addresses: &[], queues: 1, offloads: false };
    lab.join(end(&a, "x0"), end(&b, "x1")).expect("a veth pair");
    a.inside(|| {
        let nic = Interface::find("x0").expect("our end").nic();
        let Some(mut steer) = common::or_skip(Steer::attach(&nic, Mode::Copy)) else { return };
        let frames = PoolConfig { frames: 256, reserve: 16, ..PoolConfig::default() };
        let pool = Pool::new(frames).expect("frames");
        let config = AfXdpConfig { mode: Mode::Copy, ..AfXdpConfig::default() };
        let device = AfXdp::open(&steer, &nic, &config, pool).expect("a socket");
        for address in [IpAddr::V4(SERVED), IpAddr::V6(served6())] {
            steer.serve(address, PORT).expect("an entry");
        }
        for address in [IpAddr::V4(OWNED), IpAddr::V6(owned6())] {
            steer.own(&nic, address).expect("an entry");
        }
        f(&mut Bench { steer, out: Vec::new() });
        drop(device);
    })
    .expect("a thread inside");
}

#[test]
fn tcp_to_served_ports_and_owned_addresses_is_ours() {
    with_socket(|bench| {
        bench.check("served", &ipv4(SERVED, TCP, 0, &[], &tcp(PORT)), OURS);
        bench.check("another port", &ipv4(SERVED, TCP, 0, &[], &tcp(22)), PASS);
        bench.check("another address", &ipv4(OTHER, TCP, 0, &[], &tcp(PORT)), PASS);
        bench.check("UDP", &ipv4(SERVED, UDP, 0, &[], &tcp(PORT)), PASS);
        bench.check("owned, any port", &ipv4(OWNED, TCP, 0, &[], &tcp(40_001)), OURS);
        bench.check("options", &ipv4(SERVED, TCP, 0, &[1; 40], &tcp(PORT)), OURS);
        bench.check("don't fragment", &ipv4(SERVED, TCP, 0x4000, &[], &tcp(PORT)), OURS);
        bench.check("IPv6", &ipv6(served6(), TCP, &tcp(PORT)), OURS);
        bench.check("IPv6, another port", &ipv6(served6(), TCP, &tcp(22)), PASS);
        bench.check("IPv6, owned", &ipv6(owned6(), TCP, &tcp(22)), OURS);
        bench.steer.withdraw(SERVED.into(), PORT);
        bench.check("withdrawn", &ipv4(SERVED, TCP, 0, &[], &tcp(PORT)), PASS);
    });
}

#[test]
fn one_vlan_tag_is_skipped() {
    with_socket(|bench| {
        let plain = ipv4(SERVED, TCP, 0, &[], &tcp(PORT));
        let tagged = vlan(0x8100, &plain);
        bench.check("one tag", &tagged, OURS);
        bench.check("one tag, IPv6", &vlan(0x8100, &ipv6(served6(), TCP, &tcp(PORT))), OURS);
        bench.check("one tag, ARP", &vlan(0x8100, &arp(OWNED)), CONTROL);
        bench.check("two tags", &vlan(0x8100, &tagged), PASS);
        bench.check("a service tag", &vlan(0x88a8, &plain), PASS);
    });
}

#[test]
fn extension_headers_are_walked_with_a_bound() {
    with_socket(|bench| {
        let chain = |count: usize| {
            let mut chain = Vec::new();
            for left in (0..count).rev() {
                chain.extend(extension(if left == 0 { TCP } else { DESTINATION_OPTIONS }));
            }
            ipv6(served6(), DESTINATION_OPTIONS, &[chain, tcp(PORT)].concat())
        };
        for count in 1..=6 {
            bench.check("a chain", &chain(count), OURS);
        }
        bench.check("too long a chain", &chain(7), MALFORMED);
        let hop = [&extension(TCP)[..], &tcp(PORT)].concat();
        bench.check("hop by hop", &ipv6(served6(), HOP_BY_HOP, &hop), OURS);
        let long = [&[TCP, 2][..], &[0; 22], &tcp(PORT)].concat();
        bench.check("of 24 bytes", &ipv6(served6(), DESTINATION_OPTIONS, &long), OURS);
        let authentication = [&[TCP, 1][..], &[0; 10], &tcp(PORT)].concat();
        bench.check("of 12 bytes", &ipv6(served6(), AUTHENTICATION, &authentication), OURS);
        let beyond = [&[TCP, 200][..], &[0; 22], &tcp(PORT)].concat();
        bench.check("beyond the end", &ipv6(served6(), DESTINATION_OPTIONS, &beyond), MALFORMED);
        bench.check("no next header", &ipv6(served6(), 59, &[]), PASS);
    });
}

#[test]
fn fragments_that_would_be_ours_are_dropped() {
    const MORE: u16 = 0x2000;
    with_socket(|bench| {
        let first = |to| ipv4(to, TCP, MORE, &[], &tcp(PORT));
        let later = |to| ipv4(to, TCP, 100, &[], &tcp(PORT));
        bench.check("first, served", &first(SERVED), FRAGMENT_DROPPED);
        bench.check("first, owned", &first(OWNED), FRAGMENT_DROPPED);
        bench.check("first, other", &first(OTHER), PASS);
        bench.check("later, owned", &later(OWNED), FRAGMENT_DROPPED);
        bench.check("later, shared with the kernel", &later(SERVED), PASS);
        bench.check("first, another port", &ipv4(SERVED, TCP, MORE, &[], &tcp(22)), PASS);
        bench.check("UDP, owned", &ipv4(OWNED, UDP, 100, &[], &tcp(PORT)), PASS);

        let six = |to, field| ipv6(to, FRAGMENT, &[&fragment(TCP, field)[..], &tcp(PORT)].concat());
        bench.check("IPv6 first", &six(served6(), 1), FRAGMENT_DROPPED);
        bench.check("IPv6 later, owned", &six(owned6(), 800), FRAGMENT_DROPPED);
        bench.check("IPv6 later, shared", &six(served6(), 800), PASS);
        // RFC 6946: a fragment that is all of the datagram is handled as if whole.
        bench.check("IPv6 atomic", &six(served6(), 0), OURS);
    });
}

#[test]
fn control_messages_are_ours_only_for_owned_addresses() {
    with_socket(|bench| {
        bench.check("ARP, owned", &arp(OWNED), CONTROL);
        bench.check("ARP, shared", &arp(SERVED), PASS);
        for kind in [8, 3, 11, 12] {
            bench.check("ICMP, owned", &ipv4(OWNED, ICMP, 0, &[], &icmp(kind, &[])), CONTROL);
            bench.check("ICMP, shared", &ipv4(SERVED, ICMP, 0, &[], &icmp(kind, &[])), PASS);
        }
        bench.check("echo reply", &ipv4(OWNED, ICMP, 0, &[], &icmp(0, &[])), PASS);
        for kind in [1, 2, 3, 4, 128, 136] {
            bench.check("ICMPv6, owned", &ipv6(owned6(), ICMPV6, &icmp(kind, &[])), CONTROL);
            bench.check("ICMPv6, shared", &ipv6(served6(), ICMPV6, &icmp(kind, &[])), PASS);
        }
        let group: Ipv6Addr = "ff02::1:ff00:7".parse().expect("an address");
        let solicit = |target: Ipv6Addr| ipv6(group, ICMPV6, &icmp(135, &target.octets()));
        bench.check("solicitation, owned", &solicit(owned6()), CONTROL);
        bench.check("solicitation, shared", &solicit(served6()), PASS);
        bench.check("router advertisement", &ipv6(owned6(), ICMPV6, &icmp(134, &[0; 8])), PASS);
    });
}

#[test]
fn icmp_errors_about_segments_from_served_ports_are_ours() {
    // A packet the other way: its source in the place of the destination, and from `port`.
    let quote = |mut packet: Vec<u8>, source: std::ops::Range<usize>, from: &[u8], port: u16| {
        packet[source.clone()].copy_from_slice(from);
        let ports = source.end + from.len();
        packet[ports..ports + 2].copy_from_slice(&port.to_be_bytes());
        packet.split_off(14)
    };
    let quote4 = |from: Ipv4Addr, port, protocol| {
        quote(ipv4(OTHER, protocol, 0, &[], &tcp(9)), 26..30, &from.octets(), port)
    };
    let quote6 =
        |from: Ipv6Addr, port| quote(ipv6(owned6(), TCP, &tcp(9)), 22..38, &from.octets(), port);
    with_socket(|bench| {
        let error4 = |quoted: &[u8]| ipv4(SERVED, ICMP, 0, &[], &icmp(3, quoted));
        bench.check("served", &error4(&quote4(SERVED, PORT, TCP)), CONTROL);
        bench.check("another port", &error4(&quote4(SERVED, 81, TCP)), PASS);
        bench.check("another address", &error4(&quote4(OTHER, PORT, TCP)), PASS);
        bench.check("UDP", &error4(&quote4(SERVED, PORT, UDP)), PASS);
        bench.check("cut short", &error4(&quote4(SERVED, PORT, TCP)[..22]), PASS);
        for kind in [1, 2, 3, 4] {
            let error6 = |quoted: &[u8]| ipv6(served6(), ICMPV6, &icmp(kind, quoted));
            bench.check("served, IPv6", &error6(&quote6(served6(), PORT)), CONTROL);
            bench.check("another port, IPv6", &error6(&quote6(served6(), 81)), PASS);
        }
    });
}

#[test]
fn what_is_cut_short_is_left_to_the_kernel() {
    with_socket(|bench| {
        let whole = ipv4(SERVED, TCP, 0, &[1; 8], &tcp(PORT));
        // The kernel itself takes no frame shorter than an Ethernet header.
        for len in 15..whole.len() {
            let (verdict, counter) = bench.run(&whole[..len]);
            // With both ports the engine is the one to judge the rest.
            let expected = if len < 14 + 28 + 4 { MALFORMED } else { OURS };
            assert_eq!((verdict, counter), expected, "{len} bytes");
        }
        let mut bad = whole.clone();
        bad[14] = 0x44;
        bench.check("header length of 16", &bad, MALFORMED);
        bad[14] = 0x57;
        bench.check("version 5", &bad, MALFORMED);
        bench.check("short ARP", &arp(OWNED)[..40], MALFORMED);
        bench.check("short ICMP", &ipv4(OWNED, ICMP, 0, &[], &[8, 0, 0]), MALFORMED);
    });
}

#[test]
fn without_a_socket_ours_is_dropped_and_the_rest_passed() {
    let Some(steer) = common::or_skip(Steer::load(1)) else { return };
    steer.serve(SERVED.into(), PORT).expect("an entry");
    let mut bench = Bench { steer, out: Vec::new() };
    bench.check("served", &ipv4(SERVED, TCP, 0, &[], &tcp(PORT)), NO_SOCKET);
    bench.check("not served", &ipv4(SERVED, TCP, 0, &[], &tcp(22)), PASS);
}
