//! setsockopt and getsockopt. What is set on a listener or before a connect, [`Settings`] collected
//! for the whole engine; what is set on an accepted connection is that connection's own.
//!
//! [`Settings`]: super::settings::Settings

use std::time::Duration;

use super::ast::{Arg, Call};
use super::calls::{Context, Kind, Outcome, Sockets, errno};
use super::facade::{Message, Wish};

impl Sockets {
    pub(super) fn set_option(
        &mut self,
        call: &Call,
        cx: &mut Context<'_>,
    ) -> Result<Option<Outcome>, String> {
        let [_, _, option, value, ..] = call.args.as_slice() else {
            return Err(String::from("setsockopt(fd, level, option, value, length)"));
        };
        if option.is_word("SO_LINGER") {
            let Arg::Fields(fields) = value else {
                return Err(String::from("SO_LINGER: expected {onoff=1, linger=0}"));
            };
            let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
            self.socket(call)?.resets = field("onoff") == Some(1) && field("linger") == Some(0);
            return Ok(Some(Ok(0)));
        }
        if let (Kind::Connected(id), Arg::Words(names)) = (self.socket(call)?.kind, option) {
            let value = value.integer().and_then(|n| u64::try_from(n).ok());
            let value = value.ok_or("setsockopt: expected a number, as in [1]")?;
            if let Some(wish) = wish(&names.join("|"), value, cx.settings.keep_alive_idle) {
                cx.world(false).post(id, Message::Set(wish))?;
            }
        }
        Ok(Some(Ok(0)))
    }

    pub(super) fn get_option(
        &mut self,
        call: &Call,
        cx: &mut Context<'_>,
    ) -> Result<Option<Outcome>, String> {
        let (option, expected) = (call.args.get(2), call.args.get(3));
        let expected = expected.ok_or("getsockopt: expected a value")?;
        if option.is_some_and(|arg| arg.is_word("TCP_URGENT")) {
            let Kind::Connected(id) = self.socket(call)?.kind else {
                return Err(String::from("getsockopt: TCP_URGENT is of a connection"));
            };
            let urgent = cx.world(false).facade().status(id).map_or(0, |status| status.urgent);
            return match expected.integer() == i64::try_from(urgent).ok() {
                true => Ok(Some(Ok(0))),
                false => Err(format!("getsockopt: {urgent} bytes are urgent")),
            };
        }
        if !option.is_some_and(|arg| arg.is_word("SO_ERROR")) {
            return Err(String::from("getsockopt: only SO_ERROR and TCP_URGENT are understood"));
        }
        let failed = cx.world(false).facade().connect_failed;
        let good = match failed {
            None => expected.integer() == Some(0),
            Some(why) => {
                matches!(expected, Arg::List(items) if items.iter().any(|i| i.is_word(errno(why))))
            }
        };
        if !good {
            return Err(format!("getsockopt: the error is {failed:?}"));
        }
        self.connected(cx);
        Ok(Some(Ok(0)))
    }
}

/// What an option of one connection asks for; `None` for those of [`Settings`] alone.
///
/// [`Settings`]: super::settings::Settings
fn wish(name: &str, value: u64, keep_alive_idle: Duration) -> Option<Wish> {
    Some(match name {
        "TCP_NODELAY" => Wish::NoDelay(value != 0),
        "SO_KEEPALIVE" => Wish::KeepAlive((value != 0).then_some(keep_alive_idle)),
        "TCP_KEEPIDLE" => Wish::KeepAlive(Some(Duration::from_secs(value))),
        // As in Linux, zero is no limit of its own; here: none at all.
        "TCP_USER_TIMEOUT" if value == 0 => Wish::UserTimeout(None),
        "TCP_USER_TIMEOUT" => Wish::UserTimeout(Some(Duration::from_millis(value))),
        _ => return None,
    })
}
