//! Whole packets: byte for byte, round trips, and whatever a stranger might send.

mod any_input;
mod checks;
mod generate;
mod icmp;
mod known;
mod neighbours;
mod options;
mod round_trip;

use super::*;

const VERIFY: Checks = Checks::FULL;
