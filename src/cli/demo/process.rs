//! The servers of the demonstration.

use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use super::measure::Server;
use super::stage::{INTERFACE, Interrupt, SERVER, Stage, Trouble};
use crate::runtime::Error;
use crate::runtime::lab::Process;

/// How often a wait looks whether the user wants to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a line of a program's output that begins with `start`.
pub(super) fn line(
    process: &mut Process,
    start: &str,
    patience: Duration,
    interrupt: &Interrupt,
    mut tick: impl FnMut(),
) -> Result<String, Trouble> {
    let end = Instant::now() + patience;
    loop {
        interrupt.check()?;
        tick();
        if let Some(line) = process.line(start, LOOK)? {
            return Ok(line);
        }
        if Instant::now() >= end {
            return Err(process.give_up(start).into());
        }
    }
}

/// Where the stateless responder is, if it was built.
pub(super) fn responder() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("responder");
    path.is_file().then_some(path)
}

/// Starts a server and waits until it can accept. Returns the mode it got.
pub(super) fn server(
    stage: &Stage,
    server: Server,
    poll: &str,
) -> Result<(Process, String), Trouble> {
    let program = std::env::current_exe().map_err(|answer| {
        Error::machine("finding this program's own file", answer, "do not move it while it runs")
    })?;
    let responder = program.with_file_name("responder").to_string_lossy().into_owned();
    let program = program.to_string_lossy().into_owned();
    let listen = format!("{SERVER}:80");
    let common = ["--interface", INTERFACE, "--listen", &listen, "--poll", poll];
    let mut arguments = match server {
        Server::Ours(_) => vec![program.as_str(), "serve"],
        Server::Responder => vec![responder.as_str(), "--core", "0"],
    };
    arguments.extend(common);
    if let Server::Ours(backend) = server {
        let ours = ["--backend", backend.name(), "--cores", "0", "--drain", "100ms"];
        arguments.extend(ours);
    }
    let mut process = Process::start(&stage.server, 0, &arguments)?;
    let ready = line(&mut process, "ready ", PATIENCE, &stage.interrupt, || {})?;
    let mode = ready.split_whitespace().find_map(|word| word.strip_prefix("mode="));
    Ok((process, mode.unwrap_or("unknown").to_owned()))
}
