//! Connections that we open.

use std::net::IpAddr;

use super::flow::{Flow, Hop};
use super::neighbours::{Advice, Lookup, Use};
use super::{Engine, Target, same_family};
use crate::app::{App, Close, ConnectRequest};
use crate::device::Device;
use crate::tcp::Tcb;
use crate::wire::ethernet::Mac;
use crate::wire::ndp::{multicast_mac, solicited_node};
use crate::wire::{Addr, Link, Seq, arp, ndp};

impl<A: App, D: Device> Engine<A, D> {
    /// Carries out what `on_turn` asked for.
    pub(super) fn open_connections(&mut self) {
        for at in 0..self.commands.connects.len() {
            let request = self.commands.connects[at];
            if self.connect(&request).is_none() {
                self.app.on_connect_failed(request.token, Close::NoResources);
            }
        }
        self.commands.connects.clear();
        self.call_back();
    }

    /// `None` if there is no address, port or slot for it.
    fn connect(&mut self, request: &ConnectRequest) -> Option<()> {
        let remote = Addr::from(request.remote.ip());
        if self.is_broadcast(remote) {
            return None;
        }
        let local = self.local_for(request.local.map(|local| local.ip()), remote)?;
        let mut flow = Flow { remote, remote_port: request.remote.port(), local_port: 0, local };
        flow.local_port = match request.local.map_or(0, |local| local.port()) {
            0 => self.free_port(flow)?,
            port => port,
        };
        let hash = self.hash(&flow);
        if self.slots.is_full() || self.is_taken(&flow) {
            return None;
        }
        let io = &self.io;
        let ours = io.locals[usize::from(local)].cidr.addr.0;
        let (port, to, to_port) = (flow.local_port, remote.0, flow.remote_port);
        let iss = Seq(self.isn.isn(io.now, ours, port, to, to_port));
        let ts_offset = self.isn.timestamp_offset(ours, port, to, to_port);
        let tcb = Tcb::connect(iss, ts_offset, &io.offer(remote.is_v4()), &io.settings, io.now);
        let hop = self.hop_to(local, remote);
        let index = self.take_slot(tcb, &flow, hop)?;
        let named = self.slots.at(index).set_token(request.token, &mut self.io);
        if !named || !self.know_flow(hash, Target::Connection(index), &flow) {
            self.give_slot_back(index);
            return None;
        }
        self.list(index);
        Some(())
    }

    /// Index of the address to connect from.
    fn local_for(&self, wanted: Option<IpAddr>, remote: Addr) -> Option<u16> {
        if let Some(ip) = wanted.filter(|ip| !ip.is_unspecified()) {
            return self.io.local_index(Addr::from(ip));
        }
        let locals = self.io.locals.iter();
        let near = locals.clone().position(|local| local.cidr.contains(remote));
        let any = || {
            let mut locals = locals.clone();
            locals.position(|local| local.cidr.addr.is_v4() == remote.is_v4())
        };
        near.or_else(any).map(|index| index as u16)
    }

    /// Whether this is the broadcast address of a network that we are on.
    pub(super) fn is_broadcast(&self, addr: Addr) -> bool {
        self.io.locals.iter().any(|local| local.cidr.is_broadcast(addr))
    }

    fn is_taken(&self, flow: &Flow) -> bool {
        self.find_flow(flow, self.hash(flow)).is_some()
    }

    /// The next ephemeral port that this flow doesn't have in use yet.
    fn free_port(&mut self, mut flow: Flow) -> Option<u16> {
        let ports = self.config.ephemeral_ports.clone();
        for _ in ports.clone() {
            let port = self.next_port;
            self.next_port = if port >= *ports.end() { *ports.start() } else { port + 1 };
            flow.local_port = port;
            if !self.is_taken(&flow) {
                return Some(port);
            }
        }
        None
    }

