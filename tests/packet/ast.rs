//! What a script says, before anybody acts on it.

use super::icmp::Icmp;
use crate::segments::segment::TcpOption;

/// Nanoseconds.
pub(crate) type Nanos = u64;

#[derive(Debug)]
pub(crate) struct Script {
    /// For messages: `area/rule.pkt`.
    pub(crate) name: String,
    /// `--name=value` lines.
    pub(crate) options: Vec<(usize, String, String)>,
    /// `// @strict`: no segment comes that the script does not name, and none is cut differently.
    pub(crate) strict: bool,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) line: usize,
    pub(crate) time: Time,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// `1.5`
    Absolute(Nanos),
    /// `+.1`: after the event before.
    Relative(Nanos),
    /// `*`
    Any,
    /// `1~1.5`
    AbsoluteRange(Nanos, Nanos),
    /// `+.1~+.2`
    RelativeRange(Nanos, Nanos),
}

#[derive(Debug)]
pub(crate) enum Action {
    /// `<`: from the script to the engine.
    Inject(Packet),
    /// `< icmp`: from a router to the engine.
    InjectIcmp(Icmp),
    /// `>`: the engine must send this.
    Expect(Packet),
    Call(Call),
    /// A command between backticks.
    Command(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// The ECN field of the IP header, where it is written.
    pub(crate) ecn: Option<u8>,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) window: Option<u16>,
    pub(crate) urgent: Option<u16>,
    pub(crate) options: Options,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// Nothing written: none injected, any expected.
    Unwritten,
    /// `<...>`
    Any,
    /// `<mss 1460,nop,wscale 7>`
    These(Vec<TcpOption>),
}

#[derive(Debug)]
pub(crate) struct Call {
    /// When a blocking call returns, measured like the event's own time.
    pub(crate) end: Option<Nanos>,
    pub(crate) name: String,
    pub(crate) args: Vec<Arg>,
    pub(crate) result: i64,
    pub(crate) errno: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    Ellipsis,
    Integer(i64),
    /// Names joined by `|`.
    Words(Vec<String>),
    /// `[1]`
    List(Vec<Arg>),
    /// `{onoff=1, linger=0}`
    Fields(Vec<(String, i64)>),
}

impl Arg {
    /// The number, also of a list of one number.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Arg::Integer(n) => Some(*n),
            Arg::List(items) if items.len() == 1 => items[0].integer(),
            _ => None,
        }
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Arg::Words(words) if words.iter().any(|w| w == word))
    }
}
