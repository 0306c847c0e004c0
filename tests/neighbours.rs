//! The way to the next hop as its neighbour sees it: who is asked, when, and where segments go.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sidestep::app::{App, Close, Core, Peer, Refuse, Rx, Tx};
use sidestep::device::{Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{Engine, EngineConfig, LocalAddress};
use sidestep::time::Instant;
use sidestep::wire::ndp::AdvertisementFlags;
use sidestep::wire::tcp::{Flags, Headers, Options, Segment};
use sidestep::wire::{Addr, Body, Checks, Link, Mac, Parsed, Seq, arp, ndp, parse};

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 3]);

/// Connects once, and writes ten bytes.
#[derive(Default)]
struct Client {
    to: Option<SocketAddr>,
    closed: Option<Close>,
}

impl App for Client {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, tx: &mut Tx<'_>) -> Result<(), Refuse> {
        tx.write(&[7; 10]);
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Rx<'_>, _: &mut Tx<'_>) {}

    fn on_close(&mut self, (): (), why: Close) {
        self.closed = Some(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        if let Some(to) = self.to.take() {
            core.connect(to, None, 1).expect("room for one");
        }
    }
}

struct Lab {
    engine: Engine<Client, VirtualDevice>,
    port: Port,
    now: Instant,
    ours: Addr,
    peer: Addr,
}

/// What the engine asks of its neighbours.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// All were asked for the peer.
    Broadcast,
    /// The station with this MAC was asked.
    Asked(Mac),
    /// A segment for the station with this MAC.
    Segment(Mac, Segment),
}

impl Lab {
    fn new(ours: &str, peer: &str) -> Lab {
        let (ours, peer): (IpAddr, IpAddr) = (ours.parse().unwrap(), peer.parse().unwrap());
        let mut config = EngineConfig::new([3; 32]);
        config.addresses.push(LocalAddress { ip: ours, prefix_len: 24, owned: true });
        config.tcp.rto_min = Duration::from_millis(200);
        let frames = PoolConfig { frames: 1_024, huge_pages: false, ..PoolConfig::default() };
        let (device, port) = VirtualDevice::new(Pool::new(frames).unwrap(), OURS.0, 1_500);
        let app = Client { to: Some(SocketAddr::new(peer, 80)), closed: None };
        let engine = Engine::standalone(config, device, app).expect("an eventfd");
        let now = Instant::from_millis(1_000);
        Lab { engine, port, now, ours: ours.into(), peer: peer.into() }
    }

    /// Runs until the engine says something, at most for `limit`.
    fn next(&mut self, limit: Duration) -> Option<Heard> {
        let end = self.now + limit;
        for _ in 0..100_000 {
            if let Some(packet) = self.port.receive() {
                return Some(self.heard(&packet));
            }
            let turn = self.engine.turn(self.now);
            if !turn.worked {
                let due = turn.next_deadline.filter(|due| *due <= end);
                if due.is_none() && self.now >= end {
                    return None;
                }
                self.now = due.unwrap_or(end).max(self.now);
            }
        }
        panic!("the engine finds no end of work")
    }

    fn heard(&self, packet: &[u8]) -> Heard {
        let Parsed { link, body, .. } = parse(packet, Checks::FULL).expect("a packet");
        let asked = |target: Addr| {
            assert_eq!(target, self.peer);
            if link.dst.is_multicast() { Heard::Broadcast } else { Heard::Asked(link.dst) }
        };
        match body {
            Body::Arp(arp) => asked(arp.target),
            Body::Ndp(ndp) => asked(ndp.target),
            Body::Tcp(segment) => Heard::Segment(link.dst, segment),
            other => panic!("{other:?}"),
        }
    }

    /// The peer's address is at `mac`, says its answer.
    fn answer(&mut self, mac: Mac) {
        self.advertise(mac, AdvertisementFlags { router: false, solicited: true, replace: true });
    }

    fn advertise(&mut self, mac: Mac, flags: AdvertisementFlags) {
        let link = Link { src: mac, dst: OURS, vlan: None };
        let mut packet = [0; 128];
        let len = if self.ours.is_v4() {
            arp::reply(&mut packet, link, self.peer, self.ours)
        } else {
            ndp::advertisement(&mut packet, link, self.peer, self.ours, self.peer, flags)
        };
        self.port.send(&packet[..len]);
    }

