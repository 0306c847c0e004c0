//! The configuration file: the options of `serve` as TOML, and the settings that are too many for
//! flags.

use std::fs;
use std::path::Path;

use super::options::Options;
use super::text::{Span, text};
use crate::device::PoolConfig;
use crate::runtime::Error;
use crate::tcp::congestion::Algorithm;
use crate::tcp::{Ecn, TcpConfig};

/// `[tcp]`: see [`TcpConfig`] for what each means.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct TcpSettings {
    no_delay: Option<bool>,
    #[serde(deserialize_with = "text")]
    delayed_ack: Option<Span>,
    #[serde(deserialize_with = "text")]
    time_wait: Option<Span>,
    #[serde(deserialize_with = "text")]
    user_timeout: Option<Span>,
    #[serde(deserialize_with = "text")]
    keep_alive: Option<Span>,
    pacing: Option<bool>,
    receive_buffer: Option<u32>,
    send_buffer: Option<u32>,
    syn_retries: Option<u8>,
}

impl TcpSettings {
    /// These settings over the defaults.
    pub(crate) fn config(&self, congestion: Option<Algorithm>, ecn: Option<Ecn>) -> TcpConfig {
        let default = TcpConfig::default();
        let span = |span: Option<Span>, or| span.map_or(or, |Span(duration)| duration);
        TcpConfig {
            no_delay: self.no_delay.unwrap_or(default.no_delay),
            delayed_ack: span(self.delayed_ack, default.delayed_ack),
            time_wait: span(self.time_wait, default.time_wait),
            user_timeout: span(self.user_timeout, default.user_timeout),
            keep_alive: match self.keep_alive {
                Some(Span(idle)) => (!idle.is_zero()).then_some(idle),
                None => default.keep_alive,
            },
            receive_buffer: self.receive_buffer.unwrap_or(default.receive_buffer),
            send_buffer: self.send_buffer.unwrap_or(default.send_buffer),
            syn_retries: self.syn_retries.unwrap_or(default.syn_retries),
            congestion: congestion.unwrap_or(default.congestion),
            pacing: self.pacing.unwrap_or(default.pacing),
            ecn: ecn.unwrap_or(default.ecn),
            ..default
        }
    }
}

/// `[frames]`: the memory of each core.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Frames {
    count: Option<u32>,
    size: Option<u32>,
    huge_pages: Option<bool>,
}

impl Frames {
    /// These settings over the defaults.
    pub(crate) fn config(&self) -> PoolConfig {
        let default = PoolConfig::default();
        PoolConfig {
            frames: self.count.unwrap_or(default.frames),
            frame_size: self.size.unwrap_or(default.frame_size),
            huge_pages: self.huge_pages.unwrap_or(default.huge_pages),
            ..default
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// Names the file, and the line and key where it is wrong.
pub(crate) fn read(path: &Path) -> Result<Options, Error> {
    let text = fs::read_to_string(path).map_err(|answer| Error::Machine {
        tried: format!("reading the configuration file {}", path.display()),
        answer,
        advice: String::from("name a TOML file that can be read with --config"),
    })?;
    parse(&text)
        .map_err(|message| Error::Configuration(format!("file {}, {message}", path.display())))
}

fn parse(text: &str) -> Result<Options, String> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text[..at].matches('\n').count() + 1;
        let message = error.message().replace('\n', " ");
        match key_at(text, at) {
            Some(key) => format!("line {line}, key '{key}': {message}"),
            None => format!("line {line}: {message}"),
        }
    })
}

