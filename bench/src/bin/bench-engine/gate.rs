//! The regression gate: instruction counts beside those that are committed.
//!
//! They depend on nothing but the code, its dependencies and what compiles them: seeds, hash keys
//! and time are constants, and one run is the next one's equal within 0.01 %. So 3 % is a limit
//! that noise can't reach. Another compiler makes other code, with which the baseline can't be
//! compared: then the counts are printed, and nothing fails.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use sidestep_bench::contender::Kind;

use super::callgrind::{self, Error, Run};

/// Percent by which a count may differ from the baseline.
const TOLERANCE: f64 = 3.0;
/// The compiler that made this program.
const COMPILER: &str = env!("BENCH_RUSTC");

/// Where the baseline is, and whether to make it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct GateOptions {
    /// Write what is counted now to the baseline
    #[arg(long)]
    update: bool,

    /// The baseline
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))]
    baseline: PathBuf,
}

/// Something that is counted: its name in the baseline, and how many there are now.
#[derive(Clone, Debug, PartialEq)]
struct Count {
    name: String,
    instructions: f64,
}

/// Counts, compares and reports.
pub(super) fn run(options: &GateOptions) -> ExitCode {
    let counts = match count() {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("bench-engine gate: {error}");
            return ExitCode::FAILURE;
        }
    };
    if options.update {
        if let Err(error) = fs::write(&options.baseline, written(&counts)) {
            eprintln!("bench-engine gate: writing {}: {error}", options.baseline.display());
            return ExitCode::FAILURE;
        }
        print!("{}", written(&counts));
        return ExitCode::SUCCESS;
    }
    let baseline = fs::read_to_string(&options.baseline).unwrap_or_default();
    let (report, passed) = judged(&counts, &baseline, COMPILER);
    print!("{report}");
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn count() -> Result<Vec<Count>, Error> {
    let mut counts = Vec::new();
    for batch in [32, 1] {
        let run = |server| Run { server, connections: 64, batch };
        // The load is part of both, and no regression of ours.
        let net = callgrind::per_request(run(Kind::Sidestep))?
            - callgrind::per_request(run(Kind::Reflect))?;
        let name = format!("request, 64 connections, batch {batch}");
        counts.push(Count { name, instructions: net });
    }
    let run = Run { server: Kind::Sidestep, connections: 64, batch: 32 };
    let name = String::from("handshake and close, 64 connections, batch 32, load included");
    counts.push(Count { name, instructions: callgrind::per_connection(run)? });
    Ok(counts)
}

/// The text of a baseline.
fn written(counts: &[Count]) -> String {
    let mut text = String::from(
        "# Instructions that `make gate` compares with. To accept what is counted now:\n\
         # make gate UPDATE=1\n",
    );
    text += &format!("compiler: {COMPILER}\n");
    for Count { name, instructions } in counts {
        text += &format!("{name}: {instructions:.1}\n");
    }
    text
}

/// What is to be said about these counts beside that baseline, and whether they pass.
fn judged(counts: &[Count], baseline: &str, compiler: &str) -> (String, bool) {
    let entry = |name: &str| {
        let lines = baseline.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
    };
    let comparable = entry("compiler") == Some(compiler);
    let mut report = String::new();
    let mut passed = true;
    for Count { name, instructions } in counts {
        let before = entry(name).and_then(|value| value.parse::<f64>().ok());
        let (now, change) = match before {
            Some(before) => (*instructions, (instructions / before - 1.0) * 100.0),
            None => (*instructions, f64::INFINITY),
        };
        report += &format!("{now:>9.1} instructions ({change:+.2} %): {name}");
        if comparable && change > TOLERANCE {
            passed = false;
            report += &format!("\n  FAILED: over {TOLERANCE} % more than the baseline\n");
        } else if comparable && change < -TOLERANCE {
            report += "\n  better: keep it with `make gate UPDATE=1`\n";
        } else {
            report += "\n";
        }
    }
    if !comparable {
        let theirs = entry("compiler").unwrap_or("nothing");
        report += &format!(
            "SKIPPED: the baseline was made by {theirs}, this program by {compiler}; \
             `make gate UPDATE=1` makes a new one\n"
        );
    }
    (report, passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(instructions: f64) -> (String, bool) {
        let counts = [Count { name: String::from("a request"), instructions }];
        judged(&counts, "# why\ncompiler: rustc 1\na request: 1000.0\n", "rustc 1")
    }

    #[test]
    fn three_percent_more_pass_and_beyond_that_it_fails() {
        assert!(verdict(1_029.0).1 && verdict(900.0).1);
        let (report, passed) = verdict(1_031.0);
        assert!(!passed && report.contains("(+3.10 %): a request\n  FAILED"), "{report}");
    }

    #[test]
    fn what_became_better_is_to_be_kept() {
        assert!(!verdict(971.0).0.contains("UPDATE=1"));
        assert!(verdict(969.0).0.contains("UPDATE=1"));
    }

    #[test]
    fn another_compiler_is_not_compared_with() {
        let counts = [Count { name: String::from("a request"), instructions: 9_999.0 }];
        let (report, passed) = judged(&counts, "compiler: rustc 1\na request: 1\n", "rustc 2");
        assert!(passed && report.contains("SKIPPED"), "{report}");
    }

    #[test]
    fn what_the_baseline_does_not_know_fails() {
        let counts = [Count { name: String::from("a new one"), instructions: 1.0 }];
        assert!(!judged(&counts, "compiler: rustc 1\n", "rustc 1").1);
    }

    #[test]
    fn what_is_written_passes() {
        let counts = [Count { name: String::from("a request"), instructions: 512.34 }];
        let (report, passed) = judged(&counts, &written(&counts), COMPILER);
        assert!(passed && !report.contains("UPDATE=1"), "{report}");
    }
}
