//! Honest clients, one connection for each request, while the server is flooded with SYNs from
//! addresses that nobody has: AF_XDP with cookies in the driver beside Linux with its own.

mod honest;
mod machines;
mod table;

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::DemoOptions;
use super::measure::Server;
use super::process;
use super::progress::Progress;
use super::stage::{Interrupt, PEER, SERVER, Stage, Trouble};
use crate::runtime::lab::Process;
use crate::runtime::{Backend, Error, Poll};

/// Processor of the server, and of what its card receives.
const SERVER_CPU: usize = 0;
/// Processor of the clients, of what their card receives, and of the flood, which yields to them.
const CLIENT_CPU: usize = 1;
/// How long a flood has been there before anybody looks.
const SETTLE: Duration = Duration::from_millis(1_000);
/// How long a server may take to write its statistics.
const STATS_PATIENCE: Duration = Duration::from_secs(5);
const BACKENDS: [Backend; 2] = [Backend::AfXdp, Backend::Kernel];

/// How hard it rains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// Not at all.
    None,
    /// So many SYNs per second.
    Rate(u32),
    /// As many as one processor can send.
    Unbounded,
}

/// One server for one length of time.
#[derive(Clone, Debug)]
pub(super) struct Measurement {
    flood: Flood,
    backend: Backend,
    seconds: f64,
    honest: honest::Honest,
    /// SYNs sent per second, by the flood's own account.
    flooded: f64,
    /// SYN-ACKs that cost no state, per second.
    answered: f64,
    /// Memory of the server at the end, in KiB, and frames that hold something.
    resident_kib: u64,
    frames: u64,
    /// Connections that the application was told of and nobody had asked for.
    phantoms: u64,
}

/// Measures in interleaved rounds and prints the table.
pub(super) fn compare(options: &DemoOptions, interrupt: &Interrupt) -> Result<(), Trouble> {
    let stage = Stage::build(interrupt)?;
    let _passing = machines::prepare(&stage, SERVER_CPU, CLIENT_CPU)?;
    let floods = [Flood::None, Flood::Rate(options.flood_rate), Flood::Unbounded];
    let runs = options.rounds * (BACKENDS.len() * floods.len()) as u32;
    let mut progress = Progress::new(runs * options.seconds);
    let mut all = Vec::new();
    for _ in 0..options.rounds {
        for backend in BACKENDS {
            let mut trial = Trial::start(&stage, backend)?;
            for flood in floods {
                progress.begin(format!("{backend}, {flood}"), options.seconds);
                progress.show();
                all.push(trial.run(flood, options.seconds)?);
                progress.end();
            }
            trial.server.end();
        }
    }
    drop(progress);
    drop(stage);
    println!("{}", table::text(&all, options.rounds, options.seconds));
    Ok(())
}

/// One server, from its start on.
struct Trial<'a> {
    stage: &'a Stage,
    backend: Backend,
    server: Process,
    stats: StatsFile,
    /// Connections that clients have tried.
    tried: u64,
}

