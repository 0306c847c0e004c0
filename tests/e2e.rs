//! The whole path over veth: curl, wrk and kernel sockets at one end, `sidestep serve` at the
//! other.
#![cfg(all(feature = "cli", feature = "af-xdp", feature = "kernel", feature = "tap"))]

mod common;
#[path = "common/served.rs"]
mod served;
#[path = "e2e/tagged.rs"]
mod tagged;
#[path = "e2e/traffic.rs"]
mod traffic;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use served::{Net, PATIENCE, Served, program, within};
use tagged::RawEnd;
use traffic::{Blob, Wrk, connect, echoed, ping, sent};

const LISTEN: [&str; 4] = ["--listen", "10.9.0.1:80", "--listen", "[fd09::1]:80"];
const AF_XDP: [&str; 2] = ["--backend", "af-xdp"];

/// 100 MiB, as people say.
const LARGE: usize = 100 << 20;

/// `sidestep serve` on `srv0`, ready.
fn serve_on_srv0(net: &Net, arguments: &[&str]) -> Served {
    let on = ["serve", "--interface", "srv0"];
    Served::start_program(&program(), &net.server, &[&on[..], arguments].concat())
}

/// The same over AF_XDP on the usual addresses.
fn serve(net: &Net, arguments: &[&str]) -> Served {
    serve_on_srv0(net, &[&AF_XDP[..], &LISTEN, arguments].concat())
}

#[test]
fn curl_fetches_and_posts_100_mib_over_both_families() {
    let Some(net) = Net::new("curl") else { return };
    let blob = Blob::new(LARGE);
    let server = serve(&net, &["--app", "files", "--root", blob.directory()]);
    for host in ["10.9.0.1", "[fd09::1]"] {
        let fetch = format!("curl -sS --fail http://{host}/blob | sha256sum");
        assert_eq!(net.at_client(&["sh", "-c", &fetch]), blob.sha256sum(), "{host}");
    }
    server.stop();

    let server = serve(&net, &["--app", "hello"]);
    for host in ["10.9.0.1", "[fd09::1]"] {
        let url = format!("http://{host}/");
        let from = format!("@{}", blob.file());
        let posted = net.at_client(&["curl", "-sS", "--fail", "--data-binary", &from, &url]);
        assert!(posted.contains(&LARGE.to_string()), "{host}: {posted}");
        let bytes = net.at_client(&["curl", "-sS", &format!("http://{host}/bytes/1000000")]);
        assert_eq!(bytes.len(), 1_000_000, "{host}");
    }
    server.stop();

    let server = serve(&net, &["--app", "echo"]);
    for at in ["10.9.0.1:80", "[fd09::1]:80"] {
        net.client.inside(|| echoed(at, &blob)).expect("inside");
    }
    server.stop();
}

/// Bytes and packets that the client's interface has counted in this direction.
fn counted(net: &Net, direction: &str) -> [u64; 2] {
    ["bytes", "packets"].map(|what| {
        let file = format!("/sys/class/net/cli0/statistics/{direction}_{what}");
        net.at_client(&["cat", &file]).trim().parse().expect("a number")
    })
}

/// Does `transfer`, and holds the mean length of the packets in this direction against the MTU.
fn in_large_packets(net: &Net, direction: &str, transfer: impl FnOnce()) {
    let before = counted(net, direction);
    transfer();
    let after = counted(net, direction);
    let mean = (after[0] - before[0]) / (after[1] - before[1]);
    assert!(mean > 8_500, "{direction}: {mean} bytes a packet");
}

#[test]
fn jumbo_frames_carry_100_mib_each_way() {
    let Some(net) = Net::new("jumbo") else { return };
    for (host, name) in [(&net.server, "srv0"), (&net.client, "cli0")] {
        host.ip(&["link", "set", "dev", name, "mtu", "9000"]).expect("an MTU");
    }
    let blob = Blob::new(LARGE);
    let server = serve(&net, &["--app", "files", "--root", blob.directory()]);
    for host in ["10.9.0.1", "[fd09::1]"] {
        let fetch = format!("curl -sS --fail http://{host}/blob | sha256sum");
        in_large_packets(&net, "rx", || {
            assert_eq!(net.at_client(&["sh", "-c", &fetch]), blob.sha256sum(), "{host}");
        });
    }
    server.stop();

    let server = serve(&net, &["--app", "echo"]);
    for at in ["10.9.0.1:80", "[fd09::1]:80"] {
        net.client.inside(|| echoed(at, &blob)).expect("inside");
    }
    server.stop();

    let server = serve(&net, &["--app", "discard"]);
    for at in ["10.9.0.1:80", "[fd09::1]:80"] {
        in_large_packets(&net, "tx", || net.client.inside(|| sent(at, &blob)).expect("inside"));
    }
    server.stop();
}