    /// The way to `remote`, as far as it is known. If it isn't yet, the SYN is not sent; it goes
    /// out when the answer is there.
    fn hop_to(&mut self, local: u16, remote: Addr) -> Hop {
        let ours = self.io.locals[usize::from(local)].cidr;
        let next = self.next_hop(local, remote).unwrap_or(remote);
        match self.neighbours.lookup(next, Use::Sending, self.io.now) {
            Lookup::Known(mac) => Hop::to(mac),
            Lookup::Verify(mac) => {
                self.ask(ours.addr, next, Some(Mac(mac)));
                Hop::to(mac)
            }
            Lookup::AskNow => {
                self.ask(ours.addr, next, None);
                Hop::UNKNOWN
            }
            Lookup::Pending | Lookup::Unreachable => Hop::UNKNOWN,
        }
    }

    /// Who takes packets for `remote`: itself on the link, or a gateway, if there is one.
    fn next_hop(&self, local: u16, remote: Addr) -> Option<Addr> {
        if self.io.locals[usize::from(local)].cidr.contains(remote) {
            return Some(remote);
        }
        let gateway = self.config.gateways.iter().find(|ip| same_family(ip, remote));
        gateway.map(|gateway| Addr::from(*gateway))
    }

    /// Segments time out again and again: perhaps the next hop is there no more (RFC 9293 section
    /// 3.8.3, advice at R1; RFC 4861 section 7.3). It is asked, and followed to where it is found.
    /// Only where we can hear the answer: one to an address of the kernel's is the kernel's.
    pub(super) fn doubt_hop(&mut self, index: u32) {
        let slot = self.slots.at(index);
        let (Flow { local, remote, .. }, hop) = (slot.flow(&self.io), slot.hop);
        let ours = self.io.locals[usize::from(local)];
        let next = self.next_hop(local, remote).filter(|_| ours.owned && hop.is_untagged());
        let Some(next) = next.filter(|next| !self.neighbours.is_static(*next)) else { return };
        match self.neighbours.lookup(next, Use::Doubt, self.io.now) {
            Lookup::Known(mac) => self.slots.at(index).hop = Hop::to(mac),
            Lookup::Verify(mac) => {
                self.ask(ours.cidr.addr, next, Some(Mac(mac)));
                self.slots.at(index).hop = Hop::to(mac);
            }
            Lookup::AskNow => self.ask(ours.cidr.addr, next, None),
            Lookup::Pending | Lookup::Unreachable => {}
        }
    }

    /// A connection that we opened got an answer: its next hop is there (RFC 4861 section 7.3.1).
    pub(super) fn hop_confirmed(&mut self, index: u32) {
        let slot = self.slots.at(index);
        let (flow, hop) = (slot.flow(&self.io), slot.hop);
        if let Some(next) = self.next_hop(flow.local, flow.remote) {
            self.neighbours.confirm(next, hop.mac(), self.io.now);
        }
    }

    /// Finds the way for a connection whose next hop was not known.
    pub(super) fn resolve(&mut self, index: u32) {
        let flow = self.slots.at(index).flow(&self.io);
        let hop = self.hop_to(flow.local, flow.remote);
        self.slots.at(index).hop = hop;
    }

    /// Asks who has `next`: everybody, or the one who had it last.
    fn ask(&mut self, ours: Addr, next: Addr, last: Option<Mac>) {
        let src = self.io.mac();
        self.io.send_packet(|packet| {
            if next.is_v4() {
                let dst = last.unwrap_or(Mac::BROADCAST);
                arp::request(packet, Link { src, dst, vlan: None }, ours, next)
            } else {
                let group = solicited_node(next);
                let to = if last.is_some() { next } else { group };
                let dst = last.unwrap_or(multicast_mac(group));
                ndp::solicitation(packet, Link { src, dst, vlan: None }, ours, to, next)
            }
        });
    }

    /// A neighbour's address is known: connections that wait for it go on.
    pub(super) fn learned(&mut self, neighbour: Addr, mac: Option<Mac>, advice: Advice) {
        if !self.neighbours.learn(neighbour, mac.map(|mac| mac.0), advice, self.io.now) {
            return;
        }
        let waits = |index: &u32| self.slots.get(*index).is_some_and(|s| s.hop == Hop::UNKNOWN);
        for index in self.slots.indices().filter(waits).collect::<Vec<_>>() {
            self.resolve(index);
            let slot = self.slots.at(index);
            if slot.hop != Hop::UNKNOWN {
                slot.tcb.syn_never_left();
                self.list(index);
            }
        }
    }
}
