//! Whole packets: byte for byte, round trips, and whatever a stranger might send.

mod any_input;
mod generate;
mod round_trip;

use super::*;

const VERIFY: Checks = Checks::FULL;
