//! The Linux kernel at the other end of the wire: whatever the two agree to use, on whatever link,
//! every byte comes through in both directions.
//!
//! Ordinarily a few cells of the matrix run, chosen so that every pair of conditions occurs
//! together. `SIDESTEP_INTEROP=full` runs all 384 with 64 MiB each way (`make interop`),
//! `SIDESTEP_INTEROP=17` the one with that number; `SIDESTEP_INTEROP_MIB` changes the amount.
#![cfg(all(feature = "cli", feature = "af-xdp", feature = "tap", debug_assertions))]

#[path = "interop/cell.rs"]
mod cell;
mod common;
#[path = "interop/kernel.rs"]
mod kernel;
#[path = "interop/ours.rs"]
mod ours;
#[path = "interop/pairs.rs"]
mod pairs;
#[path = "interop/stage.rs"]
mod stage;
#[path = "common/talker.rs"]
mod talker;

use std::fmt::Display;
use std::io::Write;
use std::str::FromStr;
use std::time::Instant;

use cell::Cell;
use kernel::Block;
use sidestep::engine::Counter;
use sidestep::runtime::lab::Lab;
use stage::Stage;

/// What each side sends in each cell of the full matrix.
const FULL_MIB: usize = 64;
/// The same for the few of the ordinary test.
const FEW_MIB: usize = 32;

fn parsed<T: FromStr>(variable: &str, text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number"))
}

/// Prints past the test harness: who waits for the matrix wants to see it grow.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[test]
fn the_kernel_and_we_understand_each_other() {
    let wanted = std::env::var("SIDESTEP_INTEROP").unwrap_or_default();
    let (cells, mib) = match wanted.as_str() {
        "" => (Cell::few(), FEW_MIB),
        "full" => (Cell::all(), FULL_MIB),
        number => (vec![Cell::numbered(parsed("SIDESTEP_INTEROP", number))], FULL_MIB),
    };
    let mib = std::env::var("SIDESTEP_INTEROP_MIB")
        .map_or(mib, |text| parsed("SIDESTEP_INTEROP_MIB", &text));
    if common::or_skip(Lab::new("interop").and_then(|mut lab| lab.namespace("try"))).is_none() {
        return;
    }
    let block = Block::new(mib << 20);
    say(format_args!("{} cells, {mib} MiB each way", cells.len()));
    say(Cell::HEAD.to_owned() + "  seconds  MSS        sent again by us (timeouts)");
    let mut failures = Vec::new();
    for cell in &cells {
        match run(cell, &block) {
            Ok(line) => say(format_args!("{cell}{line}")),
            Err(why) => {
                say(format_args!("{cell}  FAILED: {why}"));
                failures.push(format!("SIDESTEP_INTEROP={}: {why}", cell.number()));
            }
        }
    }
    assert!(failures.is_empty(), "{} cells failed:\n{}", failures.len(), failures.join("\n"));
}

/// One cell; returns the rest of its line in the table.
fn run(cell: &Cell, block: &Block) -> Result<String, String> {
    let stage = Stage::new(cell);
    let listener = kernel::listen(&stage, cell);
    let began = Instant::now();
    let (socket, ours) = ours::beside(&stage, cell, || {
        let converse = || kernel::converse(&stage, listener.as_ref(), block);
        stage.kernel.inside(converse).expect("inside")
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let socket = socket?;
    cell.check_agreement(&socket)?;
    ours.check()?;
    let mss = socket.split_whitespace().find_map(|word| word.strip_prefix("mss:"));
    Ok(format!(
        "  {seconds:7.2}  {:9}  {} ({})",
        mss.unwrap_or("?"),
        ours.counter(Counter::Retransmissions),
        ours.counter(Counter::RetransmissionTimeouts),
    ))
}