/// A server behind a network that drops, duplicates and delays 2 % of the frames each way. The
/// program of this test run alone has `--fault`: a release build has not.
fn serve_badly(net: &Net, app: &[&str]) -> Served {
    let fixed = ["serve", "--interface", "srv0", "--fault", "2"];
    let arguments = [&fixed[..], &AF_XDP, &LISTEN, app].concat();
    Served::start_program(env!("CARGO_BIN_EXE_sidestep"), &net.server, &arguments)
}

#[test]
fn fetched_bytes_survive_loss_duplication_and_reordering() {
    let Some(net) = Net::new("lossget") else { return };
    let blob = Blob::new(LARGE);
    let server = serve_badly(&net, &["--app", "files", "--root", blob.directory()]);
    let fetch = |host: &str| {
        let fetch = format!("curl -sS --fail http://{host}/blob | sha256sum");
        assert_eq!(net.at_client(&["sh", "-c", &fetch]), blob.sha256sum(), "{host}");
    };
    thread::scope(|scope| {
        scope.spawn(|| fetch("10.9.0.1"));
        scope.spawn(|| fetch("[fd09::1]"));
    });
    server.stop();
}

#[test]
fn posted_bytes_survive_loss_duplication_and_reordering() {
    let Some(net) = Net::new("losspost") else { return };
    let blob = Blob::new(LARGE);
    let server = serve_badly(&net, &["--app", "echo"]);
    let echo = |at: &str| net.client.inside(|| echoed(at, &blob)).expect("inside");
    thread::scope(|scope| {
        scope.spawn(|| echo("10.9.0.1:80"));
        scope.spawn(|| echo("[fd09::1]:80"));
    });
    server.stop();
}

#[test]
fn wrk_sees_no_error_on_256_connections() {
    let Some(net) = Net::new("wrk") else { return };
    let stats = std::env::temp_dir().join(format!("sidestep-e2e-{}.json", std::process::id()));
    let path = stats.to_str().expect("text");
    let server = serve(&net, &["--stats-json", path]);
    for header in ["Connection: keep-alive", "Connection: close"] {
        let wrk = Wrk::run(&net, 256, 10, header);
        assert_eq!((wrk.errors, wrk.not_2xx), (0, 0), "{header}: {}", wrk.text);
        assert!(wrk.requests > 1_000, "{header}: {}", wrk.text);
    }
    server.signal("-USR1");
    assert!(within(PATIENCE, || stats.exists()), "SIGUSR1 writes the statistics");
    server.stop();
    let text = fs::read_to_string(&stats).expect("written at the end");
    fs::remove_file(&stats).expect("there");
    let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(stats["backend"], "af-xdp");
    assert!(stats["connections"]["accepted"].as_u64() > Some(1_000), "{text}");
    assert_eq!(stats["connections"]["open"], 0, "{text}");
    let (frames, total) = (&stats["frames"], 16_384);
    let places = frames.as_object().expect("frames").iter().filter(|(place, _)| *place != "posted");
    assert_eq!(places.filter_map(|(_, n)| n.as_u64()).sum::<u64>(), total, "{frames}");
    assert_eq!(frames["received"].as_u64().zip(frames["sending"].as_u64()), Some((0, 0)));
}

#[test]
fn a_killed_server_leaves_the_interface_as_it_was() {
    let Some(net) = Net::new("kill") else { return };
    let mut server = serve(&net, &[]);
    assert!(net.has_program());
    let load = Wrk::start(&net, 64, 3);
    thread::sleep(Duration::from_millis(500));
    server.signal("-KILL");
    server.ended();
    let again = serve(&net, &[]);
    assert_eq!(net.at_client(&["curl", "-sS", "http://10.9.0.1/"]), "Hello, World!");
    drop(load);
    again.signal("-KILL");
    drop(again);
    assert!(net.loses_program());
}

