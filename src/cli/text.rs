//! Values that are written as text, in flags and in files alike.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use core::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::runtime::ParseSettingError;

/// A length of time with its unit: `500ms`, `5s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Span, ParseSettingError> {
        const UNITS: [(&str, u64); 5] =
            [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
        let number_len = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(number_len);
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let micros =
            number.parse::<u64>().ok().zip(scale).and_then(|(n, scale)| n.checked_mul(scale));
        let expected = "a number and one of the units us, ms, s, m, h, as in 500ms or 5s";
        let span = micros.map(|micros| Span(Duration::from_micros(micros)));
        span.ok_or_else(|| ParseSettingError::new("length of time", text, expected))
    }
}

/// A string, or a number where people write one, that is parsed as on the command line.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parsed<T>, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData)).map(Parsed)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

/// For `#[serde(deserialize_with)]`: one value.
pub(crate) fn text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    Parsed::deserialize(deserializer).map(|Parsed(value)| Some(value))
}

/// For `#[serde(deserialize_with)]`: a list of values.
pub(crate) fn texts<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let values = Vec::<Parsed<T>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|Parsed(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        let span = |text: &str| text.parse::<Span>().map(|Span(duration)| duration).ok();
        assert_eq!(span("5s"), Some(Duration::from_secs(5)));
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "1.5s", "99999999999999999999s", "9999999999999999h"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
