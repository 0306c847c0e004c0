//! Many flows over one bottleneck: who gets how much.

use core::time::Duration;

use sidestep::sim::{Bottleneck, Dumbbell, Group};
use sidestep::tcp::TcpConfig;
use sidestep::tcp::congestion::Algorithm;

use crate::draw::{Axis, Chart, Series, save};
use crate::variant::Variant;
use crate::{Error, Lab, in_parallel, median};

const FLOWS: [u32; 5] = [2, 4, 8, 16, 32];
const WARM_UP: Duration = Duration::from_secs(5);
/// Bytes of each flow's buffers: more than the path and its queue hold.
const BUFFER: u32 = 1 << 20;

/// Who shares the bottleneck.
#[derive(Clone, Copy, Debug)]
enum Mix {
    Alike(Algorithm),
    /// One half each.
    Halves(Algorithm, Algorithm),
}

impl Mix {
    const ALL: [Mix; 5] = [
        Mix::Alike(Algorithm::Cubic),
        Mix::Alike(Algorithm::NewReno),
        Mix::Alike(Algorithm::Dctcp),
        Mix::Alike(Algorithm::Bbr),
        Mix::Halves(Algorithm::Cubic, Algorithm::NewReno),
    ];

    fn name(self) -> String {
        let name = |algorithm| Variant::of(algorithm).name();
        match self {
            Mix::Alike(one) => name(one),
            Mix::Halves(one, other) => format!("{} with {}", name(one), name(other)),
        }
    }

    fn groups(self, flows: u32) -> Vec<Group> {
        let group = |algorithm, flows| Group { tcp: tcp(algorithm), flows };
        match self {
            Mix::Alike(one) => vec![group(one, flows)],
            Mix::Halves(one, other) => vec![group(one, flows / 2), group(other, flows / 2)],
        }
    }

    fn path(self) -> Bottleneck {
        let algorithm = match self {
            Mix::Alike(one) => one,
            Mix::Halves(..) => Algorithm::Cubic,
        };
        Variant::of(algorithm).path()
    }
}

fn tcp(algorithm: Algorithm) -> TcpConfig {
    let tcp = Variant::of(algorithm).tcp();
    TcpConfig { send_buffer: BUFFER, receive_buffer: BUFFER, ..tcp }
}

/// What the flows of one run got.
#[derive(Clone, Copy, Debug)]
struct Shares {
    jain: f64,
    /// The first group's part of all, in percent.
    first: f64,
    /// Mbit/s of all together.
    total: f64,
}

pub(crate) fn run(lab: &Lab) -> Result<(), Error> {
    let jobs: Vec<(Mix, u32)> =
        Mix::ALL.iter().flat_map(|mix| FLOWS.iter().map(|flows| (*mix, *flows))).collect();
    let results: Result<Vec<Shares>, Error> = in_parallel(&jobs, |(mix, flows)| {
        let of = |seed| shares(*mix, *flows, lab.seconds, seed);
        let all: Result<Vec<Shares>, Error> = (0..lab.seeds).map(of).collect();
        let all = all?;
        let of = |field: fn(&Shares) -> f64| median(all.iter().map(field).collect());
        Ok(Shares { jain: of(|s| s.jain), first: of(|s| s.first), total: of(|s| s.total) })
    })
    .into_iter()
    .collect();
    let results = results?;
    let rows: Vec<(Mix, &[Shares])> =
        Mix::ALL.iter().copied().zip(results.chunks(FLOWS.len())).collect();
    print(&rows);
    draw(lab, &rows)
}

fn shares(mix: Mix, flows: u32, seconds: u64, seed: u64) -> Result<Shares, Error> {
    let receiver = tcp(Algorithm::default());
    let mut dumbbell = Dumbbell::new(seed, &mix.path(), receiver.into(), &mix.groups(flows));
    dumbbell.run(WARM_UP)?;
    let before = dumbbell.delivered();
    dumbbell.run(Duration::from_secs(seconds))?;
    let after = dumbbell.delivered();
    let got: Vec<Vec<f64>> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.iter().zip(before).map(|(a, b)| (a - b) as f64).collect())
        .collect();
    let all: Vec<f64> = got.iter().flatten().copied().collect();
    let (sum, squares) = (all.iter().sum::<f64>(), all.iter().map(|x| x * x).sum::<f64>());
    Ok(Shares {
        jain: sum * sum / (f64::from(flows) * squares.max(1.0)),
        first: got[0].iter().sum::<f64>() * 100.0 / sum.max(1.0),
        total: sum * 8e-6 / seconds as f64,
    })
}

fn print(rows: &[(Mix, &[Shares])]) {
    println!("Fairness of flows over one bottleneck: Jain's index (Mbit/s of all together)\n");
    print!("{:<22}", "flows");
    FLOWS.iter().for_each(|flows| print!("{flows:>16}"));
    println!();
    for (mix, shares) in rows {
        print!("{:<22}", mix.name());
        for Shares { jain, total, .. } in *shares {
            print!("{:>16}", format!("{jain:.3} ({total:.1})"));
        }
        println!();
        if let Mix::Halves(one, _) = mix {
            print!("{:<22}", format!("  share of {one} (%)"));
            shares.iter().for_each(|shares| print!("{:>16.1}", shares.first));
            println!();
        }
    }
    println!();
}

fn draw(lab: &Lab, rows: &[(Mix, &[Shares])]) -> Result<(), Error> {
    let line = |(mix, shares): &(Mix, &[Shares]), field: fn(&Shares) -> f64| Series {
        name: mix.name(),
        points: FLOWS.iter().map(|flows| f64::from(*flows)).zip(shares.iter().map(field)).collect(),
    };
    let flows = || Axis::logarithmic("flows", 2.0..32.0);
    let jain = Chart {
        title: "Jain's fairness index of flows over one bottleneck".into(),
        x: flows(),
        y: Axis::linear("Jain's index", 0.0..1.05),
        series: rows.iter().map(|row| line(row, |shares| shares.jain)).collect(),
        marks: true,
    };
    let halves = rows.iter().filter(|(mix, _)| matches!(mix, Mix::Halves(..)));
    let share = Chart {
        title: "CUBIC's part when one half of the flows is CUBIC, the other NewReno".into(),
        x: flows(),
        y: Axis::linear("part of the line (%)", 0.0..100.0),
        series: halves.map(|row| line(row, |shares| shares.first)).collect(),
        marks: true,
    };
    save(&lab.out.join("fairness.svg"), &[jain, share], 400)
}
