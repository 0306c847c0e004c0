//! A slot for a connection that begins, with its address beside it: both, or neither.
//!
//! Each table here has room for as many as may come to it, so nothing of this fails while they
//! agree. Should they ever not, a connection is refused, and costs no other one its place.

use super::Engine;
use super::flow::{Flow, Hop};
use super::slots::Slot;
use crate::app::App;
use crate::device::Device;
use crate::tcp::Tcb;

impl<A: App, D: Device> Engine<A, D> {
    /// Takes a slot; `None`, and nothing is taken, if there is none free.
    pub(super) fn take_slot(&mut self, tcb: Tcb, flow: &Flow, hop: Hop) -> Option<u32> {
        let ends = self.io.far.keep(flow)?;
        let taken = self.slots.insert(|id| Slot::new(tcb, ends, hop, id));
        if taken.is_none() {
            self.io.far.forget(&ends);
        }
        taken
    }

    /// Gives back a slot that was taken for a connection which can't begin after all.
    pub(super) fn give_slot_back(&mut self, index: u32) {
        self.slots.at(index).leave(&mut self.io);
        self.slots.remove(index);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::app::{Close, Core, CoreId, Peer, Refuse, Rx, Tx};
    use crate::device::{Pool, PoolConfig, Port, VirtualDevice};
    use crate::engine::demux::Demux;
    use crate::engine::ends::FarAddresses;
    use crate::engine::slots::Slots;
    use crate::engine::{Counter, EngineConfig, Listen, LocalAddress, SynCookies};
    use crate::time::Instant;
    use crate::wire::tcp::{Flags, Headers, Options, Segment};
    use crate::wire::{Addr, Body, Checks, DEFAULT_HOP_LIMIT, Link, Mac, Seq, parse};

    const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn at(host: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host]), 80)
    }

    /// Connects when it is told to.
    #[derive(Default)]
    struct Caller {
        calls: Option<SocketAddr>,
        failed: Vec<(u64, Close)>,
    }

    impl App for Caller {
        type Conn = ();
        type Message = ();

        fn on_open(&mut self, _peer: &Peer, _tx: &mut Tx<'_>) -> Result<(), Refuse> {
            Ok(())
        }

        fn on_data(&mut self, _conn: &mut (), _rx: &mut Rx<'_>, _tx: &mut Tx<'_>) {}

        fn on_connect_failed(&mut self, token: u64, why: Close) {
            self.failed.push((token, why));
        }

        fn on_turn(&mut self, core: &mut Core<'_>) {
            if let Some(to) = self.calls.take() {
                core.connect(to, None, 7).expect("the first request");
            }
        }
    }

    /// An engine that answers every SYN with a cookie, and one peer, all of it IPv6.
    struct World {
        engine: Engine<Caller, VirtualDevice>,
        port: Port,
    }

    impl World {
        fn new() -> World {
            let mut config = EngineConfig::new([7; 32]);
            config.addresses.push(LocalAddress { ip: at(1).ip(), prefix_len: 64, owned: true });
            config.listeners.push(Listen { at: at(1) });
            config.neighbours.push((at(2).ip(), PEER_MAC));
            config.cookies.when = SynCookies::Always;
            let pool =
                PoolConfig { frames: 256, reserve: 16, huge_pages: false, frame_size: 2_048 };
            let pool = Pool::new(pool).expect("memory");
            let (device, port) = VirtualDevice::new(pool, OUR_MAC, 1_500);
            let engine = Engine::standalone(config, device, Caller::default()).expect("an eventfd");
            World { engine, port }
        }

        fn turn(&mut self) -> Vec<Segment> {
            self.engine.turn(Instant::from_millis(1_000));
            let packets = core::iter::from_fn(|| self.port.receive());
            packets
                .filter_map(|packet| match parse(&packet, Checks::FULL).expect("ours").body {
                    Body::Tcp(segment) => Some(segment),
                    _ => None,
                })
                .collect()
        }

        fn send(&mut self, flags: Flags, seq: Seq, ack: Seq) -> Vec<Segment> {
            let headers = Headers {
                link: Link { src: Mac(PEER_MAC), dst: Mac(OUR_MAC), vlan: None },
                src: Addr::from(at(2).ip()),
                dst: Addr::from(at(1).ip()),
                src_port: 40_000,
                dst_port: at(1).port(),
                seq,
                ack,
                flags,
                window: 65_535,
                urgent: 0,
                hop_limit: DEFAULT_HOP_LIMIT,
                dscp: 0,
                ecn: 0,
                flow_label: 0,
                options: Options::NONE,
            };
            let mut packet = vec![0; headers.len()];
            headers.emit(&mut packet);
            self.port.send(&packet);
            self.turn()
        }

        /// Connections, and rows in the tables beside them.
        fn taken(&self) -> [u32; 3] {
            let Engine { slots, io, .. } = &self.engine;
            [slots.used(), io.far.len(), io.rare.len()]
        }
    }

    #[test]
    fn a_cookie_whose_flow_has_no_room_leaves_nothing() {
        let mut world = World::new();
        let sent = world.send(Flags::SYN, Seq(1), Seq(0));
        let [syn_ack] = sent.as_slice() else { panic!("a SYN-ACK, and not {sent:?}") };
        let room = core::mem::replace(&mut world.engine.demux, Demux::new(0));
        world.send(Flags::ACK, Seq(2), syn_ack.seq + 1);
        assert_eq!(world.taken(), [0; 3]);
        // It was for want of room alone: the same ACK opens the connection where there is some.
        world.engine.demux = room;
        world.send(Flags::ACK, Seq(2), syn_ack.seq + 1);
        assert_eq!(world.taken(), [1, 1, 0]);
        assert_eq!(world.engine.counters().get(Counter::SynCookiesReceived), 1);
    }

    #[test]
    fn a_connection_of_ours_whose_flow_has_no_room_leaves_nothing() {
        let mut world = World::new();
        let room = core::mem::replace(&mut world.engine.demux, Demux::new(0));
        world.engine.app.calls = Some(at(2));
        world.turn();
        assert_eq!(world.engine.app.failed, [(7, Close::NoResources)]);
        assert_eq!(world.taken(), [0; 3]);
        world.engine.demux = room;
        world.engine.app.calls = Some(at(2));
        world.turn();
        assert_eq!((world.engine.app.failed.len(), world.taken()), (1, [1; 3]));
    }

    #[test]
    fn a_slot_and_a_place_for_its_address_are_taken_together() {
        let flow =
            Flow { remote: Addr::from(at(2).ip()), remote_port: 9, local_port: 80, local: 0 };
        let mut world = World::new();
        let engine = &mut world.engine;
        let take = |engine: &mut Engine<Caller, VirtualDevice>| {
            let (io, iss) = (&engine.io, Seq(0));
            let tcb = Tcb::connect(iss, 0, &io.offer(false), &io.settings, Instant::ZERO);
            engine.take_slot(tcb, &flow, Hop::UNKNOWN)
        };
        let room = core::mem::replace(&mut engine.slots, Slots::new(CoreId(0), 0));
        assert_eq!((take(engine), engine.io.far.len()), (None, 0));
        engine.slots = room;
        let room = core::mem::replace(&mut engine.io.far, FarAddresses::new(0));
        assert_eq!((take(engine), engine.slots.used()), (None, 0));
        engine.io.far = room;
        let index = take(engine).expect("room for both");
        assert_eq!(world.taken(), [1, 1, 0]);
        world.engine.give_slot_back(index);
        assert_eq!(world.taken(), [0; 3]);
    }
}
