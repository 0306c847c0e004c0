//! One server under load, measured.

use core::fmt;

use super::load;
use super::process;
use super::progress::Progress;
use super::stage::{Stage, Trouble};
use crate::runtime::lab::Measured;
use crate::runtime::{Backend, Poll};

/// What is measured against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    pub(super) server: Server,
    pub(super) poll: Poll,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// This program.
    Ours(Backend),
    /// The program `responder` beside this one: it keeps no state, and nothing that does can be
    /// cheaper.
    Responder,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Ours(backend) => backend.fmt(f),
            Server::Responder => f.write_str("stateless responder"),
        }
    }
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Measurement {
    pub(super) contender: Contender,
    /// The mode that the server obtained.
    pub(super) mode: String,
    pub(super) connections: u32,
    pub(super) load: Measured,
    /// Processor time of the server, in microseconds per request.
    pub(super) cpu_per_request: f64,
}

impl Measurement {
    pub(super) fn requests_per_second(&self) -> f64 {
        self.load.requests as f64 / self.load.duration.as_secs_f64().max(1e-9)
    }
}

/// Starts the contender and loads it with each number of connections in turn.
pub(super) fn run(
    stage: &Stage,
    contender: Contender,
    connections: &[u32],
    seconds: u32,
    progress: &mut Progress,
) -> Result<Vec<Measurement>, Trouble> {
    let Contender { server: who, poll } = contender;
    let wrk = load::prepare()?;
    let (server, mode) = process::server(stage, who, poll.name())?;
    let mut measurements = Vec::new();
    for &connections in connections {
        let what = format!("{who} ({mode}), {poll}, {connections} connections");
        progress.begin(what, seconds);
        let before = server.processor_time();
        let load = load::run(stage, &wrk, connections, seconds, || progress.show())?;
        let spent = server.processor_time().saturating_sub(before);
        progress.end();
        measurements.push(Measurement {
            contender,
            mode: mode.clone(),
            connections,
            load,
            cpu_per_request: spent.as_secs_f64() * 1e6 / load.requests.max(1) as f64,
        });
    }
    server.end();
    Ok(measurements)
}
