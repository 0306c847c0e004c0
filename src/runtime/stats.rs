//! The statistics of a server as JSON: per core and in total.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use serde_json::{Map, Value, json};

use super::ready::Ready;
use crate::app::Close;
use crate::device::{Census, DeviceCounters, Place};
use crate::engine::{Counter, Counters};
use crate::wire::Reject;

/// What one core tells of itself.
#[derive(Clone, Debug)]
pub(super) struct CoreReport {
    /// Number of the core, from zero.
    pub(super) core: usize,
    /// The processor that it is pinned to.
    pub(super) cpu: Option<u32>,
    /// The receive queue that it serves.
    pub(super) queue: u32,
    /// How its device moves packets.
    pub(super) mode: String,
    /// What it counted; goes on changing.
    pub(super) counters: Arc<CachePadded<Counters>>,
    /// Where its frames were.
    pub(super) census: Census,
    /// What its device had counted.
    pub(super) device: DeviceCounters,
}

/// Section and name of each counter in the report; without a name it is a number of its own.
const NAMES: [(Counter, &str, &str); Counter::COUNT] = [
    (Counter::SegmentsReceived, "segments", "received"),
    (Counter::SegmentsSent, "segments", "sent"),
    (Counter::Retransmissions, "retransmissions", ""),
    (Counter::RetransmissionTimeouts, "segments", "retransmission_timeouts"),
    (Counter::FastRetransmits, "segments", "fast_retransmits"),
    (Counter::SpuriousTimeouts, "segments", "spurious_timeouts"),
    (Counter::UndoneReductions, "segments", "undone_reductions"),
    (Counter::BytesReceived, "bytes", "received"),
    (Counter::BytesSent, "bytes", "sent"),
    (Counter::SynsReceived, "connections", "syns_received"),
    (Counter::SynCookiesSent, "connections", "syn_cookies_sent"),
    (Counter::SynCookiesReceived, "connections", "syn_cookies_received"),
    (Counter::SynCookiesFailed, "connections", "syn_cookies_failed"),
    (Counter::ConnectionsAccepted, "connections", "accepted"),
    (Counter::ConnectionsConnected, "connections", "connected"),
    (Counter::ConnectionsRefused, "connections", "refused"),
    (Counter::ResetsSent, "segments", "resets_sent"),
    (Counter::ResetsReceived, "segments", "resets_received"),
    (Counter::ChallengeAcks, "segments", "challenge_acks"),
    (Counter::StraysPassedOn, "segments", "strays_passed_on"),
    (Counter::DropStray, "drops", "stray"),
    (Counter::TailLossProbes, "segments", "tail_loss_probes"),
    (Counter::ZeroWindowProbes, "segments", "zero_window_probes"),
    (Counter::KeepAliveProbes, "segments", "keep_alive_probes"),
    (Counter::OutOfOrderSegments, "segments", "out_of_order"),
    (Counter::ContradictingSegments, "segments", "contradicting"),
    (Counter::HolesForgotten, "segments", "holes_forgotten"),
    (Counter::StalledResets, "segments", "stalled_resets"),
    (Counter::EcnConnections, "ecn", "connections"),
    (Counter::AccurateEcnConnections, "ecn", "accurate_connections"),
    (Counter::CongestionMarksReceived, "ecn", "marks_received"),
    (Counter::CongestionMarksReported, "ecn", "marks_reported"),
    (Counter::CongestionMarkReductions, "ecn", "reductions"),
    (Counter::EcnFallbacks, "ecn", "fallbacks"),
    (Counter::NeighbourReplies, "control", "neighbour_replies"),
    (Counter::EchoReplies, "control", "echo_replies"),
    (Counter::IcmpErrors, "control", "icmp_errors"),
    (Counter::IcmpErrorsNoted, "control", "icmp_errors_noted"),
    (Counter::IcmpErrorsHard, "control", "icmp_errors_hard"),
    (Counter::DropIcmpUnmatched, "drops", "icmp_unmatched"),
    (Counter::DropIcmpNotInFlight, "drops", "icmp_not_in_flight"),
    (Counter::DropPathMtu, "drops", "path_mtu"),
    (Counter::PathMtuDeferred, "path", "mtu_deferred"),
    (Counter::PathMtuLowered, "path", "mtu_lowered"),
    (Counter::BlackHoles, "path", "black_holes"),
    (Counter::PathProbes, "path", "probes"),
    (Counter::PathProbesLost, "path", "probes_lost"),
    (Counter::PathMtuRaised, "path", "mtu_raised"),
    (Counter::DropNoConnection, "drops", "no_connection"),
    (Counter::DropNotOurs, "drops", "not_ours"),
    (Counter::ListenOverflows, "connections", "listen_overflows"),
    (Counter::ListenDrops, "connections", "listen_drops"),
    (Counter::DropHalfOpenFull, "drops", "half_open_full"),
    (Counter::DropConnectionsFull, "drops", "connections_full"),
    (Counter::DropNewcomerFrames, "drops", "newcomer_frames"),
    (Counter::DropSourceFull, "drops", "source_full"),
    (Counter::DropDraining, "drops", "draining"),
    (Counter::DropOutOfWindow, "drops", "out_of_window"),
    (Counter::DropPaws, "drops", "paws"),
    (Counter::DropBadAck, "drops", "bad_ack"),
    (Counter::DropBadReset, "drops", "bad_reset"),
    (Counter::DropAfterClose, "drops", "after_close"),
    (Counter::DropNoRoom, "drops", "no_room"),
    (Counter::DropOutOfOrder, "drops", "out_of_order"),
    (Counter::DropDuplicate, "drops", "duplicate"),
    (Counter::DropTransmitFull, "drops", "transmit_full"),
    (Counter::DropNoFrames, "drops", "no_frames"),
    (Counter::DropReplyLimit, "drops", "reply_limit"),
    (Counter::DropNoNeighbour, "drops", "no_neighbour"),
    (Counter::DropMessages, "drops", "messages"),
    (Counter::TimeWaitEvictions, "connections", "time_wait_evicted"),
    (Counter::Turns, "turns", "all"),
    (Counter::IdleTurns, "turns", "idle"),
];

