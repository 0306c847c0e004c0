//! What one connection has of its own: kept in a table beside the connections, for most have
//! nothing.

use core::time::Duration;

use super::settings::Settings;

/// The row of a connection that has [`Facts::OWN`](super::Facts::OWN).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Whether any setting differs from those of all.
    settings: bool,
    no_delay: Option<bool>,
    keep_alive: Option<Option<Duration>>,
    user_timeout: Option<Duration>,
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

    /// RFC 9293 section 3.8.3, MUST-21.
    pub(crate) fn set_user_timeout(&mut self, timeout: Duration) {
        self.settings = true;
        self.user_timeout = Some(timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpConfig;

    #[test]
    fn what_is_not_set_follows_the_settings_of_all() {
        let all = Settings::new(TcpConfig::default());
        assert!(Own::default().settings(&all).is_none());
        let mut own = Own::default();
        own.set_no_delay(false);
        let settings = own.settings(&all).expect("settings of its own");
        assert_eq!(settings.config, TcpConfig { no_delay: false, ..TcpConfig::default() });
    }

    #[test]
    fn without_keep_alive_a_half_closed_connection_is_not_probed_either() {
        let all = Settings::new(TcpConfig::default());
        let mut own = Own::default();
        own.set_keep_alive(None);
        let config = own.settings(&all).expect("settings of its own").config;
        assert_eq!((config.keep_alive, config.fin_wait_2), (None, Duration::MAX));
    }
}
