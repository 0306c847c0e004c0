//! The program under test in a network of its own: a server, a client, and the wire between.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sidestep::runtime::lab::{Lab, Namespace, VethEnd};

use super::common;

/// Bound of everything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts joined by a veth pair: `srv0` at the server, `cli0` at the client.
pub(crate) struct Net {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    _lab: Lab,
}

impl Net {
    /// `None`, and said so, where there is no root.
    pub(crate) fn new(name: &str) -> Option<Net> {
        let mut lab = common::or_skip(Lab::new(name))?;
        let server = common::or_skip(lab.namespace("server"))?;
        let client = common::or_skip(lab.namespace("client"))?;
        let end = |namespace, name, addresses, offloads| VethEnd {
            namespace,
            name,
            addresses,
            queues: 1,
            offloads,
        };
        let ours = end(&server, "srv0", &["10.9.0.1/24", "fd09::1/64"], true);
        let theirs = end(&client, "cli0", &["10.9.0.2/24", "fd09::2/64"], false);
        common::or_skip(lab.join(ours, theirs))?;
        Some(Net { server, client, _lab: lab })
    }

    /// Starts `sidestep serve` on `srv0` and waits until it is ready.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Served {
        let on = ["serve", "--interface", "srv0"];
        Served::start(&self.server, &[&on[..], arguments].concat())
    }

    /// Runs a program at the client to its end; returns what it printed.
    pub(crate) fn at_client(&self, arguments: &[&str]) -> String {
        let bounded = [&["-k", "5", "120"][..], arguments].concat();
        let output = self.client.command("timeout").args(bounded).output().expect("coreutils");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {:?} {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether an XDP program is on the server's interface.
    pub(crate) fn has_program(&self) -> bool {
        let links = self.server.ip(&["-details", "link", "show", "dev", "srv0"]).expect("srv0");
        links.contains("prog/xdp")
    }

    /// Waits until no XDP program is on the server's interface: the kernel takes it down shortly
    /// after the process that held it.
    pub(crate) fn loses_program(&self) -> bool {
        within(PATIENCE, || !self.has_program())
    }
}

/// Whether `done` comes true in time.
pub(crate) fn within(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The program's file: `SIDESTEP_BIN` (a release build, for load), else that of this test run.
pub(crate) fn program() -> String {
    let built = env!("CARGO_BIN_EXE_sidestep");
    std::env::var("SIDESTEP_BIN").unwrap_or_else(|_| built.to_owned())
}

/// A running server, killed when dropped.
pub(crate) struct Served {
    child: Child,
    /// Its ready line.
    pub(crate) ready: String,
}

impl Served {
    pub(crate) fn start(namespace: &Namespace, arguments: &[&str]) -> Served {
        Served::start_program(&program(), namespace, arguments)
    }

    pub(crate) fn start_program(
        program: &str,
        namespace: &Namespace,
        arguments: &[&str],
    ) -> Served {
        let mut command = namespace.command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("iproute2");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("piped");
        // Ends with the line, or with the process.
        BufReader::new(stdout).read_line(&mut ready).expect("text");
        if !ready.starts_with("ready ") {
            let status = child.wait();
            panic!("{arguments:?}: not ready but {ready:?}, {status:?}: {}", read(&mut child));
        }
        Served { child, ready: ready.trim_end().to_owned() }
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid()]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let over = within(PATIENCE, || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        });
        assert!(over, "the server did not end in time");
        status.expect("over")
    }

    /// Ends it as `kill` does and returns what it wrote to stderr; it must exit with 0.
    pub(crate) fn stop(mut self) -> String {
        self.signal("-TERM");
        let status = self.ended();
        let said = read(&mut self.child);
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = child.stderr.as_mut() {
        stderr.read_to_string(&mut text).expect("text");
    }
    text
}

/// Runs a command that must be refused: exit code 2, nothing on stdout, one message on stderr.
pub(crate) fn refused(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("coreutils");
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(2), "{command:?}: {said}");
    assert!(stdout.is_empty(), "{command:?}: {}", String::from_utf8_lossy(&stdout));
    let message = said.strip_prefix("sidestep: error: ").unwrap_or_else(|| {
        panic!("{command:?}: {said:?} is not one of our messages");
    });
    assert_eq!(message.trim_end().lines().count(), 1, "{command:?}: {message}");
    for ugly in ["Error {", "Os {", "panicked", "RUST_BACKTRACE", "Some("] {
        assert!(!message.contains(ugly), "{command:?}: {message}");
    }
    message.trim_end().to_owned()
}
