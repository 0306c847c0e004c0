//! Instructions of this very program, counted by valgrind.

use std::io;
use std::process::{Command, Output};

use clap::ValueEnum;
use sidestep_bench::contender::Kind;

/// Requests of the shorter run and of the longer one; between them lies what a request takes.
const REQUESTS: [u64; 2] = [6_400, 19_200];
/// The same for connections that are closed and opened again.
const RECONNECTS: [u64; 2] = [640, 1_920];

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The server.
    pub(super) server: Kind,
    /// Clients.
    pub(super) connections: u32,
    /// Packets a turn.
    pub(super) batch: u32,
}

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It could not be started.
    #[error("valgrind does not start ({0}): deploy/setup.sh --bench installs it")]
    Missing(io::Error),
    /// It counted nothing.
    #[error("valgrind counted nothing: {0}")]
    Failed(String),
}

/// Instructions per request, those of the load included.
pub(super) fn per_request(run: Run) -> Result<f64, Error> {
    per("--requests", REQUESTS, run, &["--reconnects", "0"])
}

/// Instructions per connection that is closed and opened again, those of the load included.
pub(super) fn per_connection(run: Run) -> Result<f64, Error> {
    let clients = u64::from(run.connections);
    let each = per("--reconnects", RECONNECTS.map(|n| n / clients), run, &["--requests", "640"])?;
    Ok(each / clients as f64)
}

/// The difference of a longer and a shorter run, each counted whole.
fn per(what: &str, [few, many]: [u64; 2], run: Run, others: &[&str]) -> Result<f64, Error> {
    let [less, more] = [few, many].map(|n| {
        let number = n.to_string();
        whole(run, &[&[what, number.as_str()], others].concat())
    });
    Ok((more? - less?) as f64 / (many - few) as f64)
}

fn whole(run: Run, arguments: &[&str]) -> Result<u64, Error> {
    let server = run.server.to_possible_value();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().map_err(Error::Missing)?)
        .args(["count", "--server", server.as_ref().map_or("", |value| value.get_name())])
        .args(["--connections", &run.connections.to_string()])
        .args(["--batch", &run.batch.to_string()])
        .args(arguments)
        .output()
        .map_err(Error::Missing)?;
    collected(&output)
}

fn collected(Output { status, stderr, .. }: &Output) -> Result<u64, Error> {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.contains("Collected :"));
    let count = line.and_then(|line| line.rsplit(' ').next()?.trim().parse().ok());
    count.filter(|_| status.success()).ok_or_else(|| Error::Failed(text.into_owned()))
}
