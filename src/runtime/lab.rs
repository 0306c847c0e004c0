//! Networks to play in: namespaces joined by veth pairs, made by this process and removed by it.
//!
//! A namespace is called `sidestep-LAB-PID-START-N-ROLE`: the process that made it, by number and
//! start time, so that another one can tell leftovers of the dead from what is in use.

mod process;
mod wrk;

pub use process::Process;
pub use wrk::{Measured, Wrk};

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::device::enter_namespace;

const PREFIX: &str = "sidestep-";
const NAMESPACES: &str = "/run/netns";
/// How often, and how far apart, to look for processes left in a namespace that ends.
const REMOVE_ROUNDS: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// Why a lab could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A tool is missing, or could not be run.
    #[error("machine: running '{command}' failed: {source}; deploy/setup.sh installs the tools")]
    Run {
        /// The command line.
        command: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A tool refused.
    #[error("machine: '{command}' refused: {answer}; a network lab needs root")]
    Refused {
        /// The command line.
        command: String,
        /// What it wrote to stderr.
        answer: String,
    },
    /// A program ended, or was ended, before it printed what was waited for.
    #[error("machine: {program} never printed '{awaited}': {said}")]
    Ended {
        /// The program.
        program: String,
        /// How the line begins.
        awaited: String,
        /// What it wrote to stderr.
        said: String,
    },
    /// A thread could not enter a namespace.
    #[error("machine: entering network namespace {namespace} failed: {source}")]
    Enter {
        /// Name of the namespace.
        namespace: String,
        /// What the system answered.
        source: io::Error,
    },
}

/// Network namespaces that end with this value, along with all that runs in them.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    namespaces: Vec<Namespace>,
}

/// One network namespace of a [`Lab`]: a host of its own, but for files and processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Where it is.
    pub namespace: &'a Namespace,
    /// Its name there, at most 15 characters.
    pub name: &'a str,
    /// Its addresses, each with the length of its prefix: `10.9.0.1/24`.
    pub addresses: &'a [&'a str],
    /// Its receive queues; it has as many transmit queues.
    pub queues: u32,
    /// Whether it leaves checksums and segmentation to the other end, as veth does unless told
    /// otherwise. What faces an AF_XDP socket must not.
    pub offloads: bool,
}

impl Lab {
    /// Starts a lab called `name` (letters and digits), and removes what dead processes left.
    ///
    /// # Errors
    /// `ip` is missing.
    pub fn new(name: &str) -> Result<Lab, LabError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let start = start_time(pid).unwrap_or_default();
        let prefix = format!("{PREFIX}{name}-{pid}-{start}-{number}-");
        Ok(Lab { prefix, namespaces: Vec::new() })
    }

    /// Makes a namespace with its loopback interface up.
    ///
    /// # Errors
    /// The process is not root, or the kernel has no namespaces.
    pub fn namespace(&mut self, role: &str) -> Result<Namespace, LabError> {
        let namespace = Namespace { name: format!("{}{role}", self.prefix) };
        ip(&["netns", "add", &namespace.name])?;
        self.namespaces.push(namespace.clone());
        namespace.ip(&["link", "set", "dev", "lo", "up"])?;
        Ok(namespace)
    }

    /// Joins two namespaces by a veth pair, both ends up with their addresses.
    ///
    /// # Errors
    /// A name is taken or malformed, an address is malformed, or `ethtool` is missing.
    pub fn join(&self, a: VethEnd<'_>, b: VethEnd<'_>) -> Result<(), LabError> {
        let (a_queues, b_queues) = (a.queues.to_string(), b.queues.to_string());
        let pair = [
            &["link", "add", "name", a.name][..],
            &["numrxqueues", &a_queues, "numtxqueues", &a_queues, "type", "veth"],
            &["peer", "name", b.name, "netns", &b.namespace.name],
            &["numrxqueues", &b_queues, "numtxqueues", &b_queues],
        ];
        a.namespace.ip(&pair.concat())?;
        for end in [a, b] {
            for address in end.addresses {
                let add = ["address", "add", address, "dev", end.name];
                // Detecting duplicates takes seconds in which an IPv6 address can't be used.
                let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                end.namespace.ip(&[&add[..], nodad].concat())?;
            }
            if !end.offloads {
                let off = ["-K", end.name, "tx", "off", "tso", "off", "gso", "off"];
                run(end.namespace.command("ethtool").args(off))?;
            }
            end.namespace.ip(&["link", "set", "dev", end.name, "up"])?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            remove(&namespace.name);
        }
    }
}

