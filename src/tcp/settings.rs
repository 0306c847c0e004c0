//! The configuration in the form in which the protocol uses it.

use super::config::TcpConfig;
use super::rtt::RtoLimits;

/// Made once per engine, read by every call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) config: TcpConfig,
    pub(crate) rto: RtoLimits,
}

impl Settings {
    pub(crate) fn new(config: TcpConfig) -> Settings {
        let rto = RtoLimits::new(config.rto_min, config.rto_max, config.rto_initial);
        Settings { config, rto }
    }
}
