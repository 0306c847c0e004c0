//! The transmission control block: one connection's protocol state (RFC 9293 section 3.3.1).

use bitflags::bitflags;

use super::config::TcpConfig;
use super::congestion::{Algorithm, CongestionControl, Control, NewReno, Prior, initial_window};
use super::ecn::EcnFacts;
use super::negotiate::{Agreed, LocalOffer, effective_payload};
use super::rack::Reordering;
use super::rtt::RttEstimator;
use super::settings::Settings;
use super::undo::Cause;
use crate::time::{Instant, Tick};
use crate::wire::Seq;
use crate::wire::tcp::{Segment, Timestamps};

/// The states that keep a [`Tcb`] (RFC 9293 section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    /// Of a simultaneous open; a passive one is a [`HalfOpen`](super::HalfOpen).
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    /// Until the application has read the rest; then a [`TimeWait`](super::TimeWait).
    TimeWait,
}

impl State {
    /// Whether the peer's FIN has been received in these states.
    pub(crate) fn peer_has_finished(self) -> bool {
        matches!(self, State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
    }

    pub(crate) fn is_synchronized(self) -> bool {
        !matches!(self, State::SynSent | State::SynReceived)
    }
}

bitflags! {
    /// Facts of one bit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Facts: u32 {
        /// Timestamps in every segment (RFC 7323).
        const TIMESTAMPS = 1;
        /// Both sides scale their windows (RFC 7323).
        const WINDOW_SCALING = 1 << 1;
        /// The application has finished: FIN goes after the last byte.
        const FIN_QUEUED = 1 << 2;
        /// FIN was sent at least once.
        const FIN_SENT = 1 << 3;
        /// The peer's FIN has come, perhaps behind a hole: then someone else knows where it is.
        const PEER_FIN_KNOWN = 1 << 4;
        /// An ACK must go out this turn.
        const ACK_NOW = 1 << 5;
        /// An ACK must go out by `ack_at`.
        const ACK_DELAYED = 1 << 6;
        /// `retransmit_at` is set.
        const RETRANSMIT_ARMED = 1 << 7;
        /// `idle_at` is set.
        const IDLE_ARMED = 1 << 8;
        /// The segment ending at `rtt_seq` is being timed.
        const TIMING = 1 << 9;
        /// Fast recovery, until `recover` is acknowledged (RFC 6582).
        const RECOVERY = 1 << 10;
        /// `ts_recent` holds a value.
        const TS_RECENT = 1 << 11;
        /// The congestion window held something back in this round trip: until `limited_end` is
        /// acknowledged.
        const CWND_LIMITED = 1 << 12;
        /// Send what fits, however little: the override of silly window avoidance
        /// (RFC 9293 section 3.8.6.2.1).
        const OVERRIDE = 1 << 13;
        /// Selective acknowledgements both ways (RFC 2018).
        const SACK = 1 << 14;
        /// `retransmit_at` is when a tail loss probe is due, and no timeout (RFC 8985 section 7).
        const PROBE_TIMER = 1 << 15;
        /// The recovery's `reorder_at` is set.
        const REORDER_ARMED = 1 << 16;
        /// SND.WND is that of a SYN, which is never scaled (RFC 7323 section 2.2).
        const SYN_WINDOW = 1 << 25;
        /// What a timeout found is being repaired, until `recover` is acknowledged.
        const TIMED_OUT = 1 << 17;
        /// A tail loss probe is out, ending at `probe_end`.
        const PROBE_OUT = 1 << 18;
        /// That probe was a retransmission (TLP.is_retrans).
        const PROBE_AGAIN = 1 << 19;
        /// An ICMP error said that the peer can't be reached, and nothing was acknowledged since.
        const UNREACHABLE = 1 << 30;
        /// What is in flight is what the last ACK left of it: nothing was sent since.
        const TAIL = 1 << 20;
        /// A tail loss probe was in vain: the peer only took its time to acknowledge.
        const LATE_ACKS = 1 << 21;
        /// The retransmission timer has sent the segment at SND.UNA again.
        const RESENT = 1 << 22;
        /// A timeout was spurious: the next round trip says how late the path can be (RFC 4015).
        const SPURIOUS = 1 << 23;
        /// This recovery has had its first partial ACK (RFC 6582 section 3.2 step 3).
        const PARTIAL = 1 << 24;
        /// The congestion control wants rate samples.
        const SAMPLED = 1 << 29;
        /// Segments leave one by one, at the congestion control's pace.
        const PACED = 1 << 28;
        /// There is a row of what the connection has of its own ([`Own`](super::Own)).
        const OWN = 1 << 31;
    }
}

