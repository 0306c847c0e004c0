//! The loads, and what one of them measured.

use core::fmt;
use core::time::Duration;

use serde_json::Value;
use sidestep::runtime::lab::{Measured, Process, Wrk};

use crate::row::Running;
use crate::stage::{AT_LOAD, Error, LOAD, LOAD_CPU, Stage, beside};

/// How long a load may take beyond its time.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long it sends before it measures.
const WARM_UP: &str = "200ms";

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// `sidestep load`, connections kept.
    Keep,
    /// `sidestep load`, a connection for each request.
    Close,
    /// `sidestep load`, an open loop of so many requests a second.
    Open(f64),
    /// wrk, connections kept.
    Wrk,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Keep => f.write_str("kept alive"),
            Way::Close => f.write_str("a connection for each request"),
            Way::Open(rate) => write!(f, "{rate:.0} requests/s"),
            Way::Wrk => f.write_str("kept alive, under wrk"),
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) rate: f64,
    /// Latencies in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) errors: f64,
    /// Processor time of the server, in microseconds per request.
    pub(crate) cpu: f64,
    /// Percent of its time that the load's core had something to do.
    pub(crate) load_busy: f64,
}

/// Loads a server.
pub(crate) fn run(
    stage: &Stage,
    server: &Running,
    way: Way,
    connections: u32,
    seconds: u32,
) -> Result<Sample, Error> {
    let before = server.process.processor_time();
    let (mut sample, answered) = match way {
        Way::Wrk => wrk(stage, &server.target, connections, seconds)?,
        _ => ours(stage, &server.target, way, connections, seconds)?,
    };
    let spent = server.process.processor_time().saturating_sub(before);
    sample.cpu = spent.as_secs_f64() * 1e6 / answered.max(1.0);
    Ok(sample)
}

/// A sample without the server's processor time, and all answers, those of the warm-up included.
fn ours(
    stage: &Stage,
    target: &str,
    way: Way,
    connections: u32,
    seconds: u32,
) -> Result<(Sample, f64), Error> {
    let (connections, time) = (connections.to_string(), seconds.to_string());
    let (program, cpu) = (beside("sidestep")?, LOAD_CPU.to_string());
    let mut arguments = vec![program.as_str(), "load", target, "--interface", AT_LOAD];
    arguments.extend(["--address", LOAD, "--cores", &cpu, "--json", "--connections", &connections]);
    arguments.extend(["--seconds", &time, "--warm-up", WARM_UP, "--accept-partial-checksums"]);
    let rate = if let Way::Open(rate) = way { rate.to_string() } else { String::new() };
    match way {
        Way::Open(_) => arguments.extend(["--rate", &rate]),
        Way::Close => arguments.push("--close"),
        Way::Keep | Way::Wrk => {}
    }
    let mut load = Process::start(&stage.client, LOAD_CPU, &arguments)?;
    let patience = Duration::from_secs(seconds.into()) + PATIENCE;
    let Some(line) = load.line("{", patience)? else { return Err(load.give_up("{").into()) };
    load.end();
    let value: Value = serde_json::from_str(&line)?;
    parse(&value).ok_or_else(|| format!("'sidestep load' printed {line}").into())
}

fn parse(value: &Value) -> Option<(Sample, f64)> {
    let number = |value: &Value| value.as_f64();
    let sum = |name: &str| -> Option<f64> {
        value[name].as_object()?.values().map(Value::as_f64).sum::<Option<f64>>()
    };
    let latency = &value["latency_us"];
    let sample = Sample {
        rate: number(&value["requests_per_second"])?,
        p50: number(&latency["p50"])?,
        p99: number(&latency["p99"])?,
        p999: number(&latency["p999"])?,
        errors: sum("errors")? + sum("connections_failed")?,
        cpu: 0.0,
        load_busy: number(&value["busy_percent"])?,
    };
    Some((sample, number(&value["responses_with_warm_up"])?))
}

fn wrk(
    stage: &Stage,
    target: &str,
    connections: u32,
    seconds: u32,
) -> Result<(Sample, f64), Error> {
    let wrk = Wrk::prepare()?;
    let url = format!("http://{target}/");
    let mut running = wrk.start(&stage.client, LOAD_CPU, connections, seconds, &url)?;
    let patience = Duration::from_secs(seconds.into()) + PATIENCE;
    let Some(line) = running.line(Wrk::LINE, patience)? else {
        return Err(running.give_up(Wrk::LINE).into());
    };
    let measured = Measured::parse(&line).ok_or_else(|| format!("wrk printed {line}"))?;
    let answered = measured.requests as f64;
    let sample = Sample {
        rate: answered / measured.duration.as_secs_f64().max(1e-9),
        p50: measured.p50,
        p99: measured.p99,
        p999: measured.p999,
        errors: measured.errors as f64,
        cpu: 0.0,
        load_busy: 100.0,
    };
    Ok((sample, answered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_adds_up_all_errors() {
        let text = r#"{"requests_per_second": 5.0, "busy_percent": 40.0,
            "responses_with_warm_up": 9, "latency_us": {"p50": 1.0, "p99": 2.0, "p999": 3.0},
            "errors": {"reset": 1, "status": 2}, "connections_failed": {"refused": 4}}"#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        let (sample, answered) = parse(&value).expect("complete");
        assert_eq!((sample.errors, sample.p999, answered), (7.0, 3.0, 9.0));
        assert_eq!(parse(&serde_json::json!({})), None);
    }
}
