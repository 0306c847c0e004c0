//! What one core counted, and the sum of all.
//!
//! Latencies are in a histogram of `hdrhistogram` (MIT or Apache-2.0; without its optional features
//! it needs two small crates): any latency is recorded within a thousandth, in a few nanoseconds
//! and without allocation, and the histograms of several cores add up exactly, as averages of
//! percentiles do not.

use core::time::Duration;

use hdrhistogram::Histogram;

use crate::app::Close;

/// Significant digits of latencies: within a thousandth, in some hundred kilobytes.
const DIGITS: u8 = 3;
/// Longest latency told from longer ones, in nanoseconds: 100 s.
const LONGEST_NS: u64 = 100_000_000_000;

/// Why responses did not come, or were not good. The names are those of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A status other than 2xx and 3xx.
    Status,
    /// Not a response that this program understands.
    Malformed,
    /// The server closed the connection before the response was complete.
    Closed,
    /// It reset the connection.
    Reset,
    /// It stopped acknowledging.
    TimedOut,
}

impl Fault {
    pub(super) const ALL: [(Fault, &'static str); 5] = [
        (Fault::Status, "status"),
        (Fault::Malformed, "malformed"),
        (Fault::Closed, "closed"),
        (Fault::Reset, "reset"),
        (Fault::TimedOut, "timed_out"),
    ];
}

impl From<Close> for Fault {
    fn from(why: Close) -> Fault {
        match why {
            Close::Reset | Close::Refused => Fault::Reset,
            Close::TimedOut | Close::Unreachable => Fault::TimedOut,
            _ => Fault::Closed,
        }
    }
}

/// Counts of one core or of several.
#[derive(Debug)]
pub(super) struct Tally {
    /// Nanoseconds from when a request was due to the end of its response.
    pub(super) latency: Histogram<u64>,
    /// Responses in the measured time.
    pub(super) responses: u64,
    /// Responses of the whole run.
    pub(super) answered: u64,
    /// Requests due in the measured time whose response had not come at its end: an open loop has
    /// them in `latency` too, with the time that they had waited by then.
    pub(super) unanswered: u64,
    /// Bytes of responses in the measured time, heads included.
    pub(super) bytes: u64,
    /// Of the whole run, in the order of [`Fault::ALL`].
    pub(super) faults: [u64; Fault::ALL.len()],
    /// Connections that did not come to be in the whole run, in the order of [`Close::ALL`].
    pub(super) failed: [u64; Close::COUNT],
    /// Connections opened in the whole run.
    pub(super) opened: u64,
    /// How long was measured.
    pub(super) measured: Duration,
    /// How much of that was spent in turns that did something.
    pub(super) busy: Duration,
    /// Responses a second of all cores together.
    pub(super) rate: f64,
}

impl Tally {
    pub(super) fn new() -> Tally {
        let latency = Histogram::new_with_max(LONGEST_NS, DIGITS);
        Tally {
            latency: latency.unwrap_or_else(|_| unreachable!("the bounds are constants")),
            responses: 0,
            answered: 0,
            unanswered: 0,
            bytes: 0,
            faults: [0; Fault::ALL.len()],
            failed: [0; Close::COUNT],
            opened: 0,
            measured: Duration::ZERO,
            busy: Duration::ZERO,
            rate: 0.0,
        }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanos);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    /// The measured time of this core is over.
    pub(super) fn close(&mut self, measured: Duration) {
        self.measured = measured;
        self.rate = self.responses as f64 / measured.as_secs_f64().max(1e-9);
    }

    /// Takes in another core, which measured at the same time.
    pub(super) fn add(&mut self, other: &Tally) {
        // Both were made with the same bounds.
        let _ = self.latency.add(&other.latency);
        self.responses += other.responses;
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.bytes += other.bytes;
        self.opened += other.opened;
        for (sum, each) in self.faults.iter_mut().zip(other.faults) {
            *sum += each;
        }
        for (sum, each) in self.failed.iter_mut().zip(other.failed) {
            *sum += each;
        }
        self.measured = self.measured.max(other.measured);
        self.busy = self.busy.max(other.busy);
        self.rate += other.rate;
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults.iter().sum()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Percent of the time in which the busiest core had something to do.
    pub(super) fn busy_percent(&self) -> f64 {
        100.0 * self.busy.as_secs_f64() / self.measured.as_secs_f64().max(1e-9)
    }

    /// A quantile of the latencies, in microseconds.
    pub(super) fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_and_reasons_have_the_places_of_their_names() {
        for (place, (fault, _)) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, place);
        }
        assert_eq!(Fault::from(Close::Finished), Fault::Closed);
        assert_eq!(Fault::from(Close::Unreachable), Fault::TimedOut);
    }

    #[test]
    fn cores_add_up() {
        let core = |responses: u64, micros: u64| {
            let mut tally = Tally::new();
            for _ in 0..responses {
                tally.record(Duration::from_micros(micros));
            }
            tally.responses = responses;
            tally.fault(Fault::Reset);
            tally.close(Duration::from_secs(2));
            tally
        };
        let mut sum = Tally::new();
        sum.add(&core(100, 10));
        sum.add(&core(300, 1_000));
        assert_eq!((sum.responses, sum.faults(), sum.rate), (400, 2, 200.0));
        assert_eq!(sum.measured, Duration::from_secs(2));
        // Values come back within a thousandth.
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected / 1_000.0;
        assert!(near(sum.micros(0.25), 10.0), "{}", sum.micros(0.25));
        assert!(near(sum.micros(0.5), 1_000.0) && near(sum.micros(1.0), 1_000.0));
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        let mut tally = Tally::new();
        tally.record(Duration::from_secs(1_000_000));
        assert!(tally.micros(1.0) >= LONGEST_NS as f64 / 1e3 * 0.999);
    }
}