/// One connection. Sequence variables are those of RFC 9293 section 3.3.1.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Tcb {
    pub(crate) state: State,
    pub(crate) facts: Facts,
    pub(crate) ecn: EcnFacts,

    pub(crate) rcv_nxt: Seq,
    /// Right edge of the window as advertised: never moves back (section 3.8.6, SHLD-14).
    pub(crate) rcv_adv: Seq,
    /// RCV.NXT in the last segment sent (RFC 7323: Last.ACK.sent).
    pub(crate) last_ack_sent: Seq,
    /// Payload of the largest segment received: what "full-sized" means in the ACK rule.
    pub(crate) rcv_mss: u16,
    pub(crate) rcv_scale: u8,

    pub(crate) snd_scale: u8,
    pub(crate) snd_una: Seq,
    pub(crate) snd_nxt: Seq,
    /// Highest sequence number ever sent, plus one: SND.NXT goes back on a timeout, this doesn't.
    pub(crate) snd_max: Seq,
    /// SND.WND and the largest that ever was (RFC 9293 section 3.8.6.2.1: Max(SND.WND)), as the
    /// peer writes them: see [`snd_wnd`](Tcb::snd_wnd).
    pub(crate) snd_field: u16,
    pub(crate) max_field: u16,
    pub(crate) snd_wl1: Seq,
    /// Payload bytes of a full segment to the peer.
    pub(crate) snd_mss: u16,
    pub(crate) dup_acks: u8,
    /// Duplicate ACKs owed for segments out of order: one each (RFC 5681 section 4.2).
    pub(crate) dup_acks_owed: u8,

    pub(crate) ts_recent: u32,
    /// When `ts_recent` came, coarsely.
    pub(crate) ts_recent_at: Age,
    pub(crate) ts_offset: u32,

    pub(crate) rtt: RttEstimator,
    /// Shortest round trip seen, in microseconds (RFC 8985 section 6.2 step 1).
    pub(crate) min_rtt_us: u32,
    pub(crate) reordering: Reordering,
    pub(crate) rtt_seq: Seq,
    pub(crate) rtt_started_us: u32,
    pub(crate) congestion: Control,
    /// What was sent when the congestion window last held something back.
    pub(crate) limited_end: Seq,
    pub(crate) recover: Seq,
    /// TLP.end_seq, while a probe is out (RFC 8985 section 7.1).
    pub(crate) probe_end: Seq,

    /// Retransmission, zero-window probe or SYN retransmission: never two of them at once.
    pub(crate) retransmit_at: Tick,
    pub(crate) ack_at: Tick,
    /// Keep-alive, FIN-WAIT-2 or TIME-WAIT.
    pub(crate) idle_at: Tick,
    /// Since when nothing has been acknowledged, while something is outstanding: R2's start.
    pub(crate) stalled_since: Tick,
    /// SYN retransmissions, or keep-alive probes without an answer.
    pub(crate) tries: u8,
}

impl Tcb {
    /// OPEN, active (RFC 9293 section 3.10.1): in SYN-SENT, the SYN still to be sent by [`output`].
    ///
    /// [`output`]: super::output
    pub(crate) fn connect(
        iss: Seq,
        ts_offset: u32,
        offer: &LocalOffer,
        settings: &Settings,
        now: Instant,
    ) -> Tcb {
        Tcb {
            state: State::SynSent,
            facts: Facts::empty(),
            ecn: EcnFacts::asking(offer.ecn),
            rcv_nxt: Seq(0),
            rcv_adv: Seq(0),
            last_ack_sent: Seq(0),
            rcv_mss: 0,
            rcv_scale: offer.window_scale.unwrap_or(0),
            snd_scale: 0,
            snd_una: iss,
            snd_nxt: iss,
            snd_max: iss,
            snd_field: 0,
            max_field: 0,
            snd_wl1: Seq(0),
            snd_mss: offer.mss,
            dup_acks: 0,
            dup_acks_owed: 0,
            ts_recent: 0,
            ts_recent_at: Age::at(now),
            ts_offset,
            rtt: RttEstimator::new(&settings.rto),
            min_rtt_us: u32::MAX,
            reordering: Reordering::new(),
            rtt_seq: iss,
            rtt_started_us: 0,
            // The right one begins when the segments' size is known.
            congestion: Control::NewReno(NewReno::new(offer.mss, 0)),
            limited_end: iss,
            recover: iss,
            probe_end: iss,
            retransmit_at: now.tick(),
            ack_at: now.tick(),
            idle_at: now.tick(),
            stalled_since: now.tick(),
            tries: 0,
        }
    }

