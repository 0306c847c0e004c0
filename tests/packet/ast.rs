//! What a script says, before anybody acts on it.

use crate::common::segment::TcpOption;

/// Nanoseconds.
pub type Nanos = u64;

#[derive(Debug)]
pub struct Script {
    /// For messages: `area/rule.pkt`.
    pub name: String,
    /// `--name=value` lines.
    pub options: Vec<(usize, String, String)>,
    /// `// @strict`: no segment may come that the script does not name, and none is cut differently.
    pub strict: bool,
    pub events: Vec<Event>,
}

#[derive(Debug)]
pub struct Event {
    pub line: usize,
    pub time: Time,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
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
pub enum Action {
    /// `<`: from the script to the engine.
    Inject(Packet),
    /// `>`: the engine must send this.
    Expect(Packet),
    Call(Call),
    /// A command between backticks.
    Command(String),
}

#[derive(Clone, Debug)]
pub struct Packet {
    pub flags: u8,
    pub seq: u32,
    pub len: u32,
    pub ack: Option<u32>,
    pub window: Option<u16>,
    pub urgent: Option<u16>,
    pub options: Options,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Options {
    /// Nothing written: none injected, any expected.
    Unwritten,
    /// `<...>`
    Any,
    /// `<mss 1460,nop,wscale 7>`
    These(Vec<TcpOption>),
}

#[derive(Debug)]
pub struct Call {
    /// When a blocking call returns, measured like the event's own time.
    pub end: Option<Nanos>,
    pub name: String,
    pub args: Vec<Arg>,
    pub result: i64,
    pub errno: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Arg {
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
    pub fn integer(&self) -> Option<i64> {
        match self {
            Arg::Integer(n) => Some(*n),
            Arg::List(items) if items.len() == 1 => items[0].integer(),
            _ => None,
        }
    }

    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Arg::Words(words) if words.iter().any(|w| w == word))
    }
}
