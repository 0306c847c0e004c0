//! Medians, how far single measurements lie from them, and the clock that they are taken with.

use core::fmt;
use core::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has had of its processor: others may want it too, and that is not our time.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The median of some measurements, the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Spread { median, min: values[0], max: values[values.len() - 1] }
    }
}

impl fmt::Display for Spread {
    /// `median (min–max)`, with the precision asked for, or else about three digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = f.precision().unwrap_or(match self.median.abs() {
            ..10.0 => 2,
            ..1_000.0 => 1,
            _ => 0,
        });
        let text = format!("{:.p$} ({:.p$}–{:.p$})", self.median, self.min, self.max);
        match f.width() {
            Some(width) => write!(f, "{text:>width$}"),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_many() {
        let odd = Spread::of([3.0, 1.0, 20.0]);
        assert_eq!(odd, Spread { median: 3.0, min: 1.0, max: 20.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(format!("{odd:.1}"), "3.0 (1.0–20.0)");
    }

    #[test]
    fn digits_are_as_many_as_tell_something() {
        let of = |median| Spread { median, min: 0.0, max: median };
        assert_eq!(of(9.994).to_string(), "9.99 (0.00–9.99)");
        assert_eq!(of(999.94).to_string(), "999.9 (0.0–999.9)");
        assert_eq!(of(1_000.4).to_string(), "1000 (0–1000)");
    }
}
