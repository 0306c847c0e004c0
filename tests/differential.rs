//! Our TCP and the kernel's, told the same: random segments, calls and pauses, and what both answer
//! to each, field by field. Where they may differ is a table: `differential/freedoms.rs`.
//!
//! `SIDESTEP_SEED=17` runs one sequence and prints what both did; `SIDESTEP_SEEDS=5000` runs that
//! many.
#![cfg(feature = "tap")]

mod common;
#[path = "differential/event.rs"]
mod event;
#[path = "differential/freedoms.rs"]
mod freedoms;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/kernel.rs"]
mod kernel;
#[path = "differential/ours.rs"]
mod ours;
mod packet;
mod segments;
#[path = "differential/step.rs"]
mod step;
#[path = "differential/subject.rs"]
mod subject;
#[path = "differential/tester.rs"]
mod tester;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use event::{Event, Sequence};
use freedoms::{FREEDOMS, Judgement, judge};
use kernel::Wire;
use ours::Ours;
use segments::path::Path;
use sidestep::device::{Pool, PoolConfig, Tap, TapConfig};
use sidestep::runtime::lab::Lab;
use step::{Number, Step};
use subject::{Run, View};

const SEEDS: u64 = 400;
/// Failures after which the rest is not run.
const MOST_FAILURES: usize = 40;
/// How long the kernel must be silent before a difference is believed: it may only be slow.
const PATIENT: Duration = Duration::from_millis(40);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Prints past the test harness.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Both TCPs through one sequence.
fn both(sequence: &Sequence, wire: &mut Wire) -> Result<(Run, Run), String> {
    let path = Path::new(sequence.family, kernel::PORT, 40_000);
    let ours = Run::of(sequence, &mut Ours::new(sequence, path));
    let kernel = Run::of(sequence, &mut wire.connection(sequence));
    Ok((
        ours.map_err(|what| format!("ours: {what}"))?,
        kernel.map_err(|what| format!("the kernel's: {what}"))?,
    ))
}

fn try_once(sequence: &Sequence, wire: &mut Wire) -> Result<Judgement, String> {
    let (ours, kernel) = both(sequence, wire)?;
    judge(sequence, &ours, &kernel)
}

/// What became of a sequence; what differs must differ twice.
fn compare(sequence: &Sequence, wire: &mut Wire) -> Result<Judgement, String> {
    try_once(sequence, wire).or_else(|_| {
        let quick = std::mem::replace(&mut wire.quiet, PATIENT);
        let again = try_once(sequence, wire);
        wire.quiet = quick;
        again
    })
}

/// Leaves out events for as long as both still differ.
fn shrunk(sequence: &Sequence, wire: &mut Wire) -> Sequence {
    let mut least = sequence.clone();
    let mut at = least.events.len();
    while at > 0 {
        at -= 1;
        let mut fewer = least.clone();
        fewer.events.remove(at);
        if try_once(&fewer, wire).is_err() {
            least = fewer;
        }
    }
    least
}

/// The sequence, and what both did.
fn report(sequence: &Sequence, wire: &mut Wire) -> String {
    let mut text = format!("{sequence}\n");
    for (number, event) in sequence.events.iter().enumerate() {
        text += &format!("  {:2} {event}\n", number + 1);
    }
    match both(sequence, wire) {
        Err(what) => text += &what,
        Ok((ours, kernel)) => {
            for (name, run) in [("ours", &ours), ("the kernel's", &kernel)] {
                text += &format!("{name}: {:?}\n", run.view);
                for (number, step) in run.steps.iter().enumerate() {
                    text += &format!("  {number:2} {step}\n");
                }
                run.trace.iter().for_each(|line| text += &format!("     {line}\n"));
            }
        }
    }
    text
}

fn run_all(wire: &mut Wire) {
    let mut judgements = BTreeMap::<&str, u32>::new();
    let (mut failures, mut whole) = (Vec::new(), 0);
    let seeds = match number("SIDESTEP_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIDESTEP_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let sequence = Sequence::from_seed(seed);
        if count == 1 {
            say(report(&sequence, wire));
        }
        match compare(&sequence, wire) {
            Ok(judgement) => {
                whole += u64::from(judgement.whole);
                for name in judgement.used {
                    *judgements.entry(name).or_default() += 1;
                }
            }
            Err(_) if failures.len() < MOST_FAILURES => {
                let least = shrunk(&sequence, wire);
                let why = compare(&least, wire).err().unwrap_or_default();
                failures.push(format!("{why}\n{}", report(&least, wire)));
            }
            Err(_) => break,
        }
    }
    say(format_args!("{count} sequences, {whole} of them compared to their end"));
    for freedom in &FREEDOMS {
        let times = judgements.get(freedom.name).copied().unwrap_or(0);
        say(format_args!("  {times:5} times {}", freedom.name));
        if count == 1 && times > 0 {
            say(format_args!("              {}", freedom.reason));
        }
    }
    // Freedoms that excuse everything would let everything pass.
    assert!(count == 1 || whole * 2 > count, "only {whole} of {count} were compared to their end");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// The judge must be able to condemn: of plain data, nothing but the same ACK will do.
#[test]
fn what_no_freedom_covers_is_a_difference() {
    let orderly = |seed: &u64| {
        let events = &Sequence::from_seed(*seed).events;
        matches!(events[..], [Event::Segment(_), Event::Segment(_), ..])
    };
    let seed = (0..).find(orderly).expect("one of the first");
    let sequence = Sequence { timestamps: false, ..Sequence::from_seed(seed) };
    let plain = |ack: Option<i32>| {
        let step = Step { ack: ack.map(Number::Start), ..Step::default() };
        let view = View { opened: true, ..View::default() };
        Run { steps: vec![Step::default(), step], view, trace: Vec::new() }
    };
    assert!(judge(&sequence, &plain(Some(1)), &plain(Some(1))).is_ok());
    for (ours, kernel) in [(Some(1), Some(2)), (Some(1), None), (None, Some(1))] {
        assert!(judge(&sequence, &plain(ours), &plain(kernel)).is_err(), "{ours:?} {kernel:?}");
    }
}

#[test]
fn our_tcp_and_the_kernels_answer_alike() {
    let Some(mut lab) = common::or_skip(Lab::new("differ")) else { return };
    let Some(host) = common::or_skip(lab.namespace("kernel")) else { return };
    let pool = PoolConfig { frames: 16, reserve: 2, huge_pages: false, ..PoolConfig::default() };
    let try_it = || Tap::open(&TapConfig::new("try0"), Pool::new(pool).expect("frames")).map(drop);
    if common::or_skip(host.inside(try_it).expect("inside")).is_none() {
        return;
    }
    kernel::prepare(&host);
    host.inside(|| run_all(&mut Wire::open())).expect("inside");
}
