//! The conditions of one conversation, and which combinations of them are tried.

use std::collections::HashSet;
use std::fmt;

use super::pairs;

/// Who has an option switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    Both,
    /// The kernel has it off.
    WeAlone,
    /// We have it off.
    KernelAlone,
}

impl Has {
    const ALL: [Has; 3] = [Has::Both, Has::WeAlone, Has::KernelAlone];

    pub(crate) fn kernel(self) -> bool {
        self != Has::WeAlone
    }

    pub(crate) fn us(self) -> bool {
        self != Has::KernelAlone
    }

    /// One letter for the table: on, or off at whom.
    fn letter(self) -> char {
        match self {
            Has::Both => '+',
            Has::WeAlone => 'k',
            Has::KernelAlone => 'o',
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mtu {
    /// The smallest that the family promises: 576 or 1,280.
    Smallest,
    Usual,
    Jumbo,
}

impl Mtu {
    const ALL: [Mtu; 3] = [Mtu::Smallest, Mtu::Usual, Mtu::Jumbo];

    pub(crate) fn bytes(self, v4: bool) -> u16 {
        match self {
            Mtu::Smallest if v4 => 576,
            Mtu::Smallest => 1_280,
            Mtu::Usual => 1_500,
            Mtu::Jumbo => 9_000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The kernel's socket connects to us; else ours to it.
    pub(crate) kernel_opens: bool,
    pub(crate) v4: bool,
    pub(crate) mtu: Mtu,
    pub(crate) lossy: bool,
    pub(crate) timestamps: Has,
    pub(crate) sack: Has,
    pub(crate) scaling: Has,
    pub(crate) ecn: Has,
}

/// Levels of each factor, in the order of the fields: all three places of an option apart.
const LEVELS: [usize; 8] = [2, 2, 3, 2, 3, 3, 3, 3];
/// The same where an option is on or off, which is what cells are numbered by.
const PLAIN: [usize; 8] = [2, 2, 3, 2, 2, 2, 2, 2];

impl Cell {
    pub(crate) const HEAD: &str = "cell  opener  family  MTU   loss  TS SACK WS ECN";

    /// Every combination, each option on or off; off now at the kernel, now at us.
    pub(crate) fn all() -> Vec<Cell> {
        (0..PLAIN.iter().product()).map(Cell::numbered).collect()
    }

    /// The cell with this number in [`Cell::all`].
    pub(crate) fn numbered(number: usize) -> Cell {
        let mut rest = number;
        let mut levels = PLAIN.map(|count| {
            let level = rest % count;
            rest /= count;
            level
        });
        assert_eq!(rest, 0, "cells are numbered from 0 to {}", PLAIN.iter().product::<usize>() - 1);
        // The place of an option that is off follows from the others of the cell.
        let off = levels.iter().sum::<usize>();
        for (option, level) in levels[4..].iter_mut().enumerate().filter(|(_, level)| **level == 1)
        {
            *level = 1 + (off + option) % 2;
        }
        Cell::from_levels(levels)
    }

    /// Few cells in which every pair of levels occurs.
    pub(crate) fn few() -> Vec<Cell> {
        let rows = pairs::covering(&LEVELS).into_iter();
        rows.map(|row| Cell::from_levels(row.try_into().expect("a level of each"))).collect()
    }

    fn from_levels(levels: [usize; 8]) -> Cell {
        let [opener, family, mtu, loss, timestamps, sack, scaling, ecn] = levels;
        Cell {
            kernel_opens: opener == 0,
            v4: family == 0,
            mtu: Mtu::ALL[mtu],
            lossy: loss == 1,
            timestamps: Has::ALL[timestamps],
            sack: Has::ALL[sack],
            scaling: Has::ALL[scaling],
            ecn: Has::ALL[ecn],
        }
    }

    /// Its number, or that of the cell which differs only in where an option is off.
    pub(crate) fn number(&self) -> usize {
        let mtu = Mtu::ALL.iter().position(|mtu| *mtu == self.mtu).unwrap_or_default();
        let options = [self.timestamps, self.sack, self.scaling, self.ecn];
        let options = options.map(|has| usize::from(has != Has::Both));
        let plain = [usize::from(!self.kernel_opens), usize::from(!self.v4), mtu];
        let levels = plain.into_iter().chain([usize::from(self.lossy)]).chain(options);
        let places = PLAIN.iter().scan(1, |place, count| {
            let this = *place;
            *place *= count;
            Some(this)
        });
        levels.zip(places).map(|(level, place)| level * place).sum()
    }

    /// Holds what `ss` says of the kernel's socket against what each side had switched on, and
    /// against the MTU.
    pub(crate) fn check_agreement(&self, socket: &str) -> Result<(), String> {
        let words: HashSet<&str> = socket.split_whitespace().collect();
        let scaled = words.iter().any(|word| word.starts_with("wscale:"));
        let options = [
            ("timestamps", self.timestamps, words.contains("ts")),
            ("SACK", self.sack, words.contains("sack")),
            ("window scaling", self.scaling, scaled),
            ("ECN", self.ecn, words.contains("ecn")),
        ];
        for (name, has, used) in options {
            let both = has == Has::Both;
            if name == "ECN" && both && self.lossy {
                // Whoever lost a SYN that asks for it may do without (RFC 3168 section 6.1.1.1).
                continue;
            }
            if used != both {
                let not = if both { "not " } else { "" };
                return Err(format!("{name} is {not}in use: {socket}"));
            }
        }
        let timestamps = if self.timestamps == Has::Both { 12 } else { 0 };
        let headers = if self.v4 { 40 } else { 60 } + timestamps;
        let mss = format!("mss:{}", self.mtu.bytes(self.v4) - headers);
        if !words.contains(mss.as_str()) {
            return Err(format!("segments don't fill the link, {mss} would: {socket}"));
        }
        Ok(())
    }
}

/// Its columns in the table: `+` on, `k` off at the kernel, `o` off at us.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:4}  {:6}  {:6}  {:4}  {:4}  {}  {}    {}  {}  ",
            self.number(),
            if self.kernel_opens { "kernel" } else { "ours" },
            if self.v4 { "IPv4" } else { "IPv6" },
            self.mtu.bytes(self.v4),
            if self.lossy { "yes" } else { "no" },
            self.timestamps.letter(),
            self.sack.letter(),
            self.scaling.letter(),
            self.ecn.letter(),
        )
    }
}

#[test]
fn cells_are_all_different_and_know_their_numbers() {
    let all = Cell::all();
    assert_eq!(all.len(), 384);
    for (number, cell) in all.iter().enumerate() {
        assert_eq!(cell.number(), number, "{cell:?}");
        let option = |cell: &Cell| [cell.timestamps, cell.sack, cell.scaling, cell.ecn];
        let off = option(cell).iter().filter(|has| **has != Has::Both).count();
        assert_eq!(off, (number / 24).count_ones() as usize);
    }
    for has in [Has::WeAlone, Has::KernelAlone] {
        assert!(all.iter().filter(|cell| cell.sack == has).count() > 60, "{has:?}");
    }
}
