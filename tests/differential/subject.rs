//! A TCP under test, and the run of a sequence against it.

use super::event::{Event, Sequence};
use super::step::Step;
use super::tester::Tester;
use crate::segments::path::Path;
use crate::segments::segment::Segment;

/// What the application has at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) opened: bool,
    /// Bytes read in the course of the sequence, and at its end.
    pub(crate) read: usize,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
}

/// One connection of a TCP, driven from both of its ends.
pub(crate) trait Subject {
    fn path(&self) -> Path;

    /// Connects to the tester.
    fn connect(&mut self) -> Result<(), String>;

    /// Gives it a segment.
    fn inject(&mut self, segment: &Segment) -> Result<(), String>;

    /// Makes an application's call; returns what a socket would, errors as zero.
    fn call(&mut self, event: Event) -> Result<Option<usize>, String>;

    /// Lets it come to rest, after a long wait if `long`, and takes what it has sent.
    fn answers(&mut self, long: bool) -> Result<Vec<Segment>, String>;

    /// Reads all that is left, and ends it.
    fn view(&mut self) -> Result<View, String>;
}

/// What a subject did in a sequence.
pub(crate) struct Run {
    /// Before the first event, then after each.
    pub(crate) steps: Vec<Step>,
    pub(crate) view: View,
    /// Segments as they were on the wire, for the report.
    pub(crate) trace: Vec<String>,
}

impl Run {
    pub(crate) fn of(sequence: &Sequence, subject: &mut impl Subject) -> Result<Run, String> {
        let mut tester = Tester::new(sequence, subject.path());
        let mut trace = Vec::new();
        let mut steps = Vec::new();
        if sequence.active {
            subject.connect()?;
        }
        let answers = subject.answers(false)?;
        trace.extend(answers.iter().map(|answer| format!("> {answer}")));
        steps.push(tester.step(&answers)?);
        for event in &sequence.events {
            let mut returned = None;
            match event {
                Event::Segment(shape) => {
                    let segment = tester.segment(shape);
                    trace.push(format!("< {segment}"));
                    subject.inject(&segment)?;
                }
                Event::Wait => {}
                call => {
                    returned = subject.call(*call)?;
                    trace.push(format!("{call:?} = {returned:?}"));
                }
            }
            let answers = subject.answers(*event == Event::Wait)?;
            trace.extend(answers.iter().map(|answer| format!("> {answer}")));
            steps.push(Step { returned, ..tester.step(&answers)? });
        }
        Ok(Run { steps, view: subject.view()?, trace })
    }
}