#[test]
fn the_kernels_own_connections_go_on_undisturbed() {
    let Some(net) = Net::new("ssh") else { return };
    // As an ssh session would: the same interface and address, another port.
    let listener = net.server.inside(|| TcpListener::bind("10.9.0.1:2222")).expect("inside");
    let listener = listener.expect("a free port");
    let echo = thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("one connection");
        let mut reader = peer.try_clone().expect("a descriptor");
        std::io::copy(&mut reader, &mut peer).expect("an echo")
    });
    let mut session = net.client.inside(|| connect("10.9.0.1:2222")).expect("inside");
    let mut talk = |line: &[u8]| {
        session.write_all(line).expect("sent");
        let mut answer = vec![0; line.len()];
        session.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, line);
    };
    talk(b"before");
    let server = serve(&net, &[]);
    let load = Wrk::start(&net, 64, 2);
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        talk(b"while it serves");
    }
    drop(load);
    server.stop();
    talk(b"after");
    session.shutdown(Shutdown::Both).expect("open until now");
    echo.join().expect("the echo");
}

#[test]
fn a_drain_lets_transfers_finish_and_takes_nothing_new() {
    let Some(net) = Net::new("drain") else { return };
    for backend in ["af-xdp", "kernel"] {
        let arguments = ["--backend", backend, "--listen", "10.9.0.1:80", "--drain", "15s"];
        let mut server = serve_on_srv0(&net, &arguments);
        let get = b"GET /bytes/4000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let rest = net.client.inside(|| {
            let mut slow = connect("10.9.0.1:80");
            slow.write_all(get).expect("sent");
            let mut first = [0; 1_000];
            slow.read_exact(&mut first).expect("the beginning");
            server.signal("-TERM");
            thread::sleep(Duration::from_millis(300));
            let at = "10.9.0.1:80".parse().expect("an address");
            let new = TcpStream::connect_timeout(&at, Duration::from_millis(700));
            assert!(new.is_err(), "{backend}: a draining server took a new connection");
            let mut rest = Vec::new();
            slow.read_to_end(&mut rest).expect("the rest");
            rest.len()
        });
        let received = 1_000 + rest.expect("inside");
        assert!(received > 4_000_000, "{backend}: {received}");
        assert_eq!(server.ended().code(), Some(0), "{backend}");
    }
}

