//! Limits that can't be kept to, named as the caller knows them.

use core::ops::RangeInclusive;

use super::builder::Settings;
use super::error::Error;
use crate::app::ConnId;

/// A table of so many half-open connections takes a gigabyte.
const MOST_HALF_OPEN: u32 = 1 << 24;

/// Finds the first limit that makes no sense.
pub(super) fn check(settings: &Settings) -> Result<(), Error> {
    const ANY: RangeInclusive<u32> = 1..=u32::MAX;
    let limits = &settings.limits;
    let each: [(&str, u32, RangeInclusive<u32>); 10] = [
        ("--max-connections", limits.connections, 1..=ConnId::MAX_SLOTS),
        ("--max-per-listener", limits.connections_per_listener, ANY),
        ("--max-per-source", limits.connections_per_source, ANY),
        ("--source-prefix", limits.source_prefix.into(), 24..=32),
        ("--max-half-open", limits.half_open, 1..=MOST_HALF_OPEN),
        ("--backlog", limits.backlog, 1..=MOST_HALF_OPEN),
        ("batch in [limits]", limits.batch, 1..=1 << 16),
        ("time-wait in [limits]", limits.time_wait, 0..=ConnId::MAX_SLOTS),
        ("timers_per_turn", limits.timers_per_turn, ANY),
        ("messages_per_turn", limits.messages_per_turn, ANY),
    ];
    if let Some((name, value, range)) = each.iter().find(|(_, value, range)| !range.contains(value))
    {
        let (least, most) = (range.start(), range.end());
        return Err(Error::configuration(format!(
            "{name} is {value}: name a number from {least} to {most}"
        )));
    }
    if limits.patience.is_zero() {
        return Err(Error::configuration(
            "patience in [limits] is no time at all: every connection would be given up as soon as \
             frames are scarce; name a time such as 10s",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn refused(change: impl Fn(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        check(&settings).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(check(&Settings::default()).is_ok());
        let text = refused(|settings| settings.limits.backlog = 0);
        assert!(text.contains("--backlog is 0: name a number from 1"), "{text}");
        let text = refused(|settings| settings.limits.half_open = u32::MAX);
        assert!(text.contains("--max-half-open is 4294967295"), "{text}");
        let text = refused(|settings| settings.limits.source_prefix = 16);
        assert!(text.contains("--source-prefix is 16: name a number from 24 to 32"), "{text}");
        let text = refused(|settings| settings.limits.patience = Duration::ZERO);
        assert!(text.contains("patience"), "{text}");
    }
}
