//! What the two SYNs agree on: segment size, window scaling, timestamps.

use super::config::TcpConfig;
use super::cookie::{self, Remembered};
use super::ecn::Ecn;
use crate::wire::tcp::{Options, Timestamps};

/// Bytes that the aligned timestamp option takes in every segment.
const TIMESTAMP_BYTES: u16 = 12;
/// Send MSS when the peer names none, IPv4 (RFC 9293 section 3.7.1, MUST-15).
const DEFAULT_MSS_V4: u16 = 536;
/// The same for IPv6.
const DEFAULT_MSS_V6: u16 = 1_220;
/// Smaller offers are taken as this: a peer must not make us send a flood of tiny segments.
const MIN_MSS: u16 = 64;
/// Largest shift (RFC 7323 section 2.3).
const MAX_WINDOW_SCALE: u8 = 14;

/// What we offer in a SYN or SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalOffer {
    /// Largest segment that we can receive (RFC 6691: without options).
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    pub(crate) ecn: Ecn,
}

impl LocalOffer {
    /// For a link of `mtu` bytes.
    pub(crate) fn new(config: &TcpConfig, mtu: u16, is_v4: bool) -> LocalOffer {
        let mss = mtu.saturating_sub(if is_v4 { 40 } else { 60 });
        LocalOffer {
            mss: config.mss_clamp.map_or(mss, |clamp| mss.min(clamp)).max(MIN_MSS),
            window_scale: config.window_scaling.then(|| scale_for(config.receive_buffer)),
            timestamps: config.timestamps,
            sack: config.sack,
            ecn: config.ecn,
        }
    }

    /// The options of our SYN; of our SYN-ACK, if `peer` is what the peer's SYN had.
    pub(crate) fn options(&self, peer: Option<&Agreed>, timestamps: Timestamps) -> Options {
        let timestamps_on = peer.map_or(self.timestamps, |agreed| agreed.timestamps);
        let sack_on = peer.is_none_or(|agreed| agreed.sack);
        let scale_on = peer.is_none_or(|agreed| agreed.window_scaling);
        Options {
            mss: Some(self.mss),
            window_scale: self.window_scale.filter(|_| scale_on),
            timestamps: timestamps_on.then_some(timestamps),
            sack_permitted: self.sack && sack_on,
            ..Options::default()
        }
    }
}

/// The smallest shift with which `buffer` can be advertised.
fn scale_for(buffer: u32) -> u8 {
    let bits = 32 - (buffer >> 16).leading_zeros();
    (bits as u8).min(MAX_WINDOW_SCALE)
}

/// What both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Largest segment that the peer takes, without options.
    pub(crate) peer_mss: u16,
    /// Shift of the windows that the peer advertises; meaningless without `window_scaling`.
    pub(crate) peer_scale: u8,
    pub(crate) window_scaling: bool,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
}

impl Agreed {
    /// From our offer and the options of the peer's SYN or SYN-ACK.
    pub(crate) fn new(offer: &LocalOffer, peer: &Options, is_v4: bool) -> Agreed {
        let default = if is_v4 { DEFAULT_MSS_V4 } else { DEFAULT_MSS_V6 };
        Agreed {
            peer_mss: peer.mss.unwrap_or(default).max(MIN_MSS),
            peer_scale: peer.window_scale.unwrap_or(0).min(MAX_WINDOW_SCALE),
            window_scaling: offer.window_scale.is_some() && peer.window_scale.is_some(),
            timestamps: offer.timestamps && peer.timestamps.is_some(),
            sack: offer.sack && peer.sack_permitted,
        }
    }

    /// What a cookie has to keep, but for ECN.
    pub(crate) fn remembered(&self) -> Remembered {
        Remembered {
            mss: self.peer_mss,
            window_scale: self.window_scaling.then_some(self.peer_scale),
            sack: self.sack,
            ecn: cookie::Ecn::None,
            timestamps: self.timestamps,
        }
    }

    /// From what a cookie has kept.
    pub(crate) fn from_cookie(offer: &LocalOffer, kept: &Remembered) -> Agreed {
        Agreed {
            peer_mss: kept.mss.max(MIN_MSS),
            peer_scale: kept.window_scale.unwrap_or(0),
            window_scaling: offer.window_scale.is_some() && kept.window_scale.is_some(),
            timestamps: offer.timestamps && kept.timestamps,
            sack: offer.sack && kept.sack,
        }
    }
}

/// Payload bytes of a full segment (RFC 9293 section 3.7.1: Eff.snd.MSS, MUST-16).
pub(crate) fn effective_payload(offer: &LocalOffer, agreed: &Agreed) -> u16 {
    let options = if agreed.timestamps { TIMESTAMP_BYTES } else { 0 };
    offer.mss.min(agreed.peer_mss) - options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> LocalOffer {
        LocalOffer::new(&TcpConfig::default(), 1_500, true)
    }

    #[test]
    fn the_scale_is_just_large_enough() {
        assert_eq!(scale_for(65_535), 0);
        assert_eq!(scale_for(65_536), 1);
        assert_eq!(scale_for(256 << 10), 3);
        assert!(65_535u32 << scale_for(256 << 10) >= 256 << 10);
        assert_eq!(scale_for(u32::MAX), 14);
    }

    #[test]
    fn rfc9293_3_7_1_default_mss_when_the_peer_names_none() {
        let none = Options::default();
        assert_eq!(Agreed::new(&offer(), &none, true).peer_mss, 536);
        assert_eq!(Agreed::new(&offer(), &none, false).peer_mss, 1_220);
    }

    #[test]
    fn absurd_offers_are_clamped() {
        let absurd = Options { mss: Some(0), window_scale: Some(200), ..Options::default() };
        let agreed = Agreed::new(&offer(), &absurd, true);
        assert_eq!((agreed.peer_mss, agreed.peer_scale), (64, 14));
        assert_eq!(effective_payload(&offer(), &agreed), 64);
    }

    #[test]
    fn rfc7323_3_2_timestamps_shrink_the_payload() {
        let timestamps = Some(Timestamps { value: 1, echo: 0 });
        let peer = Options { mss: Some(9_000), timestamps, ..Options::default() };
        let agreed = Agreed::new(&offer(), &peer, true);
        assert_eq!(effective_payload(&offer(), &agreed), 1_448);
    }
}
