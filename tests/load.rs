//! `sidestep load` against real servers, past the kernel and through it.
#![cfg(all(feature = "cli", feature = "af-xdp", feature = "kernel", feature = "tap"))]

mod common;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "common/served.rs"]
mod served;

use serde_json::Value;
use served::{Net, Served, program};

const BYPASS: [&str; 4] = ["--interface", "cli0", "--address", "10.9.0.3/24"];

fn serve(net: &Net, backend: &str, more: &[&str]) -> Served {
    let mut arguments = vec!["serve", "--backend", backend, "--listen", "10.9.0.1:80"];
    if backend == "af-xdp" {
        arguments.extend(["--interface", "srv0"]);
    }
    arguments.extend(more);
    Served::start_program(&program(), &net.server, &arguments)
}

/// Loads for a second and returns what it measured.
fn load(net: &Net, target: &str, more: &[&str]) -> Value {
    let short = ["--seconds", "1", "--warm-up", "100ms", "--json"];
    let program = program();
    let printed = net.at_client(&[&[program.as_str(), "load", target], &short[..], more].concat());
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("counts by name").values().map(number).sum()
}

/// Answers came, and nothing went wrong.
fn assert_good(measured: &Value) {
    assert!(number(&measured["responses"]) > 0, "{measured}");
    assert_eq!(sum(&measured["errors"]) + sum(&measured["connections_failed"]), 0, "{measured}");
    let latency = |name: &str| measured["latency_us"][name].as_f64().expect("a number");
    let sorted = ["p50", "p90", "p99", "p999", "max"].map(latency);
    assert!(sorted[0] > 0.0 && sorted.is_sorted(), "{measured}");
}

#[test]
fn past_the_kernel_at_both_ends() {
    let Some(net) = Net::new("load") else { return };
    let server = serve(&net, "af-xdp", &["--listen", "[fd09::1]:80"]);
    let kept = load(&net, "10.9.0.1:80", &[&BYPASS[..], &["-c", "1000"]].concat());
    assert_good(&kept);
    assert_eq!((&kept["backend"], number(&kept["connections_opened"])), (&"af-xdp".into(), 1_000));
    // `Hello, World!` with its head has 78 bytes.
    assert_eq!(number(&kept["bytes"]), 78 * number(&kept["responses"]));

    let six = ["--interface", "cli0", "--address", "fd09::3/64", "--path", "/bytes/5000"];
    let measured = load(&net, "[fd09::1]:80", &six);
    assert_good(&measured);
    assert!(number(&measured["bytes"]) > 5_000 * number(&measured["responses"]));

    let each = load(&net, "10.9.0.1:80", &[&BYPASS[..], &["--close", "-c", "20"]].concat());
    assert_good(&each);
    assert!(number(&each["connections_opened"]) >= number(&each["responses"]), "{each}");

    for more in [&["--rate", "2000"][..], &["--rate", "2000", "--close"]] {
        let open = load(&net, "10.9.0.1:80", &[&BYPASS[..], more].concat());
        assert_good(&open);
        let due = number(&open["responses"]) + number(&open["unanswered"]);
        let planned = 2_000.0 * open["seconds"].as_f64().expect("a number");
        assert!((due as f64 - planned).abs() <= 2.0, "{planned} were due: {open}");
    }
    server.stop();
    let links = net.client.ip(&["-details", "link", "show", "dev", "cli0"]).expect("cli0");
    assert!(!links.contains("prog/xdp"), "{links}");
}

#[test]
fn with_kernel_sockets_at_either_end() {
    let Some(net) = Net::new("loadk") else { return };
    let server = serve(&net, "kernel", &[]);
    let partial = ["--accept-partial-checksums"];
    assert_good(&load(&net, "10.9.0.1:80", &[&BYPASS[..], &partial].concat()));
    server.stop();
    let server = serve(&net, "af-xdp", &[]);
    for more in [&["-c", "10"][..], &["-c", "10", "--close"], &["--rate", "500"]] {
        let measured = load(&net, "10.9.0.1:80", more);
        assert_good(&measured);
        assert_eq!(measured["backend"], "kernel");
    }
    server.stop();
}

#[test]
fn a_missing_page_is_an_error_for_each_request() {
    let Some(net) = Net::new("load404") else { return };
    let server = serve(&net, "af-xdp", &["--app", "files", "--root", env!("CARGO_MANIFEST_DIR")]);
    let missing = ["--path", "/no/such/file", "-c", "2"];
    let measured = load(&net, "10.9.0.1:80", &[&BYPASS[..], &missing].concat());
    let (responses, errors) = (number(&measured["responses"]), &measured["errors"]);
    assert!(responses > 0 && number(&errors["status"]) >= responses, "{measured}");
    assert_eq!(sum(errors), number(&errors["status"]), "{measured}");
    server.stop();
}

#[test]
fn nobody_there_is_explained() {
    let Some(net) = Net::new("loaderr") else { return };
    for (target, interface, expected) in [
        ("10.9.0.1:81", "cli0", "10.9.0.1:81 refused the first connection"),
        ("10.9.0.99:80", "cli0", "nobody answers ARP"),
        ("10.9.0.1:80", "nope0", "'nope0'"),
    ] {
        let program = program();
        let bypass = ["--interface", interface, "--address", "10.9.0.3/24"];
        let arguments = [&["60", &program, "load", target][..], &bypass].concat();
        let output = net.client.command("timeout").args(arguments).output().expect("coreutils");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("sidestep: error: ") && said.contains(expected), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}