impl<'a> Trial<'a> {
    fn start(stage: &'a Stage, backend: Backend) -> Result<Trial<'a>, Trouble> {
        let stats = StatsFile::new();
        let path = stats.0.to_string_lossy().into_owned();
        let more = ["--backlog", "4096", "--answer-in-driver", "--stats-json", &path];
        let (server, _) = process::server(stage, Server::Ours(backend), Poll::Sleep.name(), &more)?;
        Ok(Trial { stage, backend, server, stats, tried: 0 })
    }

    fn run(&mut self, flood: Flood, seconds: u32) -> Result<Measurement, Trouble> {
        let length = Duration::from_secs(u64::from(seconds));
        let flooder = self.begin(flood, length)?;
        let (begun, before) = (Instant::now(), self.answered()?);
        let to = SocketAddr::new([10, 9, 0, 1].into(), 80);
        let Stage { client, interrupt, .. } = self.stage;
        let honest = honest::run(client, CLIENT_CPU, to, length, interrupt)?;
        let after = self.answered()?;
        let elapsed = begun.elapsed().as_secs_f64();
        self.tried += honest.tried;
        let stats = self.stats()?;
        let resident_kib = self.server.resident_kib();
        let flooded = flooder.map_or(Ok(0.0), |flooder| self.sent(flooder))?;
        let count = |section: &str, name: &str| stats[section][name].as_u64().unwrap_or(0);
        let opened = count("connections", "accepted") + count("connections", "refused");
        let frames = stats["frames"].as_object().into_iter().flatten();
        let held =
            frames.filter(|(place, _)| !["free", "fill", "posted"].contains(&place.as_str()));
        Ok(Measurement {
            flood,
            backend: self.backend,
            seconds: length.as_secs_f64(),
            flooded,
            answered: after.saturating_sub(before) as f64 / elapsed,
            resident_kib,
            frames: held.filter_map(|(_, count)| count.as_u64()).sum(),
            phantoms: opened.saturating_sub(self.tried),
            honest,
        })
    }

    /// Starts a flood and waits until it has settled.
    fn begin(&self, flood: Flood, length: Duration) -> Result<Option<Process>, Trouble> {
        let rate = match flood {
            Flood::None => return Ok(None),
            Flood::Rate(rate) => Some(rate.to_string()),
            Flood::Unbounded => None,
        };
        let program = process::program()?;
        let (to, longest) = (format!("{SERVER}:80"), length + SETTLE + 3 * honest::PATIENCE);
        let seconds = longest.as_secs().clamp(1, 60).to_string();
        let mut arguments = vec!["nice", "-n", "10", &program, "flood", "--interface", PEER];
        arguments.extend(["--to", &to, "--kind", "syn", "--seconds", &seconds]);
        if let Some(rate) = &rate {
            arguments.extend(["--rate", rate]);
        }
        let mut flooder = Process::start(&self.stage.client, CLIENT_CPU as u32, &arguments)?;
        self.line(&mut flooder, "flooding ")?;
        thread::sleep(SETTLE);
        Ok(Some(flooder))
    }

    /// Ends a flood. Returns packets per second.
    fn sent(&self, mut flooder: Process) -> Result<f64, Trouble> {
        flooder.signal("TERM");
        let line = self.line(&mut flooder, "sent ")?;
        let rate = line.split_whitespace().find_map(|word| word.strip_prefix("rate="));
        Ok(rate.and_then(|rate| rate.parse().ok()).unwrap_or(f64::NAN))
    }

    fn line(&self, flooder: &mut Process, start: &str) -> Result<String, Trouble> {
        process::line(flooder, start, process::PATIENCE, &self.stage.interrupt, || {})
    }

    /// Cookies sent so far: by the driver and the engine, or by Linux.
    fn answered(&mut self) -> Result<u64, Trouble> {
        if self.backend == Backend::Kernel {
            let text = self.stage.server.run("cat", &["/proc/net/netstat"])?;
            return Ok(counter_of_linux(&text, "SyncookiesSent"));
        }
        let stats = self.stats()?;
        let counts = [&stats["program"], &stats["connections"]];
        Ok(counts.iter().filter_map(|counts| counts["syn_cookies_sent"].as_u64()).sum())
    }

    fn stats(&mut self) -> Result<Value, Trouble> {
        self.stats.remove();
        self.server.signal("USR1");
        let end = Instant::now() + STATS_PATIENCE;
        while Instant::now() < end {
            // It appears whole.
            if let Ok(text) = std::fs::read_to_string(&self.stats.0) {
                return serde_json::from_str(&text).map_err(|error| {
                    let message = format!("the server's statistics can't be read: {error}");
                    Trouble::Failed(Error::Backend(message))
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Error::Backend("the server wrote no statistics for 5 s".into()).into())
    }
}

/// One of the kernel's TCP counters: a line of names and one of numbers for each group.
fn counter_of_linux(text: &str, name: &str) -> u64 {
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.chunks_exact(2).find_map(|group| {
        let at = group[0].split_whitespace().position(|word| word == name)?;
        group[1].split_whitespace().nth(at)?.parse().ok()
    });
    found.unwrap_or(0)
}

/// Where a server writes its statistics; gone when dropped.
struct StatsFile(PathBuf);

impl StatsFile {
    fn new() -> StatsFile {
        let name = format!("sidestep-flood-{}.json", std::process::id());
        StatsFile(std::env::temp_dir().join(name))
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for StatsFile {
    fn drop(&mut self) {
        self.remove();
    }
}

impl core::fmt::Display for Flood {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Flood::None => f.write_str("none"),
            Flood::Rate(rate) => write!(f, "{} SYN/s", super::table::grouped(f64::from(*rate), 0)),
            Flood::Unbounded => f.write_str("all it can"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_linux_is_found_by_its_name() {
        let text = "TcpExt: SyncookiesSent Recv\nTcpExt: 12 3\nIpExt: In\nIpExt: 4\n";
        assert_eq!(counter_of_linux(text, "SyncookiesSent"), 12);
        assert_eq!(counter_of_linux(text, "In"), 4);
        assert_eq!(counter_of_linux(text, "Out"), 0);
    }
}
