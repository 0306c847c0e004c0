//! The load: wrk on the other processor.

use core::time::Duration;

use super::process::line;
use super::stage::{SERVER, Stage, Trouble};
use crate::runtime::Error;
use crate::runtime::lab::{Measured, Wrk};

/// wrk, ready to run.
pub(super) fn prepare() -> Result<Wrk, Error> {
    Wrk::prepare().map_err(|answer| {
        let directory = std::env::temp_dir();
        let tried = format!("writing a file in {}", directory.display());
        Error::machine(tried, answer, "make room there, or set TMPDIR to another directory")
    })
}

/// Runs wrk on processor 1 for so many seconds; `tick` is called while it runs.
pub(super) fn run(
    stage: &Stage,
    wrk: &Wrk,
    connections: u32,
    seconds: u32,
    tick: impl FnMut(),
) -> Result<Measured, Trouble> {
    let url = format!("http://{SERVER}/");
    let mut running = wrk.start(&stage.client, 1, connections, seconds, &url)?;
    let patience = Duration::from_secs(u64::from(seconds) + 10);
    let line = line(&mut running, Wrk::LINE, patience, &stage.interrupt, tick)?;
    Measured::parse(&line).ok_or_else(|| {
        Trouble::Failed(Error::Backend(format!(
            "machine: wrk printed '{line}', which is no result"
        )))
    })
}
