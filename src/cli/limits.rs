//! The maxima: all of them as keys of `[limits]`, and flags for those that people look for.

use super::text::{Span, text};
use crate::engine::Limits;

/// `[limits]`: see [`Limits`] for what each means.
#[derive(Clone, Debug, Default, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct LimitSettings {
    /// Connections of each core [default: 65536]
    #[arg(long = "max-connections", value_name = "N")]
    connections: Option<u32>,

    /// Connections of each core that one listener may have accepted [default: no limit of its own]
    #[arg(long = "max-per-listener", value_name = "N")]
    connections_per_listener: Option<u32>,

    /// Connections of each core that one source may have opened, see --source-prefix [default: no
    /// limit]
    #[arg(long = "max-per-source", value_name = "N")]
    connections_per_source: Option<u32>,

    /// Leading bits of an IPv4 address that make a source, 24 to 32; of IPv6 it is always 64
    /// [default: 32]
    #[arg(long, value_name = "BITS")]
    source_prefix: Option<u8>,

    /// Connections whose handshake is not complete, per listener and core; kernel sockets keep to
    /// net.ipv4.tcp_max_syn_backlog instead [default: 4096]
    #[arg(long = "max-half-open", value_name = "N")]
    half_open: Option<u32>,

    #[arg(skip)]
    syn_cookies_at: Option<u32>,
    #[arg(skip)]
    newcomer_frames: Option<u32>,
    #[arg(skip)]
    time_wait: Option<u32>,
    #[arg(skip)]
    batch: Option<u32>,
    #[arg(skip)]
    out_of_order: Option<u32>,
    #[arg(skip)]
    #[serde(deserialize_with = "text")]
    patience: Option<Span>,
    #[arg(skip)]
    replies_per_second: Option<u32>,
}

impl LimitSettings {
    /// What is said here, else what `file` says.
    pub(super) fn or(self, file: LimitSettings) -> LimitSettings {
        LimitSettings {
            connections: self.connections.or(file.connections),
            connections_per_listener: self
                .connections_per_listener
                .or(file.connections_per_listener),
            connections_per_source: self.connections_per_source.or(file.connections_per_source),
            source_prefix: self.source_prefix.or(file.source_prefix),
            half_open: self.half_open.or(file.half_open),
            // These have no flags.
            ..file
        }
    }

    /// These limits over the defaults.
    pub(super) fn limits(&self, backlog: Option<u32>) -> Limits {
        let default = Limits::default();
        let half_open = self.half_open.unwrap_or(default.half_open);
        let patience = self.patience.map(|Span(patience)| patience);
        Limits {
            connections: self.connections.unwrap_or(default.connections),
            connections_per_listener: self
                .connections_per_listener
                .unwrap_or(default.connections_per_listener),
            connections_per_source: self
                .connections_per_source
                .unwrap_or(default.connections_per_source),
            source_prefix: self.source_prefix.unwrap_or(default.source_prefix),
            newcomer_frames: self.newcomer_frames.unwrap_or(default.newcomer_frames),
            half_open,
            // As the default does: at half of the table.
            syn_cookies_at: self.syn_cookies_at.unwrap_or(half_open / 2),
            backlog: backlog.unwrap_or(default.backlog),
            time_wait: self.time_wait.unwrap_or(default.time_wait),
            batch: self.batch.unwrap_or(default.batch),
            out_of_order: self.out_of_order.unwrap_or(default.out_of_order),
            patience: patience.unwrap_or(default.patience),
            replies_per_second: self.replies_per_second.unwrap_or(default.replies_per_second),
            ..default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_file_and_both_before_the_defaults() {
        let file = LimitSettings {
            half_open: Some(10),
            connections: Some(7),
            newcomer_frames: Some(3),
            ..LimitSettings::default()
        };
        let flags = LimitSettings { half_open: Some(20), ..LimitSettings::default() };
        let limits = flags.or(file).limits(Some(9));
        let default = Limits::default();
        assert_eq!((limits.half_open, limits.syn_cookies_at), (20, 10));
        assert_eq!((limits.connections, limits.newcomer_frames, limits.backlog), (7, 3, 9));
        assert_eq!(limits.connections_per_source, default.connections_per_source);
        assert_eq!(LimitSettings::default().limits(None), default);
    }
}
