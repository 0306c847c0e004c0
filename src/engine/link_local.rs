//! What is not TCP: ICMP errors, and for addresses that the kernel hasn't got ARP, neighbour
//! discovery and echo.

use super::Engine;
use super::counters::Counter;
use super::neighbours::Advice;
use crate::app::App;
use crate::device::{Device, Frame};
use crate::tcp::path_error::PathError;
use crate::wire::ethernet::Mac;
use crate::wire::ndp::AdvertisementFlags;
use crate::wire::{Addr, Body, Link, Parsed, arp, icmp4, icmp6, ndp};

impl<A: App, D: Device> Engine<A, D> {
    pub(super) fn link_local_arrives(&mut self, mut frame: Frame, parsed: &Parsed) {
        match &parsed.body {
            Body::Arp(packet) => self.arp_arrives(packet, &parsed.link),
            Body::Ndp(message) => self.ndp_arrives(message, &parsed.link),
            Body::Icmp4(message) => match message.kind {
                icmp4::Kind::EchoRequest(_) if self.owns(message.dst) => {
                    self.echo(&mut frame, icmp4::echo_reply_in_place);
                }
                ref kind => {
                    if let Some((error, quoted)) = PathError::of_v4(kind) {
                        self.icmp_error_arrives(&frame, message.dst, error, &quoted);
                    }
                }
            },
            Body::Icmp6(message) => match message.kind {
                icmp6::Kind::EchoRequest(_) if self.owns(message.dst) => {
                    self.echo(&mut frame, icmp6::echo_reply_in_place);
                }
                ref kind => {
                    if let Some((error, quoted)) = PathError::of_v6(kind) {
                        self.icmp_error_arrives(&frame, message.dst, error, &quoted);
                    }
                }
            },
            Body::Tcp(_) => {}
        }
        self.io.pool.release(frame);
    }

    /// Whether the address is ours alone.
    fn owns(&self, addr: Addr) -> bool {
        self.io.locals.iter().any(|local| local.owned && local.cidr.addr == addr)
    }

    /// RFC 826.
    fn arp_arrives(&mut self, packet: &arp::Packet, link: &Link) {
        let is_reply = packet.operation == arp::Operation::Reply;
        self.learned(packet.sender, Some(packet.sender_mac), Advice::of(is_reply, true));
        let asks = packet.operation == arp::Operation::Request && self.owns(packet.target);
        if !asks || !self.io.may_reply() {
            return;
        }
        let back = Link { src: self.io.mac(), dst: packet.sender_mac, vlan: link.vlan };
        if self.io.send_packet(|out| arp::reply(out, back, packet.target, packet.sender)) {
            self.io.counters.inc(Counter::NeighbourReplies);
        }
    }

    /// RFC 4861 section 7.2.
    fn ndp_arrives(&mut self, message: &ndp::Message, link: &Link) {
        match message.kind {
            ndp::Kind::Advertisement { target_mac, flags } => {
                let advice = Advice::of(flags.solicited, flags.replace);
                self.learned(message.target, target_mac, advice);
            }
            ndp::Kind::Solicitation { source_mac } => {
                if source_mac.is_some() && !message.src.is_unspecified() {
                    self.learned(message.src, source_mac, Advice::Announcement);
                }
                let mac = source_mac.unwrap_or(link.src);
                if self.owns(message.target) && self.io.may_reply() {
                    self.advertise(message, mac, link);
                }
            }
        }
    }

    /// Section 7.2.4: to who asked, or to all nodes if that one has no address yet.
    fn advertise(&mut self, message: &ndp::Message, mac: Mac, link: &Link) {
        let nobody = message.src.is_unspecified();
        let to = if nobody { ALL_NODES } else { message.src };
        let dst = if nobody { ndp::multicast_mac(ALL_NODES) } else { mac };
        let back = Link { src: self.io.mac(), dst, vlan: link.vlan };
        let flags = AdvertisementFlags { router: false, solicited: !nobody, replace: true };
        let target = message.target;
        let write = |out: &mut [u8]| ndp::advertisement(out, back, target, to, target, flags);
        if self.io.send_packet(write) {
            self.io.counters.inc(Counter::NeighbourReplies);
        }
    }

    /// Turns the request into its reply where it lies.
    fn echo(&mut self, frame: &mut Frame, reply: fn(&mut [u8]) -> Option<usize>) {
        if !self.io.may_reply() {
            return;
        }
        if let Some(len) = reply(self.io.pool.bytes_mut(frame)) {
            frame.truncate(len);
            if self.io.device.transmit(frame) {
                self.io.counters.inc(Counter::EchoReplies);
            } else {
                self.io.counters.inc(Counter::DropTransmitFull);
            }
        }
    }
}

/// The group of all nodes on the link (RFC 4291 section 2.7.1).
const ALL_NODES: Addr = Addr([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
