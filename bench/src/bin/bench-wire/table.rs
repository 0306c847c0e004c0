//! Medians over the rounds, with ratios that are taken within a round.

use core::fmt;

use sidestep_bench::Spread;

use crate::load::{Sample, Way};
use crate::row::Row;

/// What was measured, and in which round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) row: Row,
    pub(crate) way: Way,
    pub(crate) connections: u32,
    pub(crate) round: u32,
}

/// All samples.
pub(crate) struct Table {
    rounds: u32,
    seconds: u32,
    samples: Vec<(Cell, Sample)>,
}

impl Table {
    pub(crate) fn new(rounds: u32, seconds: u32) -> Table {
        Table { rounds, seconds, samples: Vec::new() }
    }

    pub(crate) fn add(&mut self, cell: Cell, sample: Sample) {
        self.samples.push((cell, sample));
    }

    /// Every load, in the order in which they were measured first.
    fn loads(&self) -> Vec<(Way, u32)> {
        distinct(self.samples.iter().map(|(cell, _)| (cell.way, cell.connections)))
    }

    fn rows(&self) -> Vec<Row> {
        distinct(self.samples.iter().map(|(cell, _)| cell.row))
    }

    /// The samples of one row under one load, one a round.
    fn of(&self, row: Row, load: (Way, u32)) -> Vec<(Cell, Sample)> {
        let is = |cell: &Cell| cell.row == row && (cell.way, cell.connections) == load;
        self.samples.iter().filter(|(cell, _)| is(cell)).copied().collect()
    }

    /// The best rate of the rows that `is` means, in the round and under the load of `cell`.
    fn best(&self, cell: &Cell, is: impl Fn(Row) -> bool) -> Option<f64> {
        let same = |other: &Cell| Cell { row: cell.row, ..*other } == *cell && is(other.row);
        let rates = self.samples.iter().filter(|(other, _)| same(other)).map(|(_, s)| s.rate);
        rates.max_by(f64::total_cmp)
    }

    fn line(&self, row: Row, load: (Way, u32)) -> Option<String> {
        let samples = self.of(row, load);
        let first = samples.first()?;
        let spread =
            |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(|(_, s)| figure(s)));
        let ratio = |is: fn(Row) -> bool| {
            let ratios = samples
                .iter()
                .filter_map(|(cell, sample)| Some(sample.rate / self.best(cell, is)?.max(1e-9)));
            let ratios: Vec<f64> = ratios.collect();
            if ratios.is_empty() { String::from("-") } else { format!("{:.2}", Spread::of(ratios)) }
        };
        let errors: f64 = samples.iter().map(|(_, sample)| sample.errors).sum();
        Some(format!(
            "| {} | {} | {:.0} | {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {errors:.0} | {:.0} |",
            first.0.connections,
            row.name(),
            spread(|s| s.rate),
            ratio(|row| row == Row::Responder),
            ratio(|row| row.is_kernel() && !row.is_steered()),
            spread(|s| s.p50),
            spread(|s| s.p99),
            spread(|s| s.p999),
            spread(|s| s.cpu),
            spread(|s| s.load_busy),
        ))
    }
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loads = self.loads();
        for way in distinct(loads.iter().map(|(way, _)| *way)) {
            writeln!(f, "\nClosed loop, {way}.\n")?;
            writeln!(
                f,
                "| connections | server | requests/s | of the responder | times the kernel's | \
                 p50 µs | p99 µs | p99.9 µs | server CPU µs/request | errors | load busy % |"
            )?;
            writeln!(f, "| ---: | --- |{}", " ---: |".repeat(9))?;
            for load in loads.iter().filter(|load| load.0 == way) {
                for row in self.rows() {
                    if let Some(line) = self.line(row, *load) {
                        writeln!(f, "{line}")?;
                    }
                }
            }
        }
        let (rounds, seconds) = (self.rounds, self.seconds);
        write!(f, "\nMedians (least–most) of {rounds} interleaved rounds of {seconds} s.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut table = Table::new(2, 1);
        for (round, factor) in [(1, 1.0), (2, 10.0)] {
            for (row, rate) in [(Row::Responder, 100.0), (Row::Busy, 90.0), (Row::Kernel, 30.0)] {
                let rate = rate * factor;
                let sample = Sample {
                    rate,
                    p50: 1.0,
                    p99: 2.0,
                    p999: 3.0,
                    errors: 1.0,
                    cpu: 4.0,
                    load_busy: 50.0,
                };
                table.add(Cell { row, way: Way::Keep, connections: 64, round }, sample);
            }
        }
        let line = table.line(Row::Busy, (Way::Keep, 64)).expect("measured");
        assert!(line.contains("| 0.90 (0.90–0.90) | 3.00 (3.00–3.00) |"), "{line}");
        assert!(line.contains(" 495 (90–900) ") && line.contains("| 2 |"), "{line}");
        assert_eq!(table.line(Row::Nginx, (Way::Keep, 64)), None);
    }
}
