//! The driver's SYN-ACKs are the engine's, byte by byte.

use std::sync::Arc;

use sidestep::app::{App, Peer, Refuse, Rx, Tx};
use sidestep::device::{Pool, PoolConfig, VirtualDevice};
use sidestep::engine::{CookieConfig, Engine, EngineConfig, Listen, LocalAddress, SynCookies};
use sidestep::tcp::Ecn;
use sidestep::time::Instant;

use crate::bench::{self, Bench, SENT, syn};
use crate::segments::path::{Family, Path};
use crate::segments::segment::{SYN, Segment, TcpOption};

struct Nothing;

impl App for Nothing {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Rx<'_>, _: &mut Tx<'_>) {}
}

/// Far from the ends of its step.
const NOW: Instant = Instant::from_millis(1_200_020_000);

/// The engine's answer to a frame.
fn engine_says(path: &Path, bench: &Bench, frame: &[u8]) -> Vec<u8> {
    let mut config = EngineConfig::new([1; 32]);
    let (ip, prefix_len) = (path.local.ip(), path.prefix_len());
    config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
    config.limits.connections = 16;
    config.limits.half_open = 16;
    config.limits.time_wait = 16;
    config.listeners.push(Listen { at: path.local });
    // The driver of this test is told to agree to classic ECN; the option of AccECN it never sends.
    config.tcp.ecn = Ecn::AcceptClassic;
    let keys = Some(Arc::clone(&bench.keys()));
    config.cookies = CookieConfig { when: SynCookies::Always, keys, ..CookieConfig::default() };
    let frames = PoolConfig { frames: 64, reserve: 8, ..PoolConfig::default() };
    let pool = Pool::new(frames).expect("memory for the frames");
    let (device, port) = VirtualDevice::new(pool, path.local_mac, 1_500);
    let mut engine = Engine::standalone(config, device, Nothing).expect("an eventfd");
    engine.turn(NOW);
    port.send(frame);
    engine.turn(NOW);
    port.receive().expect("an answer")
}

fn compare(bench: &mut Bench, what: &str, path: &Path, frame: &[u8]) {
    bench.serve(&bench::tuple(path));
    assert_eq!(bench.run(frame), SENT, "{what}");
    let mut expected = engine_says(path, bench, frame);
    without_flow_label(&mut expected);
    assert_eq!(bench.out, expected, "{what}, {}", path.family().name());
}

/// The engine labels the flows that it knows (RFC 6437); the driver's answers have no label.
fn without_flow_label(frame: &mut [u8]) {
    const IPV6: [u8; 2] = [0x86, 0xdd];
    let header = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    if frame[header - 2..header] == IPV6 {
        frame[header + 1] &= 0xf0;
        frame[header + 2..header + 4].fill(0);
    }
}

fn options() -> Vec<Vec<TcpOption>> {
    use TcpOption::{End, Mss, Nop, Raw, SackPermitted, WindowScale};
    let time = TcpOption::Timestamps { val: 0xdead_beef, ecr: 3 };
    vec![
        vec![],
        vec![Mss(1_460), SackPermitted, time.clone(), Nop, WindowScale(7)],
        vec![Mss(1_460), SackPermitted, time.clone(), Nop, WindowScale(200)],
        vec![Mss(1_460), Nop, WindowScale(8), Nop, Nop, SackPermitted],
        vec![Mss(1_460), Nop, WindowScale(5), Nop, Nop, SackPermitted],
        vec![Mss(1_460), Nop, WindowScale(8)],
        vec![Mss(10), Nop, Nop, time.clone()],
        vec![time.clone(), SackPermitted],
        vec![WindowScale(0), Nop, time.clone()],
        vec![Mss(9_000), End, Mss(536)],
        vec![Mss(9_000), Mss(536)],
        vec![Mss(1_300), Raw(vec![253, 6, 1, 2, 3, 4]), SackPermitted],
        vec![Mss(1_300), Raw(vec![253, 1]), SackPermitted],
        vec![Mss(1_300), Raw(vec![253, 0]), SackPermitted],
        vec![Mss(1_300), Raw(vec![2, 3, 9]), SackPermitted],
        vec![Mss(1_300), Raw(vec![3, 4, 7, 0]), SackPermitted],
        vec![Mss(1_300), Raw(vec![8, 6, 7, 0, 0, 0]), SackPermitted],
        vec![Mss(1_300), Raw(vec![253, 40, 1])],
        vec![Nop, Nop, Nop, Raw(vec![2])],
        vec![Raw(vec![2, 4, 5])],
        vec![Raw([1; 40].to_vec())],
        vec![Raw(vec![253, 40].into_iter().chain([7; 38]).collect())],
    ]
}

