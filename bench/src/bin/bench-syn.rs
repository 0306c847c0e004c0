//! SYN cookies in numbers: what one SYN answered in the driver costs, beside a program that does
//! the same with the kernel's own cookies, what a refused ACK costs, and how many of 24 million
//! guesses are accepted.
//!
//! Programs are run by the kernel without a network (BPF_PROG_RUN), in turns, and the median of the
//! rounds is shown. Needs root.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use libbpf_rs::{MapCore, MapFlags, Object, ObjectBuilder, ProgramInput};
use sidestep::device::SynAckOffer;
use sidestep::device::af_xdp::{Shield, Steer};
use sidestep::tcp::cookie::{CookieKeys, Key, Tuple, decode};
use sidestep::wire::{Addr, Seq};

static PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/syn.bpf.o"));

/// Bytes of a frame in the map that the programs put it back from.
const LONGEST: usize = 128;
const UNIX_MS: u64 = 1_767_225_600_000;

#[derive(Parser)]
struct Options {
    /// Runs of each program in a round
    #[arg(long, default_value_t = 500_000)]
    repeat: u32,
    /// Rounds
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Cookies to guess
    #[arg(long, default_value_t = 24_000_000)]
    guesses: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    guess(options.guesses);
    match costs(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-syn: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tuple() -> Tuple {
    Tuple {
        local: Addr::from_v4([10, 9, 0, 1]),
        remote: Addr::from_v4([10, 9, 0, 2]),
        local_port: 80,
        remote_port: 40_000,
    }
}

/// Deterministic noise (SplitMix64).
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn guess(count: u64) {
    let keys = CookieKeys::fixed(Key::new([7; 16]));
    for (name, bits, timestamps) in [("without", 26, false), ("with", 43, true)] {
        let mut state = 1;
        let mut accepted = 0u64;
        let begun = std::time::Instant::now();
        for n in 0..count {
            let (a, b) = (noise(&mut state), noise(&mut state));
            let tuple = Tuple {
                remote: Addr::from_v4((b as u32).to_be_bytes()),
                remote_port: (b >> 32) as u16,
                ..tuple()
            };
            let echo = timestamps.then(|| noise(&mut state) as u32);
            let (irs, isn) = (Seq(a as u32), Seq((a >> 32) as u32));
            // A minute of them: all positions in a step come up.
            let at = UNIX_MS + n * 65_536 / count.max(1);
            accepted += u64::from(decode(&keys, &tuple, irs, isn, echo, at).is_some());
        }
        let each = begun.elapsed().as_nanos() / u128::from(count.max(1));
        let expected = count as f64 / 2f64.powi(bits);
        println!(
            "{count} guesses {name} timestamps: {accepted} accepted, {expected:.2} expected \
             (2^-{bits} each), {each} ns each"
        );
    }
}

/// The two kinds of frame that a flood is made of.
fn frame(options: &[u8], flags: u8, ack: u32) -> Vec<u8> {
    let mut tcp = 40_000u16.to_be_bytes().to_vec();
    tcp.extend(80u16.to_be_bytes());
    tcp.extend(77u32.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    tcp.extend([((20 + options.len()) << 2) as u8, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(options);
    let addresses = [10, 9, 0, 2, 10, 9, 0, 1];
    let mut pseudo = addresses.to_vec();
    pseudo.extend([0, 6, 0, tcp.len() as u8]);
    pseudo.extend(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 20 + tcp.len() as u8, 0, 1, 0x40, 0, 64, 6, 0, 0];
    ip.extend(addresses);
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &ip, &tcp].concat()
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What Linux sends: MSS 1460, SACK, timestamps, window scale 7.
const LINUX: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7];
const PLAIN: [u8; 12] = [1, 1, 8, 10, 0, 1, 2, 3, 9, 9, 9, 9];

fn costs(options: &Options) -> Result<(), Box<dyn Error>> {
    let steer = Steer::load(1)?;
    steer.serve([10, 9, 0, 1].into(), 80)?;
    let shield = steer.shield();
    shield.publish_keys(&CookieKeys::fixed(Key::new([7; 16])));
    shield.set_clock(Shield::monotonic_ns(), UNIX_MS);
    let (window_scale, sack, timestamps) = (Some(3), true, true);
    let offer = SynAckOffer {
        mss_v4: 1_460,
        mss_v6: 1_440,
        window: 65_535,
        window_scale,
        sack,
        timestamps,
        classic_ecn: true,
        accurate_ecn: false,
    };
    shield.flood(0, Some(&offer), false);
    let programs = load(&steer)?;
    let syn = frame(&LINUX, 2, 0);
    let ack = frame(&PLAIN, 16, 12_345);

    let transmit = 3;
    let drop = 1;
    let run =
        |name: &str, frame: &[u8], verdict: u32| run(&programs, name, frame, verdict, options);
    let mut rounds: [Vec<f64>; 5] = Default::default();
    for _ in 0..options.rounds {
        rounds[0].push(run("put_back", &syn, transmit)?);
        rounds[1].push(run("ours", &syn, transmit)?);
        rounds[2].push(run("reference", &syn, transmit)?);
        rounds[3].push(run("put_back", &ack, transmit)?);
        rounds[4].push(run("ours", &ack, drop)?);
    }
    let [base, ours, reference, ack_base, refused] = rounds.map(median);
    let (ours, reference) = (ours - base, reference - base);
    println!("putting the frame back: {base:.0} ns, not counted below");
    println!("a SYN answered: {ours:.0} ns; with the kernel's helper: {reference:.0} ns");
    println!("ratio: {:.2}", ours / reference);
    println!("an ACK refused: {:.0} ns", refused - ack_base);
    Ok(())
}

/// The programs over the maps of a program that serves.
fn load(steer: &Steer) -> Result<Object, Box<dyn Error>> {
    let mut open = ObjectBuilder::default().open_memory(PROGRAMS)?;
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if let Some(fd) = steer.map(&name) {
            map.reuse_fd(fd)?;
        }
    }
    Ok(open.load()?)
}

/// Nanoseconds of one run.
fn run(
    programs: &Object,
    name: &str,
    frame: &[u8],
    verdict: u32,
    options: &Options,
) -> Result<f64, Box<dyn Error>> {
    let mut original = (frame.len() as u32).to_ne_bytes().to_vec();
    original.extend(frame);
    original.resize(4 + LONGEST, 0);
    let map = programs.maps().find(|map| map.name() == "original").ok_or("no map")?;
    map.update(&0u32.to_ne_bytes(), &original, MapFlags::ANY)?;
    let program =
        programs.progs_mut().find(|program| program.name() == name).ok_or("no program")?;
    let input = ProgramInput { data_in: Some(frame), repeat: options.repeat, ..Default::default() };
    let output = program.test_run(input)?;
    if output.return_value != verdict {
        return Err(format!("{name} said {} and not {verdict}", output.return_value).into());
    }
    Ok(output.duration.as_nanos() as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
