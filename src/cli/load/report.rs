//! What came of a load, as text and as JSON.

use core::fmt::Write;

use serde_json::{Map, Value, json};

use super::plan::Plan;
use super::tally::{Fault, Tally};
use crate::app::Close;
use crate::runtime::Ready;

/// Names and quantiles of latencies; the JSON output has them in microseconds.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// From here on the load itself may be what is measured.
const SATURATED_PERCENT: f64 = 95.0;

/// A load that is over.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) tally: &'a Tally,
    pub(super) ready: Option<Ready>,
    pub(super) interrupted: bool,
}

impl Report<'_> {
    pub(super) fn text(&self) -> String {
        let Report { plan, tally, .. } = self;
        let mut text = format!("{}\n\n", self.title());
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<22}{value}");
        };
        row("requests/s", format!("{:.0}", tally.rate));
        let latencies = QUANTILES.map(|(name, q)| format!("{name} {:.1}", tally.micros(q)));
        row("latency µs", latencies.join("  "));
        row("responses", format!("{} ({} bytes)", tally.responses, tally.bytes));
        if plan.rate.is_some() {
            row("unanswered at the end", tally.unanswered.to_string());
        }
        let faults = Fault::ALL.map(|(fault, name)| (name, tally.faults[fault as usize]));
        row("errors", counted(tally.faults(), &faults));
        row("connections opened", tally.opened.to_string());
        let failed = Close::ALL.map(|why| (why.name(), tally.failed[why as usize]));
        row("connections failed", counted(tally.failed(), &failed));
        let busy = tally.busy_percent();
        let note = if busy > SATURATED_PERCENT { ": the load may be the limit" } else { "" };
        row("load's core at work", format!("{busy:.0} %{note}"));
        text.truncate(text.trim_end().len());
        text
    }

    fn title(&self) -> String {
        let Plan { target, connections, rate, close, .. } = self.plan;
        let pace = rate
            .map_or(String::from("closed loop"), |rate| format!("open loop at {rate} requests/s"));
        let kept = if *close { "a connection for each request" } else { "kept alive" };
        let over = self
            .ready
            .as_ref()
            .map_or(String::new(), |ready| format!(" over {} ({})", ready.backend, ready.mode));
        let seconds = self.tally.measured.as_secs_f64();
        let cut = if self.interrupted { ", interrupted" } else { "" };
        format!("{connections} connections to {target}{over}, {kept}, {pace}, {seconds:.1} s{cut}")
    }

    pub(super) fn json(&self) -> String {
        let Report { plan, tally, ready, interrupted } = self;
        let latency: Map<String, Value> = QUANTILES
            .into_iter()
            .map(|(name, quantile)| (name.replace('.', ""), json!(tally.micros(quantile))))
            .collect();
        let faults: Map<String, Value> = Fault::ALL
            .into_iter()
            .map(|(fault, name)| (name.to_owned(), json!(tally.faults[fault as usize])))
            .collect();
        let failed: Map<String, Value> = Close::ALL
            .into_iter()
            .map(|why| (why.name().to_owned(), json!(tally.failed[why as usize])))
            .collect();
        let document = json!({
            "target": plan.target.to_string(),
            "backend": ready.as_ref().map(|ready| ready.backend.name()),
            "mode": ready.as_ref().map(|ready| ready.mode.clone()),
            "connections": plan.connections,
            "close": plan.close,
            "rate": plan.rate,
            "seconds": tally.measured.as_secs_f64(),
            "interrupted": interrupted,
            "requests_per_second": tally.rate,
            "latency_us": latency,
            "responses": tally.responses,
            "bytes": tally.bytes,
            "responses_with_warm_up": tally.answered,
            "unanswered": tally.unanswered,
            "errors": faults,
            "connections_opened": tally.opened,
            "connections_failed": failed,
            "busy_percent": tally.busy_percent(),
        });
        document.to_string()
    }
}

/// A sum, and what it is made of.
fn counted(sum: u64, parts: &[(&str, u64)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if parts.is_empty() { sum.to_string() } else { format!("{sum} ({})", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn measured() -> (Plan, Tally) {
        let plan = Plan {
            target: ([10, 9, 0, 1], 80).into(),
            sources: Vec::new(),
            request: Vec::new(),
            close: false,
            connections: 64,
            rate: Some(1_000.0),
            warm_up: Duration::ZERO,
            measure: Duration::from_secs(2),
        };
        let mut tally = Tally::new();
        for micros in 1..=1_000 {
            tally.record(Duration::from_micros(micros));
        }
        tally.responses = 1_000;
        tally.busy = Duration::from_secs(1);
        tally.fault(Fault::Reset);
        tally.failed[Close::Refused as usize] = 3;
        tally.close(Duration::from_secs(2));
        (plan, tally)
    }

    #[test]
    fn text_names_everything_that_went_wrong() {
        let (plan, tally) = measured();
        let text = Report { plan: &plan, tally: &tally, ready: None, interrupted: false }.text();
        for part in [
            "64 connections to 10.9.0.1:80, kept alive, open loop at 1000 requests/s, 2.0 s\n",
            "requests/s            500\n",
            "latency µs            p50 500.",
            "errors                1 (reset 1)\n",
            "connections failed    3 (refused 3)\n",
            "load's core at work   50 %",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn json_has_latencies_in_microseconds() {
        let (plan, tally) = measured();
        let json = Report { plan: &plan, tally: &tally, ready: None, interrupted: true }.json();
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["requests_per_second"], json!(500.0));
        let p999 = value["latency_us"]["p999"].as_f64().expect("a number");
        assert!((998.0..=1_001.0).contains(&p999), "{p999}");
        assert_eq!(value["connections_failed"]["refused"], json!(3));
        assert_eq!(value["errors"]["reset"], json!(1));
        assert_eq!(value["interrupted"], json!(true));
    }
}
