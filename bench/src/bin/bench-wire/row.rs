//! The servers that are measured.

use core::time::Duration;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use sidestep::runtime::lab::Process;

use crate::stage::{AT_SERVER, Error, OWNED, SERVER, SERVER_CPU, Stage, beside};

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where it is installed.
const NGINX: &str = "/usr/sbin/nginx";

/// One server. With `rps` the kernel does each end's receive work on its own processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Stateless, over AF_XDP, spinning: the ceiling
    Responder,
    /// Sidestep on AF_XDP, spinning
    Busy,
    /// The same, adaptive
    Adaptive,
    /// The same, sleeping
    Sleep,
    /// smoltcp over the same AF_XDP device, spinning
    Smoltcp,
    /// Sidestep on kernel sockets, blocking
    Kernel,
    KernelRps,
    /// Sidestep on kernel sockets, spinning
    KernelBusy,
    KernelBusyRps,
    /// nginx, one worker
    Nginx,
    NginxRps,
}

/// A server that can accept.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) target: String,
    /// It was started for so many connections, and is slower with other numbers of them.
    only: Option<u32>,
    /// nginx's, removed with it.
    _directory: Option<Directory>,
}

impl Running {
    /// Whether it does as well with so many connections as if it had been started for them.
    pub(crate) fn takes(&self, connections: u32) -> bool {
        self.only.is_none_or(|only| only == connections)
    }
}

impl Row {
    /// Name in tables and on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(crate) fn is_steered(self) -> bool {
        matches!(self, Row::KernelRps | Row::KernelBusyRps | Row::NginxRps)
    }

    /// Whether it is the same program on the kernel's TCP.
    pub(crate) fn is_kernel(self) -> bool {
        matches!(self, Row::Kernel | Row::KernelRps | Row::KernelBusy | Row::KernelBusyRps)
    }

    /// Whether it leaves the processor alone when there is nothing to do.
    pub(crate) fn sleeps(self) -> bool {
        matches!(self, Row::Adaptive | Row::Sleep | Row::Kernel | Row::Nginx)
    }

    /// Why it can't be measured here.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let nginx = matches!(self, Row::Nginx | Row::NginxRps);
        (nginx && nginx_path().is_none())
            .then_some("nginx is neither installed nor in target/nginx, where 'make nginx' puts it")
    }

    /// Starts it, for so many connections at most.
    pub(crate) fn start(self, stage: &Stage, connections: u32) -> Result<Running, Error> {
        stage.steer(self.is_steered())?;
        match self {
            Row::Responder => ready(stage, SERVER, &[&beside("responder")?, "--poll", "busy"]),
            Row::Busy => serve(stage, "af-xdp", "busy"),
            Row::Adaptive => serve(stage, "af-xdp", "adaptive"),
            Row::Sleep => serve(stage, "af-xdp", "sleep"),
            Row::Kernel | Row::KernelRps => serve(stage, "kernel", "sleep"),
            Row::KernelBusy | Row::KernelBusyRps => serve(stage, "kernel", "busy"),
            Row::Smoltcp => {
                // Those that are closing need a socket beside those that are opening; it looks at
                // every one of them all the time.
                let sockets = (2 * connections).to_string();
                let program = beside("smoltcp-server")?;
                let running = ready(stage, OWNED, &[&program, "--sockets", &sockets])?;
                Ok(Running { only: Some(connections), ..running })
            }
            Row::Nginx | Row::NginxRps => nginx(stage),
        }
    }
}

fn serve(stage: &Stage, backend: &str, poll: &str) -> Result<Running, Error> {
    let program = beside("sidestep")?;
    let how = ["--backend", backend, "--poll", poll, "--cores", "0", "--drain", "100ms"];
    ready(stage, SERVER, &[&[program.as_str(), "serve"], &how[..]].concat())
}

/// Starts a program that prints a ready line.
fn ready(stage: &Stage, address: &str, command: &[&str]) -> Result<Running, Error> {
    let target = format!("{address}:80");
    let interface = ["--interface", AT_SERVER, "--listen", &target];
    // The kernel backend needs no interface, and says nothing if it is given one.
    let arguments = [command, &interface[..]].concat();
    let mut process = Process::start(&stage.server, SERVER_CPU, &arguments)?;
    if process.line("ready ", PATIENCE)?.is_none() {
        return Err(process.give_up("ready ").into());
    }
    Ok(Running { process, target, only: None, _directory: None })
}

/// A directory that is removed when dropped.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where `make nginx` unpacked it, else where it is installed.
fn nginx_path() -> Option<String> {
    let unpacked = std::env::current_exe().ok()?.parent()?.with_file_name("nginx/usr/sbin/nginx");
    [unpacked, PathBuf::from(NGINX)]
        .into_iter()
        .find(|path| path.is_file())
        .map(|path| path.to_string_lossy().into_owned())
}

/// As its documentation recommends for speed: one worker, no log, connections kept for ever.
fn nginx(stage: &Stage) -> Result<Running, Error> {
    let path = std::env::temp_dir().join(format!("sidestep-nginx-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    let directory = Directory(path);
    let at = directory.0.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {at}/{name}; "))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr crit;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; tcp_nodelay on; {temporary}\n\
         server {{ listen {SERVER}:80 backlog=4096;\n\
         location / {{ default_type text/plain; return 200 \"Hello, World!\"; }} }} }}\n"
    );
    let file = directory.0.join("nginx.conf");
    fs::write(&file, configuration)?;
    let program = nginx_path().ok_or("nginx is not installed")?;
    let file = file.to_string_lossy().into_owned();
    let arguments = [program.as_str(), "-e", "stderr", "-p", "/", "-c", &file];
    let mut process = Process::start(&stage.server, SERVER_CPU, &arguments)?;
    let target: SocketAddr = format!("{SERVER}:80").parse()?;
    let end = Instant::now() + PATIENCE;
    while stage.client.inside(|| connect(target))?.is_err() {
        if Instant::now() > end {
            return Err(process.give_up("a connection").into());
        }
        // It prints nothing: this only looks whether it has ended.
        process.line("ready ", Duration::from_millis(20))?;
    }
    let target = target.to_string();
    Ok(Running { process, target, only: None, _directory: Some(directory) })
}

fn connect(target: SocketAddr) -> io::Result<()> {
    TcpStream::connect_timeout(&target, Duration::from_secs(1)).map(drop)
}