#[test]
fn a_drain_resets_what_does_not_finish_and_a_second_signal_hurries_it() {
    let Some(net) = Net::new("reset") else { return };
    for (signals, drain) in [(1, "300ms"), (2, "60s")] {
        let mut server = serve(&net, &["--app", "echo", "--drain", drain]);
        let mut idle = net.client.inside(|| connect("10.9.0.1:80")).expect("inside");
        idle.write_all(b"x").expect("sent");
        idle.read_exact(&mut [0]).expect("echoed");
        for _ in 0..signals {
            server.signal("-INT");
            thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(server.ended().code(), Some(0), "{drain}");
        let error = idle.read(&mut [0]).expect_err("reset, not closed in order");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{drain}");
        assert!(net.loses_program());
    }
}

#[test]
fn an_address_of_our_own_answers_arp_ping_and_tcp() {
    let Some(net) = Net::new("owned") else { return };
    let own = ["--address", "10.9.0.7/24", "--address", "fd09::7/64"];
    let listen = ["--listen", "10.9.0.7:80", "--listen", "[fd09::7]:80"];
    let server = serve_on_srv0(&net, &[&AF_XDP[..], &own, &listen].concat());
    assert_eq!(
        server.ready,
        "ready backend=af-xdp mode=copy listen=10.9.0.7:80,[fd09::7]:80 queues=1"
    );
    net.client.inside(|| ping("10.9.0.7")).expect("inside");
    net.client.inside(|| ping("fd09::7")).expect("inside");
    for host in ["10.9.0.7", "[fd09::7]"] {
        let url = format!("http://{host}/");
        assert_eq!(net.at_client(&["curl", "-sS", &url]), "Hello, World!", "{host}");
    }
    let known = net.client.ip(&["neighbour", "show", "dev", "cli0"]).expect("neighbours");
    for address in ["10.9.0.7", "fd09::7"] {
        let resolved = |line: &str| line.starts_with(address) && line.contains("lladdr");
        assert!(known.lines().any(resolved), "{address}: {known}");
    }
    // The kernel's own address beside it is still the kernel's.
    net.client.inside(|| ping("10.9.0.1")).expect("inside");
    server.stop();
}

#[test]
fn a_tag_of_802_1q_comes_back() {
    let Some(net) = Net::new("vlan") else { return };
    let own = ["--address", "10.9.5.1/24", "--listen", "10.9.5.1:80"];
    let server = serve_on_srv0(&net, &[&AF_XDP[..], &own].concat());
    let asks = || {
        let mut wire = RawEnd::open("cli0", "10.9.5.2");
        let arp = wire.ask(&tagged::arp_request(wire.mac()), tagged::is_arp_reply);
        let mac = arp.expect("an ARP reply with our tag")[6..12].try_into().expect("six bytes");
        let syn = tagged::syn(wire.mac(), mac);
        let answer = wire.ask(&syn, tagged::is_syn_ack);
        assert!(answer.is_some(), "no SYN-ACK with our tag");
    };
    net.client.inside(asks).expect("inside");
    server.stop();
}

#[test]
fn checksums_left_to_the_hardware_are_warned_of_and_may_be_accepted() {
    let Some(net) = Net::new("partial") else { return };
    net.client.run("ethtool", &["-K", "cli0", "tx", "on"]).expect("ethtool");
    let url = "http://10.9.0.1/";
    let server = serve(&net, &[]);
    let curl = net.client.run("curl", &["-sS", "-m", "3", url]);
    assert!(curl.is_err(), "half a checksum was taken for a whole one");
    let said = server.stop();
    assert!(said.contains("wrong checksums") && said.contains("ethtool -K"), "{said}");
    let server = serve(&net, &["--accept-partial-checksums"]);
    assert_eq!(net.at_client(&["curl", "-sS", url]), "Hello, World!");
    server.stop();
}

#[test]
fn the_same_application_runs_over_tap() {
    let Some(net) = Net::new("tap") else { return };
    let tap = |arguments: &[&str]| net.server.ip(arguments).expect("a TAP device");
    tap(&["tuntap", "add", "dev", "tap7", "mode", "tap"]);
    tap(&["address", "add", "10.8.0.1/24", "dev", "tap7"]);
    let own = ["--address", "10.8.0.2/24", "--listen", "10.8.0.2:80"];
    let start = ["serve", "--backend", "tap", "--interface", "tap7"];
    let server = Served::start_program(&program(), &net.server, &[&start[..], &own].concat());
    assert_eq!(server.ready, "ready backend=tap mode=tap listen=10.8.0.2:80 queues=1");
    let got = net.server.run("curl", &["-sS", "-m", "10", "http://10.8.0.2/"]);
    assert_eq!(got.expect("an answer"), "Hello, World!");
    server.stop();
}

#[test]
fn the_demonstration_leaves_nothing_behind() {
    if common::or_skip(sidestep::runtime::lab::Lab::new("demo")).is_none() {
        return;
    }
    for (arguments, interrupted) in [(["--seconds", "1"], false), (["--seconds", "37"], true)] {
        let mut demo = Command::new(program());
        demo.arg("demo").args(arguments);
        demo.stdout(Stdio::piped()).stderr(Stdio::piped());
        let demo = demo.spawn().expect("the program");
        let pid = demo.id();
        if interrupted {
            let ours = || traffic::namespaces(pid).len() == 2;
            assert!(within(PATIENCE, ours), "the demonstration never began");
            thread::sleep(Duration::from_secs(1));
            let kill = Command::new("kill").args(["-INT", &pid.to_string()]).status();
            assert!(kill.expect("kill").success());
        }
        let output = demo.wait_with_output().expect("our child");
        let said = String::from_utf8_lossy(&output.stdout);
        let expected = if interrupted { Some(130) } else { Some(0) };
        assert_eq!(output.status.code(), expected, "{said}");
        assert_eq!(said.contains("requests/s"), !interrupted, "{said}");
        assert_eq!(traffic::namespaces(pid), [""; 0]);
        assert_eq!(traffic::processes(&["wrk", "-d37s"]), 0);
        assert_eq!(traffic::processes(&[&program(), "serve", "100ms"]), 0);
    }
}
