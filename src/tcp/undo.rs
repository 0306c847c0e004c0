//! Whether a reduction of the window was a mistake: nothing was lost, a segment was late.
//!
//! Three things can show it: the timestamp that the first ACK echoes (Eifel, RFC 3522), the course
//! of the ACKs after a timeout (F-RTO, RFC 5682), and reports that all that was sent again had
//! come already (DSACK, RFC 3708 section 2). Kept with the recovery, which only connections have
//! that miss segments.

use super::congestion::{CongestionControl, Prior};
use super::frto::{Finding, Frto};
use super::tcb::{Facts, Tcb};
use crate::wire::Seq;

pub(crate) use super::frto::Ack;

/// What reduced the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Duplicate or selective acknowledgements.
    Loss,
    /// The retransmission timer.
    Timeout,
}

/// One reduction, from its first retransmission until it can't be doubted any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Episode {
    pub(crate) cause: Cause,
    /// SND.UNA and SND.MAX when it began.
    start: Seq,
    end: Seq,
    /// What it changed, as it was before.
    pub(crate) prior: Prior,
    /// The threshold that it left: if that changes, there was another reason since.
    ssthresh: u32,
    /// Where the first segment sent again ends, and its timestamp: RetransmitTS in RFC 3522.
    first: Option<(Seq, Option<u32>)>,
    /// Bytes sent again, and those of them not reported as duplicates.
    resent: u32,
    unreported: u32,
    last_report: Option<(Seq, Seq)>,
    /// A tail loss probe that sent this edge again before: its duplicate is no news.
    probe: Option<Seq>,
    frto: Option<Frto>,
    /// The recovery is over; SND.MAX was this.
    over: Option<Seq>,
    /// There was another reason for the reduction.
    stands: bool,
}

/// What an ACK says of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Nothing,
    /// F-RTO: new data instead of old.
    SendNew,
    /// F-RTO: old data after all.
    SendOld,
    /// It was a mistake.
    Spurious,
}

/// What an ACK brings, beside what F-RTO looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    pub(crate) ack: Ack,
    /// TSecr.
    pub(crate) echo: Option<u32>,
    /// A duplicate that it reports.
    pub(crate) report: Option<(Seq, Seq)>,
}

impl Episode {
    /// The window was reduced just now; `prior` is what it was.
    pub(crate) fn new(cause: Cause, prior: Prior, tcb: &Tcb) -> Episode {
        let probe = tcb.has(Facts::PROBE_AGAIN) && tcb.probe_end.after(tcb.snd_una);
        Episode {
            cause,
            prior,
            start: tcb.snd_una,
            end: tcb.snd_max,
            ssthresh: tcb.congestion.ssthresh(),
            first: None,
            resent: 0,
            unreported: 0,
            last_report: None,
            probe: probe.then_some(tcb.probe_end),
            frto: None,
            over: None,
            stands: false,
        }
    }

    /// Congestion was reported meanwhile: the reduction stays (RFC 4015 section 3).
    pub(crate) fn stands(&mut self) {
        self.stands = true;
    }

    /// F-RTO step 1: the segment that ends at `resent` will be sent again, and nothing else until
    /// it is acknowledged. `None`: everything is sent again.
    pub(crate) fn try_forward(&mut self, resent: Option<Seq>) {
        self.frto = resent.map(|resent| Frto::new(resent, self.end));
    }

    /// F-RTO step 2 (b): new segments were sent instead.
    pub(crate) fn went_forward(&mut self) {
        if let Some(frto) = &mut self.frto {
            frto.sent_new();
        }
    }

    /// New segments that F-RTO lets out now; `None` if it has no say.
    pub(crate) fn allowance(&self) -> Option<u8> {
        self.frto.map(|frto| frto.allowance())
    }

    /// `len` bytes were sent again, up to `end`, with this timestamp.
    pub(crate) fn resent(&mut self, end: Seq, len: u32, timestamp: Option<u32>) {
        if self.over.is_some() {
            return;
        }
        self.first.get_or_insert((end, timestamp));
        self.resent = self.resent.saturating_add(len);
        self.unreported = self.unreported.saturating_add(len);
    }

    /// The recovery has ended. Whether reports of duplicates may still come.
    pub(crate) fn recovered(&mut self, snd_max: Seq) -> bool {
        self.frto = None;
        self.over = Some(snd_max);
        self.resent > 0
    }

