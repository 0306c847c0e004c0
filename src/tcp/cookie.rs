//! SYN cookies: a handshake of which the server keeps nothing.
//!
//! What a half-open entry would hold goes into the SYN-ACK instead, in numbers that the client must
//! send back: our initial sequence number, and our timestamp if the client has timestamps. A keyed
//! hash over it makes sure that nobody else wrote it. The same codec is in `bpf/cookie.h`, for the
//! driver; `tests/vectors/syn_cookies.txt` holds the two together.
//!
//! # The bits
//!
//! ```text
//!                31       30..28    27..26   25..0
//! ISN            step     MSS       shape    MAC, 26 bits      the client has no timestamps
//!                31       30..28    27..0
//! ISN            step     MSS       MAC, 28 bits               the client has timestamps
//!                31..7                        6..5   4     3..0
//! TSval          clock + origin, upper bits   ECN    SACK  window scale
//! ```
//!
//! * *step*: lowest bit of the counter, which is UNIX time in units of 2^16 ms (65.5 s). A cookie
//!   is good in the step it was made in and in the next one.
//! * *MSS*: index of the largest entry of a table of eight, one table per family, that is not
//!   larger than what the client offers.
//! * *window scale*: 0 to 14, or 15 for none. *ECN*: 0 none, 1 classic, 2 accurate.
//! * *shape*, all that is kept of a client without timestamps: 0 nothing, 1 SACK, 2 SACK and window
//!   scale 7, 3 SACK and window scale 8 (what Windows says, and Linux with its timestamps off). Any
//!   other scale is not accepted, so that the client doesn't scale: windows of up to 64 KiB are
//!   right, where a rounded shift would cut them down.
//! * *clock + origin*: UNIX time in milliseconds, plus what the key makes of the four-tuple,
//!   rounded down so that the seven bits fit in. The connection's clock goes on from there, at the
//!   same pace and never behind; and as the origin depends on the four-tuple alone, the timestamps
//!   of one connection follow those of the one before it (RFC 7323 section 7.1, RFC 6191).
//! * *MAC*: low bits of SipHash-2-4 under the key of the step, over
//!
//! ```text
//! remote address   local address   remote port   local port   client's ISN   step   options
//! 4 or 16 bytes    4 or 16         2             2            4              4      2
//! \--------------- as in packets: network order ----------------------/   little-endian
//! ```
//!
//! with *options* = MSS index | window scale << 3 | SACK << 7 | ECN << 8 | timestamps << 10. The
//! origin is the low half of SipHash-2-4 over addresses and ports alone. The lengths differ between
//! the families and the two uses, so no input of one is an input of another.
//!
//! # What a guess costs
//!
//! Someone who doesn't see our SYN-ACKs can only send ACKs with made-up numbers. Either value of
//! the *step* bit is some valid step, and MSS and shape may be anything, so the MAC is all that
//! must be hit:
//!
//! | guessed | bits | accepted | ACKs for one connection, on average |
//! | --- | --- | --- | --- |
//! | without timestamps | 26 | 2^-26 | 67 million |
//! | with timestamps | 28, and the clock: 15 | 2^-43 | 8.8 million million |
//!
//! The clock counts because TSecr less the origin, which a stranger doesn't know, must lie within
//! the last two steps: 2^17 of 2^32 ms. In the last four seconds of a step, half of all guesses are
//! tried against two steps (a machine whose clock is ahead may have begun the next one), which adds
//! 3 % on average. A flood of a million ACKs a second thus makes one connection a minute. Each step
//! has hashes of its own: what was learnt is worth nothing two minutes later.

mod key_file;
mod keys;
mod layout;
#[cfg(test)]
mod tests;

pub use key_file::{KeyFile, KeyFileError, ScheduledKey};
pub use keys::{CookieKeys, Key, KeyWriter, PublishedKey, TooSoon};
pub use layout::{Ecn, MSS_V4, MSS_V6, Remembered};

use crate::wire::{Addr, Seq};
use layout::{NO_TIMESTAMPS_MAC, TIMESTAMPS_MAC, TSVAL_BITS};

