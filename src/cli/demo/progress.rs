//! One line that changes while the demonstration runs; nothing where nobody watches.

use std::io::{IsTerminal, Write};
use std::time::Instant;

const BAR: usize = 24;

/// The progress of everything that is measured.
#[derive(Debug)]
pub(super) struct Progress {
    watched: bool,
    total_seconds: u32,
    done_seconds: u32,
    now: Option<(String, u32, Instant)>,
}

impl Progress {
    /// For measurements of so many seconds altogether.
    pub(super) fn new(total_seconds: u32) -> Progress {
        let watched = std::io::stderr().is_terminal();
        Progress { watched, total_seconds, done_seconds: 0, now: None }
    }

    /// A measurement begins.
    pub(super) fn begin(&mut self, what: String, seconds: u32) {
        self.now = Some((what, seconds, Instant::now()));
    }

    /// Shows how far it is.
    pub(super) fn show(&self) {
        let Some((what, seconds, since)) = self.now.as_ref().filter(|_| self.watched) else {
            return;
        };
        let within = since.elapsed().as_secs_f64().min(f64::from(*seconds));
        let done = f64::from(self.done_seconds) + within;
        let line = line(done, f64::from(self.total_seconds), what);
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        let _ = std::io::stderr().flush();
    }

    /// The measurement is over.
    pub(super) fn end(&mut self) {
        if let Some((_, seconds, _)) = self.now.take() {
            self.done_seconds += seconds;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.watched {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: f64, total: f64, what: &str) -> String {
    let share = (done / total.max(1.0)).clamp(0.0, 1.0);
    let filled = (share * BAR as f64) as usize;
    let left = (total - done).max(0.0).ceil();
    let (bar, rest) = ("#".repeat(filled), "-".repeat(BAR - filled));
    format!("[{bar}{rest}] {left:>3} s left: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(line(0.0, 10.0, "x"), format!("[{}]  10 s left: x", "-".repeat(BAR)));
        assert_eq!(line(10.0, 10.0, "x"), format!("[{}]   0 s left: x", "#".repeat(BAR)));
        assert!(line(99.0, 10.0, "x").contains("  0 s left"));
    }
}
