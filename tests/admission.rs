//! Who may come in, and what those hear who may not: listen(2)'s queues, the budgets of connections
//! and frames, and the frames that are kept for saying no.

#[path = "admission/model.rs"]
mod model;
#[path = "admission/world.rs"]
mod world;

use std::net::IpAddr;
use std::time::Duration;

use sidestep::app::Close;
use sidestep::device::Place;
use sidestep::engine::{Counter, Overflow, SynCookies};
use sidestep::wire::tcp::Flags;

use world::{Client, World, is_reset, is_syn_ack};

/// `n` clients of port 80, each from a host of its own.
fn clients<const N: usize>() -> [Client; N] {
    core::array::from_fn(|n| Client::new(10 + n as u8, n as u16, 80))
}

#[test]
fn while_accepting_is_paused_connections_wait_in_order() {
    let mut world = World::new(|config| config.limits.backlog = 3);
    world.app().pauses = true;
    world.turn();
    let mut peers: [Client; 3] = clients();
    for peer in &mut peers {
        assert!(world.connect(peer));
    }
    assert_eq!((world.engine.connections(), world.app().opened.len()), (3, 0));
    world.app().pauses = false;
    world.turn();
    assert_eq!(world.app().opened, peers.map(|peer| peer.at));
    assert_eq!(world.count(Counter::ListenDrops), 0);
}

#[test]
fn what_a_peer_sends_while_it_waits_is_there_when_it_is_let_in() {
    let mut world = World::new(|_| {});
    world.engine.pause_accepting(true);
    let [mut peer] = clients();
    assert!(world.connect(&mut peer));
    let sent = world.send(&peer, Flags::ACK | Flags::PSH, b"first");
    assert!(sent.iter().all(|segment| segment.flags == Flags::ACK), "{sent:?}");
    peer.snd_nxt += 5;
    let sent = world.pass(Duration::from_secs(1));
    assert!(sent.iter().any(|segment| segment.ack == peer.snd_nxt), "acknowledged as it waits");
    world.send(&peer, Flags::ACK | Flags::FIN, b"last");
    assert!(world.app().read.is_empty());
    world.engine.pause_accepting(false);
    world.turn();
    assert_eq!((world.app().read.clone(), world.app().fins), (b"firstlast".to_vec(), 1));
}

#[test]
fn a_full_queue_drops_syns_and_last_segments_until_there_is_room() {
    let mut world = World::new(|config| config.limits.backlog = 1);
    world.engine.pause_accepting(true);
    let [mut first, mut second, mut third] = clients();
    assert!(is_syn_ack(&world.syn(&mut first)) && is_syn_ack(&world.syn(&mut second)));
    world.ack(&first);
    assert_eq!(world.ack(&second), []);
    assert_eq!(world.syn(&mut third), []);
    assert_eq!(world.count(Counter::ListenOverflows), 2);
    assert_eq!(world.count(Counter::ListenDrops), 2);
    world.engine.pause_accepting(false);
    world.turn();
    // The handshake stayed half open: the SYN-ACK goes again, and so does its ACK.
    let again = world.pass(Duration::from_secs(2));
    assert!(again.iter().any(|s| s.flags.contains(Flags::SYN) && s.dst_port == second.at.port()));
    world.ack(&second);
    assert!(world.connect(&mut third));
    assert_eq!(world.app().opened, [first.at, second.at, third.at]);
}

#[test]
fn a_full_queue_resets_if_that_is_the_policy() {
    let mut world = World::new(|config| {
        config.limits.backlog = 1;
        config.overflow = Overflow::Reset;
    });
    world.engine.pause_accepting(true);
    let [mut first, mut second, mut third] = clients();
    assert!(is_syn_ack(&world.syn(&mut first)) && is_syn_ack(&world.syn(&mut second)));
    world.ack(&first);
    assert!(is_reset(&world.ack(&second)), "the last segment of a handshake");
    assert_eq!(world.engine.counters().half_open(), 0, "nothing is left of it");
    assert!(is_reset(&world.syn(&mut third)), "a SYN");
    assert_eq!(world.count(Counter::ListenOverflows), 2);
}

