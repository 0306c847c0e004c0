//! Where two TCPs may differ, each with its reason; everything else is a fault of one of them.

use super::event::{Event, Sequence};
use super::step::{Difference, Field};
use super::subject::Run;

/// A difference, and all that it may depend on.
pub(crate) struct Case<'a> {
    pub(crate) sequence: &'a Sequence,
    /// Number of the step: 0 before the first event.
    pub(crate) at: usize,
    pub(crate) difference: &'a Difference,
    pub(crate) ours: &'a Run,
    pub(crate) kernel: &'a Run,
}

pub(crate) struct Freedom {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) excuses: fn(&Case<'_>) -> bool,
    /// The two are in different states from here on: the rest can't be compared.
    pub(crate) parts: bool,
}

pub(crate) struct Judgement {
    pub(crate) used: Vec<&'static str>,
    pub(crate) whole: bool,
}

pub(crate) const FREEDOMS: [Freedom; 0] = [];

/// Compares step by step. An error is the first difference that nothing excuses.
pub(crate) fn judge(sequence: &Sequence, ours: &Run, kernel: &Run) -> Result<Judgement, String> {
    let mut judgement = Judgement { used: Vec::new(), whole: true };
    for (at, (a, b)) in ours.steps.iter().zip(&kernel.steps).enumerate() {
        for difference in a.differences(b) {
            let case = Case { sequence, at, difference: &difference, ours, kernel };
            let Some(freedom) = FREEDOMS.iter().find(|freedom| (freedom.excuses)(&case)) else {
                return Err(format!("step {at}: {difference}"));
            };
            judgement.used.push(freedom.name);
            if freedom.parts {
                judgement.whole = false;
                return Ok(judgement);
            }
        }
    }
    if ours.view != kernel.view {
        return Err(format!("view: {:?} {:?}", ours.view, kernel.view));
    }
    Ok(judgement)
}
