//! The vectors: how they are made, written and read.
//!
//! A line is one SYN and its cookie: key, UNIX time in ms, client's address, port and ISN, our
//! address and port, MSS, window scale (`-` for none), SACK, ECN, timestamps; then our ISN and
//! TSval (`-` without timestamps).

#![allow(dead_code, reason = "each test that includes this uses some of it")]

use std::fmt::Write as _;
use std::net::IpAddr;

use sidestep::tcp::cookie::{Cookie, CookieKeys, Ecn, Key, Remembered, Tuple, encode};
use sidestep::wire::{Addr, Seq};

pub(crate) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/syn_cookies.txt");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    pub(crate) key: [u8; 16],
    pub(crate) unix_ms: u64,
    pub(crate) tuple: Tuple,
    pub(crate) irs: Seq,
    pub(crate) remembered: Remembered,
    pub(crate) cookie: Cookie,
}

/// Deterministic noise (SplitMix64).
fn noise(n: &mut u64) -> u64 {
    *n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *n;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Both families, every MSS, scale and flag, keys and moments of all kinds.
pub(crate) fn all() -> Vec<Vector> {
    let mut state = 1;
    let mut random = || noise(&mut state);
    let mut vectors = Vec::new();
    for n in 0..256u64 {
        let is_v4 = n % 2 == 0;
        let address = |random: &mut dyn FnMut() -> u64| match is_v4 {
            true => Addr::from_v4((random() as u32 & 0x7fff_ffff | 0x0100_0000).to_be_bytes()),
            false => {
                let low = u128::from(random()) << 64 | u128::from(random());
                Addr((low & !(0xf << 124) | 2 << 124).to_be_bytes())
            }
        };
        let tuple = Tuple {
            local: address(&mut random),
            remote: address(&mut random),
            local_port: (random() as u16).max(1),
            remote_port: (random() as u16).max(1),
        };
        let mss = [0, 536, 1_219, 1_280, 1_400, 1_440, 1_460, 9_000][(n / 2 % 8) as usize];
        let remembered = Remembered {
            mss: mss + (random() % 20) as u16,
            window_scale: (n % 5 != 0).then_some((random() % 15) as u8),
            sack: n % 3 != 0,
            ecn: [Ecn::None, Ecn::None, Ecn::Classic, Ecn::Accurate][(random() % 4) as usize],
            timestamps: n % 4 < 2,
        };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&random().to_le_bytes());
        key[8..].copy_from_slice(&random().to_le_bytes());
        // From 1970 to 2100, now and then close to the end of a step.
        let unix_ms = random() % 4_102_444_800_000;
        let unix_ms = if n % 7 == 0 { unix_ms | 0xfff0 } else { unix_ms };
        let irs = Seq(random() as u32);
        let cookie = encode(&CookieKeys::fixed(Key::new(key)), &tuple, irs, &remembered, unix_ms);
        vectors.push(Vector { key, unix_ms, tuple, irs, remembered, cookie });
    }
    vectors
}

pub(crate) fn text(vectors: &[Vector]) -> String {
    let mut out = String::from(
        "# key unix_ms remote port irs local port mss scale sack ecn timestamps isn tsval\n",
    );
    let or_none = |value: Option<u32>| value.map_or("-".into(), |value| value.to_string());
    for Vector { key, unix_ms, tuple, irs, remembered: r, cookie } in vectors {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let scale = or_none(r.window_scale.map(u32::from));
        let _ = writeln!(
            out,
            "{key} {unix_ms} {} {} {} {} {} {} {scale} {} {} {} {} {}",
            tuple.remote,
            tuple.remote_port,
            irs.0,
            tuple.local,
            tuple.local_port,
            r.mss,
            u8::from(r.sack),
            r.ecn as u8,
            u8::from(r.timestamps),
            cookie.isn.0,
            or_none(cookie.timestamp),
        );
    }
    out
}

/// What is in the file.
pub(crate) fn committed() -> Vec<Vector> {
    let text = std::fs::read_to_string(PATH).expect("the vectors");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("not a vector: {line}"))).collect()
}

fn parse(line: &str) -> Option<Vector> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[key, unix_ms, remote, rport, irs, local, lport, mss, scale, sack, ecn, ts, isn, tsval] =
        words.as_slice()
    else {
        return None;
    };
    let mut bytes = [0; 16];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(key.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    let address = |text: &str| text.parse::<IpAddr>().ok().map(Addr::from);
    Some(Vector {
        key: bytes,
        unix_ms: unix_ms.parse().ok()?,
        tuple: Tuple {
            local: address(local)?,
            remote: address(remote)?,
            local_port: lport.parse().ok()?,
            remote_port: rport.parse().ok()?,
        },
        irs: Seq(irs.parse().ok()?),
        remembered: Remembered {
            mss: mss.parse().ok()?,
            window_scale: scale.parse().ok(),
            sack: sack == "1",
            ecn: *[Ecn::None, Ecn::Classic, Ecn::Accurate].get(ecn.parse::<usize>().ok()?)?,
            timestamps: ts == "1",
        },
        cookie: Cookie { isn: Seq(isn.parse().ok()?), timestamp: tsval.parse().ok() },
    })
}
