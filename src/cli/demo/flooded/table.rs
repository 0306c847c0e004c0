//! What was measured in floods, as a table.

use core::fmt::Write;

use super::super::table::{processor, release, spread};
use super::{BACKENDS, CLIENT_CPU, Flood, Measurement, SERVER_CPU};
use crate::runtime::Backend;

type Row = (&'static str, fn(&Measurement) -> f64, usize);

/// Name, value and digits after the point of each figure.
const FIGURES: [Row; 9] = [
    ("SYN/s sent", |m| m.flooded, 0),
    ("answered with cookies/s", |m| m.answered, 0),
    ("honest connections/s", Measurement::rate, 0),
    ("handshakes, %", Measurement::handshakes, 2),
    ("connect p50 µs", |m| m.honest.percentile(0.5), 0),
    ("connect p99 µs", |m| m.honest.percentile(0.99), 0),
    ("server memory, KiB", |m| m.resident_kib as f64, 0),
    ("frames in use", |m| m.frames as f64, 0),
    ("connections of nobody", |m| m.phantoms as f64, 0),
];

impl Measurement {
    /// Honest connections served, per second.
    fn rate(&self) -> f64 {
        self.honest.served as f64 / self.seconds
    }

    /// Honest handshakes that succeeded, in per cent.
    fn handshakes(&self) -> f64 {
        100.0 * self.honest.connected as f64 / self.honest.tried.max(1) as f64
    }
}

/// A Markdown table: medians over the rounds, the least and the most.
pub(super) fn text(all: &[Measurement], rounds: u32, seconds: u32) -> String {
    let mut text = String::from("| flood | server |");
    for (name, ..) in FIGURES {
        let _ = write!(text, " {name} |");
    }
    text.push_str(" times the kernel's |\n| --- | --- |");
    text.push_str(&" ---: |".repeat(FIGURES.len() + 1));
    for (flood, backend) in floods(all).into_iter().flat_map(|f| BACKENDS.map(|b| (f, b))) {
        let group = group(all, flood, backend);
        let _ = write!(text, "\n| {flood} | {backend} |");
        for (_, figure, digits) in FIGURES {
            let _ =
                write!(text, " {} |", spread(group.iter().map(|m| figure(m)).collect(), digits));
        }
        if backend == Backend::Kernel {
            text.push_str(" |");
            continue;
        }
        let kernel = self::group(all, flood, Backend::Kernel);
        let ratios = group.iter().zip(kernel).map(|(ours, theirs)| ours.rate() / theirs.rate());
        let _ = write!(text, " {} |", spread(ratios.collect(), 2));
    }
    let _ = write!(
        text,
        "\n\nMedians (least–most) of {rounds} interleaved rounds of {seconds} s. Processor \
         {SERVER_CPU}: the server, and before it what its end of the veth pair receives, the XDP \
         program included. Processor {CLIENT_CPU}: 16 honest clients with one connection for each \
         request, what their end receives, and with what they leave (nice 10) the flood. \
         Linux {}, {}.",
        release(),
        processor()
    );
    text
}

/// Each kind once, in the order in which they were measured.
fn floods(all: &[Measurement]) -> Vec<Flood> {
    let mut floods = Vec::new();
    for measurement in all {
        if !floods.contains(&measurement.flood) {
            floods.push(measurement.flood);
        }
    }
    floods
}

fn group(all: &[Measurement], flood: Flood, backend: Backend) -> Vec<&Measurement> {
    all.iter().filter(|m| m.flood == flood && m.backend == backend).collect()
}

#[cfg(test)]
mod tests {
    use super::super::honest::Honest;
    use super::*;

    fn measurement(flood: Flood, backend: Backend, served: u64) -> Measurement {
        let (tried, connected) = (4 * served, 3 * served);
        Measurement {
            flood,
            backend,
            seconds: 2.0,
            honest: Honest { tried, connected, served, connect_us: vec![7, 8] },
            flooded: 1e6,
            answered: 9e5,
            resident_kib: 1_000,
            frames: 3,
            phantoms: 0,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let all = [(300, 100), (200, 50), (100, 50)].into_iter().flat_map(|(ours, theirs)| {
            [
                measurement(Flood::Unbounded, Backend::AfXdp, ours),
                measurement(Flood::Unbounded, Backend::Kernel, theirs),
            ]
        });
        let text = text(&all.collect::<Vec<_>>(), 3, 2);
        assert!(text.contains("| all it can | af-xdp | 1,000,000 | 900,000 | 100 (50–150) |"));
        assert!(text.contains("| 75.00 | 8 | 8 | 1,000 | 3 | 0 | 3.00 (2.00–4.00) |"), "{text}");
        assert!(text.contains("| all it can | kernel | 1,000,000 | 900,000 | 25 (25–50) |"));
    }
}
