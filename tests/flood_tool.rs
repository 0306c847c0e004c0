//! `sidestep flood`: where it refuses to work, and that no application hears of what it sends.
#![cfg(all(feature = "cli", feature = "af-xdp", feature = "kernel"))]

mod common;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "common/served.rs"]
mod served;

use std::fs;
use std::process::{Command, Output};

use served::{Net, Served};
use sidestep::device::af_xdp::{Mode, Steer};
use sidestep::runtime::Interface;

const TO: &str = "10.9.0.1:80";

/// `sidestep flood` through `wrapper`, with a bound on its time.
fn flood(wrapper: &[&str], arguments: &[&str]) -> Output {
    let program = served::program();
    let own = ["timeout", "60", &program, "flood", "--seconds", "1", "--rate", "20000"];
    let line = [wrapper, &own, arguments].concat();
    Command::new(line[0]).args(&line[1..]).output().expect("iproute2 and coreutils")
}

fn refused(output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

/// A namespace that no lab made; removed when dropped.
struct Plain(String);

impl Plain {
    fn new(name: &str) -> Option<Plain> {
        let name = format!("{name}{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).status();
        let made = made.map_err(|error| error.to_string()).and_then(|status| {
            if status.success() { Ok(Plain(name)) } else { Err("needs root".into()) }
        });
        let plain = common::or_skip(made)?;
        let pair = ["link", "add", "cli0", "type", "veth", "peer", "name", "srv0"];
        let status = Command::new("ip").args(["-n", &plain.0]).args(pair).status();
        assert!(status.expect("iproute2").success());
        Some(plain)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

#[test]
fn only_an_interface_that_a_lab_made_will_do() {
    let ours = ["--to", TO, "--interface", "cli0"];
    // A namespace that only looks like one of ours, and one that doesn't.
    for name in ["sidestep-flood-", "other-"] {
        let Some(plain) = Plain::new(name) else { return };
        let output = flood(&["ip", "netns", "exec", &plain.0], &ours);
        let parts = ["configuration: cli0 is not in", "sidestep-…", &plain.0, "ip netns exec"];
        refused(&output, &parts);
    }
    let Some(net) = Net::new("ground") else { return };
    let inside = ["ip", "netns", "exec", net.client.name()];
    refused(&flood(&inside, &["--to", TO, "--interface", "lo"]), &["interface lo is not Ethernet"]);
    refused(&flood(&inside, &["--to", TO, "--interface", "eth9"]), &["'eth9'", "cli0"]);
    let pair = ["link", "add", "mine0", "type", "veth", "peer", "name", "mine1"];
    net.client.ip(&pair).expect("a pair that no lab made");
    let foreign = flood(&inside, &["--to", TO, "--interface", "mine0"]);
    refused(
        &foreign,
        &["configuration: mine0 (driver veth) is not an interface", "of its own labs"],
    );
    // Nor the lab's own one for an address that is not at its other end.
    refused(
        &flood(&inside, &["--to", "10.9.0.77:80", "--interface", "cli0"]),
        &["configuration: --to 10.9.0.77", "other end"],
    );
}

#[test]
fn it_has_an_end_and_a_kind() {
    let program = served::program();
    let ours = ["flood", "--interface", "cli0", "--to", TO];
    for (more, expected) in [
        (&[][..], "--seconds"),
        (&["--seconds", "0"], "1..=60"),
        (&["--seconds", "61"], "1..=60"),
        (&["--seconds", "1", "--kind", "udp"], "syn, ack, rst, fin, data, mix"),
        (&["--seconds", "1", "--rate", "0"], "--rate"),
    ] {
        let arguments = [&ours[..], more].concat();
        let output = Command::new(&program).args(arguments).output().expect("our program");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "'{expected}' is not in: {said}");
    }
}

#[test]
fn no_application_hears_of_a_flood() {
    let Some(net) = Net::new("nobody") else { return };
    let stats = std::env::temp_dir().join(format!("sidestep-nobody-{}", std::process::id()));
    let path = stats.to_str().expect("text");
    net.server.ip(&["route", "add", "default", "via", "10.9.0.2"]).expect("a route");
    net.server.ip(&["-6", "route", "add", "default", "via", "fd09::2"]).expect("a route");
    // Without a program here veth would not deliver what the other end's program sends back.
    let attach = || {
        let nic = Interface::find("cli0").expect("the clients' end").nic();
        Steer::attach(&nic, Mode::Copy).expect("an attached program")
    };
    let passing = net.client.inside(attach).expect("inside");
    let servers: [&[&str]; 4] = [
        &["--backend", "af-xdp", "--syn-cookies", "always", "--answer-in-driver"],
        &["--backend", "af-xdp", "--syn-cookies", "always"],
        &["--backend", "af-xdp"],
        &["--backend", "kernel"],
    ];
    for how in servers {
        let common = ["serve", "--interface", "srv0", "--listen", TO, "--listen", "[fd09::1]:80"];
        let arguments = [&common[..], how, &["--stats-json", path]].concat();
        let server = Served::start_program(&served::program(), &net.server, &arguments);
        let inside = ["ip", "netns", "exec", net.client.name()];
        for to in [TO, "[fd09::1]:80"] {
            let output = flood(&inside, &["--to", to, "--interface", "cli0", "--kind", "mix"]);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(said.starts_with(&format!("flooding kind=mix to={to}\nsent kind=mix ")));
        }
        // And whoever means it is served all the same.
        for url in ["http://10.9.0.1/", "http://[fd09::1]/"] {
            let answer = net.at_client(&["curl", "-sg", "--max-time", "60", url]);
            assert_eq!(answer, "Hello, World!", "{how:?}");
        }
        server.stop();
        let text = fs::read_to_string(&stats).expect("statistics");
        let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(stats["connections"]["accepted"], 2, "{how:?}");
        assert_eq!(stats["connections"]["refused"], 0, "{how:?}");
        let program = &stats["program"];
        let answered = program["syn_cookies_sent"].as_u64().unwrap_or(0);
        assert_eq!(answered > 1_000, how.contains(&"--answer-in-driver"), "{how:?}: {program}");
    }
    drop(passing);
    fs::remove_file(&stats).expect("there");
}
