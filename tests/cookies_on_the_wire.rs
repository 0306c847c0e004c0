//! Cookies of the program itself, over veth: segments written by hand, servers that are killed and
//! started again, and old SYNs.
#![cfg(all(feature = "cli", feature = "af-xdp"))]

mod common;
mod segments;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "common/served.rs"]
mod served;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use segments::codec::{Decoded, decode, encode};
use segments::path::Path;
use segments::segment::{ACK, PSH, RST, SYN, Segment, TcpOption};
use served::{Net, PATIENCE, Served, within};
use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer};
use sidestep::device::{Batch, Class, Device, Pool, PoolConfig, Waker};
use sidestep::runtime::Interface;

const SERVER: &str = "10.9.0.1:80";
/// The kernel doesn't have it: what is answered to it comes to us.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 3));
const HANDSHAKES: u16 = 20;
const KEY: &str = "0 000102030405060708090a0b0c0d0e0f\n";
const OTHER_KEY: &str = "0 f0e0d0c0b0a090807060504030201000\n";

/// Whoever speaks from [`CLIENT`]; lives in the client's namespace.
struct Client {
    device: AfXdp,
    server_mac: [u8; 6],
    /// Held for its drop.
    _steer: Steer,
}

impl Client {
    fn new(server_mac: [u8; 6]) -> Client {
        let nic = Interface::find("cli0").expect("our end").nic();
        let mut steer = Steer::attach(&nic, Mode::Copy).expect("an attached program");
        let frames = PoolConfig { frames: 1_024, reserve: 16, ..PoolConfig::default() };
        let pool = Pool::new(frames).expect("frames");
        let config = AfXdpConfig { mode: Mode::Copy, ..AfXdpConfig::default() };
        let device = AfXdp::open(&steer, &nic, &config, pool).expect("a socket");
        steer.own(&nic, CLIENT).expect("an entry");
        Client { device, server_mac, _steer: steer }
    }

    fn path(&self, port: u16) -> Path {
        Path {
            local: SERVER.parse().expect("an endpoint"),
            remote: SocketAddr::new(CLIENT, port),
            local_mac: self.server_mac,
            remote_mac: self.device.link().mac,
        }
    }

    fn say(&mut self, segment: &Segment) {
        let bytes = encode(&self.path(segment.src_port), segment);
        let pool = self.device.pool().clone();
        let mut frame = pool.alloc(Class::Control).expect("a frame");
        pool.extend(&mut frame, bytes.len());
        pool.bytes_mut(&mut frame).copy_from_slice(&bytes);
        assert!(self.device.transmit(&frame), "no room in the tx ring");
        pool.release(frame);
        self.device.flush();
    }

    /// Listens until segments to `count` of our ports have come that are `wanted`; the first of
    /// each. Others are put down.
    fn hear(&mut self, count: usize, wanted: fn(&Segment) -> bool) -> HashMap<u16, Segment> {
        let mut heard = HashMap::new();
        let (mut batch, waker) = (Batch::new(64), Waker::new().expect("an eventfd"));
        let all = within(PATIENCE, || {
            self.device.receive(&mut batch);
            for frame in batch.drain() {
                let bytes = self.device.pool().bytes(&frame).to_vec();
                self.device.pool().release(frame);
                // The port is that of a TCP segment over IPv4 without options.
                let port = bytes.get(36..38).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
                if let Ok(Decoded::Tcp(segment)) = decode(&self.path(port), &bytes)
                    && wanted(&segment)
                {
                    heard.entry(port).or_insert(segment);
                }
            }
            self.device.wait(Some(Duration::from_millis(1)), &waker);
            heard.len() >= count
        });
        assert!(all, "{} of {count}: {heard:?}", heard.len());
        heard
    }
}

fn syn(port: u16) -> Segment {
    let time = TcpOption::Timestamps { val: 5, ecr: 0 };
    let options = if port.is_multiple_of(2) { vec![time] } else { vec![TcpOption::Mss(1_400)] };
    let seq = u32::from(port) * 99_991;
    Segment { src_port: port, dst_port: 80, seq, flags: SYN, window: 1_000, options, ..none() }
}

fn none() -> Segment {
    Segment::default()
}

/// What brings the cookie in `answer` back, with a request.
fn reply(answer: &Segment) -> Segment {
    let options = match answer.timestamps() {
        Some((ecr, _)) => vec![TcpOption::Timestamps { val: 6, ecr }],
        None => Vec::new(),
    };
    Segment {
        seq: answer.ack,
        ack: answer.seq.wrapping_add(1),
        flags: ACK | PSH,
        payload: b"hello".to_vec(),
        options,
        ..syn(answer.dst_port)
    }
}

fn is_syn_ack(segment: &Segment) -> bool {
    segment.flags & (SYN | ACK | RST) == SYN | ACK
}

fn is_echo(segment: &Segment) -> bool {
    segment.payload == b"hello"
}

