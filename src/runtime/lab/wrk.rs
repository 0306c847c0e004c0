//! wrk, and what it measured.

use core::time::Duration;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use super::process::Process;
use super::{LabError, Namespace};

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
pub struct Measured {
    /// Answers.
    pub requests: u64,
    /// In this time.
    pub duration: Duration,
    /// Refused, reset, timed-out connections, and answers that were not 2xx or 3xx.
    pub errors: u64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
}

/// wrk, ready to run: its script in a file without a name, which therefore can't be left behind.
#[derive(Debug)]
pub struct Wrk(File);

impl Wrk {
    /// How the line of its output begins that [`Measured::parse`] understands.
    pub const LINE: &'static str = "measured ";

    /// Writes the script.
    ///
    /// # Errors
    /// There is no room in the directory for temporary files.
    pub fn prepare() -> io::Result<Wrk> {
        let path = std::env::temp_dir().join(format!("sidestep-wrk-{}.lua", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        file.write_all(SCRIPT.as_bytes())?;
        Ok(Wrk(file))
    }

    /// Starts it on one processor for so many seconds.
    ///
    /// # Errors
    /// `ip` is missing.
    pub fn start(
        &self,
        namespace: &Namespace,
        cpu: u32,
        connections: u32,
        seconds: u32,
        url: &str,
    ) -> Result<Process, LabError> {
        let (connections, time) = (format!("-c{connections}"), format!("-d{seconds}s"));
        let script = self.path();
        let arguments = ["wrk", "-t1", &connections, &time, "-s", &script, url];
        Process::start(namespace, cpu, &arguments)
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

impl Measured {
    /// Of a line of wrk's output; `None` if it is another one.
    pub fn parse(line: &str) -> Option<Measured> {
        let mut words = line.strip_prefix(Wrk::LINE)?.split_whitespace();
        let mut number = || words.next()?.parse::<f64>().ok();
        Some(Measured {
            requests: number()? as u64,
            duration: Duration::from_micros(number()? as u64),
            errors: number()? as u64,
            p50: number()?,
            p99: number()?,
            p999: number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line() {
        let measured = Measured::parse("measured 1000 2000000 3 25 80 190").expect("a result");
        assert_eq!((measured.requests, measured.errors, measured.p999), (1_000, 3, 190.0));
        assert_eq!(measured.duration, Duration::from_secs(2));
        assert_eq!(Measured::parse("measured 1000 2000000 3 25 80"), None);
        assert_eq!(Measured::parse("Running 2s test"), None);
    }

    #[test]
    fn the_script_can_be_read_and_has_no_name() {
        let wrk = Wrk::prepare().expect("a temporary file");
        assert_eq!(fs::read_to_string(wrk.path()).expect("open"), SCRIPT);
        let path = std::env::temp_dir().join(format!("sidestep-wrk-{}.lua", std::process::id()));
        assert!(!path.exists());
    }
}
