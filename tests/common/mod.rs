//! What the integration tests share.

use std::io::Write;

/// The value, or a skipped test: prints `skipped: <why>`, and fails instead with
/// `SIDESTEP_REQUIRE_XDP=1`, as in CI.
pub(crate) fn or_skip<T, E: std::fmt::Display>(attempt: Result<T, E>) -> Option<T> {
    let why = match attempt {
        Ok(value) => return Some(value),
        Err(why) => why,
    };
    let required = std::env::var_os("SIDESTEP_REQUIRE_XDP").is_some_and(|value| value == "1");
    assert!(!required, "a test was skipped although SIDESTEP_REQUIRE_XDP=1: {why}");
    // Not println!, which the test harness keeps to itself.
    let _ = writeln!(std::io::stdout(), "skipped: {why}");
    None
}