    /// Completes the handshake that `syn` began.
    fn accept(&mut self, syn: &Segment) {
        let headers = Headers {
            link: Link { src: PEER, dst: OURS, vlan: None },
            src: self.peer,
            dst: self.ours,
            src_port: syn.dst_port,
            dst_port: syn.src_port,
            seq: Seq(100),
            ack: syn.seq + 1,
            flags: Flags::SYN | Flags::ACK,
            window: 65_535,
            urgent: 0,
            hop_limit: 64,
            dscp: 0,
            ecn: 0,
            flow_label: 0,
            options: Options::default(),
        };
        let mut packet = vec![0; headers.len()];
        headers.emit(&mut packet);
        self.port.send(&packet);
    }

    fn segment(&mut self) -> (Mac, Segment) {
        match self.next(Duration::from_secs(100)) {
            Some(Heard::Segment(mac, segment)) => (mac, segment),
            other => panic!("expected a segment, heard {other:?}"),
        }
    }

    /// What is asked next; until then, every segment goes to `mac`.
    fn asked(&mut self, mac: Mac) -> Heard {
        loop {
            match self.next(Duration::from_secs(100)) {
                Some(Heard::Segment(to, _)) => assert_eq!(to, mac),
                Some(heard) => return heard,
                None => panic!("nothing is asked"),
            }
        }
    }

    /// The peer is asked for, answers, accepts, and gets the data; then it is silent.
    fn silent_peer(&mut self) {
        assert_eq!(self.next(Duration::ZERO), Some(Heard::Broadcast));
        self.answer(PEER);
        let (to, syn) = self.segment();
        assert_eq!(to, PEER);
        self.accept(&syn);
        let (to, data) = self.segment();
        assert_eq!((to, data.payload_len), (PEER, 10));
    }
}

fn both(test: impl Fn(Lab)) {
    test(Lab::new("192.0.2.1", "192.0.2.2"));
    test(Lab::new("2001:db8::1", "2001:db8::2"));
}

#[test]
fn rfc4861_7_2_2_a_silent_neighbour_is_asked_three_times() {
    both(|mut lab| {
        for _ in 0..3 {
            assert_eq!(lab.next(Duration::from_secs(5)), Some(Heard::Broadcast));
        }
    });
}

#[test]
fn rfc4861_7_3_3_a_next_hop_that_times_out_is_probed_and_followed() {
    both(|mut lab| {
        lab.silent_peer();
        // The first timeout may be loss; a second, a while after it answered, is a doubt.
        assert_eq!(lab.segment().0, PEER);
        assert_eq!(lab.asked(PEER), Heard::Asked(PEER));
        lab.answer(OTHER);
        assert_eq!(lab.asked(PEER), Heard::Asked(OTHER), "what is said by one is asked of it too");
        assert_eq!(lab.segment().0, OTHER);
    });
}

#[test]
fn rfc4861_7_3_3_without_an_answer_all_are_asked() {
    both(|mut lab| {
        lab.silent_peer();
        for _ in 0..3 {
            assert_eq!(lab.asked(PEER), Heard::Asked(PEER));
        }
        assert_eq!(lab.asked(PEER), Heard::Broadcast);
        lab.answer(OTHER);
        assert_eq!(lab.asked(PEER), Heard::Asked(OTHER), "what is said by one is asked of it too");
        assert_eq!(lab.segment().0, OTHER);
    });
}

#[test]
fn rfc4861_7_2_5_an_announcement_without_override_changes_nothing() {
    let mut lab = Lab::new("2001:db8::1", "2001:db8::2");
    lab.silent_peer();
    lab.advertise(OTHER, AdvertisementFlags::default());
    for _ in 0..6 {
        match lab.next(Duration::from_secs(100)) {
            Some(Heard::Segment(mac, _) | Heard::Asked(mac)) => assert_eq!(mac, PEER),
            Some(Heard::Broadcast) => {}
            None => panic!("silence"),
        }
    }
}
