//! What one connection has of its own: kept in a table beside the connections, for most have
//! nothing.

use core::time::Duration;

use super::path_search::PathSearch;
use super::settings::Settings;
use crate::time::{Instant, Tick};
use crate::wire::Seq;
use crate::wire::tcp::UserTimeout;

/// The row of a connection that has [`Facts::OWN`](super::Facts::OWN).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Whether any setting differs from those of all.
    settings: bool,
    no_delay: Option<bool>,
    pub(crate) dscp: Option<u8>,
    keep_alive: Option<Option<Duration>>,
    user_timeout: Option<Duration>,
    /// While its segments are shorter than agreed, for the path's sake.
    pub(crate) path: Option<PathSearch>,
    /// The application has set the user timeout: RFC 5482 calls the opposite CHANGEABLE.
    user_timeout_is_set: bool,
    /// The user timeout that the peer is to hear of.
    pub(crate) advertise: Option<UserTimeout>,
    /// RCV.UP: one behind the last urgent byte received, until it was read.
    rcv_up: Option<Seq>,
    /// SND.UP: one behind the last urgent byte to be sent, until it is acknowledged.
    snd_up: Option<Seq>,
    /// When something that could not be accepted was last answered.
    answered: Option<Tick>,
}

impl Own {
    /// The settings of this connection, if they differ from those of `all`.
    pub(crate) fn settings(&self, all: &Settings) -> Option<Settings> {
        if !self.settings {
            return None;
        }
        let mut own = *all;
        let config = &mut own.config;
        config.no_delay = self.no_delay.unwrap_or(config.no_delay);
        config.user_timeout = self.user_timeout.unwrap_or(config.user_timeout);
        if let Some(keep_alive) = self.keep_alive {
            config.keep_alive = keep_alive;
            if keep_alive.is_none() {
                config.fin_wait_2 = Duration::MAX;
            }
        }
        Some(own)
    }

    /// RFC 9293 section 3.7.4, MUST-17.
    pub(crate) fn set_no_delay(&mut self, on: bool) {
        self.settings = true;
        self.no_delay = Some(on);
    }

    /// RFC 9293 section 3.8.4, MUST-24.
    pub(crate) fn set_keep_alive(&mut self, idle: Option<Duration>) {
        self.settings = true;
        self.keep_alive = Some(idle);
    }

    /// RFC 9293 section 3.8.3, MUST-21. The peer is told if the option is on; it can't be told of a
    /// time without end.
    pub(crate) fn set_user_timeout(&mut self, timeout: Duration, all: &Settings) {
        self.settings = true;
        self.user_timeout = Some(timeout);
        self.user_timeout_is_set = true;
        let told = all.config.user_timeout_option.is_some() && timeout != Duration::MAX;
        self.advertise = told.then(|| UserTimeout::new(timeout));
    }

    /// The peer's user timeout makes ours longer, within the limits, unless the application has set
    /// it (RFC 5482 section 3.1).
    pub(crate) fn hear_user_timeout(&mut self, remote: UserTimeout, all: &Settings) {
        let Some(limits) = all.config.user_timeout_option else { return };
        let Some(remote) = remote.duration().filter(|_| !self.user_timeout_is_set) else { return };
        let ours = all.config.user_timeout;
        self.settings = true;
        self.user_timeout = Some(ours.max(remote).max(limits.shortest).min(limits.longest));
    }

    /// An urgent pointer has arrived, at `up`; everything before `read` was read. Whether the
    /// application must hear of it: it is ahead, and further than before (RFC 9293 section 3.8.5,
    /// MUST-32).
    pub(crate) fn take_urgent(&mut self, up: Seq, read: Seq) -> bool {
        let news = up.after(self.rcv_up.unwrap_or(read).max(read));
        if news {
            self.rcv_up = Some(up);
        }
        news
    }

    /// One behind the last urgent byte that was not read yet (MUST-33).
    pub(crate) fn urgent_to(&mut self, read: Seq) -> Option<Seq> {
        self.rcv_up = self.rcv_up.filter(|up| up.after(read));
        self.rcv_up
    }

    /// Everything before `up` is urgent. It never goes back (RFC 9293 section 3.8.5).
    pub(crate) fn send_urgent(&mut self, up: Seq) {
        self.snd_up = Some(self.snd_up.map_or(up, |before| before.max(up)));
    }

    /// The urgent pointer of a segment that begins at `seq`, if it is to have one: from there to
    /// behind the last urgent byte (MUST-62), or as far as the field reaches.
    pub(crate) fn urgent_pointer(&self, seq: Seq) -> Option<u16> {
        let up = self.snd_up.filter(|up| up.after(seq))?;
        Some(seq.distance_to(up).min(u32::from(u16::MAX)) as u16)
    }

    /// The peer has everything before `una`.
    pub(crate) fn acknowledged(&mut self, una: Seq) {
        self.snd_up = self.snd_up.filter(|up| up.after(una));
    }

