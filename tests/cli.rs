//! What the command says when it is asked for what can't be had: exit code 2, one message that
//! names what was tried, what the system answered and what to do, and nothing left behind.
#![cfg(all(feature = "cli", feature = "af-xdp", feature = "kernel", feature = "tap"))]

mod common;
#[path = "common/served.rs"]
mod served;

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use served::{Net, Served};
use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer};
use sidestep::device::{Pool, PoolConfig};
use sidestep::runtime::Interface;
use sidestep::runtime::lab::Namespace;

const LISTEN: [&str; 2] = ["--listen", "10.9.0.1:80"];

/// `sidestep` with a bound on its time, outside of any namespace.
fn here(arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["20", &served::program()]).args(arguments);
    command
}

/// `sidestep serve --backend af-xdp` on `srv0`, run through `wrapper` (a command line).
fn wrapped(namespace: &Namespace, wrapper: &[&str], arguments: &[&str]) -> Command {
    let mut command = namespace.command("timeout");
    command.arg("20").args(wrapper).arg(served::program());
    command.args(["serve", "--backend", "af-xdp"]).args(arguments);
    command
}

fn on_srv0(net: &Net, arguments: &[&str]) -> Command {
    let interface = ["--interface", "srv0"];
    wrapped(&net.server, &[], &[&interface[..], arguments].concat())
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

#[test]
fn an_unknown_interface_is_answered_with_those_there_are() {
    for backend in ["auto", "af-xdp"] {
        let arguments =
            ["serve", "--interface", "nope0", "--listen", "10.9.0.1:80", "--backend", backend];
        contains(&refused(here(&arguments)), &["configuration: ", "'nope0'", "lo"]);
    }
    let message = refused(here(&["serve", "--listen", "10.9.0.1:80", "--backend", "af-xdp"]));
    contains(&message, &["backend af-xdp needs an interface", "--interface"]);
    let message = refused(here(&["check", "--interface", "nope0"]));
    contains(&message, &["'nope0'"]);
}

#[test]
fn a_server_needs_somewhere_to_listen() {
    contains(&refused(here(&["serve"])), &["nowhere to listen", "--listen"]);
    let message = refused(here(&["serve", "--backend", "kernel", "--listen", "192.0.2.1:80"]));
    contains(&message, &["machine: ", "192.0.2.1:80", "assign", "ip address"]);
}

#[test]
fn a_flag_that_makes_no_sense_is_explained() {
    for (flag, value, expected) in [
        ("--listen", "10.9.0.1", "invalid socket address"),
        ("--backend", "dpdk", "expected auto, af-xdp, tap, kernel"),
        ("--queues", "3-1", "0-3 or 0,2"),
        ("--drain", "5", "500ms or 5s"),
        ("--address", "10.9.0.1", "prefix length"),
        ("--ecn", "on", "ask-classic and accept"),
        ("--congestion", "vegas", "cubic, newreno, dctcp and bbr"),
        ("--app", "quake", "hello, echo, discard, chargen, files"),
    ] {
        let output = here(&["serve", flag, value]).output().expect("coreutils");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        contains(&said, &[flag, value, expected]);
    }
}

#[test]
fn a_malformed_file_is_named_with_line_and_key() {
    let path = std::env::temp_dir().join(format!("sidestep-cli-{}.toml", std::process::id()));
    let name = path.to_str().expect("text");
    for (text, expected) in [
        ("app = 'hello'\nbackned = 'auto'\n", ["line 2", "'backned'", "unknown field"]),
        ("\nqueues = '1-'\n", ["line 2", "'queues'", "0-3 or 0,2"]),
        ("drain = 5\n", ["line 1", "'drain'", "500ms or 5s"]),
        ("listen = ['10.9.0.1:80'\n", ["line", "'listen'", name]),
    ] {
        fs::write(&path, text).expect("a temporary file");
        let message = refused(here(&["serve", "--config", name]));
        contains(&message, &["configuration: ", name]);
        contains(&message, &expected);
    }
    fs::remove_file(&path).expect("there");
    let message = refused(here(&["serve", "--config", name]));
    contains(&message, &["machine: ", name, "No such file", "--config"]);
}

#[test]
fn statistics_need_a_file_that_can_be_written() {
    let listen = ["serve", "--backend", "kernel", "--listen", "127.0.0.1:0"];
    let message = refused(here(&[&listen[..], &["--stats-json", "/no/such/place/s"]].concat()));
    contains(&message, &["machine: ", "/no/such/place/s", "No such file", "--stats-json"]);
}

#[test]
fn files_need_a_directory() {
    let listen = ["serve", "--backend", "kernel", "--listen", "127.0.0.1:0", "--app", "files"];
    contains(&refused(here(&listen)), &["--root"]);
    let message = refused(here(&[&listen[..], &["--root", "/no/such/place"]].concat()));
    contains(&message, &["/no/such/place", "No such file"]);
}

#[test]
fn an_address_of_somebody_else_is_refused_with_a_way_out() {
    let Some(net) = Net::new("address") else { return };
    let message = refused(on_srv0(&net, &["--listen", "10.9.0.9:80"]));
    contains(&message, &["10.9.0.9:80", "srv0", "10.9.0.1/24", "--address 10.9.0.9/24"]);
    let own = ["--address", "10.9.0.1/24", "--listen", "10.9.0.1:80"];
    let message = refused(on_srv0(&net, &own));
    contains(&message, &["--address 10.9.0.1/24", "the kernel has", "ip address del"]);
    assert!(!net.has_program());
}

#[test]
fn a_missing_capability_is_named() {
    let Some(net) = Net::new("caps") else { return };
    let arguments = ["--interface", "srv0", LISTEN[0], LISTEN[1]];
    for (dropped, named) in [
        ("-net_raw", "CAP_NET_RAW"),
        ("-bpf,-sys_admin", "CAP_BPF"),
        ("-net_admin,-sys_admin", "CAP_NET_ADMIN"),
    ] {
        let wrapper = ["setpriv", "--bounding-set", dropped];
        let message = refused(wrapped(&net.server, &wrapper, &arguments));
        contains(&message, &["machine: ", "EPERM", named, "setcap"]);
        assert!(!net.has_program());
    }
}

#[test]
fn a_queue_that_does_not_exist_or_is_taken() {
    let Some(net) = Net::new("queue") else { return };
    let message = refused(on_srv0(&net, &[&LISTEN[..], &["--queues", "7"]].concat()));
    contains(&message, &["configuration: ", "queue 7", "ethtool -L"]);
    let message = refused(on_srv0(&net, &[&LISTEN[..], &["--cores", "900"]].concat()));
    contains(&message, &["configuration: ", "processor 900", "--cores"]);
    assert!(!net.has_program());

    let holder = || {
        let nic = Interface::find("srv0").expect("there").nic();
        let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
        let pool =
            Pool::new(PoolConfig { frames: 1_024, ..PoolConfig::default() }).expect("frames");
        let device = AfXdp::open(&steer, &nic, &AfXdpConfig::default(), pool).expect("a queue");
        drop(steer);
        let message = refused(on_srv0(&net, &LISTEN));
        drop(device);
        message
    };
    let message = net.server.inside(holder).expect("inside");
    contains(&message, &["queue 0 of srv0", "EBUSY", "another AF_XDP", "--queues"]);
    assert!(!net.has_program());
}

#[test]
fn somebody_elses_program_stays_where_it_is() {
    let Some(net) = Net::new("foreign") else { return };
    let holder = || {
        let nic = Interface::find("srv0").expect("there").nic();
        let steer = Steer::attach(&nic, Mode::Copy).expect("attached");
        let message = refused(on_srv0(&net, &LISTEN));
        assert!(net.has_program());
        drop(steer);
        message
    };
    let message = net.server.inside(holder).expect("inside");
    contains(&message, &["attaching the XDP program to srv0", "EBUSY", "'steer'", "xdp off"]);
    assert!(net.loses_program());
}

#[test]
fn a_port_that_the_kernel_listens_on_is_left_to_it() {
    let Some(net) = Net::new("port") else { return };
    let taken = || {
        let _listener = TcpListener::bind("10.9.0.1:80").expect("a free port");
        let shared = refused(on_srv0(&net, &LISTEN));
        let kernel = ["serve", "--backend", "kernel", LISTEN[0], LISTEN[1]];
        let mut command = net.server.command("timeout");
        command.args(["20", &served::program()]).args(kernel);
        (shared, refused(command))
    };
    let (shared, kernel) = net.server.inside(taken).expect("inside");
    for message in [shared, kernel] {
        contains(&message, &["machine: ", "10.9.0.1:80", "in use", "ss -tlnp sport = :80"]);
    }
    assert!(!net.has_program());
}

#[test]
fn packets_that_do_not_fit_a_frame_are_not_tried() {
    let Some(net) = Net::new("mtu") else { return };
    net.server.ip(&["link", "set", "dev", "srv0", "mtu", "20000"]).expect("an MTU");
    let message = refused(on_srv0(&net, &LISTEN));
    contains(&message, &["MTU of 20000", "frame of 16384", "ip link set dev srv0 mtu 16110"]);
    assert!(!net.has_program());
}

#[test]
fn the_limit_of_locked_memory_is_named() {
    let Some(net) = Net::new("memlock") else { return };
    let drop = "-ipc_lock,-sys_resource";
    let wrapper = ["prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set", drop];
    let arguments = ["--interface", "srv0", LISTEN[0], LISTEN[1]];
    let message = refused(wrapped(&net.server, &wrapper, &arguments));
    contains(&message, &["frame memory", "65536 bytes", "ulimit -l", "LimitMEMLOCK"]);
    assert!(!net.has_program());
}

#[test]
fn auto_takes_the_kernel_where_af_xdp_can_not_be_had_and_says_why() {
    let Some(net) = Net::new("auto") else { return };
    let mut wrapper = vec!["--bounding-set", "-bpf,-sys_admin"];
    let program = served::program();
    wrapper.extend([program.as_str(), "serve", "--interface", "srv0", LISTEN[0], LISTEN[1]]);
    let server = Served::start_program("setpriv", &net.server, &wrapper);
    assert_eq!(server.ready, "ready backend=kernel mode=sockets listen=10.9.0.1:80 queues=1");
    assert_eq!(net.at_client(&["curl", "-s", "http://10.9.0.1/"]), "Hello, World!");
    let said = server.stop();
    contains(&said, &["backend kernel instead of af-xdp", "CAP_BPF"]);
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn check_says_what_would_be_picked() {
    let Some(net) = Net::new("check") else { return };
    let check = net.server.run(&served::program(), &["check", "--interface", "srv0"]);
    let text = check.expect("a report");
    contains(&text, &["driver veth", "10.9.0.1/24", "queue 0: copy", "zero-copy", "CAP_BPF yes"]);
    contains(&text, &["would pick    --backend af-xdp"]);
    assert!(!net.has_program());
}

/// Runs a command that must be refused: exit code 2, nothing on stdout, one message on stderr.
fn refused(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("coreutils");
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(2), "{command:?}: {said}");
    assert!(stdout.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&stdout));
    let message = said.strip_prefix("sidestep: error: ").unwrap_or_else(|| {
        panic!("{command:?}: {said:?} is not one of our messages");
    });
    assert_eq!(message.trim_end().lines().count(), 1, "{command:?}: {message}");
    for ugly in ["Error {", "Os {", "panicked", "RUST_BACKTRACE", "Some("] {
        assert!(!message.contains(ugly), "{command:?}: {message}");
    }
    message.trim_end().to_owned()
}