#[test]
fn who_is_reset_while_it_waits_keeps_its_place_and_is_never_opened() {
    let mut world = World::new(|config| config.limits.backlog = 2);
    world.engine.pause_accepting(true);
    let [mut gone, mut stays, mut late] = clients();
    assert!(world.connect(&mut gone) && world.connect(&mut stays));
    world.send(&gone, Flags::RST, &[]);
    assert_eq!(world.engine.connections(), 1);
    assert!(!world.connect(&mut late), "nobody makes room by going");
    assert_eq!(world.count(Counter::ListenOverflows), 1);
    world.engine.pause_accepting(false);
    world.turn();
    assert!(world.connect(&mut late));
    assert_eq!(world.app().opened, [stays.at, late.at]);
    assert_eq!(world.app().closed, []);
}

#[test]
fn either_of_two_who_pause_is_enough() {
    let mut world = World::new(|_| {});
    world.engine.pause_accepting(true);
    world.app().pauses = true;
    world.turn();
    let [mut peer] = clients();
    assert!(world.connect(&mut peer));
    world.engine.pause_accepting(false);
    world.turn();
    assert!(world.app().opened.is_empty());
    world.app().pauses = false;
    world.turn();
    assert_eq!(world.app().opened.len(), 1);
}

#[test]
fn listeners_have_queues_and_tables_of_their_own() {
    let mut world = World::new(|config| {
        (config.limits.backlog, config.limits.half_open) = (1, 2);
        config.cookies.when = SynCookies::Off;
    });
    world.engine.pause_accepting(true);
    let [mut one, mut two, mut three, mut four] = clients();
    assert!(world.connect(&mut one));
    assert_eq!(world.syn(&mut two), [], "the queue of port 80 is full");
    let mut other = Client::new(40, 40, 81);
    assert!(world.connect(&mut other), "that of port 81 is not");
    world.engine.pause_accepting(false);
    world.turn();
    for peer in [&mut two, &mut three] {
        assert!(is_syn_ack(&world.syn(peer)));
    }
    assert_eq!(world.syn(&mut four), [], "the table of port 80 is full");
    assert_eq!(world.count(Counter::DropHalfOpenFull), 1);
    assert!(is_syn_ack(&world.syn(&mut Client::new(41, 41, 81))), "that of port 81 is not");
    world.ack(&two);
    assert!(is_syn_ack(&world.syn(&mut four)), "a completed handshake makes room");
}

#[test]
fn a_listener_that_goes_leaves_nothing_behind_when_it_comes_back() {
    let mut world = World::new(|config| {
        (config.limits.connections_per_listener, config.limits.backlog) = (2, 2);
        config.limits.half_open = 1;
        config.cookies.when = SynCookies::Off;
    });
    let at = "10.0.0.1:80".parse().expect("an address");
    let [mut open, mut waits, mut half, mut late] = clients();
    assert!(world.connect(&mut open));
    world.engine.pause_accepting(true);
    assert!(world.connect(&mut waits));
    world.engine.stop_listening(at);
    assert!(is_reset(&world.syn(&mut half)), "nobody listens");
    world.engine.listen(at);
    assert_eq!(world.syn(&mut late), [], "the two it had are its own again");
    assert_eq!(world.count(Counter::DropConnectionsFull), 1);
    world.send(&open, Flags::RST, &[]);
    assert!(is_syn_ack(&world.syn(&mut half)));
    world.engine.stop_listening(at);
    world.engine.pause_accepting(false);
    world.turn();
    // What was half open when its listener went may still be completed.
    world.ack(&half);
    assert_eq!(world.app().opened, [open.at, waits.at, half.at]);
    for peer in [&waits, &half] {
        world.send(peer, Flags::RST, &[]);
    }
    world.engine.listen(at);
    assert!(world.connect(&mut late));
    assert_eq!((world.engine.connections(), world.engine.counters().half_open()), (1, 0));
}

#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    let mut world = World::new(|config| config.limits.connections_per_listener = 2);
    let [mut one, mut two, mut three] = clients();
    assert!(world.connect(&mut one) && world.connect(&mut two));
    assert_eq!(world.syn(&mut three), []);
    assert_eq!(world.count(Counter::DropConnectionsFull), 1);
    assert!(world.connect(&mut Client::new(50, 50, 81)));
    world.send(&one, Flags::RST, &[]);
    assert!(world.connect(&mut three));
}

