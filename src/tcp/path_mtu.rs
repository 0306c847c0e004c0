//! How long packets may be on a path: what can be believed, and what is tried.

use super::congestion::CongestionControl;
use super::tcb::{Facts, Tcb};

/// Shorter packets are no link's limit (RFC 8200 section 5).
const MIN_V6: u16 = 1_280;
/// The same for IPv4, where the standard's 68 bytes would let a forged message stop a connection
/// (RFC 5927 section 7.1): what Linux takes too.
const MIN_V4: u16 = 552;
/// Sizes that links have (RFC 1191 section 7.1 and later ones), in falling order: for routers that
/// don't say, and for probes.
const PLATEAUS: [u16; 10] = [17_914, 9_000, 4_352, 2_002, 1_500, 1_492, 1_400, 1_280, 1_006, 552];
/// What is tried, in turn, when long segments vanish, and after how many timeouts in a row: at R1
/// (RFC 9293 section 3.8.3) Ethernet's size for those that are longer, then what IPv6 asks of every
/// link and so almost every tunnel takes; much later what IPv4 asks of every host.
const BLACK_HOLE_STEPS: [(u16, u8); 3] = [(1_500, 3), (MIN_V6, 3), (576, 5)];
const LEAST_STEP: u16 = 64;
/// Bytes that the aligned timestamp option takes in every segment.
const TIMESTAMPS: u16 = 12;

/// The MTU that a router may be believed to have meant with `claimed`, about a packet of `quoted`
/// bytes. `None`: nothing that this packet could have been told.
pub(crate) fn believable(claimed: u32, quoted: u16, is_v4: bool) -> Option<u16> {
    let claimed = u16::try_from(claimed).unwrap_or(u16::MAX);
    let mtu = match (claimed, is_v4) {
        // RFC 1191 section 5: a router that doesn't know of this yet.
        (0, true) => PLATEAUS.into_iter().find(|plateau| *plateau < quoted)?,
        (_, true) => claimed.max(MIN_V4),
        // RFC 8201 section 4: it must be discarded.
        (..MIN_V6, false) => return None,
        (_, false) => claimed,
    };
    (mtu < quoted).then_some(mtu)
}

/// The next size to try when packets of `len` bytes have timed out so many times in a row.
pub(crate) fn black_hole_step(len: u16, timeouts: u8, is_v4: bool) -> Option<u16> {
    let min = if is_v4 { 0 } else { MIN_V6 };
    if len < MIN_V6 {
        return None; // As good as every link takes these.
    }
    // A step of a few bytes would prove nothing.
    let longest = len.saturating_sub(LEAST_STEP);
    let fits = |(step, after): &(u16, u8)| (min..=longest).contains(step) && timeouts >= *after;
    BLACK_HOLE_STEPS.into_iter().find(fits).map(|(step, _)| step)
}

/// The next size to try where packets of `mtu` bytes get through and none longer than `most`.
pub(super) fn next_probe(mtu: u16, most: u16) -> Option<u16> {
    let higher = PLATEAUS.into_iter().rev().find(|plateau| *plateau > mtu);
    (mtu < most).then(|| higher.map_or(most, |higher| higher.min(most)))
}

impl Tcb {
    /// Bytes around a segment's payload, IP header included.
    fn overhead(&self, is_v4: bool) -> u16 {
        let headers = if is_v4 { 40 } else { 60 };
        headers + if self.has(Facts::TIMESTAMPS) { TIMESTAMPS } else { 0 }
    }

    /// Payload bytes of a full segment in packets of `mtu` bytes.
    pub(crate) fn payload_in(&self, mtu: u16, is_v4: bool) -> u16 {
        mtu.saturating_sub(self.overhead(is_v4)).max(1)
    }

    /// Bytes of the packet that carries so much payload.
    pub(crate) fn packet_len(&self, payload: u16, is_v4: bool) -> u16 {
        payload.saturating_add(self.overhead(is_v4))
    }

    /// Full segments carry `mss` bytes from now on.
    pub(crate) fn set_mss(&mut self, mss: u16) {
        self.snd_mss = mss;
        self.congestion.set_mss(mss);
    }

    /// Whether anything but the handshake was ever acknowledged. RFC 6582 section 3.2 sets
    /// `recover` at the beginning of the connection, and next when a loss was found.
    pub(crate) fn has_got_through(&self) -> bool {
        self.recover + 1 != self.snd_una
    }

    /// Something in flight was lost for its length: it is repaired as after a timeout, without one
    /// (RFC 8201 section 5.4: the congestion window does not change).
    pub(crate) fn repair_without_reduction(&mut self) {
        if !self.has(Facts::RECOVERY) {
            // Without a scoreboard everything is sent again, and nothing is to be remembered.
            if self.has(Facts::SACK) {
                self.facts |= Facts::TIMED_OUT;
            }
            self.recover = self.snd_max - 1;
        }
        self.facts -= Facts::TIMING | Facts::PROBE_OUT;
        self.dup_acks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5927_7_2_only_what_the_quoted_packet_could_have_been_told_is_believed() {
        assert_eq!(believable(1_400, 1_500, true), Some(1_400));
        assert_eq!(believable(1_400, 1_400, true), None);
        assert_eq!(believable(1_400, 60, true), None);
        assert_eq!(believable(70_000, 1_500, false), None);
    }

    #[test]
    fn rfc1191_5_a_router_that_names_no_size_means_the_next_lower_plateau() {
        assert_eq!(believable(0, 1_500, true), Some(1_492));
        assert_eq!(believable(0, 1_492, true), Some(1_400));
        assert_eq!(believable(0, 552, true), None);
    }

    #[test]
    fn sizes_below_the_minimum_are_raised_or_refused() {
        assert_eq!(believable(68, 1_500, true), Some(552));
        assert_eq!(believable(1_279, 1_500, false), None);
        assert_eq!(believable(0, 1_500, false), None);
        assert_eq!(believable(1_280, 1_500, false), Some(1_280));
    }

    #[test]
    fn rfc4821_7_7_black_holes_are_left_step_by_step() {
        assert_eq!(black_hole_step(9_000, 2, true), None);
        assert_eq!(black_hole_step(9_000, 3, true), Some(1_500));
        assert_eq!(black_hole_step(1_500, 4, false), Some(1_280));
        assert_eq!(black_hole_step(1_563, 4, false), Some(1_280));
        assert_eq!(black_hole_step(1_280, 4, true), None);
        assert_eq!(black_hole_step(1_280, 5, true), Some(576));
        assert_eq!(black_hole_step(1_280, 5, false), None);
        assert_eq!(black_hole_step(1_279, 9, true), None);
    }

    #[test]
    fn probes_climb_to_the_full_size() {
        let mut sizes = vec![552];
        while let Some(next) = next_probe(sizes[sizes.len() - 1], 1_500) {
            sizes.push(next);
        }
        assert_eq!(sizes, [552, 1_006, 1_280, 1_400, 1_492, 1_500]);
        assert_eq!(next_probe(1_280, 1_300), Some(1_300));
        assert_eq!(next_probe(17_914, 65_535), Some(65_535));
    }
}
