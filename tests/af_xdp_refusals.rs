//! What the AF_XDP backend refuses and why, and that nothing of it stays behind.
#![cfg(feature = "af-xdp")]

mod common;
#[path = "common/veth.rs"]
mod veth;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, AfXdpError, Mode, Nic, Steer};
use sidestep::runtime::lab::{Lab, Namespace, VethEnd};

use veth::{device, eventually, net, net_of, nic, nic_inside, open, pool, pool_for};

#[test]
fn why_no_better_mode_was_obtained_is_remembered() {
    let Some(net) = net(1) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            let steer = Steer::attach(&nic, Mode::Auto).expect("attached");
            let device = open(&steer, &nic, Mode::Auto);
            let why = device.attempts().to_string();
            assert!(why.starts_with("binding zero-copy: EOPNOTSUPP"), "{why}");
            drop(device);
            let config = AfXdpConfig { mode: Mode::ZeroCopy, ..AfXdpConfig::default() };
            let error = AfXdp::open(&steer, &nic, &config, pool()).expect_err("veth has none");
            let text = error.to_string();
            assert!(matches!(error, AfXdpError::NoMode { .. }), "{text}");
            assert!(text.contains("veth") && text.contains("EOPNOTSUPP"), "{text}");
        })
        .expect("inside");
}

#[test]
fn every_queue_has_its_own_socket() {
    let Some(net) = net(2) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            assert_eq!((nic.rx_queues, nic.tx_queues), (2, 2));
            let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
            let open = |queue| {
                let config = AfXdpConfig { queue, mode: Mode::Copy, ..AfXdpConfig::default() };
                AfXdp::open(&steer, &nic, &config, pool())
            };
            let (_zero, _one) = (open(0).expect("queue 0"), open(1).expect("queue 1"));
            let error = open(2).expect_err("no such queue");
            assert!(matches!(error, AfXdpError::NoSuchQueue { queues: 2, .. }), "{error}");
            let error = open(1).expect_err("taken");
            assert!(matches!(error, AfXdpError::QueueTaken { queue: 1, .. }), "{error}");
            assert!(error.to_string().contains("EBUSY"), "{error}");
        })
        .expect("inside");
}

#[test]
fn a_program_that_is_attached_already_is_named() {
    let Some(net) = net(1) else { return };
    net.server
        .inside(|| {
            let nic = nic("x0");
            let _first = Steer::attach(&nic, Mode::Copy).expect("attached");
            let error = Steer::attach(&nic, Mode::Auto).expect_err("attached already");
            let text = error.to_string();
            let AfXdpError::ForeignProgram { id, program, .. } = error else { panic!("{text}") };
            assert!(id > 0 && program == "steer" && text.contains("EBUSY"), "{text}");
        })
        .expect("inside");
}

#[test]
fn an_interface_that_cannot_work_is_refused() {
    let Some(net) = net_of(1, 20_000) else { return };
    net.server
        .inside(|| {
            // A program that knows nothing of fragments, as for an MTU that was lower just now.
            let before = Nic { mtu: 1_500, ..nic("x0") };
            let error = Steer::attach(&before, Mode::Copy).expect_err("no XDP with this MTU");
            assert!(matches!(error, AfXdpError::DriverMtu { mtu: 1_500, .. }), "{error}");
            // veth takes any MTU, our frames don't.
            let steer = Steer::attach(&nic("x0"), Mode::Copy).expect("attached");
            for (mtu, pool, way_out) in [
                (3_000, pool(), "mtu 1774, or use frames of 4096 bytes"),
                (9_000, pool(), "mtu 1774, or use frames of 16384 bytes"),
                (20_000, pool_for(9_000), "mtu 16110"),
            ] {
                let nic = Nic { mtu, ..nic("x0") };
                let error = AfXdp::open(&steer, &nic, &AfXdpConfig::default(), pool);
                let text = error.expect_err("too large").to_string();
                assert!(text.contains(&format!("MTU of {mtu} bytes")), "{text}");
                assert!(text.ends_with(way_out), "{text}");
            }
        })
        .expect("inside");
    net.server.ip(&["link", "set", "dev", "x0", "down"]).expect("down");
    let nic = nic_inside(&net.server, "x0");
    let error = net.server.inside(|| Steer::attach(&nic, Mode::Auto).err()).expect("inside");
    assert!(matches!(error, Some(AfXdpError::Down { .. })), "{error:?}");
}

#[test]
fn a_veth_peer_with_more_queues_is_refused_by_name() {
    let Some(mut lab) = common::or_skip(Lab::new("xdp")) else { return };
    let Some(server) = common::or_skip(lab.namespace("server")) else { return };
    let client = lab.namespace("client").expect("a second namespace");
    let end = |namespace, name, queues| VethEnd {
        namespace,
        name,
        addresses: &[],
        queues,
        offloads: false,
    };
    lab.join(end(&server, "x0", 1), end(&client, "x1", 4)).expect("a veth pair");
    let nic = nic_inside(&server, "x0");
    let error = server.inside(|| Steer::attach(&nic, Mode::Copy).err()).expect("inside");
    let text = error.expect("too few queues").to_string();
    assert!(text.contains("ENOSPC") && text.contains("(1 receive, 1 transmit)"), "{text}");
}

/// Runs the test `name` of this file in another process inside of `namespace`.
fn elsewhere(namespace: &Namespace, wrapper: &[&str], name: &str) -> Child {
    let exe = std::env::current_exe().expect("this program");
    let mut command = match wrapper {
        [] => namespace.command(&exe.to_string_lossy()),
        [first, rest @ ..] => {
            let mut command: Command = namespace.command(first);
            command.args(rest).arg(&exe);
            command
        }
    };
    command.args(["--exact", "--nocapture", name]).env("SIDESTEP_TEST_CHILD", name);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child")
}

fn is_child(name: &str) -> bool {
    std::env::var_os("SIDESTEP_TEST_CHILD").is_some_and(|child| child == name)
}

/// Not a test by itself: the process that the next test kills.
#[test]
fn holder() {
    if !is_child("holder") {
        return;
    }
    let (_steer, _device) = device("x0");
    println!("holding");
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn nothing_stays_attached_when_the_process_is_killed() {
    let Some(net) = net(1) else { return };
    let attached = || {
        let link = net.server.ip(&["link", "show", "dev", "x0"]).expect("the link");
        link.contains("prog/xdp")
    };
    let mut child = elsewhere(&net.server, &[], "holder");
    eventually("the child attaches", attached);
    child.kill().expect("killed");
    child.wait().expect("dead");
    // A successor need not wait for the kernel to clean up.
    net.server.inside(|| drop(device("x0"))).expect("inside");
    eventually("the program is gone", || !attached());
}

/// Not a test by itself: the process that may lock little memory.
#[test]
fn pauper() {
    if !is_child("pauper") {
        return;
    }
    let nic = nic("x0");
    let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
    let error = AfXdp::open(&steer, &nic, &AfXdpConfig::default(), pool());
    println!("{}", error.expect_err("memory that may not be locked"));
}

#[test]
fn a_locked_memory_limit_is_explained() {
    let Some(net) = net(1) else { return };
    let wrapper = [
        "prlimit",
        "--memlock=65536:65536",
        "setpriv",
        "--bounding-set=-ipc_lock,-sys_resource",
        "--inh-caps=-ipc_lock,-sys_resource",
    ];
    let child = elsewhere(&net.server, &wrapper, "pauper");
    let output = child.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("ENOBUFS") && text.contains("limit is 65536 bytes"), "{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