/// Milliseconds of a counter step.
pub const STEP_MS: u64 = 1 << STEP_SHIFT;
/// log2 of [`STEP_MS`].
const STEP_SHIFT: u32 = 16;
/// By how much the clocks of machines that share keys may differ, in milliseconds.
pub const SKEW_MS: u64 = 4_096;

/// The step that this moment of UNIX time lies in.
pub const fn step_at(unix_ms: u64) -> u32 {
    (unix_ms >> STEP_SHIFT) as u32
}

/// A connection's addresses and ports, seen from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Our address.
    pub local: Addr,
    /// The client's address, of the same family.
    pub remote: Addr,
    /// Our port.
    pub local_port: u16,
    /// The client's port.
    pub remote_port: u16,
}

/// What a SYN-ACK with a cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Our initial sequence number.
    pub isn: Seq,
    /// TSval, if the client has timestamps.
    pub timestamp: Option<u32>,
}

/// A cookie that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What the client's SYN had said.
    pub remembered: Remembered,
    /// TSval is UNIX milliseconds plus this; meaningless without timestamps.
    pub timestamp_origin: u32,
}

/// Makes the cookie for a SYN with sequence number `irs`. `remembered` comes back from [`decode`]
/// [as far as it fits](Remembered::kept).
pub fn encode(
    keys: &CookieKeys,
    tuple: &Tuple,
    irs: Seq,
    remembered: &Remembered,
    unix_ms: u64,
) -> Cookie {
    let is_v4 = tuple.local.is_v4();
    let step = step_at(unix_ms);
    let key = keys.key_at(step);
    let options = remembered.to_options(is_v4);
    let mac = key.mac(tuple, irs, step, options);
    let isn = Seq(layout::isn(step, options, mac));
    if !remembered.timestamps {
        return Cookie { isn, timestamp: None };
    }
    let clock = (unix_ms as u32).wrapping_add(key.origin(tuple));
    let value = clock & !(TSVAL_BITS - 1) | layout::tsval_bits(options);
    // Never ahead of the clock: what the connection says next must not be older.
    let ahead = Seq(value).after(Seq(clock));
    Cookie { isn, timestamp: Some(if ahead { value.wrapping_sub(TSVAL_BITS) } else { value }) }
}

/// What the cookie `isn` was made from, if it is one of ours and not too old. `echo` is the TSecr
/// of the segment that brought it back, `irs` the client's initial sequence number: one less than
/// the segment's.
pub fn decode(
    keys: &CookieKeys,
    tuple: &Tuple,
    irs: Seq,
    isn: Seq,
    echo: Option<u32>,
    unix_ms: u64,
) -> Option<Decoded> {
    let options = layout::options(isn.0, echo)?;
    let mac_mask = if echo.is_some() { TIMESTAMPS_MAC } else { NO_TIMESTAMPS_MAC };
    candidates(isn.0 >> 31, unix_ms).find_map(|step| {
        let key = keys.key_at(step);
        if (key.mac(tuple, irs, step, options) ^ isn.0) & mac_mask != 0 {
            return None;
        }
        let timestamp_origin = key.origin(tuple);
        if echo.is_some_and(|echo| !is_fresh(echo.wrapping_sub(timestamp_origin), unix_ms)) {
            return None;
        }
        let remembered = Remembered::from_options(options, tuple.local.is_v4());
        Some(Decoded { remembered, timestamp_origin })
    })
}

/// The steps in which a cookie with this lowest bit can have been made.
fn candidates(bit: u32, unix_ms: u64) -> impl Iterator<Item = u32> {
    let now = step_at(unix_ms);
    let is_now = now & 1 == bit;
    let first = if is_now { now } else { now.wrapping_sub(1) };
    let ahead = !is_now && step_at(unix_ms + SKEW_MS) != now;
    [Some(first), ahead.then(|| now.wrapping_add(1))].into_iter().flatten()
}

/// Whether a cookie's clock lies within the last two steps.
fn is_fresh(made_ms: u32, unix_ms: u64) -> bool {
    const OLDEST: u32 = 2 * STEP_MS as u32 + TSVAL_BITS + SKEW_MS as u32;
    let latest = (unix_ms as u32).wrapping_add(SKEW_MS as u32);
    latest.wrapping_sub(made_ms) < OLDEST
}
