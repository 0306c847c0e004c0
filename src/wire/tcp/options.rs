//! TCP options: RFC 9293 section 3.2, RFC 7323 (window scale, timestamps), RFC 2018 (SACK).

use super::accecn::AccEcn;
use super::sack::SackBlocks;
use super::user_timeout::UserTimeout;
use crate::wire::checksum::Sum;
use crate::wire::seq::Seq;

/// Bytes that options can take in a header, at most.
pub const MAX_OPTIONS: usize = 40;

/// Option kinds (IANA, TCP parameters).
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
    pub(super) const USER_TIMEOUT: u8 = 28;
    pub(super) const ACCECN_0: u8 = 172;
    pub(super) const ACCECN_1: u8 = 174;
}

/// NOP, NOP, then the timestamps option's kind and length: the layout of RFC 7323 appendix A that
/// keeps the values aligned and that everyone sends.
pub(in crate::wire) const ALIGNED_TIMESTAMPS: [u8; 4] =
    [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10];
pub(in crate::wire) const TIMESTAMPS_LEN: usize = 12;

/// The options of one segment that this stack knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size in bytes, as sent: may be 0 or absurd.
    pub mss: Option<u16>,
    /// Window scale shift, as sent: may be above 14.
    pub window_scale: Option<u8>,
    /// The sender takes selective acknowledgments.
    pub sack_permitted: bool,
    /// The options ended in the middle of one, or one had a length that can't be; what came before
    /// it is kept (RFC 9293 MUST-7). Not emitted.
    pub malformed: bool,
    /// The sender's user timeout.
    pub user_timeout: Option<UserTimeout>,
    /// How many bytes arrived with which mark.
    pub accecn: Option<AccEcn>,
    /// Timestamp value and echo.
    pub timestamps: Option<Timestamps>,
    /// Selectively acknowledged ranges.
    pub sack: SackBlocks,
}

/// The timestamps option (RFC 7323 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock (TSval).
    pub value: u32,
    /// The latest clock value that the sender had from its peer (TSecr).
    pub echo: u32,
}

impl Options {
    /// No options.
    pub const NONE: Options = Options {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        malformed: false,
        user_timeout: None,
        accecn: None,
        timestamps: None,
        sack: SackBlocks::EMPTY,
    };

    /// Only timestamps, as in most segments.
    #[inline]
    pub const fn timestamps(value: u32, echo: u32) -> Options {
        Options { timestamps: Some(Timestamps { value, echo }), ..Options::NONE }
    }

    /// Becomes [`Options::timestamps`], or [`Options::NONE`], where it is: only what says that
    /// there is nothing else is written.
    #[inline(always)]
    pub(super) fn become_plain(&mut self, timestamps: Option<Timestamps>) {
        let Options { mss, window_scale, user_timeout, accecn, .. } = self;
        (*mss, *window_scale, *user_timeout, *accecn) = (None, None, None, None);
        (self.sack_permitted, self.malformed) = (false, false);
        self.timestamps = timestamps;
        self.sack.clear();
    }

    /// Reads the options of a header: the bytes between its 20th and its data offset. If an option
    /// occurs twice, the last one counts.
    pub fn parse(bytes: &[u8]) -> Options {
        let mut options = Options::NONE;
        match Options::parse_aligned(bytes) {
            Some(timestamps) => options.timestamps = timestamps,
            None => options.read_any(bytes),
        }
        options
    }

    /// Reads the two layouts that nearly all segments have: nothing, or only aligned timestamps.
    #[inline(always)]
    pub(super) fn parse_aligned(bytes: &[u8]) -> Option<Option<Timestamps>> {
        match *bytes {
            [] => Some(None),
            [n, m, k, l, a, b, c, d, e, f, g, h] if [n, m, k, l] == ALIGNED_TIMESTAMPS => {
                let (value, echo) = ([a, b, c, d], [e, f, g, h]);
                let (value, echo) = (u32::from_be_bytes(value), u32::from_be_bytes(echo));
                Some(Some(Timestamps { value, echo }))
            }
            _ => None,
        }
    }

    /// Becomes the options in `bytes`, which are in any order and layout.
    #[inline(never)]
    pub(super) fn read_any(&mut self, mut bytes: &[u8]) {
        self.become_plain(None);
        // Each turn takes at least one byte off: the loop ends.
        loop {
            bytes = match *bytes {
                [] | [kind::END, ..] => return,
                [kind::NOP, ref rest @ ..] => rest,
                [kind, len, ref rest @ ..] => {
                    let Some((body, rest)) =
                        usize::from(len).checked_sub(2).and_then(|len| rest.split_at_checked(len))
                    else {
                        break;
                    };
                    if !self.take(kind, body) {
                        break;
                    }
                    rest
                }
                [_] => break,
            };
        }
        self.malformed = true;
    }