    /// Takes over what the handshake agreed on, from the peer's SYN with sequence number `irs`.
    pub(crate) fn agree(
        &mut self,
        agreed: &Agreed,
        offer: &LocalOffer,
        settings: &Settings,
        irs: Seq,
    ) {
        self.rcv_nxt = irs + 1;
        self.rcv_adv = self.rcv_nxt;
        self.last_ack_sent = self.rcv_nxt;
        self.snd_mss = effective_payload(offer, agreed);
        self.begin_congestion_control(agreed, &settings.config);
        self.facts.set(Facts::TIMESTAMPS, agreed.timestamps);
        self.facts.set(Facts::WINDOW_SCALING, agreed.window_scaling);
        self.facts.set(Facts::SACK, agreed.sack);
        let (snd, rcv) = if agreed.window_scaling {
            (agreed.peer_scale, offer.window_scale.unwrap_or(0))
        } else {
            (0, 0)
        };
        (self.snd_scale, self.rcv_scale) = (snd, rcv);
    }

    fn begin_congestion_control(&mut self, agreed: &Agreed, config: &TcpConfig) {
        let algorithm = match config.congestion {
            Algorithm::Bbr if !agreed.sack => Algorithm::Cubic,
            algorithm => algorithm,
        };
        let window = initial_window(self.snd_mss, self.tries);
        self.congestion = algorithm.start(self.snd_mss, window);
        self.congestion.set_seed(self.snd_una.0);
        let sampled = self.congestion.wants_rate_samples();
        self.facts.set(Facts::SAMPLED, sampled);
        self.facts.set(Facts::PACED, sampled || config.pacing);
    }

    /// CLOSE (RFC 9293 section 3.10.4): FIN goes out after everything queued.
    pub(crate) fn close(&mut self) {
        self.facts |= Facts::FIN_QUEUED;
    }

    /// The last reduction was a mistake (RFC 4015 section 3). What was in flight before still is,
    /// and each ACK lets out no more than it acknowledges: the whole window can come back at once,
    /// as Linux does it, where RFC 4015 restarts from what is in flight to avoid a burst.
    pub(crate) fn take_back(&mut self, cause: Cause, prior: &Prior) {
        if self.has(Facts::RECOVERY) && !self.has(Facts::SACK) {
            // Without the inflation by duplicate ACKs.
            self.congestion.set_cwnd(self.congestion.ssthresh());
        }
        self.congestion.undo(prior);
        self.facts -= Facts::RECOVERY | Facts::TIMED_OUT | Facts::RESENT;
        self.ecn -= EcnFacts::CWR_DUE;
        self.recover = self.snd_una - 1;
        self.dup_acks = 0;
        match cause {
            Cause::Timeout => self.facts |= Facts::SPURIOUS,
            Cause::Loss => self.reordering.on_reordering(),
        }
    }

    #[inline]
    pub(crate) fn has(&self, fact: Facts) -> bool {
        self.facts.contains(fact)
    }

    /// Bytes and flags sent and not acknowledged.
    #[inline]
    pub(crate) fn flight(&self) -> u32 {
        self.snd_una.distance_to(self.snd_max)
    }

    /// What is left of the window that we advertised.
    #[inline]
    pub(crate) fn rcv_wnd(&self) -> u32 {
        self.rcv_nxt.distance_to(self.rcv_adv)
    }

    /// Whether our FIN has been acknowledged, seen from SND.UNA = `ack`.
    pub(crate) fn fin_is_acked(&self) -> bool {
        self.has(Facts::FIN_SENT) && self.snd_una == self.snd_max
    }

