//! Covering arrays: few rows in which any two levels of any two factors occur together.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Two factors, the earlier one first, and a level of each.
type Pair = ((usize, usize), (usize, usize));

fn every(levels: &[usize]) -> BTreeSet<Pair> {
    let each = |factor: usize| (0..levels[factor]).map(move |level| (factor, level));
    let two = (0..levels.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    two.flat_map(|(a, b)| each(a).flat_map(move |x| each(b).map(move |y| (x, y)))).collect()
}

/// Rows of one level for each factor. Greedy: each row begins with the first pair that is still
/// missing and takes for every other factor the level that adds most. Always the same rows.
pub(crate) fn covering(levels: &[usize]) -> Vec<Vec<usize>> {
    let mut missing = every(levels);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    while let Some(((a, x), (b, y))) = missing.first().copied() {
        let mut row: Vec<Option<usize>> = vec![None; levels.len()];
        (row[a], row[b]) = (Some(x), Some(y));
        for factor in 0..levels.len() {
            if row[factor].is_some() {
                continue;
            }
            let gain = |level: usize| {
                let set = row.iter().enumerate().filter_map(|(f, l)| l.map(|l| (f, l)));
                let pairs = set.map(|other| ordered(other, (factor, level)));
                let now = pairs.filter(|pair| missing.contains(pair)).count();
                // Between equals, what has most pairs left that a later factor may complete, and
                // between those, what was used least.
                let later = missing.iter().filter(|(p, q)| [*p, *q].contains(&(factor, level)));
                let used = rows.iter().filter(|row| row[factor] == level).count();
                (now, later.count(), Reverse(used))
            };
            row[factor] = (0..levels[factor]).max_by_key(|level| gain(*level));
        }
        let row: Vec<usize> = row.into_iter().flatten().collect();
        missing.retain(|((a, x), (b, y))| row[*a] != *x || row[*b] != *y);
        rows.push(row);
    }
    rows
}

fn ordered(p: (usize, usize), q: (usize, usize)) -> Pair {
    if p.0 < q.0 { (p, q) } else { (q, p) }
}

#[test]
fn every_pair_occurs() {
    for levels in [&[2, 2][..], &[3, 2, 4], &[2, 2, 3, 2, 3, 3, 3, 3]] {
        let rows = covering(levels);
        for ((a, x), (b, y)) in every(levels) {
            assert!(rows.iter().any(|row| row[a] == x && row[b] == y), "{a}={x}, {b}={y}");
        }
        let mut largest = levels.to_vec();
        largest.sort_unstable();
        let least = largest.iter().rev().take(2).product::<usize>();
        assert!(rows.len() <= 2 * least, "{} rows for {levels:?}", rows.len());
    }
}