    /// Whether one more segment that can't be accepted may be answered (RFC 5961 section 7): it is
    /// counted if so.
    pub(crate) fn may_answer(&mut self, interval: Duration, now: Instant) -> bool {
        let soon = self.answered.is_some_and(|last| last.after(interval).is_after(now.tick()));
        if !soon {
            self.answered = Some(now.tick());
        }
        !soon
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::{TcpConfig, UserTimeoutLimits};

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn of_all() -> Settings {
        let limits = UserTimeoutLimits { shortest: S(100), longest: S(1_000) };
        Settings::new(TcpConfig {
            user_timeout: S(300),
            user_timeout_option: Some(limits),
            ..TcpConfig::default()
        })
    }

    fn user_timeout(own: &Own) -> Option<Duration> {
        own.settings(&of_all()).map(|settings| settings.config.user_timeout)
    }

    #[test]
    fn what_is_not_set_follows_the_settings_of_all() {
        assert!(Own::default().settings(&of_all()).is_none());
        let mut own = Own::default();
        own.set_no_delay(false);
        let settings = own.settings(&of_all()).expect("settings of its own");
        assert_eq!(settings.config, TcpConfig { no_delay: false, ..of_all().config });
    }

    #[test]
    fn without_keep_alive_a_half_closed_connection_is_not_probed_either() {
        let mut own = Own::default();
        own.set_keep_alive(None);
        let config = own.settings(&of_all()).expect("settings of its own").config;
        assert_eq!((config.keep_alive, config.fin_wait_2), (None, Duration::MAX));
    }

    #[test]
    fn rfc5482_3_1_the_peers_timeout_makes_ours_longer_within_the_limits() {
        for (remote, ours) in [(500, 500), (200, 300), (1, 300), (5_000, 1_000)] {
            let mut own = Own::default();
            own.hear_user_timeout(UserTimeout::new(S(remote)), &of_all());
            assert_eq!(user_timeout(&own), Some(S(ours)), "the peer says {remote} s");
        }
        let mut own = Own::default();
        own.hear_user_timeout(UserTimeout::from_bits(0), &of_all());
        assert_eq!(user_timeout(&own), None, "zero means nothing");
    }

    #[test]
    fn rfc5482_3_1_what_the_application_has_set_the_peer_does_not_change() {
        let mut own = Own::default();
        own.set_user_timeout(S(40), &of_all());
        own.hear_user_timeout(UserTimeout::new(S(500)), &of_all());
        assert_eq!(user_timeout(&own), Some(S(40)));
        assert_eq!(own.advertise, Some(UserTimeout::new(S(40))));
        own.set_user_timeout(Duration::MAX, &of_all());
        assert_eq!((user_timeout(&own), own.advertise), (Some(Duration::MAX), None));
    }

    #[test]
    fn rfc5482_3_with_the_option_off_nothing_is_told_or_heard() {
        let off = Settings::new(TcpConfig::default());
        let mut own = Own::default();
        own.hear_user_timeout(UserTimeout::new(S(500)), &off);
        assert_eq!(own, Own::default());
        own.set_user_timeout(S(40), &off);
        assert_eq!(own.advertise, None);
    }

    #[test]
    fn rfc9293_3_8_5_the_urgent_pointer_only_advances() {
        let mut own = Own::default();
        assert!(!own.take_urgent(Seq(90), Seq(100)), "all of it was read");
        assert!(own.take_urgent(Seq(150), Seq(100)));
        assert!(!own.take_urgent(Seq(150), Seq(100)) && !own.take_urgent(Seq(140), Seq(100)));
        assert!(own.take_urgent(Seq(151), Seq(100)));
        assert_eq!(own.urgent_to(Seq(150)), Some(Seq(151)));
        assert_eq!(own.urgent_to(Seq(151)), None);
        assert!(own.take_urgent(Seq(161), Seq(160)), "the old one is forgotten");
    }

    #[test]
    fn rfc9293_3_8_5_the_pointer_sent_is_behind_the_urgent_bytes() {
        let mut own = Own::default();
        own.send_urgent(Seq(100));
        own.send_urgent(Seq(90));
        assert_eq!(own.urgent_pointer(Seq(99)), Some(1));
        assert_eq!(own.urgent_pointer(Seq(100)), None);
        assert_eq!(own.urgent_pointer(Seq(100) - 70_000), Some(u16::MAX));
        own.acknowledged(Seq(99));
        assert_eq!(own.urgent_pointer(Seq(99)), Some(1));
        own.acknowledged(Seq(100));
        assert_eq!(own.urgent_pointer(Seq(99)), None);
    }

    #[test]
    fn rfc5961_7_answers_are_as_far_apart_as_the_interval() {
        let (mut own, interval) = (Own::default(), Duration::from_millis(500));
        let at = |ms: u64| Instant::from_millis(10_000 + ms);
        let answered = [0u64, 100, 499, 502, 700, 1_100];
        let answered = answered.map(|ms| own.may_answer(interval, at(ms)));
        assert_eq!(answered, [true, false, false, true, false, true]);
    }
}