/// The statistics of the whole server: the totals, then the same for each core.
pub(super) fn document(ready: &Ready, uptime: core::time::Duration, cores: &[CoreReport]) -> Value {
    let sections: Vec<Value> = cores.iter().map(core_sections).collect();
    let mut total = Value::Null;
    for section in &sections {
        add(&mut total, section);
    }
    let head = json!({
        "backend": ready.backend.name(),
        "mode": ready.mode,
        "listen": ready.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "queues": ready.queues,
        "uptime_seconds": uptime.as_secs_f64(),
    });
    let named = |(core, sections): (&CoreReport, Value)| {
        let head = json!({
            "core": core.core, "cpu": core.cpu, "queue": core.queue, "mode": core.mode,
        });
        joined(head, sections)
    };
    let cores: Vec<Value> = cores.iter().zip(sections).map(named).collect();
    joined(joined(head, total), json!({ "cores": cores }))
}

/// Finds out before anything is served whether the file can be written at the end.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let unfinished = unfinished(path);
    fs::write(&unfinished, "")?;
    fs::remove_file(unfinished)
}

/// Writes the document in one piece, so that a reader never sees half of it.
pub(super) fn write(path: &Path, document: &Value) -> io::Result<()> {
    let unfinished = unfinished(path);
    fs::write(&unfinished, format!("{document:#}\n"))?;
    fs::rename(&unfinished, path)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn core_sections(core: &CoreReport) -> Value {
    let counters = &core.counters;
    let mut sections = Map::new();
    let mut put = |section: &str, name: &str, value: u64| {
        let section = sections.entry(section).or_insert(Value::Null);
        let place = if name.is_empty() { section } else { &mut section[name] };
        *place = value.into();
    };
    for (counter, section, name) in NAMES {
        put(section, name, counters.get(counter));
    }
    for &reason in Reject::ALL {
        put("drops", reason.name(), counters.rejected(reason));
    }
    put("connections", "open", counters.connections());
    put("connections", "half_open", counters.half_open());
    put("connections", "time_wait", counters.time_wait());
    for reason in Close::ALL {
        put("closed", reason.name(), counters.closed(reason));
    }
    for place in Place::ALL {
        put("frames", place.name(), core.census.at(place).into());
    }
    put("frames", "posted", core.census.posted.into());
    put("device", "rx_packets", core.device.rx_packets);
    put("device", "tx_packets", core.device.tx_packets);
    put("device", "rx_dropped", core.device.rx_dropped);
    put("device", "tx_dropped", core.device.tx_dropped);
    put("device", "kicks", core.device.kicks);
    Value::Object(sections)
}

fn joined(mut first: Value, second: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (first.as_object_mut(), second) {
        members.extend(more);
    }
    first
}

/// Adds numbers to numbers of the same name.
fn add(total: &mut Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if total.is_null() {
                *total = Value::Object(Map::new());
            }
            for (name, member) in members {
                add(&mut total[name], member);
            }
        }
        Value::Number(n) => {
            *total = (total.as_u64().unwrap_or(0) + n.as_u64().unwrap_or(0)).into();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::runtime::Backend;

    fn report(core: usize) -> CoreReport {
        CoreReport {
            core,
            cpu: Some(core as u32),
            queue: 0,
            mode: String::from("copy"),
            counters: Counters::new(),
            census: Census { frames: [1, 2, 0, 0, 0, 0, 0, 0], posted: 3 },
            device: DeviceCounters { rx_packets: 10, ..DeviceCounters::default() },
        }
    }

    fn some_document() -> Value {
        let ready = Ready {
            backend: Backend::AfXdp,
            mode: String::from("copy"),
            listen: vec!["10.9.0.1:80".parse().expect("valid")],
            queues: 2,
        };
        let cores = [report(0), report(1)];
        cores[0].counters.add(Counter::BytesSent, 5);
        cores[1].counters.add(Counter::BytesSent, 7);
        cores[1].counters.add(Counter::Retransmissions, 2);
        cores[1].counters.reject(Reject::ALL[0]);
        cores[0].counters.close(Close::Reset);
        document(&ready, Duration::from_millis(1_500), &cores)
    }

    #[test]
    fn totals_are_sums_over_the_cores() {
        let document = some_document();
        assert_eq!(document["bytes"]["sent"], 12);
        assert_eq!(document["retransmissions"], 2);
        assert_eq!(document["drops"][Reject::ALL[0].name()], 1);
        assert_eq!(document["closed"]["reset"], 1);
        assert_eq!(document["frames"]["free"], 2);
        assert_eq!(document["frames"]["posted"], 6);
        assert_eq!(document["device"]["rx_packets"], 20);
        assert_eq!(document["cores"][1]["bytes"]["sent"], 7);
        assert_eq!(document["cores"][0]["cpu"], 0);
        assert_eq!(document["listen"][0], "10.9.0.1:80");
    }

    #[test]
    fn every_counter_has_a_name_of_its_own() {
        let mut names: Vec<_> = NAMES.iter().map(|&(_, section, name)| (section, name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::COUNT);
        let mut counters: Vec<_> = NAMES.iter().map(|&(counter, ..)| counter as usize).collect();
        counters.sort_unstable();
        assert_eq!(counters, (0..Counter::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn the_file_appears_whole() {
        let path = std::env::temp_dir().join(format!("sidestep-stats-{}", std::process::id()));
        write(&path, &some_document()).expect("a temporary file");
        let text = fs::read_to_string(&path).expect("written");
        fs::remove_file(&path).expect("there");
        assert!(serde_json::from_str::<Value>(&text).is_ok_and(|read| read == some_document()));
    }
}
