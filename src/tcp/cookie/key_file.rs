//! Cookie keys in a file, so that several machines accept each other's cookies and a restarted
//! server those of its former self.
//!
//! ```text
//! # Keys of the web servers' SYN cookies. Make one with: openssl rand -hex 16
//! 0           6f1d2c4e8a90b7d3552e17c0f4a86b39
//! 1767225600  c2b1f06d33e94a5d8e7712ab5f90d461
//! ```
//!
//! A line is the UNIX time in seconds from which a key is in force, and its 128 bits as 32
//! hexadecimal digits; times ascend, and the first is 0. Empty lines, and lines that begin with
//! `#`, say nothing. A time counts as the beginning of the counter step (65.5 s) after the one it
//! lies in, so that a key's steps are the same everywhere. To change keys without losing a
//! handshake, append a line whose time is far enough ahead for all machines to have read it.

use super::keys::Key;
use super::step_at;

/// Hexadecimal digits of a key.
const DIGITS: usize = 32;
/// Keys in one file, at most.
const MAX_KEYS: usize = 1_024;

/// A key and when it comes into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledKey {
    /// The first counter step of the key.
    pub from_step: u32,
    /// The key.
    pub key: Key,
}

/// What is wrong with a key file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct KeyFileError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what was expected. Never the key.
    pub what: String,
}

/// The keys of a file, in the order in which they come into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(Vec<ScheduledKey>);

impl KeyFile {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`KeyFileError`], which never shows a key.
    pub fn parse(text: &str) -> Result<KeyFile, KeyFileError> {
        let mut keys: Vec<ScheduledKey> = Vec::new();
        let mut last = 0;
        for (n, line) in text.lines().enumerate() {
            last = n + 1;
            let wrong = |what: String| KeyFileError { line: n + 1, what };
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let key = parse_line(line).map_err(&wrong)?;
            let after = keys.last().map(|key| key.from_step);
            match after {
                None if key.from_step != 0 => {
                    return Err(wrong("the first key must be in force from 0 on".into()));
                }
                Some(before) if key.from_step <= before => {
                    let what = "a key must come into force 66 seconds after the one above, or more";
                    return Err(wrong(what.into()));
                }
                _ if keys.len() == MAX_KEYS => {
                    return Err(wrong(format!("more than {MAX_KEYS} keys: remove old ones")));
                }
                _ => keys.push(key),
            }
        }
        if keys.is_empty() {
            let what = "no key: expected lines as '0 HEX', HEX being 32 hexadecimal digits";
            return Err(KeyFileError { line: last.max(1), what: what.into() });
        }
        Ok(KeyFile(keys))
    }

    /// The keys; the first is in force from step 0.
    pub fn keys(&self) -> &[ScheduledKey] {
        &self.0
    }
}

fn parse_line(line: &str) -> Result<ScheduledKey, String> {
    let mut words = line.split_whitespace();
    let (Some(from), Some(digits), None) = (words.next(), words.next(), words.next()) else {
        return Err("expected a time in seconds and a key of 32 hexadecimal digits".into());
    };
    let from: u64 = from
        .parse()
        .map_err(|_| format!("'{from}' is no time: expected seconds of UNIX time, or 0"))?;
    let from_step = match from {
        0 => 0,
        _ => step_at(from.saturating_mul(1_000)).saturating_add(1),
    };
    Ok(ScheduledKey { from_step, key: parse_key(digits)? })
}

fn parse_key(digits: &str) -> Result<Key, String> {
    let wrong = || {
        let len = digits.chars().count();
        format!("expected a key of {DIGITS} hexadecimal digits, found {len} characters")
    };
    let values: Option<Vec<u8>> =
        digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let values = values.filter(|values| values.len() == DIGITS).ok_or_else(wrong)?;
    let mut bytes = [0; DIGITS / 2];
    for (byte, pair) in bytes.iter_mut().zip(values.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(Key::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f";
    const B: &str = "F0E0D0C0B0A090807060504030201000";

    #[test]
    fn keys_come_in_order() {
        let text = format!("# a comment\n\n0 {A}\n  1000000   {B}  \n");
        let file = KeyFile::parse(&text).expect("valid");
        let [a, b] = file.keys() else { panic!("{file:?}") };
        assert_eq!((a.from_step, b.from_step), (0, (1_000_000_000u64 >> 16) as u32 + 1));
        assert_eq!(a.key, Key::new(core::array::from_fn(|n| n as u8)));
        assert_eq!(b.key, parse_key(&B.to_lowercase()).expect("valid"));
    }

    #[test]
    fn errors_name_the_line_and_hide_the_key() {
        let short = &A[1..];
        for (text, line, what) in [
            (String::new(), 1, "no key"),
            ("# nothing\n\n".into(), 2, "no key"),
            (format!("0 {short}"), 1, "found 31 characters"),
            (format!("0 {short}g"), 1, "found 32 characters"),
            (format!("0 {A}\n5 {B}\n6 {B}"), 3, "66 seconds after the one above"),
            (format!("7 {A}"), 1, "in force from 0"),
            (format!("soon {A}"), 1, "'soon' is no time"),
            (format!("0 {A}\n{B}"), 2, "expected a time in seconds and a key"),
        ] {
            let error = KeyFile::parse(&text).expect_err(&text);
            let said = error.to_string();
            assert_eq!(error.line, line, "{text}");
            assert!(said.contains(what), "{text}: {said}");
            assert!(!said.contains(&A[..8]) && !said.contains(&B[..8]), "{said}");
        }
    }
}