    /// Reports would have come by now: what was sent after the recovery is acknowledged.
    pub(crate) fn is_stale(&self, una: Seq) -> bool {
        self.over.is_some_and(|over| una.after(over))
    }

    /// Without SACK: nothing can show it any more.
    pub(crate) fn is_settled(&self, una: Seq) -> bool {
        let timed = self.first.is_none_or(|(_, timestamp)| timestamp.is_some());
        una.at_or_after(self.end) || self.frto.is_none() && !timed
    }

    /// An ACK has arrived. `ssthresh` is the threshold in force.
    pub(crate) fn judge(&mut self, news: &News, ssthresh: u32, sack: bool) -> Verdict {
        let reported = self.is_reported(news);
        let echoed = self.is_echoed(news);
        let finding = match &mut self.frto {
            None => Finding::Nothing,
            Some(_) if echoed == Some(false) => Finding::Loss,
            Some(frto) => frto.on_ack(&news.ack, sack),
        };
        let spurious = reported || echoed == Some(true) || finding == Finding::Spurious;
        if spurious && ssthresh == self.ssthresh && !self.stands {
            return Verdict::Spurious;
        }
        match finding {
            Finding::Nothing => Verdict::Nothing,
            Finding::New => Verdict::SendNew,
            Finding::Loss | Finding::Spurious => {
                self.frto = None;
                Verdict::SendOld
            }
        }
    }

    /// Eifel (RFC 3522 section 3.2): whether the first ACK of what was sent again echoes a
    /// timestamp from before that. If not, the loss was real, and F-RTO needn't ask further.
    fn is_echoed(&mut self, news: &News) -> Option<bool> {
        let (end, resent_at) = self.first?;
        let (resent_at, echo) = (resent_at?, news.echo?);
        if !news.ack.advanced || news.ack.una.before(end) {
            return None;
        }
        self.first = Some((end, None));
        Some(Seq(echo).before(Seq(resent_at)))
    }

