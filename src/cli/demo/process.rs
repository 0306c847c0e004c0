//! Processes that never outlive the demonstration.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use super::measure::Server;
use super::stage::{INTERFACE, Interrupt, SERVER, Stage, Trouble};
use crate::runtime::Error;
use crate::runtime::lab::Namespace;

/// How often a wait looks whether the user wants to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long a server may take to come up, and to go.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A child that is killed when dropped, and by the kernel if we are killed ourselves.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

impl Process {
    /// Starts `arguments` inside `namespace` on one processor.
    pub(super) fn start(
        namespace: &Namespace,
        cpu: u32,
        arguments: &[&str],
    ) -> Result<Process, Error> {
        let name = arguments.first().map_or_else(String::new, |first| (*first).to_owned());
        let mut command = namespace.command("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset", "-c", &cpu.to_string()]).args(arguments);
        // Ctrl-C is for us: we end the others in order.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|answer| {
            let advice = "'make setup' installs iproute2, util-linux and wrk";
            Error::machine(format!("starting {name}"), answer, advice)
        })?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Process { child, lines, name })
    }

    /// Waits for a line of its output that begins with `start`.
    pub(super) fn line(
        &mut self,
        start: &str,
        patience: Duration,
        interrupt: &Interrupt,
        mut tick: impl FnMut(),
    ) -> Result<String, Trouble> {
        let end = Instant::now() + patience;
        loop {
            interrupt.check()?;
            tick();
            match self.lines.recv_timeout(LOOK) {
                Ok(line) if line.starts_with(start) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(_) => return Err(self.failed(start).into()),
            }
        }
    }

    fn failed(&mut self, awaited: &str) -> Error {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            let _ = ChildStderr::read_to_string(stderr, &mut said);
        }
        let said = said.trim().replace('\n', "; ");
        let said = said.strip_prefix("sidestep: error: ").unwrap_or(&said);
        let said = if said.is_empty() { "it said nothing" } else { said };
        Error::Backend(format!("machine: {} never printed '{awaited}': {said}", self.name))
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn end(mut self) -> Option<ExitStatus> {
        self.signal("-TERM");
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Sends it a signal, if it is still there.
    pub(super) fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([name, &self.child.id().to_string()]).status();
    }

    /// Memory that it really has, in KiB.
    #[cfg(feature = "af-xdp")]
    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Processor time that its threads have had.
    pub(super) fn processor_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the stateless responder is, if it was built.
pub(super) fn responder() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("responder");
    path.is_file().then_some(path)
}

/// This program's own file.
pub(super) fn program() -> Result<String, Error> {
    let path = std::env::current_exe().map_err(|answer| {
        Error::machine("finding this program's own file", answer, "do not move it while it runs")
    })?;
    Ok(path.to_string_lossy().into_owned())
}

/// Starts a server with what all have in common and `more`, and waits until it can accept. Returns
/// the mode it got.
pub(super) fn server(
    stage: &Stage,
    server: Server,
    poll: &str,
    more: &[&str],
) -> Result<(Process, String), Trouble> {
    let program = program()?;
    let responder = responder().unwrap_or_default().to_string_lossy().into_owned();
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
    arguments.extend(more);
    let mut process = Process::start(&stage.server, 0, &arguments)?;
    let ready = process.line("ready ", PATIENCE, &stage.interrupt, || {})?;
    let mode = ready.split_whitespace().find_map(|word| word.strip_prefix("mode="));
    Ok((process, mode.unwrap_or("unknown").to_owned()))
}