    /// Our timestamp option for a segment sent now: a millisecond clock with a random origin per
    /// connection (RFC 7323 sections 4.1 and 7.1).
    #[inline]
    pub(crate) fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        self.has(Facts::TIMESTAMPS).then(|| self.raw_timestamps(now))
    }

    /// The same, before it is agreed whether there are any.
    #[inline]
    pub(crate) fn raw_timestamps(&self, now: Instant) -> Timestamps {
        Timestamps {
            value: timestamp_clock(now).wrapping_add(self.ts_offset),
            echo: self.ts_recent,
        }
    }

    /// SND.WND: what the peer lets us send from SND.UNA on.
    #[inline]
    pub(crate) fn snd_wnd(&self) -> u32 {
        let scale = if self.has(Facts::SYN_WINDOW) { 0 } else { self.snd_scale };
        u32::from(self.snd_field) << scale
    }

    /// The largest window that the peer ever advertised.
    pub(crate) fn max_wnd(&self) -> u32 {
        u32::from(self.max_field) << self.snd_scale
    }

    /// SND.WND and SND.WL1 from an acceptable segment. SND.WL2 would be of no use: windows are
    /// taken from segments that acknowledge no less than SND.UNA, and those before them
    /// acknowledged no more.
    #[inline]
    pub(crate) fn take_window(&mut self, segment: &Segment) {
        self.facts -= Facts::SYN_WINDOW;
        self.take_next_window(segment);
    }

    /// The same where the one before was not that of a SYN.
    #[inline]
    pub(super) fn take_next_window(&mut self, segment: &Segment) {
        self.snd_field = segment.window;
        self.snd_wl1 = segment.seq;
        self.max_field = self.max_field.max(segment.window);
    }

    /// The same from a SYN.
    pub(super) fn take_syn_window(&mut self, segment: &Segment) {
        self.snd_field = segment.window;
        self.snd_wl1 = segment.seq;
        self.max_field = segment.window >> self.snd_scale;
        self.facts |= Facts::SYN_WINDOW;
    }

    /// Remembers the peer's timestamp if the segment spans what we last acknowledged
    /// (RFC 7323 section 4.3, rule 2).
    #[inline]
    pub(crate) fn take_timestamp(&mut self, segment: &Segment, now: Instant) {
        let Some(timestamps) = segment.options.timestamps else { return };
        let newer = Seq(timestamps.value).at_or_after(Seq(self.ts_recent));
        if segment.seq.at_or_before(self.last_ack_sent) && (newer || !self.has(Facts::TS_RECENT)) {
            self.ts_recent = timestamps.value;
            self.ts_recent_at = Age::at(now);
            self.facts |= Facts::TS_RECENT;
        }
    }
}

/// When something happened, in units of 2^16 ticks (8.6 s): what is hours old needs no finer clock.
/// It wraps with the tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(u16);

impl Age {
    pub(crate) const UNIT: u32 = 1 << 16;

    pub(crate) fn at(now: Instant) -> Age {
        Age((now.tick().0 / Age::UNIT) as u16)
    }

    /// How many units ago it happened, to the unit.
    pub(crate) fn units(self, now: Instant) -> u16 {
        Age::at(now).0.wrapping_sub(self.0)
    }
}

/// The clock of our timestamps: 1 ms a tick, the fastest that PAWS allows (RFC 7323 section 5.4).
pub(crate) fn timestamp_clock(now: Instant) -> u32 {
    now.millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Addr;
    use crate::wire::tcp::{Flags, Options};

    #[test]
    fn rfc9293_3_1_a_scaled_window_takes_32_bits() {
        let settings = Settings::new(TcpConfig::default());
        let offer = LocalOffer::new(&settings.config, 1_500, true);
        let mut tcb = Tcb::connect(Seq(0), 0, &offer, &settings, Instant::ZERO);
        let segment = Segment {
            src: Addr::UNSPECIFIED_V4,
            dst: Addr::UNSPECIFIED_V4,
            src_port: 1,
            dst_port: 2,
            seq: Seq(1),
            ack: Seq(1),
            flags: Flags::ACK,
            window: 0xffff,
            urgent: 0,
            payload_start: 54,
            payload_len: 0,
            ecn: 0,
            options: Options::NONE,
        };
        for (scale, window) in [(0, 65_535), (14, 0x3fff_c000)] {
            tcb.snd_scale = scale;
            tcb.take_syn_window(&segment);
            assert_eq!(tcb.snd_wnd(), 65_535);
            tcb.take_window(&segment);
            assert_eq!((tcb.snd_wnd(), tcb.max_wnd()), (window, window));
        }
    }

    #[test]
    fn each_fact_has_a_bit_of_its_own() {
        use bitflags::Flags as _;
        let bits = Facts::FLAGS.iter().map(|flag| flag.value().bits().count_ones());
        assert_eq!(bits.sum::<u32>(), Facts::all().bits().count_ones());
    }
}