#[test]
fn a_core_has_no_more_connections_than_it_may() {
    for (overflow, resets) in [(Overflow::Drop, false), (Overflow::Reset, true)] {
        let mut world = World::new(|config| {
            config.limits.connections = 1;
            config.overflow = overflow;
        });
        let [mut one, mut two, mut three] = clients();
        assert!(is_syn_ack(&world.syn(&mut one)) && is_syn_ack(&world.syn(&mut two)));
        world.ack(&one);
        assert_eq!(is_reset(&world.ack(&two)), resets);
        assert_eq!(is_reset(&world.syn(&mut three)), resets);
        assert_eq!(world.count(Counter::DropConnectionsFull), 2);
        assert_eq!(world.count(Counter::ListenDrops), 2);
    }
}

#[test]
fn a_source_has_no_more_connections_than_it_may() {
    let v4 = |last: u8, n| Client::from(IpAddr::from([10, 0, 7, last]), n, 80);
    let v6 = |ip: &str, n| Client::from(ip.parse().expect("an address"), n, 80);
    let far = Client::from(IpAddr::from([10, 0, 8, 1]), 4, 80);
    for [first, second, other] in [
        [v4(1, 1), v4(200, 2), far],
        [v6("fd00::2:1", 1), v6("fd00::9:9", 2), v6("fd00:0:0:1::2", 3)],
    ] {
        let mut world = World::new(|config| {
            (config.limits.connections_per_source, config.limits.source_prefix) = (1, 24);
        });
        let [mut first, mut second, mut other] = [first, second, other];
        // SYNs that nobody completes use up no share.
        assert!(is_syn_ack(&world.syn(&mut second)));
        assert!(world.connect(&mut first));
        assert_eq!(world.ack(&second), [], "looked at once more at the end");
        assert_eq!(world.count(Counter::DropSourceFull), 1);
        assert!(world.connect(&mut other));
        world.send(&first, Flags::RST, &[]);
        world.ack(&second);
        assert_eq!(world.app().opened, [first.at, other.at, second.at]);
        assert_eq!(world.syn(&mut first), []);
        assert_eq!(world.count(Counter::DropSourceFull), 2);
    }
}

#[test]
fn an_application_may_refuse() {
    let mut world = World::new(|_| {});
    world.app().refuses = true;
    let [mut peer] = clients();
    assert!(is_syn_ack(&world.syn(&mut peer)));
    assert!(is_reset(&world.ack(&peer)));
    assert_eq!(world.count(Counter::ConnectionsRefused), 1);
    assert_eq!((world.engine.connections(), world.app().closed.len()), (0, 0));
    world.app().refuses = false;
    assert!(world.connect(&mut Client::new(99, 99, 80)));
    assert_eq!(world.app().opened.len(), 1);
}

/// Peers that send more than anybody reads, and read nothing.
fn exhaust(world: &mut World) -> Vec<Client> {
    world.app().hoards = true;
    world.app().writes = 64 << 10;
    let mut peers: Vec<Client> = (0..100).map(|n| Client::new(10 + n as u8, n, 80)).collect();
    peers.retain_mut(|peer| {
        let invited = world.connect(peer);
        for _ in 0..20 {
            world.send(peer, Flags::ACK, &[7; 1_400]);
            peer.snd_nxt += 1_400;
        }
        invited
    });
    peers
}

#[test]
fn nobody_comes_in_when_frames_are_few() {
    let mut world = World::with_frames(512, |_| {});
    let peers = exhaust(&mut world);
    assert!(peers.len() < 100, "some were refused");
    let refused = world.count(Counter::DropNewcomerFrames);
    assert!(refused > 0 && world.engine.pool().free() <= 62, "{:?}", world.engine.pool().census());
    let [mut late] = clients();
    late.at.set_port(9);
    late.to = 81;
    assert_eq!(world.syn(&mut late), []);
    assert_eq!(world.count(Counter::DropNewcomerFrames), refused + 1);
    for peer in &peers[..peers.len() / 2] {
        world.app().aborts = Some(peer.at);
        world.send(peer, Flags::RST, &[]);
        // Out of its window by now, or not: whoever is challenged resets exactly.
        for answer in world.ack(peer) {
            let reset = Client { snd_nxt: answer.ack, ..*peer };
            world.send(&reset, Flags::RST, &[]);
        }
    }
    assert!(is_syn_ack(&world.syn(&mut late)), "{:?}", world.engine.pool().census());
}

