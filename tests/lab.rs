//! The lab of namespaces, and what the kernel tells of interfaces in it.
#![cfg(feature = "runtime")]

mod common;

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sidestep::runtime::lab::{Lab, Namespace, VethEnd, sweep};
use sidestep::runtime::{Interface, Neighbour, Route};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn pair(name: &str) -> Option<(Lab, Namespace, Namespace)> {
    let mut lab = common::or_skip(Lab::new(name))?;
    let a = common::or_skip(lab.namespace("a"))?;
    let b = lab.namespace("b").expect("a second namespace");
    let end = |namespace, name, addresses, queues| VethEnd {
        namespace,
        name,
        addresses,
        queues,
        offloads: false,
    };
    lab.join(
        end(&a, "y0", &["10.9.2.1/24", "fd09:2::1/64"], 2),
        end(&b, "y1", &["10.9.2.2/24", "fd09:2::2/64"], 3),
    )
    .expect("a veth pair");
    Some((lab, a, b))
}

#[test]
fn an_interface_is_described() {
    let Some((_lab, a, b)) = pair("facts") else { return };
    a.ip(&["link", "set", "dev", "y0", "mtu", "1400"]).expect("an MTU");
    let interface = a.inside(|| Interface::find("y0")).expect("inside").expect("found");
    assert_eq!((interface.driver.as_str(), interface.mtu, interface.up), ("veth", 1400, true));
    assert_eq!((interface.rx_queues, interface.tx_queues), (2, 2));
    for address in [(ip("10.9.2.1"), 24), (ip("fd09:2::1"), 64)] {
        assert!(interface.addresses.contains(&address), "{:?}", interface.addresses);
    }
    let other = b.inside(|| Interface::find("y1")).expect("inside").expect("found");
    assert_ne!(interface.mac, other.mac);
    assert_eq!(other.rx_queues, 3);
}

#[test]
fn routes_gateways_and_neighbours_are_the_kernels() {
    let Some((_lab, a, b)) = pair("routes") else { return };
    a.ip(&["route", "add", "default", "via", "10.9.2.2"]).expect("a route");
    a.ip(&["-6", "route", "add", "default", "via", "fd09:2::2"]).expect("a route");
    a.ip(&["route", "add", "10.77.0.0/16", "via", "10.9.2.9"]).expect("a route");
    let mac = b.inside(|| Interface::find("y1")).expect("inside").expect("found").mac;
    a.inside(|| {
        let socket = UdpSocket::bind("10.9.2.1:0").expect("a socket");
        socket.send_to(b"who are you", "10.9.2.2:9").expect("sent");
        let interface = Interface::find("y0").expect("found");
        let gateways = interface.gateways().expect("gateways");
        assert_eq!(gateways.len(), 2, "{gateways:?}");
        assert!(gateways.contains(&ip("10.9.2.2")) && gateways.contains(&ip("fd09:2::2")));
        let route = |destination, prefix_len, gateway| Route {
            destination: ip(destination),
            prefix_len,
            gateway,
        };
        let routes = interface.routes().expect("routes");
        for expected in [
            route("10.77.0.0", 16, Some(ip("10.9.2.9"))),
            route("10.9.2.0", 24, None),
            route("::", 0, Some(ip("fd09:2::2"))),
        ] {
            assert!(routes.contains(&expected), "{expected:?} is not in {routes:?}");
        }
        let known = Neighbour { ip: ip("10.9.2.2"), mac };
        for _ in 0..500 {
            if interface.neighbours().expect("neighbours").contains(&known) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{known:?} is not in {:?}", interface.neighbours());
    })
    .expect("inside");
}

#[test]
fn a_lab_leaves_nothing_behind() {
    let Some((lab, a, _b)) = pair("gone") else { return };
    let name = a.name().to_owned();
    assert!(fs::exists(format!("/run/netns/{name}")).expect("readable"));
    // One that has run for long, and some that are just starting.
    let mut children = vec![a.spawn("sleep", &["1000"]).expect("a child")];
    thread::sleep(Duration::from_millis(50));
    children.extend((0..10).map(|_| a.spawn("sleep", &["1000"]).expect("a child")));
    drop(lab);
    assert!(!fs::exists(format!("/run/netns/{name}")).expect("readable"));
    let mut left = children.len();
    for _ in 0..500 {
        children.retain_mut(|child| match child.try_wait().expect("an answer") {
            Some(status) => {
                assert!(!status.success(), "it ended by itself");
                false
            }
            None => true,
        });
        left = children.len();
        if left == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    for child in &mut children {
        child.kill().expect("killed");
    }
    assert_eq!(left, 0, "processes survived their namespace");
}

#[test]
fn leftovers_of_the_dead_are_swept_and_only_those() {
    let Some((_lab, a, _b)) = pair("sweep") else { return };
    // A process that has ended; its number may come back, but not with this start time.
    let mut dead = Command::new("true").stdin(Stdio::null()).spawn().expect("a process");
    let left = format!("sidestep-dead-{}-1-0-x", dead.id());
    dead.wait().expect("dead");
    let foreign = format!("sidestep-foreign-{}", std::process::id());
    for name in [&left, &foreign] {
        let add = Command::new("ip").args(["netns", "add", name]).status();
        assert!(add.expect("ip").success());
    }
    sweep().expect("swept");
    let exists = |name: &str| fs::exists(format!("/run/netns/{name}")).expect("readable");
    let (left, others) = (exists(&left), exists(&foreign) && exists(a.name()));
    let delete = Command::new("ip").args(["netns", "delete", &foreign]).status();
    assert!(delete.expect("ip").success());
    assert!(!left, "the leftover is still there");
    assert!(others, "something was swept that is in use or not ours");
}
