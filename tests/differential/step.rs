//! What a TCP did after one event, in numbers that mean the same for every TCP.

use std::fmt;

/// A sequence number of the tester: relative to its initial one, or to the window's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Start(i32),
    Edge(i32),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Start(n) => write!(f, "{n}"),
            Number::Edge(n) => write!(f, "edge{n:+}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SynAnswer {
    /// Not the first one, and yet with the number of the first.
    pub(crate) again: bool,
    pub(crate) ack: Option<Number>,
    pub(crate) mss: Option<u16>,
    pub(crate) sack: bool,
    pub(crate) scaled: bool,
    pub(crate) timestamps: bool,
}

/// All that was sent in answer to one event. Its own numbers are relative to its initial one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) syns: Vec<SynAnswer>,
    /// Sequence numbers of the resets, and what they acknowledge.
    pub(crate) resets: Vec<(i32, Option<Number>)>,
    /// Data that was not sent before: where it begins.
    pub(crate) data: Option<(i32, Vec<u8>)>,
    pub(crate) fin: Option<i32>,
    /// Data, FIN or SYN that was sent before: where the first of it begins.
    pub(crate) again: Option<i32>,
    /// The last acknowledgement of the step.
    pub(crate) ack: Option<Number>,
    /// The sequence number that it was sent with, if it came without data.
    pub(crate) bare: Option<i32>,
    /// Its blocks.
    pub(crate) sack: Vec<(Number, Number)>,
    /// The timestamp that it echoes.
    pub(crate) echo: Option<u32>,
    /// What the application's call returned.
    pub(crate) returned: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Syn,
    Reset,
    Data,
    Fin,
    Again,
    Ack,
    Seq,
    Sack,
    Echo,
    Returned,
    /// What the application knows at the end.
    View,
}

/// Where two TCPs differ in one step.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) field: Field,
    pub(crate) ours: String,
    pub(crate) kernel: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ours {}, the kernel's {}", self.field, self.ours, self.kernel)
    }
}

impl Step {
    fn texts(&self) -> [(Field, String); 10] {
        let number = |n: &Option<i32>| n.map_or_else(none, |n| n.to_string());
        let syns = self.syns.iter().map(|syn| format!("{syn:?}"));
        let resets = self.resets.iter().map(|(seq, ack)| match ack {
            Some(ack) => format!("{seq} ack {ack}"),
            None => seq.to_string(),
        });
        let data = |(start, bytes): &(i32, Vec<u8>)| {
            // The bytes themselves are compared with the stream where they are read.
            format!("{start}:{}", start + bytes.len() as i32)
        };
        let blocks = self.sack.iter().map(|(from, to)| format!("{from}:{to}"));
        [
            (Field::Syn, listed(syns)),
            (Field::Reset, listed(resets)),
            (Field::Data, self.data.as_ref().map_or_else(none, data)),
            (Field::Fin, number(&self.fin)),
            (Field::Again, number(&self.again)),
            (Field::Ack, self.ack.map_or_else(none, |ack| ack.to_string())),
            (Field::Seq, number(&self.bare)),
            (Field::Sack, listed(blocks)),
            (Field::Echo, self.echo.map_or_else(none, |echo| echo.to_string())),
            (Field::Returned, self.returned.map_or_else(none, |n| n.to_string())),
        ]
    }

    pub(crate) fn differences(&self, kernel: &Step) -> Vec<Difference> {
        let pairs = self.texts().into_iter().zip(kernel.texts());
        let different = pairs.filter(|((_, ours), (_, kernel))| ours != kernel);
        different.map(|((field, ours), (_, kernel))| Difference { field, ours, kernel }).collect()
    }
}

/// What was done, on one line.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = none();
        let said = self.texts().into_iter().filter(|(_, text)| *text != nothing);
        let words: Vec<String> =
            said.map(|(field, text)| format!("{field:?} {text}").to_lowercase()).collect();
        f.write_str(&if words.is_empty() { nothing } else { words.join("; ") })
    }
}

fn none() -> String {
    String::from("nothing")
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { none() } else { items.join(", ") }
}
