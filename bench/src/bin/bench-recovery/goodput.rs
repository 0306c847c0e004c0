//! How much a single flow carries over a path that loses or reorders packets.

use core::time::Duration;

use sidestep::sim::Bottleneck;

use crate::draw::{Axis, Chart, Series, save};
use crate::variant::Variant;
use crate::{Error, Lab, RATE, RTT_MS, in_parallel, median};

/// Percent of packets.
const LOSSES: [f64; 10] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
const REORDERED: [f64; 7] = [0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 40.0];
/// How long a reordered packet is held back: a quarter of the round trip.
const HELD: Duration = Duration::from_millis(RTT_MS / 4);

pub(crate) fn loss(lab: &Lab) -> Result<(), Error> {
    let change = |path: &mut Bottleneck, percent| path.loss = millionths(percent);
    let table = measure(lab, &LOSSES, change)?;
    let title = format!("Goodput against random loss: {}", path_name());
    print(&title, "loss", &LOSSES, &table);
    draw(lab, "goodput-loss.svg", &title, "packets lost (%)", &LOSSES, &table)
}

pub(crate) fn reordering(lab: &Lab) -> Result<(), Error> {
    let change = |path: &mut Bottleneck, percent| {
        path.reorder = millionths(percent);
        path.reorder_by = HELD;
    };
    let table = measure(lab, &REORDERED, change)?;
    let title = format!("Goodput against reordering, by {} ms: {}", HELD.as_millis(), path_name());
    print(&title, "reordered", &REORDERED, &table);
    draw(lab, "goodput-reordering.svg", &title, "packets held back (%)", &REORDERED, &table)
}

fn path_name() -> String {
    format!("{} Mbit/s, {RTT_MS} ms, one flow", RATE / 1_000_000)
}

fn millionths(percent: f64) -> u32 {
    (percent * 10_000.0).round() as u32
}

/// Mbit/s by variant, then by percentage.
fn measure(
    lab: &Lab,
    percents: &[f64],
    change: impl Fn(&mut Bottleneck, f64) + Sync,
) -> Result<Vec<(Variant, Vec<f64>)>, Error> {
    let variants = Variant::all();
    let jobs: Vec<(Variant, f64)> =
        variants.iter().flat_map(|v| percents.iter().map(|percent| (*v, *percent))).collect();
    let results: Result<Vec<f64>, Error> = in_parallel(&jobs, |(variant, percent)| {
        let mut path = variant.path();
        change(&mut path, *percent);
        let of = |seed| variant.goodput(&path, lab.seconds, seed);
        (0..lab.seeds).map(of).collect::<Result<Vec<f64>, Error>>().map(median)
    })
    .into_iter()
    .collect();
    let rows = results?.chunks(percents.len()).map(<[f64]>::to_vec).collect::<Vec<_>>();
    Ok(variants.into_iter().zip(rows).collect())
}

fn print(title: &str, what: &str, percents: &[f64], table: &[(Variant, Vec<f64>)]) {
    println!("{title} (Mbit/s)\n");
    print!("{:<18}", format!("{what} (%)"));
    percents.iter().for_each(|percent| print!("{percent:>8}"));
    println!();
    for (variant, row) in table {
        print!("{:<18}", variant.name());
        row.iter().for_each(|value| print!("{value:>8.2}"));
        println!();
    }
    println!();
}

fn draw(
    lab: &Lab,
    file: &str,
    title: &str,
    label: &'static str,
    percents: &[f64],
    table: &[(Variant, Vec<f64>)],
) -> Result<(), Error> {
    let series = |(variant, row): &(Variant, Vec<f64>)| Series {
        name: variant.name(),
        points: percents.iter().copied().zip(row.iter().copied()).collect(),
    };
    let chart = Chart {
        title: title.into(),
        x: Axis::logarithmic(label, percents[0]..percents[percents.len() - 1]),
        y: Axis::logarithmic("goodput (Mbit/s)", 0.1..100.0),
        series: table.iter().map(series).collect(),
        marks: true,
    };
    save(&lab.out.join(file), &[chart], 480)
}
