use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_767_225_600_123;

fn key(n: u8) -> Key {
    Key::new([n; 16])
}

fn tuple(is_v4: bool) -> Tuple {
    let [local, remote] = if is_v4 {
        [Addr::from_v4([10, 9, 0, 1]), Addr::from_v4([10, 9, 0, 2])]
    } else {
        [Addr([1; 16]), Addr([2; 16])]
    };
    Tuple { local, remote, local_port: 80, remote_port: 40_000 }
}

fn rich() -> Remembered {
    let (window_scale, ecn) = (Some(11), Ecn::Accurate);
    Remembered { mss: 1_460, window_scale, sack: true, ecn, timestamps: true }
}

fn poor() -> Remembered {
    Remembered { timestamps: false, ..rich() }
}

fn back(
    keys: &CookieKeys,
    tuple: &Tuple,
    irs: Seq,
    cookie: &Cookie,
    at: u64,
) -> Option<Remembered> {
    let decoded = decode(keys, tuple, irs, cookie.isn, cookie.timestamp, at);
    decoded.map(|decoded| decoded.remembered)
}

#[test]
fn a_cookie_is_good_in_its_step_and_the_next() {
    let keys = CookieKeys::fixed(key(1));
    for (is_v4, what) in [(true, rich()), (true, poor()), (false, rich()), (false, poor())] {
        let tuple = tuple(is_v4);
        for late in [0, 1, STEP_MS - 1] {
            let made = (NOW >> 16 << 16) + late;
            let cookie = encode(&keys, &tuple, Seq(77), &what, made);
            let good = |at| back(&keys, &tuple, Seq(77), &cookie, at) == Some(what.kept(is_v4));
            let end = (NOW >> 16 << 16) + 2 * STEP_MS;
            assert!(good(made) && good(made + 1_000) && good(end - 1), "{what:?} {late}");
            assert!(!good(end) && !good(end + STEP_MS) && !good(end + 2 * STEP_MS));
            // Another machine's clock may be behind, by a little.
            assert!(good(made - 2_000), "{what:?} {late}");
            assert!(late != 0 || !good(made - SKEW_MS - 200));
        }
    }
}

#[test]
fn every_part_of_the_tuple_matters() {
    let keys = CookieKeys::fixed(key(1));
    for what in [rich(), poor()] {
        let tuple = tuple(true);
        let cookie = encode(&keys, &tuple, Seq(77), &what, NOW);
        let other = |change: &dyn Fn(&mut Tuple)| {
            let mut other = tuple;
            change(&mut other);
            back(&keys, &other, Seq(77), &cookie, NOW)
        };
        assert!(other(&|_| {}).is_some());
        assert_eq!(other(&|t| t.local.0[15] ^= 1), None);
        assert_eq!(other(&|t| t.remote.0[15] ^= 1), None);
        assert_eq!(other(&|t| t.local_port ^= 1), None);
        assert_eq!(other(&|t| t.remote_port ^= 1), None);
        assert_eq!(back(&keys, &tuple, Seq(78), &cookie, NOW), None);
        assert_eq!(back(&CookieKeys::fixed(key(2)), &tuple, Seq(77), &cookie, NOW), None);
        let [isn, timestamp] = [cookie.isn, Seq(cookie.timestamp.unwrap_or(0))];
        for bit in 0..32 {
            let forged = Cookie { isn: Seq(isn.0 ^ 1 << bit), ..cookie };
            assert_eq!(back(&keys, &tuple, Seq(77), &forged, NOW), None, "bit {bit} of the ISN");
        }
        // The kept options are the seven lowest bits; above, the clock may err by two minutes.
        for bit in (0..7).chain(18..32).filter(|_| what.timestamps) {
            let forged = Cookie { timestamp: Some(timestamp.0 ^ 1 << bit), ..cookie };
            assert_eq!(back(&keys, &tuple, Seq(77), &forged, NOW), None, "bit {bit} of TSval");
        }
    }
}

#[test]
fn formats_are_not_taken_for_each_other() {
    let keys = CookieKeys::fixed(key(1));
    let tuple = tuple(true);
    let mut taken = 0;
    for irs in (0..1_000).map(Seq) {
        let with = encode(&keys, &tuple, irs, &rich(), NOW);
        let without = encode(&keys, &tuple, irs, &poor(), NOW);
        let mixed = [
            Cookie { isn: with.isn, timestamp: None },
            Cookie { isn: without.isn, timestamp: with.timestamp },
        ];
        taken += mixed.iter().filter(|c| back(&keys, &tuple, irs, c, NOW).is_some()).count();
    }
    assert_eq!(taken, 0);
}

