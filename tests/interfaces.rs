//! What users and the layer below see of TCP: RFC 9293 sections 3.9.1 and 3.9.2.

mod packet;
mod segments;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use packet::Peer;
use segments::path::Family;
use sidestep::app::{App, Close, ConnectError, Core, Peer as Remote, Refuse, Rx, Tx};
use sidestep::engine::{Counter, EngineConfig, LocalAddress};

/// Opens what it is asked to.
#[derive(Default)]
struct Opener {
    connect: Option<(SocketAddr, Option<SocketAddr>)>,
    refused: Option<ConnectError>,
    opened: u32,
    failed: Vec<Close>,
}

impl App for Opener {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _peer: &Remote, _tx: &mut Tx<'_>) -> Result<(), Refuse> {
        self.opened += 1;
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, _tx: &mut Tx<'_>) {
        rx.consume(rx.len());
    }

    fn on_connect_failed(&mut self, _token: u64, why: Close) {
        self.failed.push(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        if let Some((remote, local)) = self.connect.take() {
            self.refused = core.connect(remote, local, 0).err();
        }
    }
}

fn peer(family: Family, change: impl FnOnce(&mut EngineConfig)) -> Peer<Opener> {
    Peer::new(family, Opener::default(), change)
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

#[test]
fn rfc9293_3_9_2_3_nobody_connects_to_a_group() {
    let nobody = ["224.0.0.1:9", "255.255.255.255:9", "0.0.0.0:9", "[ff02::1]:9", "[::]:9"];
    for nobody in nobody.map(at) {
        let family = if nobody.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut peer = peer(family, |_| {});
        peer.engine.app_mut().connect = Some((nobody, None));
        peer.act();
        assert_eq!(peer.engine.app().refused, Some(ConnectError::NotAHost(nobody)));
        peer.expect_nothing();
    }
}

#[test]
fn rfc9293_3_9_2_3_nobody_connects_to_a_networks_broadcast_address() {
    let mut peer = peer(Family::V4, |_| {});
    peer.engine.app_mut().connect = Some((at("192.0.2.255:9"), None));
    peer.act();
    assert_eq!(peer.engine.app().failed, [Close::NoResources]);
    peer.expect_nothing();
}

#[test]
fn rfc9293_3_9_2_3_a_syn_from_a_group_is_not_answered() {
    let groups = ["224.0.0.1:9", "192.0.2.255:9", "255.255.255.255:9", "[ff02::1]:9"];
    for from in groups.map(at) {
        let family = if from.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut peer = peer(family, |_| {});
        peer.speak_from(from);
        peer.send("S 0:0(0) win 65535 <mss 1000>");
        peer.expect_nothing();
        assert_eq!(peer.engine.counters().get(Counter::DropNotOurs), 1, "{from}");
    }
}

#[test]
fn rfc9293_3_9_2_3_a_syn_to_a_group_is_not_answered() {
    for (to, family) in [("192.0.2.255:8080", Family::V4), ("[ff02::1]:8080", Family::V6)] {
        let mut peer = peer(family, |_| {});
        peer.speak_to(at(to));
        peer.send("S 0:0(0) win 65535 <mss 1000>");
        peer.expect_nothing();
        assert_eq!(peer.engine.counters().get(Counter::DropNotOurs), 1, "{to}");
    }
}

#[test]
fn rfc9293_3_9_1_1_a_port_may_be_listened_on_while_it_connects() {
    for family in Family::BOTH {
        let mut peer = peer(family, |config| config.listeners.clear());
        let path = peer.path();
        peer.engine.app_mut().connect = Some((path.remote, Some(path.local)));
        peer.act();
        peer.expect_syn();
        peer.engine.listen(path.local);
        let other = SocketAddr::new(path.remote.ip(), path.remote.port() + 1);
        peer.speak_from(other);
        peer.handshake();
        assert_eq!(peer.engine.app().opened, 1, "the listener's");
        assert_eq!(peer.engine.connections(), 2, "and the one that still connects");
    }
}

#[test]
fn rfc9293_3_9_1_1_listening_again_changes_no_connection() {
    for family in Family::BOTH {
        let mut peer = peer(family, |_| {});
        peer.send("S 0:0(0) win 65535 <mss 1000>");
        peer.expect("S. 0:0(0) ack 1");
        peer.engine.listen(peer.path().local);
        peer.send(". 1:1(0) ack 1 win 65535");
        assert_eq!(peer.engine.app().opened, 1);
        peer.engine.listen(peer.path().local);
        peer.send("P. 1:11(10) ack 1 win 65535");
        assert_eq!(peer.engine.counters().get(Counter::BytesReceived), 10);
    }
}

#[test]
fn rfc9293_3_9_1_1_the_local_address_is_that_of_the_peers_network_if_none_is_named() {
    let second = |family| match family {
        Family::V4 => "198.51.100.7".parse::<IpAddr>().expect("an address"),
        Family::V6 => "2001:db8:7::7".parse().expect("an address"),
    };
    for family in Family::BOTH {
        // The first address is of another network than the peer's.
        let mut peer = peer(family, |config| {
            let (ip, prefix_len) = (second(family), config.addresses[0].prefix_len);
            config.addresses.insert(0, LocalAddress { ip, prefix_len, owned: true });
        });
        let path = peer.path();
        // The port alone is named, so that the test's end knows it.
        let any = SocketAddr::new(unspecified(family), path.local.port());
        peer.engine.app_mut().connect = Some((path.remote, Some(any)));
        peer.act();
        peer.expect_syn();
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0; 16]),
    }
}

#[test]
fn rfc9293_3_10_7_4_all_segments_that_wait_are_processed_before_one_ack() {
    for family in Family::BOTH {
        let mut peer = peer(family, |_| {});
        peer.handshake();
        peer.send_together(&[
            ". 1:1001(1000) ack 1 win 65535",
            ". 1001:2001(1000) ack 1 win 65535",
            ". 2001:3001(1000) ack 1 win 65535",
            "P. 3001:4001(1000) ack 1 win 65535",
        ]);
        peer.expect(". 1:1(0) ack 4001");
        peer.expect_nothing();
    }
}

#[test]
fn rfc5961_7_a_cores_unasked_replies_are_limited_and_the_limit_varies() {
    let mut peer = peer(Family::V4, |config| {
        config.listeners.clear();
        config.limits.replies_per_second = 100;
    });
    let mut seconds = Vec::new();
    for _ in 0..5 {
        peer.wait(Duration::from_millis(1_100));
        let before = peer.engine.counters().get(Counter::ResetsSent);
        for _ in 0..150 {
            peer.send(". 1:1(0) ack 1 win 65535");
        }
        seconds.push(peer.engine.counters().get(Counter::ResetsSent) - before);
        while peer.take() {}
    }
    assert!(seconds.iter().all(|replies| (50..=100).contains(replies)), "{seconds:?}");
    assert!(seconds.iter().any(|replies| *replies != seconds[0]), "{seconds:?}");
}