#[test]
fn with_every_kind_of_options() {
    let Some(mut bench) = Bench::new(NOW.millis()) else { return };
    for family in Family::BOTH {
        let path = Path::new(family, 80, 40_000);
        for options in options() {
            let segment = Segment { options, ..syn(&path) };
            compare(&mut bench, &segment.to_string(), &path, &bench::frame(&path, &segment));
        }
    }
}

#[test]
fn with_every_kind_of_congestion_notification() {
    let Some(mut bench) = Bench::new(NOW.millis()) else { return };
    let time = TcpOption::Timestamps { val: 1, ecr: 0 };
    for family in Family::BOTH {
        let path = Path::new(family, 80, 40_000);
        for options in [vec![TcpOption::Mss(1_400)], vec![TcpOption::Mss(1_400), time.clone()]] {
            // ECE, CWR and AE; the field of the IP header.
            for (flags, field) in (0..32).map(|n| (n & 7, n >> 3)) {
                let flags = SYN | flags << 6;
                let segment = Segment { flags, options: options.clone(), ..syn(&path) };
                let frame = bench::with_ecn(&path, &segment, field as u8);
                compare(&mut bench, &format!("{segment} {field}"), &path, &frame);
            }
        }
    }
}

#[test]
fn with_data_on_the_syn() {
    let Some(mut bench) = Bench::new(NOW.millis()) else { return };
    for family in Family::BOTH {
        let path = Path::new(family, 80, 40_000);
        for len in [1, 2, 3, 4, 5, 100, 1_001, 1_400] {
            let payload = (0..len).map(|n| n as u8).collect();
            let options = vec![TcpOption::Mss(1_400)];
            let segment = Segment { payload, options, ..syn(&path) };
            compare(&mut bench, "data", &path, &bench::frame(&path, &segment));
        }
    }
}

#[test]
fn behind_tags_options_and_extension_headers() {
    let Some(mut bench) = Bench::new(NOW.millis()) else { return };
    let path = Path::new(Family::V4, 80, 40_000);
    let plain = bench::frame(&path, &syn(&path));
    let tagged = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0x20, 5], &frame[12..]].concat();
    compare(&mut bench, "a tag", &path, &tagged(&plain));
    for words in 1..=10usize {
        // No-operation options of IPv4.
        let mut frame = [&plain[..34], &vec![1; words * 4], &plain[34..]].concat();
        frame[14] += words as u8;
        frame[17] += words as u8 * 4;
        bench::mend_ipv4(&mut frame);
        compare(&mut bench, "IPv4 options", &path, &frame);
    }
    let mut padded = plain.clone();
    padded.resize(100, 0xee);
    compare(&mut bench, "padding behind the packet", &path, &padded);

    let path = Path::new(Family::V6, 80, 40_000);
    let plain = bench::frame(&path, &syn(&path));
    compare(&mut bench, "a tag", &path, &tagged(&plain));
    let one = bench::with_extension(&plain, 60, &[0, 1, 4, 0, 0, 0, 0]);
    compare(&mut bench, "destination options", &path, &one);
    let two = bench::with_extension(&one, 0, &[0, 1, 4, 0, 0, 0, 0]);
    compare(&mut bench, "hop by hop before them", &path, &two);
    compare(&mut bench, "and a tag", &path, &tagged(&two));
}