#[test]
fn the_clock_goes_on_from_the_cookie() {
    let keys = CookieKeys::fixed(key(1));
    for ms in 0..1_000 {
        let (made, tuple) = (NOW + ms, tuple(ms % 2 == 0));
        let cookie = encode(&keys, &tuple, Seq(5), &rich(), made);
        let echo = cookie.timestamp.expect("timestamps");
        let decoded = decode(&keys, &tuple, Seq(5), cookie.isn, Some(echo), made).expect("ours");
        let next = (made as u32).wrapping_add(decoded.timestamp_origin);
        assert!(next.wrapping_sub(echo) < 128, "{next} after {echo}");
    }
}

#[test]
fn a_change_of_keys_loses_no_cookie() {
    let mut writer = KeyWriter::new(key(0));
    let keys = writer.keys();
    let tuple = tuple(true);
    let mut pending: Vec<(u64, Cookie)> = Vec::new();
    let start = NOW >> 16;
    // A change in every step but some; a cookie every 4 s, back after up to 60 s.
    for n in 0..640u64 {
        let at = (start << 16) + n * 4_096;
        if n % 16 == 3 && n % 5 != 0 {
            writer.rotate(key(n as u8), step_at(at) + 2).expect("one a step");
        }
        let what = if n % 2 == 0 { rich() } else { poor() };
        pending.push((at, encode(&keys, &tuple, Seq(n as u32), &what, at)));
        if let Some(m) = n.checked_sub(15) {
            let (made, cookie) = &pending[m as usize];
            let irs = Seq(m as u32);
            assert!(back(&keys, &tuple, irs, cookie, at).is_some(), "{n}: made at {made}");
        }
    }
    assert_eq!(writer.rotate(key(9), 5), Err(TooSoon { newest: writer.newest_step() }));
}

#[test]
fn a_million_guesses_are_refused_but_for_the_documented_rate() {
    let keys = CookieKeys::fixed(key(3));
    let mut state = 1u64;
    let mut noise = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    let tuple = tuple(true);
    let mut accepted = 0;
    for n in 0..1_000_000u32 {
        let echo = (n % 2 == 0).then(&mut noise);
        let guess = decode(&keys, &tuple, Seq(noise()), Seq(noise()), echo, NOW + u64::from(n) / 4);
        accepted += u32::from(guess.is_some());
    }
    // 500,000 at 2^-26 and as many at 2^-43: one in 134 runs, and the noise is always the same.
    assert_eq!(accepted, 0);
}

#[test]
fn a_short_mac_is_guessed_at_its_rate() {
    // The rate itself, on as many bits as can be guessed in a test: 14 of the 26, all others given.
    let keys = CookieKeys::fixed(key(3));
    let tuple = tuple(true);
    let mut hits = 0;
    for irs in (0..64).map(Seq) {
        let right = encode(&keys, &tuple, irs, &poor(), NOW).isn.0;
        for low in 0..1 << 14 {
            let guess = Seq(right & !((1 << 14) - 1) | low);
            hits += u32::from(decode(&keys, &tuple, irs, guess, None, NOW).is_some());
        }
    }
    assert_eq!(hits, 64, "one value of the MAC is right for each, and no other");
}

fn remembered() -> impl Strategy<Value = Remembered> {
    let ecn = prop_oneof![Just(Ecn::None), Just(Ecn::Classic), Just(Ecn::Accurate)];
    let scale = prop::option::of(0u8..=14);
    (any::<u16>(), scale, any::<bool>(), ecn, any::<bool>()).prop_map(
        |(mss, window_scale, sack, ecn, timestamps)| Remembered {
            mss,
            window_scale,
            sack,
            ecn,
            timestamps,
        },
    )
}

proptest! {
    #[test]
    fn what_went_in_comes_back(
        what in remembered(), irs: u32, at in 0u64..1 << 43, later in 0u64..STEP_MS, is_v4: bool
    ) {
        let keys = CookieKeys::fixed(key(1));
        let tuple = tuple(is_v4);
        let cookie = encode(&keys, &tuple, Seq(irs), &what, at);
        let kept = back(&keys, &tuple, Seq(irs), &cookie, at + later);
        prop_assert_eq!(kept, Some(what.kept(is_v4)));
        let kept = kept.unwrap_or_default();
        let table = if is_v4 { MSS_V4 } else { MSS_V6 };
        prop_assert!(kept.mss == table[0] || kept.mss <= what.mss);
        prop_assert_eq!(kept.sack, what.sack);
        if what.timestamps {
            prop_assert_eq!((kept.window_scale, kept.ecn), (what.window_scale, what.ecn));
        } else if let Some(scale) = kept.window_scale {
            prop_assert_eq!(Some(scale), what.window_scale);
        }
    }
}
