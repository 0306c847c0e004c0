//! Whether a segment is the one that a script expects: by meaning, not by letter.

use super::ast::{Options, Packet};
use super::names::Names;
use crate::segments::segment::{ACK, ECN_NAMES, PSH, RST, Segment, TcpOption, URG, flag_text};

/// How a segment compares with what is expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the expected one.
    Same,
    /// It is the first part of the expected one: this many bytes of it.
    Front(u32),
    /// It is more than the expected one, by what comes behind this many bytes.
    Longer(u32),
    Different(Vec<String>),
}

/// `strict`: data must be cut as the script says.
pub(crate) fn compare(expected: &Packet, got: &Segment, strict: bool, names: &Names) -> Verdict {
    let mut wrong = Vec::new();
    let len = got.payload.len() as u32;
    let cut_differently = len != expected.len && len > 0 && expected.len > 0 && !strict;
    let shorter = cut_differently && len < expected.len;
    let longer = cut_differently && len > expected.len;
    // The last part alone carries PSH and FIN.
    let last_only = |flags: u16| if cut_differently { flags & !(PSH | 1) } else { flags };
    let mut unwritten = if expected.flags & PSH == 0 { PSH } else { 0 };
    if expected.flags == RST {
        // A reset that is not an answer may acknowledge too (RFC 9293 section 3.10.5: RST alone).
        unwritten |= ACK;
    }
    if last_only(got.flags & !unwritten) != last_only(expected.flags) {
        let (want, have) = (flag_text(expected.flags), flag_text(got.flags));
        wrong.push(format!("flags {have}, expected {want}"));
    }
    if let Some(ecn) = expected.ecn.filter(|ecn| *ecn != got.ecn) {
        let [want, have] = [ecn, got.ecn].map(|ecn| ECN_NAMES[usize::from(ecn)]);
        wrong.push(format!("[{have}], expected [{want}]"));
    }
    let mut field = |name: &str, got: u32, expected: u32| {
        if got != expected {
            wrong.push(format!("{name} {got}, expected {expected}"));
        }
    };
    field("seq", got.seq, expected.seq);
    if !cut_differently {
        field("length", len, expected.len);
    }
    if let Some(ack) = expected.ack.filter(|_| got.has(ACK)) {
        field("ack", got.ack, ack);
    }
    if let Some(window) = expected.window {
        field("win", u32::from(got.window), u32::from(window));
    }
    if let Some(urgent) = expected.urgent.filter(|_| got.has(URG)) {
        field("urg", u32::from(got.urgent), u32::from(urgent));
    }
    if let Options::These(options) = &expected.options {
        compare_options(options, &got.options, names, &mut wrong);
    }
    match (wrong.is_empty(), shorter, longer) {
        (false, ..) => Verdict::Different(wrong),
        (true, true, _) => Verdict::Front(len),
        (true, _, true) => Verdict::Longer(expected.len),
        (true, false, false) => Verdict::Same,
    }
}

/// As sets: padding and order are free.
fn compare_options(
    expected: &[TcpOption],
    got: &[TcpOption],
    names: &Names,
    wrong: &mut Vec<String>,
) {
    let padding = |option: &&TcpOption| !matches!(option, TcpOption::Nop | TcpOption::End);
    for option in expected.iter().filter(padding) {
        let same = |got: &TcpOption| match (option, got) {
            (TcpOption::Timestamps { ecr: want, .. }, TcpOption::Timestamps { val, ecr }) => {
                // The clock's unit is the engine's choice: it must only not run backwards.
                let runs = |last: u32| val.wrapping_sub(last) as i32 >= 0;
                want == ecr && names.last_timestamp().is_none_or(runs)
            }
            (option, got) => option == got,
        };
        if !got.iter().any(same) {
            wrong.push(format!("option {option} is missing, or has another value"));
        }
    }
    for option in got.iter().filter(padding) {
        let kind = |other: &TcpOption| core::mem::discriminant(other);
        if !expected.iter().any(|expected| kind(expected) == kind(option)) {
            wrong.push(format!("option {option} is not expected"));
        }
    }
}

/// What is left of an expected packet whose first `n` bytes have come.
pub(crate) fn rest_of_expected(packet: &mut Packet, n: u32) {
    packet.seq = packet.seq.wrapping_add(n);
    packet.len -= n;
}

/// What is left of a segment whose first `n` bytes were expected.
pub(crate) fn rest_of_segment(segment: &Segment, n: u32) -> Segment {
    let mut rest = segment.clone();
    rest.seq = rest.seq.wrapping_add(n);
    rest.payload.drain(..n as usize);
    rest
}