#[test]
fn control_segments_go_out_when_there_is_no_frame_for_data() {
    let mut world = World::with_frames(512, |config| config.limits.newcomer_frames = 0);
    let peers = exhaust(&mut world);
    let pool = world.engine.pool();
    assert_eq!(pool.free_for_data(), 0, "{:?}", pool.census());
    assert!(pool.free() <= 33, "only the reserve is left: {:?}", pool.census());
    let [_, mut late] = clients();
    late.at.set_port(9);
    late.to = 81;
    assert!(is_syn_ack(&world.syn(&mut late)), "SYN-ACK");
    let again = Client { snd_nxt: peers[0].snd_nxt - 90_000, ..peers[0] };
    world.pass(Duration::from_secs(1));
    let answer = world.send(&again, Flags::ACK | Flags::PSH, b"old");
    assert!(answer.iter().any(|segment| segment.flags == Flags::ACK), "ACK: {answer:?}");
    let nobody = Client { to: 82, ..late };
    assert!(is_reset(&world.send(&nobody, Flags::SYN, &[])), "RST");
    assert_eq!(world.count(Counter::DropNoFrames), 0);
}

#[test]
fn a_drain_lets_in_who_is_half_open_and_nobody_else() {
    for (overflow, resets) in [(Overflow::Drop, false), (Overflow::Reset, true)] {
        let mut world = World::new(|config| config.overflow = overflow);
        let [mut half, mut late] = clients();
        assert!(is_syn_ack(&world.syn(&mut half)));
        world.engine.start_drain();
        assert_eq!(is_reset(&world.syn(&mut late)), resets);
        assert_eq!(world.count(Counter::DropDraining), 1);
        world.ack(&half);
        assert_eq!(world.app().opened, [half.at]);
    }
}

#[test]
fn a_drain_takes_no_cookie_back() {
    let mut world = World::new(|config| config.cookies.when = SynCookies::Always);
    let [mut peer] = clients();
    assert!(is_syn_ack(&world.syn(&mut peer)));
    world.engine.start_drain();
    world.ack(&peer);
    assert_eq!((world.count(Counter::DropDraining), world.engine.connections()), (1, 0));
}

#[test]
fn a_drain_resets_those_who_wait_for_a_server_that_does_not_accept() {
    let mut world = World::new(|_| {});
    world.engine.pause_accepting(true);
    let [mut peer] = clients();
    assert!(world.connect(&mut peer));
    world.engine.start_drain();
    assert!(is_reset(&world.turn()));
    assert_eq!((world.engine.connections(), world.app().opened.len()), (0, 0));
}

#[test]
fn a_handshake_by_cookie_keeps_nothing() {
    let mut world = World::new(|config| config.cookies.when = SynCookies::Always);
    let before = world.engine.pool().census();
    for n in 0..2_000u16 {
        let mut peer = Client::new(10 + (n % 200) as u8, n, 80);
        assert!(is_syn_ack(&world.syn(&mut peer)));
    }
    world.turn();
    assert_eq!(world.count(Counter::SynCookiesSent), 2_000);
    assert_eq!((world.engine.connections(), world.engine.counters().half_open()), (0, 0));
    assert_eq!(world.engine.pool().census(), before);
    assert_eq!(before.at(Place::Free), world.engine.pool().frames());
}

#[test]
fn cookies_that_come_back_meet_the_same_budgets() {
    let mut world = World::new(|config| {
        config.cookies.when = SynCookies::Always;
        (config.limits.backlog, config.limits.connections_per_source) = (2, 1);
    });
    world.engine.pause_accepting(true);
    let [mut one, mut two, mut three] = clients();
    for peer in [&mut one, &mut two, &mut three] {
        assert!(is_syn_ack(&world.syn(peer)));
    }
    let mut again = Client::new(10, 77, 81);
    assert!(is_syn_ack(&world.syn(&mut again)));
    world.ack(&one);
    world.ack(&again);
    assert_eq!(world.count(Counter::DropSourceFull), 1);
    world.ack(&two);
    world.ack(&three);
    assert_eq!(world.count(Counter::ListenOverflows), 1);
    world.engine.pause_accepting(false);
    world.turn();
    // The cookie is as good as before: its ACK comes with the first data again.
    world.send(&three, Flags::ACK, b"again");
    assert_eq!(world.app().opened, [one.at, two.at, three.at]);
    assert_eq!(world.app().closed, Vec::<Close>::new());
}
