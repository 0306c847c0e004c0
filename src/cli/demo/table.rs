//! What was measured, as tables.

use core::fmt::Write;
use std::fs;

use super::measure::{Contender, Measurement};

type Row = (&'static str, fn(&Measurement) -> f64, usize);

/// Name, value and digits after the point of each figure.
const FIGURES: [Row; 6] = [
    ("requests/s", Measurement::requests_per_second, 0),
    ("p50 µs", |m| m.load.p50, 0),
    ("p99 µs", |m| m.load.p99, 0),
    ("p99.9 µs", |m| m.load.p999, 0),
    ("server CPU µs/request", |m| m.cpu_per_request, 2),
    ("errors", |m| m.load.errors as f64, 0),
];

/// One column for each measurement.
pub(super) fn side_by_side(columns: &[Measurement], seconds: u32) -> String {
    let mut text = String::new();
    if let Some(first) = columns.first() {
        let (poll, connections) = (first.contender.poll, first.connections);
        let _ = writeln!(
            text,
            "The same HTTP server, {poll} poll, on processor 0; wrk -t1 -c{connections} \
             -d{seconds}s on processor 1; a veth pair between.\n"
        );
    }
    let _ = write!(text, "{:<24}", "");
    for column in columns {
        let title = format!("{} ({})", column.contender.server, column.mode);
        let _ = write!(text, "{title:>20}");
    }
    for (name, figure, digits) in FIGURES {
        let _ = write!(text, "\n{name:<24}");
        for column in columns {
            let _ = write!(text, "{:>20}", grouped(figure(column), digits));
        }
    }
    text
}

/// A Markdown table: the median over the rounds, and the least and the most.
pub(super) fn medians(all: &[Measurement], rounds: u32, seconds: u32) -> String {
    let mut text = String::from("| connections | server | poll |");
    for (name, ..) in FIGURES {
        let _ = write!(text, " {name} |");
    }
    text.push_str("\n| ---: | --- | --- |");
    text.push_str(&" ---: |".repeat(FIGURES.len()));
    let mut keys: Vec<(u32, Contender)> = Vec::new();
    for measurement in all {
        let key = (measurement.connections, measurement.contender);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_by_key(|(connections, _)| *connections);
    for (connections, contender) in keys {
        let group: Vec<&Measurement> = all
            .iter()
            .filter(|m| m.connections == connections && m.contender == contender)
            .collect();
        let mode = group.first().map_or("", |first| first.mode.as_str());
        let Contender { server, poll } = contender;
        let _ = write!(text, "\n| {connections} | {server} ({mode}) | {poll} |");
        for (_, figure, digits) in FIGURES {
            let values: Vec<f64> = group.iter().map(|m| figure(m)).collect();
            let _ = write!(text, " {} |", spread(values, digits));
        }
    }
    let _ = write!(
        text,
        "\n\nMedians (least–most) of {rounds} interleaved rounds of {seconds} s; wrk -t1 pinned to \
         processor 1, the server to processor 0, veth between; Linux {}, {}.",
        release(),
        processor()
    );
    text
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (values.first(), values.last()) else { return String::new() };
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    };
    let [median, least, most] = [median, least, most].map(|value| grouped(value, digits));
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

/// A number with commas between its thousands.
fn grouped(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut text = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

fn release() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| String::from("unknown processor"), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::measure::Server;
    use super::*;
    use crate::runtime::lab::Measured;
    use crate::runtime::{Backend, Poll};

    fn measurement(backend: Backend, requests: u64) -> Measurement {
        let second = Duration::from_secs(1);
        Measurement {
            contender: Contender { server: Server::Ours(backend), poll: Poll::Sleep },
            mode: String::from("copy"),
            connections: 64,
            load: Measured {
                requests,
                duration: second,
                errors: 0,
                p50: 5.0,
                p99: 9.0,
                p999: 12.0,
            },
            cpu_per_request: 5.125,
        }
    }

    #[test]
    fn the_middle_and_the_ends_are_shown() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0], 0), "2 (1–3)");
        assert_eq!(spread(vec![4.0, 1.0], 1), "2.5 (1.0–4.0)");
        assert_eq!(spread(vec![7.0, 7.0], 0), "7");
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(grouped(0.0, 0), "0");
        assert_eq!(grouped(123.456, 2), "123.46");
        assert_eq!(grouped(1_234_567.0, 0), "1,234,567");
    }

    #[test]
    fn a_markdown_row_for_each_contender() {
        let all = [100, 300, 200]
            .map(|n| measurement(Backend::AfXdp, n * 1_000))
            .into_iter()
            .chain([measurement(Backend::Kernel, 90_000)]);
        let text = medians(&all.collect::<Vec<_>>(), 3, 1);
        assert!(text.contains("| 64 | af-xdp (copy) | sleep | 200,000 (100,000–300,000) | 5 |"));
        assert!(text.contains("| 64 | kernel (copy) | sleep | 90,000 |"), "{text}");
    }

    #[test]
    fn the_demonstration_has_a_column_for_each() {
        let text = side_by_side(
            &[measurement(Backend::AfXdp, 1_000), measurement(Backend::Kernel, 900)],
            5,
        );
        assert!(text.contains("af-xdp (copy)") && text.contains("kernel (copy)"), "{text}");
        assert!(text.contains("1,000") && text.contains("5.12"), "{text}");
    }
}
