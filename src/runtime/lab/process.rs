//! Programs that run in a lab and never outlive it.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use super::{LabError, Namespace, line};

/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program inside of a namespace, on one processor. It is killed when this is dropped, and by the
/// kernel if we are killed ourselves.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

impl Process {
    /// Starts `arguments`, a command line, on one processor. Ctrl-C at the terminal is not for it.
    ///
    /// # Errors
    /// `ip` is missing.
    pub fn start(namespace: &Namespace, cpu: u32, arguments: &[&str]) -> Result<Process, LabError> {
        let name = arguments.first().map_or_else(String::new, |first| (*first).to_owned());
        let mut command = namespace.command("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset", "-c", &cpu.to_string()]).args(arguments);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|source| LabError::Run { command: line(&command), source })?;
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

    /// Waits for a line of its output that begins with `start`; `None` if none came in time.
    ///
    /// # Errors
    /// [`LabError::Ended`] with what it wrote to stderr.
    pub fn line(&mut self, start: &str, wait: Duration) -> Result<Option<String>, LabError> {
        let end = Instant::now() + wait;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(start) => return Ok(Some(line)),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(self.give_up(start)),
            }
        }
    }

    /// Kills it, as it did not print `awaited`, and returns what it says of that.
    pub fn give_up(&mut self, awaited: &str) -> LabError {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            let _ = ChildStderr::read_to_string(stderr, &mut said);
        }
        let said = said.trim().replace('\n', "; ");
        let said = said.strip_prefix("sidestep: error: ").unwrap_or(&said);
        let said = if said.is_empty() { "it said nothing" } else { said };
        LabError::Ended {
            program: self.name.clone(),
            awaited: awaited.to_owned(),
            said: said.to_owned(),
        }
    }

    /// Asks it to end, and waits until it has; `None`, and it is killed, after ten seconds.
    pub fn end(mut self) -> Option<ExitStatus> {
        let pid = self.child.id().to_string();
        // The shell's own `kill`: the program is not on every machine.
        let _ = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Processor time that its threads have had; not that of other processes which it started.
    pub fn processor_time(&self) -> Duration {
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
