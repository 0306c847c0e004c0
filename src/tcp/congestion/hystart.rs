//! HyStart++ (RFC 9406): leaves slow start when the round trips grow, before the buffer overflows.
//!
//! It needs, for each ACK, the round trip measured by it (if any) and how many bytes it delivered
//! of how many in flight. From these it counts rounds: one ends when all is acknowledged that was
//! in flight when it began, which is where `windowEnd` lies.

/// Section 4.3: the least and the most growth of the round trip, in microseconds, that means a
/// queue.
const MIN_RTT_THRESH_US: u32 = 4_000;
const MAX_RTT_THRESH_US: u32 = 16_000;
/// The threshold between them, as a part of the last round's least round trip.
const MIN_RTT_DIVISOR: u32 = 8;
/// Samples that make a round's minimum trustworthy.
const N_RTT_SAMPLE: u8 = 8;
/// Conservative slow start grows by a quarter of what slow start does …
const CSS_GROWTH_DIVISOR: u32 = 4;
/// … for at most so many rounds.
const CSS_ROUNDS: u8 = 5;
/// Segments that one ACK may open the window by: what a sender without pacing may (section 4.3).
const L: u32 = 8;

const UNKNOWN: u32 = u32::MAX;

/// What follows from an ACK in slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// The window grows by so many bytes.
    By(u32),
    /// The window is as large as it should be: congestion avoidance begins (section 4.2).
    Done,
}

/// The state of the initial slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HyStart {
    /// In slow start, the least round trip of the last round (`lastRoundMinRTT`); in conservative
    /// slow start, of the round in which it began (`cssBaselineMinRtt`).
    baseline_us: u32,
    /// The least round trip of this round (`currentRoundMinRTT`).
    current_us: u32,
    /// Bytes of this round still to be acknowledged.
    round: u32,
    /// Samples in this round (`rttSampleCount`).
    samples: u8,
    /// Rounds of conservative slow start begun, this one included; zero in slow start.
    css_rounds: u8,
}

impl HyStart {
    pub(super) fn new() -> HyStart {
        HyStart { baseline_us: UNKNOWN, current_us: UNKNOWN, round: 0, samples: 0, css_rounds: 0 }
    }

    /// A round trip was measured.
    pub(super) fn on_rtt(&mut self, rtt_us: u32) {
        self.current_us = self.current_us.min(rtt_us);
        self.samples = self.samples.saturating_add(1);
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        if self.css_rounds > 0 {
            if self.current_us < self.baseline_us {
                // It was jitter: slow start resumes.
                self.css_rounds = 0;
            }
        } else if self.baseline_us != UNKNOWN {
            let part = self.baseline_us / MIN_RTT_DIVISOR;
            let threshold = part.clamp(MIN_RTT_THRESH_US, MAX_RTT_THRESH_US);
            if self.current_us >= self.baseline_us.saturating_add(threshold) {
                self.baseline_us = self.current_us;
                self.css_rounds = 1;
            }
        }
    }

    /// `acked` bytes were acknowledged, of `flight` that were in flight before; the window is full.
    pub(super) fn on_ack(&mut self, acked: u32, flight: u32, smss: u32) -> Growth {
        if acked > self.round {
            self.round = flight.saturating_sub(acked);
            if self.css_rounds >= CSS_ROUNDS {
                return Growth::Done;
            }
            self.begin_round();
        } else {
            self.round -= acked;
        }
        let by = acked.min(L * smss);
        Growth::By(if self.css_rounds > 0 { by / CSS_GROWTH_DIVISOR } else { by })
    }

    fn begin_round(&mut self) {
        if self.css_rounds > 0 {
            self.css_rounds += 1;
        } else {
            self.baseline_us = self.current_us;
        }
        self.current_us = UNKNOWN;
        self.samples = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u32 = 1_000;

    impl HyStart {
        fn in_css(&self) -> bool {
            self.css_rounds > 0
        }

        /// A round of `n` segments, each with this round trip. Returns what the window grew by;
        /// `None` once slow start is over.
        fn round(&mut self, n: u32, rtt_ms: u32) -> Option<u32> {
            let mut grown = 0;
            for _ in 0..n {
                self.on_rtt(rtt_ms * 1_000);
                match self.on_ack(M, n * M, M) {
                    Growth::By(by) => grown += by,
                    Growth::Done => return None,
                }
            }
            Some(grown)
        }
    }

    fn after_a_round_of_20_ms() -> HyStart {
        let mut h = HyStart::new();
        assert_eq!(h.round(10, 20), Some(10 * M));
        assert!(!h.in_css());
        h
    }

    #[test]
    fn rfc9406_4_2_a_round_ends_when_all_in_flight_at_its_start_is_acked() {
        let mut h = HyStart::new();
        // The first ACK begins a round with 9 of 10 segments outstanding.
        (0..10).for_each(|_| _ = h.on_ack(M, 10 * M, M));
        assert_eq!(h.round, 0);
        h.on_rtt(5_000);
        _ = h.on_ack(M, 20 * M, M);
        assert_eq!((h.round, h.baseline_us, h.samples), (19 * M, 5_000, 0), "a new round");
    }

    #[test]
    fn rfc9406_4_2_the_delay_threshold_is_an_eighth_of_the_round_trip_from_4_to_16_ms() {
        for (base, quiet, queue) in [(8, 11, 12), (80, 89, 90), (400, 415, 416)] {
            for (rtt, css) in [(quiet, false), (queue, true)] {
                let mut h = HyStart::new();
                _ = h.round(10, base);
                _ = h.round(20, rtt);
                assert_eq!(h.in_css(), css, "{base} ms, then {rtt}");
            }
        }
    }

    #[test]
    fn rfc9406_4_2_fewer_than_8_samples_say_nothing() {
        for (n, css) in [(8, false), (9, true)] {
            let mut h = after_a_round_of_20_ms();
            // The first ACK's sample still belongs to the round before.
            _ = h.round(n, 60);
            assert_eq!(h.in_css(), css, "{n} samples");
        }
    }

    #[test]
    fn rfc9406_4_2_the_least_round_trip_counts_not_the_largest() {
        let mut h = after_a_round_of_20_ms();
        for i in 0..20 {
            h.on_rtt(if i == 3 { 20_000 } else { 60_000 });
            _ = h.on_ack(M, 20 * M, M);
        }
        assert!(!h.in_css());
    }

    #[test]
    fn rfc9406_4_2_conservative_slow_start_grows_by_a_quarter_and_ends_after_5_rounds() {
        let mut h = after_a_round_of_20_ms();
        _ = h.round(20, 60);
        assert!(h.in_css());
        for _ in 0..4 {
            assert_eq!(h.round(20, 60), Some(5 * M));
        }
        assert_eq!(h.round(20, 60), None, "the partial round counts");
    }

    #[test]
    fn rfc9406_4_2_slow_start_resumes_if_the_round_trip_falls_back() {
        let mut h = after_a_round_of_20_ms();
        _ = h.round(20, 60);
        assert!(h.in_css());
        _ = h.round(20, 30);
        assert!(!h.in_css());
        assert_eq!(h.round(20, 30), Some(20 * M));
    }

    #[test]
    fn rfc9406_4_3_an_ack_opens_the_window_by_eight_segments_at_most() {
        let mut h = HyStart::new();
        assert_eq!(h.on_ack(3 * M, 20 * M, M), Growth::By(3 * M));
        assert_eq!(h.on_ack(17 * M, 17 * M, M), Growth::By(8 * M));
    }
}
