//! The congestion window over time: one flow that loses nothing but what its queue drops.

use core::time::Duration;

use sidestep::sim::Dumbbell;
use sidestep::sim::Group;
use sidestep::tcp::congestion::Algorithm;

use crate::draw::{Axis, Chart, Series, save};
use crate::variant::Variant;
use crate::{Error, Lab, in_parallel};

const STEP: Duration = Duration::from_millis(20);
/// Packets of a million lost on the lossy path.
const LOSSY: u32 = 1_000;

pub(crate) fn run(lab: &Lab) -> Result<(), Error> {
    let charts: Result<Vec<Chart>, Error> =
        in_parallel(&Algorithm::ALL, |algorithm| chart(lab, *algorithm)).into_iter().collect();
    save(&lab.out.join("windows.svg"), &charts?, 260)
}

fn chart(lab: &Lab, algorithm: Algorithm) -> Result<Chart, Error> {
    let variant = Variant::of(algorithm);
    let mut series = Vec::new();
    for (name, loss) in [("queue drops only", 0), ("0.1 % lost too", LOSSY)] {
        let points = window(lab, &variant, loss)?;
        series.push(Series { name: name.into(), points });
    }
    Ok(Chart {
        title: format!("Congestion window of {}", variant.name()),
        x: Axis::linear("seconds", 0.0..lab.seconds as f64),
        y: Axis::linear("cwnd (kB)", 0.0..1_000.0),
        series,
        marks: false,
    })
}

fn window(lab: &Lab, variant: &Variant, loss: u32) -> Result<Vec<(f64, f64)>, Error> {
    let tcp = variant.tcp();
    let mut path = variant.path();
    path.loss = loss;
    let mut dumbbell = Dumbbell::new(1, &path, tcp.into(), &[Group { tcp, flows: 1 }]);
    let mut points = Vec::new();
    for step in 1..=lab.seconds * 1_000 / STEP.as_millis() as u64 {
        dumbbell.run(STEP)?;
        if let Some(info) = dumbbell.flow(0, 0) {
            let at = step as f64 * STEP.as_secs_f64();
            points.push((at, f64::from(info.cwnd) / 1_000.0));
        }
    }
    Ok(points)
}