/// A file that only its owner may read; removed when dropped.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, text: &str) -> KeyFile {
        let name = format!("sidestep-wire-keys-{}-{name}", std::process::id());
        let file = KeyFile(std::env::temp_dir().join(name));
        fs::write(&file.0, text).expect("a temporary file");
        fs::set_permissions(&file.0, fs::Permissions::from_mode(0o600)).expect("our file");
        file
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn serve(net: &Net, keys: &KeyFile, more: &[&str]) -> Served {
    let keys = keys.0.to_str().expect("text");
    let common = ["serve", "--interface", "srv0", "--listen", SERVER, "--app", "echo"];
    let cookies = ["--syn-cookies", "always", "--cookie-keys", keys];
    let arguments = [&common[..], &cookies, more].concat();
    Served::start_program(&served::program(), &net.server, &arguments)
}

/// Runs `f` as the client of a network of its own.
fn with_client(name: &str, f: impl FnOnce(&Net, &mut Client) + Send) {
    let Some(net) = Net::new(name) else { return };
    let mac = net.server.inside(|| Interface::find("srv0").expect("there").mac).expect("inside");
    net.client.inside(|| f(&net, &mut Client::new(mac))).expect("the client");
}

fn handshakes_outlive_their_server(net: &Net, client: &mut Client, more: &[&str]) {
    let keys = KeyFile::new("own", KEY);
    let former = serve(net, &keys, more);
    let ports = 2_000..2_000 + HANDSHAKES;
    for port in ports.clone() {
        client.say(&syn(port));
    }
    let answers = client.hear(usize::from(HANDSHAKES), is_syn_ack);
    // As a crash would end it: nothing is told to anybody.
    former.signal("-KILL");
    drop(former);
    assert!(net.loses_program());
    let server = serve(net, &keys, more);
    for port in ports {
        client.say(&reply(&answers[&port]));
    }
    // An echo only comes from an application that was told of the connection.
    client.hear(usize::from(HANDSHAKES), is_echo);
    server.stop();
}

#[test]
fn a_server_started_again_accepts_what_its_engine_sent() {
    with_client("again", |net, client| handshakes_outlive_their_server(net, client, &[]));
}

#[test]
fn a_server_started_again_accepts_what_its_driver_sent() {
    with_client("driver", |net, client| {
        handshakes_outlive_their_server(net, client, &["--answer-in-driver"]);
    });
}

#[test]
fn a_server_with_other_keys_tells_its_application_nothing() {
    with_client("stranger", |net, client| {
        let keys = KeyFile::new("ours", KEY);
        let former = serve(net, &keys, &[]);
        client.say(&syn(2_000));
        let answer = client.hear(1, is_syn_ack).remove(&2_000).expect("heard");
        former.stop();
        assert!(net.loses_program());
        let stats = std::env::temp_dir().join(format!("sidestep-wire-{}", std::process::id()));
        let path = stats.to_str().expect("text");
        let others = KeyFile::new("theirs", OTHER_KEY);
        let server = serve(net, &others, &["--answer-in-driver", "--stats-json", path]);
        // Once a SYN is answered, the driver is told of the flood.
        client.say(&syn(2_001));
        let honest = client.hear(1, is_syn_ack).remove(&2_001).expect("heard");
        client.say(&reply(&answer));
        // What comes after it on the wire is taken: so that was not overlooked.
        client.say(&reply(&honest));
        assert_eq!(client.hear(1, is_echo).keys().collect::<Vec<_>>(), [&2_001]);
        server.stop();
        let text = fs::read_to_string(&stats).expect("statistics");
        fs::remove_file(&stats).expect("there");
        let stats: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(stats["connections"]["accepted"], 1);
        assert_eq!(stats["connections"]["refused"], 0);
        assert_eq!(stats["program"]["syn_cookies_failed"], 1, "dropped before it cost a frame");
        assert_eq!(stats["program"]["syn_cookies_passed"], 1);
    });
}

#[test]
fn an_old_syn_of_an_established_connection_is_challenged_and_does_no_harm() {
    with_client("oldsyn", |net, client| {
        let keys = KeyFile::new("old", KEY);
        let server = serve(net, &keys, &["--answer-in-driver"]);
        client.say(&syn(2_000));
        let answer = client.hear(1, is_syn_ack).remove(&2_000).expect("heard");
        let request = reply(&answer);
        client.say(&request);
        let echo = client.hear(1, is_echo).remove(&2_000).expect("heard");
        // RFC 9293 section 3.10.7.4 (RFC 5961 section 4): an ACK of what was expected.
        client.say(&syn(2_000));
        let challenge = client.hear(1, |segment| segment.payload.is_empty());
        let challenge = &challenge[&2_000];
        let next = request.seq.wrapping_add(5);
        assert_eq!((challenge.flags, challenge.ack), (ACK, next), "{challenge}");
        let again = Segment { seq: next, ack: echo.seq.wrapping_add(5), ..request };
        client.say(&again);
        client.hear(1, is_echo);
        server.stop();
    });
}
