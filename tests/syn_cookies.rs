//! SYN cookies against the committed vectors, which the driver's codec is held to as well (see
//! `flood.rs`), and across changes of keys and restarts.
//!
//! `SIDESTEP_WRITE_VECTORS=1 cargo test --test syn_cookies` writes the vectors anew.

mod segments;
#[path = "vectors/mod.rs"]
mod vectors;

#[path = "syn_cookies/handshakes.rs"]
mod handshakes;

use sidestep::tcp::cookie::{CookieKeys, Key, KeyWriter, STEP_MS, decode, encode, step_at};
use sidestep::wire::Seq;

use vectors::{Vector, all, committed, text};

#[test]
fn the_committed_vectors_are_current() {
    let now = text(&all());
    if std::env::var_os("SIDESTEP_WRITE_VECTORS").is_some() {
        std::fs::write(vectors::PATH, &now).expect("written");
    }
    let file = std::fs::read_to_string(vectors::PATH).expect("the vectors");
    assert!(file == now, "the codec has changed: what it was is no more accepted");
}

#[test]
fn vectors_are_made_and_accepted() {
    let vectors = committed();
    assert!(vectors.len() >= 200, "{} vectors", vectors.len());
    for vector in &vectors {
        let Vector { tuple, irs, remembered, unix_ms, cookie, .. } = *vector;
        let keys = CookieKeys::fixed(Key::new(vector.key));
        assert_eq!(encode(&keys, &tuple, irs, &remembered, unix_ms), cookie, "{vector:?}");
        let back = decode(&keys, &tuple, irs, cookie.isn, cookie.timestamp, unix_ms + STEP_MS / 2);
        let kept = remembered.kept(tuple.local.is_v4());
        assert_eq!(back.map(|back| back.remembered), Some(kept), "{vector:?}");
        let wrong = decode(&keys, &tuple, irs, cookie.isn + 1, cookie.timestamp, unix_ms);
        assert_eq!(wrong, None, "{vector:?}");
    }
}

/// Two machines share a file; one was started anew. Their clocks differ by two seconds.
#[test]
fn what_one_machine_sends_another_accepts() {
    let text = "0 000102030405060708090a0b0c0d0e0f\n1767225600 101112131415161718191a1b1c1d1e1f\n";
    let file = sidestep::tcp::cookie::KeyFile::parse(text).expect("two keys");
    let machine = || {
        let [first, rest @ ..] = file.keys() else { panic!("no keys") };
        let mut writer = KeyWriter::new(first.key);
        for key in rest {
            writer.rotate(key.key, key.from_step).expect("in order");
        }
        writer
    };
    let (one, other) = (machine(), machine());
    let vector = &all()[0];
    let change = u64::from(step_at(1_767_225_600_000) + 1) << 16;
    for at in (change - 2 * STEP_MS..change + 2 * STEP_MS).step_by(1_009) {
        let made = encode(&one.keys(), &vector.tuple, Seq(9), &vector.remembered, at);
        for seen in [at - 2_000, at, at + 2_000, at + 60_000] {
            let keys = other.keys();
            let back = decode(&keys, &vector.tuple, Seq(9), made.isn, made.timestamp, seen);
            assert!(back.is_some(), "made at {at}, seen at {seen}, change at {change}");
        }
    }
}
