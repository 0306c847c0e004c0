//! How fast requests may come before answers come late.

use crate::load::{self, Sample, Way};
use crate::row::Running;
use crate::stage::{Error, Stage};

/// The latency that the 99th percentile must not pass, in microseconds.
const LATE_US: f64 = 1_000.0;
/// Halvings of the interval in which the rate is looked for: to a 64th of the most.
const STEPS: u32 = 6;

/// What was found out about a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Requests a second of a closed loop.
    pub(crate) most: f64,
    /// Requests a second at which p99 passes 1 ms.
    pub(crate) knee: f64,
    /// At half of the most.
    pub(crate) half: Sample,
}

/// Finds it out.
pub(crate) fn search(
    stage: &Stage,
    server: &Running,
    connections: u32,
    seconds: u32,
) -> Result<Found, Error> {
    let run = |way| load::run(stage, server, way, connections, seconds);
    let most = run(Way::Keep)?.rate;
    let half = run(Way::Open(most / 2.0))?;
    let knee = bisect(most, |rate| run(Way::Open(rate)).map(|sample| in_time(&sample, rate)))?;
    Ok(Found { most, knee, half })
}

fn in_time(sample: &Sample, rate: f64) -> bool {
    // A load that itself can't keep up shows as few answers.
    sample.p99 <= LATE_US && sample.rate > rate * 0.95
}

/// The highest rate below `most` at which answers come in time, to a 64th of it; zero for none.
fn bisect(most: f64, mut good: impl FnMut(f64) -> Result<bool, Error>) -> Result<f64, Error> {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if good(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_found_to_a_64th() {
        for knee in [0.0, 10.0, 333.0, 640.0] {
            let found = bisect(640.0, |rate| Ok(rate <= knee)).expect("no error");
            assert!(found <= knee && knee - found <= 10.0, "{knee}: {found}");
        }
    }
}
