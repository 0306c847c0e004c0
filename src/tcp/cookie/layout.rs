//! What is kept of a SYN, and the bits that it takes.

/// Values of the MSS that a cookie can tell, IPv4: none at all, the default, tunnels, DSL,
/// Ethernet, jumbo frames.
pub const MSS_V4: [u16; 8] = [64, 536, 1_200, 1_360, 1_400, 1_440, 1_460, 8_960];
/// The same for IPv6.
pub const MSS_V6: [u16; 8] = [64, 1_220, 1_280, 1_340, 1_380, 1_420, 1_440, 8_940];

/// Bits of the MAC beside which there is a timestamp.
pub(super) const TIMESTAMPS_MAC: u32 = (1 << 28) - 1;
/// Bits of the MAC beside which there is none.
pub(super) const NO_TIMESTAMPS_MAC: u32 = (1 << 26) - 1;
/// How much of TSval is not the clock: the seven bits' number of values.
pub(super) const TSVAL_BITS: u32 = 1 << 7;

/// In `options`: no window scale.
const NO_SCALE: u16 = 15;
const SCALE_SHIFT: u32 = 3;
const SACK: u16 = 1 << 7;
const ECN_SHIFT: u32 = 8;
const TIMESTAMPS: u16 = 1 << 10;

/// Explicit congestion notification, as the client's SYN asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not at all.
    #[default]
    None,
    /// RFC 3168.
    Classic,
    /// RFC 9768.
    Accurate,
}

/// What a cookie tells of the client's SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Largest segment that the client takes, without options.
    pub mss: u16,
    /// Its window scale, at most 14.
    pub window_scale: Option<u8>,
    /// It takes selective acknowledgements.
    pub sack: bool,
    /// What it said about congestion notification.
    pub ecn: Ecn,
    /// It has timestamps, and so have we: much more fits.
    pub timestamps: bool,
}

impl Remembered {
    /// What of it comes back from a cookie.
    pub fn kept(&self, is_v4: bool) -> Remembered {
        Remembered::from_options(self.to_options(is_v4), is_v4)
    }

    pub(super) fn to_options(self, is_v4: bool) -> u16 {
        let table = if is_v4 { &MSS_V4 } else { &MSS_V6 };
        let mss = table.partition_point(|mss| *mss <= self.mss).saturating_sub(1) as u16;
        let scale = match (self.window_scale, self.timestamps, self.sack) {
            (Some(scale), true, _) => u16::from(scale.min(14)),
            (Some(scale @ (7 | 8)), false, true) => u16::from(scale),
            _ => NO_SCALE,
        };
        let ecn = if self.timestamps { self.ecn } else { Ecn::None };
        let ecn = match ecn {
            Ecn::None => 0,
            Ecn::Classic => 1,
            Ecn::Accurate => 2,
        };
        let sack = if self.sack { SACK } else { 0 };
        let timestamps = if self.timestamps { TIMESTAMPS } else { 0 };
        mss | scale << SCALE_SHIFT | sack | ecn << ECN_SHIFT | timestamps
    }

    pub(super) fn from_options(options: u16, is_v4: bool) -> Remembered {
        let table = if is_v4 { &MSS_V4 } else { &MSS_V6 };
        let scale = options >> SCALE_SHIFT & 15;
        Remembered {
            mss: table[usize::from(options & 7)],
            window_scale: (scale != NO_SCALE).then_some(scale as u8),
            sack: options & SACK != 0,
            ecn: match options >> ECN_SHIFT & 3 {
                1 => Ecn::Classic,
                2 => Ecn::Accurate,
                _ => Ecn::None,
            },
            timestamps: options & TIMESTAMPS != 0,
        }
    }
}

/// Our initial sequence number.
pub(super) fn isn(step: u32, options: u16, mac: u32) -> u32 {
    let head = step << 31 | u32::from(options & 7) << 28;
    if options & TIMESTAMPS != 0 {
        return head | mac & TIMESTAMPS_MAC;
    }
    let shape = match (options & SACK != 0, options >> SCALE_SHIFT & 15) {
        (false, _) => 0,
        (true, 7) => 2,
        (true, 8) => 3,
        (true, _) => 1,
    };
    head | shape << 26 | mac & NO_TIMESTAMPS_MAC
}

/// The seven lowest bits of our TSval: window scale, SACK, ECN.
pub(super) fn tsval_bits(options: u16) -> u32 {
    u32::from(options >> SCALE_SHIFT) & (TSVAL_BITS - 1)
}

/// What the numbers that came back say; `None` if no encoder writes that.
pub(super) fn options(isn: u32, echo: Option<u32>) -> Option<u16> {
    let mss = (isn >> 28 & 7) as u16;
    let Some(echo) = echo else {
        const SHAPES: [u16; 4] = [
            NO_SCALE << SCALE_SHIFT,
            NO_SCALE << SCALE_SHIFT | SACK,
            7 << SCALE_SHIFT | SACK,
            8 << SCALE_SHIFT | SACK,
        ];
        return Some(mss | SHAPES[(isn >> 26 & 3) as usize]);
    };
    let bits = (echo & (TSVAL_BITS - 1)) as u16;
    (bits >> 5 != 3).then_some(mss | bits << SCALE_SHIFT | TIMESTAMPS)
}
