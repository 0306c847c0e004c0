//! wrk, and what it measured.

use core::time::Duration;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;

use super::process::Process;
use super::stage::{SERVER, Stage, Trouble};
use crate::runtime::Error;

/// Makes wrk print what it measured on one line that is easy to read, p99.9 included.
const SCRIPT: &str = r#"
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("measured %d %d %d %.0f %.0f %.0f\n",
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

/// What wrk measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) duration: Duration,
    /// Refused, reset, timed-out connections, and answers that were not 2xx or 3xx.
    pub(super) errors: u64,
    /// Latencies in microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

/// The script in a file without a name, which therefore can't be left behind.
#[derive(Debug)]
pub(super) struct Script(File);

impl Script {
    pub(super) fn write() -> Result<Script, Error> {
        let path = std::env::temp_dir().join(format!("sidestep-wrk-{}.lua", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let written = file.and_then(|mut file| {
            fs::remove_file(&path)?;
            file.write_all(SCRIPT.as_bytes()).map(|()| file)
        });
        let advice = "make room there, or set TMPDIR to another directory";
        let tried = format!("writing {}", path.display());
        written.map(Script).map_err(|answer| Error::machine(tried, answer, advice))
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Runs wrk on processor 1 for so many seconds; `tick` is called while it runs.
pub(super) fn run(
    stage: &Stage,
    script: &Script,
    connections: u32,
    seconds: u32,
    tick: impl FnMut(),
) -> Result<Load, Trouble> {
    let (connections, time) = (format!("-c{connections}"), format!("-d{seconds}s"));
    let (script, url) = (script.path(), format!("http://{SERVER}/"));
    let arguments = ["wrk", "-t1", &connections, &time, "-s", &script, &url];
    let mut wrk = Process::start(&stage.client, 1, &arguments)?;
    let patience = Duration::from_secs(u64::from(seconds) + 10);
    let line = wrk.line("measured ", patience, &stage.interrupt, tick)?;
    parse(&line).ok_or_else(|| {
        Trouble::Failed(Error::Backend(format!(
            "machine: wrk printed '{line}', which is no result"
        )))
    })
}

fn parse(line: &str) -> Option<Load> {
    let mut words = line.split_whitespace().skip(1);
    let mut number = || words.next()?.parse::<f64>().ok();
    Some(Load {
        requests: number()? as u64,
        duration: Duration::from_micros(number()? as u64),
        errors: number()? as u64,
        p50: number()?,
        p99: number()?,
        p999: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line() {
        let load = parse("measured 1000 2000000 3 25 80 190").expect("a result");
        assert_eq!((load.requests, load.errors, load.p999), (1_000, 3, 190.0));
        assert_eq!(load.duration, Duration::from_secs(2));
        assert_eq!(parse("measured 1000 2000000 3 25 80"), None);
    }

    #[test]
    fn the_script_can_be_read_and_has_no_name() {
        let script = Script::write().expect("a temporary file");
        assert_eq!(fs::read_to_string(script.path()).expect("open"), SCRIPT);
        let path = std::env::temp_dir().join(format!("sidestep-wrk-{}.lua", std::process::id()));
        assert!(!path.exists());
    }
}