impl Namespace {
    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. Its process is `ip netns exec` until it becomes the program,
    /// under the same process id.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).stdin(Stdio::null());
        command
    }

    /// Runs `ip` on this namespace. Returns what it wrote to stdout.
    ///
    /// # Errors
    /// `ip` is missing or refuses.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, LabError> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Runs a program inside to its end. Returns what it wrote to stdout.
    ///
    /// # Errors
    /// It is missing or fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, LabError> {
        run(self.command(program).args(arguments))
    }

    /// Starts a program inside.
    ///
    /// # Errors
    /// `ip` is missing.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Result<Child, LabError> {
        let mut command = self.command(program);
        command.args(arguments);
        command.spawn().map_err(|source| LabError::Run { command: line(&command), source })
    }

    /// Moves the calling thread, and it alone, inside for good. Threads that it starts later are
    /// inside too.
    ///
    /// # Errors
    /// The namespace is gone, or the process is not root.
    pub fn enter(&self) -> Result<(), LabError> {
        let path = PathBuf::from(NAMESPACES).join(&self.name);
        let error = |source| LabError::Enter { namespace: self.name.clone(), source };
        enter_namespace(&path).map_err(error)
    }

    /// Calls `f` in a thread that is inside, and waits for it.
    ///
    /// # Errors
    /// As [`Namespace::enter`].
    ///
    /// # Panics
    /// If `f` does.
    pub fn inside<R: Send>(&self, f: impl FnOnce() -> R + Send) -> Result<R, LabError> {
        let result = thread::scope(|scope| scope.spawn(|| self.enter().map(|()| f())).join());
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Removes the namespaces, and ends what runs in them, that labs of dead processes left.
///
/// # Errors
/// `ip` is missing.
pub fn sweep() -> Result<(), LabError> {
    let Ok(entries) = fs::read_dir(NAMESPACES) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|(pid, start)| start_time(pid) != Some(start)) {
            remove(&name);
        }
    }
    Ok(())
}

/// Process and start time of the maker of a namespace; `None` if no lab made it.
fn owner(namespace: &str) -> Option<(u32, u64)> {
    let mut parts = namespace.strip_prefix(PREFIX)?.splitn(5, '-');
    let (_lab, pid, start) = (parts.next()?, parts.next()?, parts.next()?);
    let (_number, _role) = (parts.next()?.parse::<u32>().ok()?, parts.next()?);
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// When a process started, in ticks since boot: proc(5), field 22 of stat. `None` if it is dead.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; the third is the state.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    if dead { None } else { fields.nth(18)?.parse().ok() }
}

/// Deletes a namespace and ends what runs in it, as far as that is possible. The name goes first,
/// so that a program which is only just starting can't get in any more.
fn remove(name: &str) {
    let inode = fs::metadata(PathBuf::from(NAMESPACES).join(name)).map(|file| file.ino());
    let _ = ip(&["netns", "delete", name]);
    let Ok(inode) = inode else { return };
    let mut quiet = 0;
    for _ in 0..REMOVE_ROUNDS {
        let inside = processes_in(inode);
        // Twice, for one that had opened the namespace when its name went.
        quiet = if inside.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
        if !inside.is_empty() {
            // The shell's own `kill`: the program is not on every machine.
            let _ = run(Command::new("sh").args(["-c", "kill -9 \"$@\"", "sh"]).args(inside));
        }
        thread::sleep(REMOVE_PAUSE);
    }
}

/// Processes other than this one that are in the network namespace with this inode.
fn processes_in(namespace: u64) -> Vec<String> {
    let link = PathBuf::from(format!("net:[{namespace}]"));
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && *name != own);
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|net| net == link))
        .collect()
}

fn ip(arguments: &[&str]) -> Result<String, LabError> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<String, LabError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| LabError::Run { command: line(command), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let answer = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(LabError::Refused { command: line(command), answer })
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_names_its_owner() {
        assert_eq!(owner("sidestep-demo-12-345-0-server"), Some((12, 345)));
        assert_eq!(owner("sidestep-demo-12-345-0-a-b"), Some((12, 345)));
        for other in ["", "demo-12-345-0-x", "sidestep-x", "sidestep-x-1-2-3", "sidestep-x-y-2-3-z"]
        {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn the_living_have_a_start_time() {
        assert!(start_time(std::process::id()).is_some_and(|start| start > 0));
        assert_eq!(start_time(u32::MAX), None);
    }
}