/// The key whose line, or whose value's lines, `at` lies in.
fn key_at(text: &str, at: usize) -> Option<&str> {
    let end = text[at..].find('\n').map_or(text.len(), |len| at + len);
    let assignment = |line: &&str| !line.trim_start().starts_with(['#', '[', '"', ']']);
    let lines = text[..end].lines().rev().filter(assignment);
    let mut keys = lines.filter_map(|line| line.split_once('=').map(|(key, _)| key.trim()));
    keys.next().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::engine::Overflow;
    use crate::runtime::{Backend, Poll};

    #[test]
    fn everything_that_has_a_flag_has_a_key() {
        let options = parse(
            "interface = 'eth1'\nlisten = ['10.9.0.1:80', '[fd09::1]:80']\napp = 'echo'\n\
             backend = 'af-xdp'\nmode = 'copy'\nqueues = '0-1'\ncores = 1\npoll = 'busy'\n\
             address = ['10.9.0.7/24']\ngateway = ['10.9.0.2']\nbacklog = 7\ndrain = '250ms'\n\
             overflow = 'reset'\n\
             congestion = 'bbr'\necn = 'accurate'\nstats-json = 's.json'\nroot = '.'\n\
             [tcp]\ntime-wait = '1s'\nkeep-alive = '0s'\nsyn-retries = 3\n\
             [limits]\nconnections = 10\npatience = '3s'\nout-of-order = 11\n\
             newcomer-frames = 12\nhalf-open = 13\nsyn-cookies-at = 5\n\
             connections-per-source = 14\nsource-prefix = 24\nconnections-per-listener = 9\n\
             replies-per-second = 15\n[frames]\nsize = 4096\n",
        )
        .expect("valid");
        assert_eq!(options.listen.len(), 2);
        assert_eq!((options.backend, options.poll), (Some(Backend::AfXdp), Some(Poll::Busy)));
        assert_eq!(options.cores.as_ref().map(|cores| cores.as_slice()), Some(&[1][..]));
        assert_eq!(options.drain(), Duration::from_millis(250));
        let tcp = options.tcp.config(options.congestion, options.ecn);
        assert_eq!((tcp.time_wait, tcp.keep_alive), (Duration::from_secs(1), None));
        assert_eq!((tcp.congestion, tcp.ecn), (Algorithm::Bbr, Ecn::Accurate));
        assert_eq!((options.overflow, tcp.syn_retries), (Some(Overflow::Reset), 3));
        let limits = options.limits.limits(options.backlog);
        assert_eq!((limits.connections, limits.connections_per_listener), (10, 9));
        assert_eq!((limits.connections_per_source, limits.source_prefix), (14, 24));
        assert_eq!((limits.half_open, limits.syn_cookies_at, limits.backlog), (13, 5, 7));
        assert_eq!((limits.newcomer_frames, limits.out_of_order), (12, 11));
        assert_eq!((limits.patience, limits.replies_per_second), (Duration::from_secs(3), 15));
        assert_eq!(options.frames.config().frame_size, 4_096);
    }

    #[test]
    fn errors_name_line_and_key() {
        for (text, expected) in [
            ("app = 'hello'\nbackned = 'auto'\n", "line 2, key 'backned': unknown field"),
            ("\n\npoll = 'often'\n", "line 3, key 'poll': 'often' is no poll mode"),
            ("listen = [\n  '10.9.0.1:80',\n  'nowhere'\n]\n", "line 3, key 'listen': "),
            ("backlog = -1\n", "line 1, key 'backlog': "),
            ("drain = '5'\n", "line 1, key 'drain': '5' is no length of time"),
            ("overflow = 'wait'\n", "line 1, key 'overflow': 'wait' is no overflow policy"),
            ("[limits]\nhalf-open = -1\n", "line 2, key 'half-open': "),
            ("[limits]\npatience = 3\n", "line 2, key 'patience': '3' is no length of time"),
            ("[tcp]\nnagle = true\n", "line 2, key 'nagle': unknown field"),
            ("app = \n", "line 1, key 'app': "),
            ("app = 'a'\napp = 'b'\n", "line 2, key 'app': "),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.starts_with(expected), "{text:?}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = parse("backlog = 7\nlisten = ['10.9.0.1:80']\n").expect("valid");
        let flags = Options {
            backlog: Some(9),
            listen: vec!["10.9.0.2:80".parse().expect("valid")],
            ..Options::default()
        };
        let both = flags.or(file);
        assert_eq!(both.backlog, Some(9));
        assert_eq!(both.listen, ["10.9.0.2:80".parse().expect("valid")]);
    }
}