    /// RFC 3708 section 2: each byte that was sent again is reported as a duplicate. A report
    /// counts once, as the network may repeat an ACK.
    fn is_reported(&mut self, news: &News) -> bool {
        let Some((left, right)) = news.report else { return false };
        let ours = left.at_or_after(self.start) && right.at_or_before(self.end);
        if !ours || self.last_report == news.report {
            return false;
        }
        if self.probe == Some(right) {
            self.probe = None;
            return false;
        }
        self.last_report = news.report;
        self.unreported = self.unreported.saturating_sub(left.distance_to(right));
        self.resent > 0 && self.unreported == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::{LocalOffer, Settings, TcpConfig};
    use crate::time::Instant;

    const SSTHRESH: u32 = 5_000;

    /// Bytes 1,000 to 2,000 are out; the first hundred went again with timestamp 70.
    fn episode(cause: Cause) -> Episode {
        let settings = Settings::new(TcpConfig::default());
        let offer = LocalOffer::new(&settings.config, 1_500, true);
        let mut tcb = Tcb::connect(Seq(1_000), 0, &offer, &settings, Instant::ZERO);
        tcb.snd_max = Seq(2_000);
        let mut episode =
            Episode { ssthresh: SSTHRESH, ..Episode::new(cause, tcb.congestion.prior(), &tcb) };
        episode.resent(Seq(1_100), 100, Some(70));
        episode
    }

    fn ack(una: u32, echo: Option<u32>) -> News {
        let una = Seq(una);
        let ack = Ack { una, advanced: true, duplicate: false, sacked: None, delivered: true };
        News { ack, echo, report: None }
    }

    fn report(left: u32, right: u32) -> News {
        News { report: Some((Seq(left), Seq(right))), ..ack(2_000, None) }
    }

    fn judge(episode: &mut Episode, news: &News) -> Verdict {
        episode.judge(news, SSTHRESH, true)
    }

    #[test]
    fn rfc3522_3_2_an_echo_from_before_the_retransmission_means_spurious() {
        for cause in [Cause::Loss, Cause::Timeout] {
            let mut episode = episode(cause);
            assert_eq!(judge(&mut episode, &ack(1_100, Some(69))), Verdict::Spurious);
        }
        let mut late = episode(Cause::Loss);
        assert_eq!(judge(&mut late, &ack(1_100, Some(70))), Verdict::Nothing);
    }

    #[test]
    fn rfc3522_3_2_only_the_first_ack_of_what_was_sent_again_counts() {
        let mut episode = episode(Cause::Loss);
        let before = News { ack: Ack { advanced: false, ..ack(1_000, None).ack }, ..report(0, 0) };
        assert_eq!(judge(&mut episode, &News { echo: Some(60), ..before }), Verdict::Nothing);
        assert_eq!(judge(&mut episode, &ack(1_050, Some(60))), Verdict::Nothing, "a part");
        assert_eq!(judge(&mut episode, &ack(1_100, Some(70))), Verdict::Nothing);
        assert_eq!(judge(&mut episode, &ack(1_200, Some(60))), Verdict::Nothing, "too late");
    }

    #[test]
    fn a_timestamp_that_tells_of_a_loss_ends_f_rto() {
        let mut episode = episode(Cause::Timeout);
        episode.try_forward(Some(Seq(1_100)));
        assert_eq!(episode.allowance(), Some(0));
        assert_eq!(judge(&mut episode, &ack(1_200, Some(70))), Verdict::SendOld);
        assert_eq!(episode.allowance(), None);
    }

    #[test]
    fn rfc5682_without_timestamps_new_data_asks() {
        let mut episode = episode(Cause::Timeout);
        episode.try_forward(Some(Seq(1_100)));
        assert_eq!(judge(&mut episode, &ack(1_200, None)), Verdict::SendNew);
        assert_eq!(episode.allowance(), Some(2));
        episode.went_forward();
        assert_eq!(episode.allowance(), Some(0));
        assert_eq!(judge(&mut episode, &ack(1_300, None)), Verdict::Spurious);
    }

    #[test]
    fn rfc3708_2_all_that_was_sent_again_must_be_reported() {
        let mut episode = episode(Cause::Loss);
        episode.resent(Seq(1_300), 100, None);
        assert_eq!(judge(&mut episode, &report(1_000, 1_100)), Verdict::Nothing);
        assert_eq!(judge(&mut episode, &report(1_000, 1_100)), Verdict::Nothing, "repeated");
        assert_eq!(judge(&mut episode, &report(1_200, 1_300)), Verdict::Spurious);
    }

    #[test]
    fn rfc3708_2_reports_of_what_was_sent_before_or_after_do_not_count() {
        let mut episode = episode(Cause::Loss);
        assert_eq!(judge(&mut episode, &report(900, 1_000)), Verdict::Nothing);
        assert_eq!(judge(&mut episode, &report(2_000, 2_100)), Verdict::Nothing);
        episode.probe = Some(Seq(2_000));
        assert_eq!(judge(&mut episode, &report(1_900, 2_000)), Verdict::Nothing, "of the probe");
        assert_eq!(judge(&mut episode, &report(1_900, 2_000)), Verdict::Spurious, "sent again");
    }

    #[test]
    fn another_reduction_since_then_stands() {
        let mut episode = episode(Cause::Loss);
        let (mut marked, came) = (episode, report(1_000, 1_100));
        assert_eq!(episode.judge(&came, SSTHRESH / 2, true), Verdict::Nothing);
        marked.stands();
        assert_eq!(judge(&mut marked, &came), Verdict::Nothing, "congestion was reported");
    }

    #[test]
    fn reports_may_come_until_what_was_sent_after_the_recovery_is_acknowledged() {
        let mut episode = episode(Cause::Loss);
        assert!(!episode.is_stale(Seq(9_000)), "the recovery lasts");
        assert!(episode.recovered(Seq(2_500)), "it waits for reports");
        assert!(!episode.is_stale(Seq(2_500)));
        assert!(episode.is_stale(Seq(2_501)));
        episode.resent(Seq(1_300), 100, None);
        assert_eq!(judge(&mut episode, &report(1_000, 1_100)), Verdict::Spurious);
    }

    #[test]
    fn without_sack_it_is_settled_once_no_timestamp_and_no_f_rto_can_tell() {
        let mut episode = episode(Cause::Timeout);
        assert!(!episode.is_settled(Seq(1_000)));
        assert!(episode.is_settled(Seq(2_000)), "all of it is acknowledged");
        assert_eq!(judge(&mut episode, &ack(1_100, Some(70))), Verdict::Nothing);
        assert!(episode.is_settled(Seq(1_100)));
    }
}
