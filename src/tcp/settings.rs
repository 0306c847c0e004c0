//! The configuration in the form in which the protocol uses it.

use core::time::Duration;

use super::config::TcpConfig;
use super::congestion::Algorithm;
use super::rtt::RtoLimits;

/// Less than half a second, the timer's rounding included (RFC 9293 section 3.8.6.3, MUST-40).
const MAX_DELAYED_ACK: Duration = Duration::from_millis(490);

/// Made once per engine, read by every call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) config: TcpConfig,
    pub(crate) rto: RtoLimits,
}

impl Settings {
    pub(crate) fn new(mut config: TcpConfig) -> Settings {
        config.delayed_ack = config.delayed_ack.min(MAX_DELAYED_ACK);
        config.time_wait = config.time_wait.min(TcpConfig::LONGEST_TIME_WAIT);
        if config.congestion == Algorithm::Dctcp {
            config.ecn = config.ecn.asking();
        }
        let rto = RtoLimits::new(config.rto_min, config.rto_max, config.rto_initial);
        Settings { config, rto }
    }
}