    /// Notes one option. False if it is of a kind we know but not of a length it can have.
    fn take(&mut self, kind: u8, body: &[u8]) -> bool {
        match (kind, body) {
            (kind::MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (kind::WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                let (value, echo) = ([a, b, c, d], [e, f, g, h]);
                let (value, echo) = (u32::from_be_bytes(value), u32::from_be_bytes(echo));
                self.timestamps = Some(Timestamps { value, echo });
            }
            (kind::USER_TIMEOUT, &[a, b]) => {
                self.user_timeout = Some(UserTimeout::from_bits(u16::from_be_bytes([a, b])));
            }
            (kind::ACCECN_0 | kind::ACCECN_1, body) => self.accecn = AccEcn::parse(kind, body),
            (kind::SACK, ranges) => match SackBlocks::parse(ranges) {
                Some(blocks) => self.sack = blocks,
                None => return false,
            },
            (kind::MSS | kind::WINDOW_SCALE | kind::SACK_PERMITTED, _)
            | (kind::TIMESTAMPS | kind::USER_TIMEOUT, _) => return false,
            _ => {}
        }
        true
    }

    /// Whether nothing but timestamps can be in there: one check for the hot path.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        let handshake = self.mss.is_some() | self.window_scale.is_some() | self.sack_permitted;
        let rare = self.user_timeout.is_some() | self.accecn.is_some();
        !(handshake | rare) & self.sack.is_empty()
    }

    /// Bytes these options take in a header: a multiple of 4, at most [`MAX_OPTIONS`].
    #[inline]
    pub const fn emitted_len(&self) -> usize {
        let timestamps = if self.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 };
        if self.is_plain() {
            return timestamps;
        }
        let fixed = self.fixed_len();
        match self.sack_fitting(fixed) {
            0 => fixed,
            blocks => fixed + 4 + blocks * 8,
        }
    }

    /// Bytes of all options but SACK.
    const fn fixed_len(&self) -> usize {
        // With timestamps, SACK-permitted takes the place of their two NOPs.
        let alone = self.sack_permitted & self.timestamps.is_none();
        let words = self.mss.is_some() as usize
            + self.window_scale.is_some() as usize
            + alone as usize
            + self.user_timeout.is_some() as usize
            + if self.timestamps.is_some() { 3 } else { 0 };
        let accecn = match &self.accecn {
            Some(option) => option.padded_len(),
            None => 0,
        };
        words * 4 + accecn
    }

    /// How many SACK blocks are written: those for which there is room.
    pub(crate) const fn sack_written(&self) -> usize {
        self.sack_fitting(self.fixed_len())
    }

    /// How many SACK blocks fit beside `fixed` bytes of other options: the first ones, which are
    /// the most recent (RFC 2018 section 4). Three beside timestamps, four alone.
    const fn sack_fitting(&self, fixed: usize) -> usize {
        let room = (MAX_OPTIONS - 4 - fixed) / 8;
        let wanted = self.sack.len();
        if wanted < room { wanted } else { room }
    }

    /// Writes the options into `out` and returns the sum of what it wrote.
    ///
    /// # Panics
    /// If `out` is shorter than [`emitted_len`](Options::emitted_len).
    #[inline]
    pub(super) fn emit(&self, out: &mut [u8]) -> Sum {
        if !self.is_plain() {
            return self.emit_any(out);
        }
        match self.timestamps {
            None => Sum::ZERO,
            Some(timestamps) => {
                let mut words = Words { out, sum: Sum::ZERO };
                words.timestamps(u32::from_be_bytes(ALIGNED_TIMESTAMPS), timestamps);
                words.sum
            }
        }
    }

    /// Writes any set of options, each in whole words: MSS, SACK-permitted, timestamps, window
    /// scale, user timeout, AccECN, SACK.
    #[inline(never)]
    fn emit_any(&self, out: &mut [u8]) -> Sum {
        let word = u32::from_be_bytes;
        let mut words = Words { out, sum: Sum::ZERO };
        if let Some(mss) = self.mss {
            words.put(word([kind::MSS, 4, 0, 0]) | u32::from(mss));
        }
        match (self.sack_permitted, self.timestamps) {
            (true, Some(timestamps)) => {
                words.timestamps(word([kind::SACK_PERMITTED, 2, kind::TIMESTAMPS, 10]), timestamps);
            }
            (false, Some(timestamps)) => words.timestamps(word(ALIGNED_TIMESTAMPS), timestamps),
            (true, None) => words.put(word([kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2])),
            (false, None) => {}
        }
        if let Some(shift) = self.window_scale {
            words.put(word([kind::NOP, kind::WINDOW_SCALE, 3, shift]));
        }
        if let Some(timeout) = self.user_timeout {
            words.put(word([kind::USER_TIMEOUT, 4, 0, 0]) | u32::from(timeout.to_bits()));
        }
        if let Some(option) = self.accecn {
            let count = option.padded_len() / 4;
            option.words(kind::NOP).into_iter().take(count).for_each(|word| words.put(word));
        }
        let fitting = self.sack_written();
        if fitting > 0 {
            words.put(word([kind::NOP, kind::NOP, kind::SACK, 2 + 8 * fitting as u8]));
            for (Seq(left), Seq(right)) in self.sack.iter().take(fitting) {
                words.put(left);
                words.put(right);
            }
        }
        words.sum
    }
}

/// A writer of 32-bit words that sums them on the way.
struct Words<'a> {
    out: &'a mut [u8],
    sum: Sum,
}

impl Words<'_> {
    #[inline]
    fn put(&mut self, word: u32) {
        let (place, rest) = core::mem::take(&mut self.out).split_at_mut(4);
        place.copy_from_slice(&word.to_be_bytes());
        self.out = rest;
        self.sum = self.sum.dword(word);
    }

    #[inline]
    fn timestamps(&mut self, head: u32, timestamps: Timestamps) {
        self.put(head);
        self.put(timestamps.value);
        self.put(timestamps.echo);
    }
}
