//! Runs a script, event by event.

use std::time::Duration;

use super::ast::{Action, Call, Event, Options, Packet, Script, Time};
use super::calls::{Context, Outcome, Sockets};
use super::icmp::Icmp;
use super::matching::{Verdict, compare, rest_of_expected, rest_of_segment};
use super::names::Names;
use super::settings::Settings;
use super::world::World;
use crate::segments::path::{Family, Path};
use crate::segments::segment::{Segment, TcpOption};

/// How long `*` waits.
const ANY: Duration = Duration::from_secs(4 * 3_600);
/// Lines of the trace that a failure shows.
const TRACE: usize = 25;

/// Runs a script in one family; an error tells where, what, and what came before.
pub(crate) fn run(script: &Script, settings: &Settings, family: Family) -> Result<(), String> {
    // In IPv6 the script's sequence numbers wrap within its first segments.
    let shift = if family == Family::V4 { 0 } else { 500u32.wrapping_neg() };
    let mut run = Run {
        script,
        settings,
        path: Path::new(family, 8_080, 40_000),
        world: None,
        names: Names::new(shift),
        sockets: Sockets::default(),
        pending: None,
        previous: Duration::ZERO,
        trace: Vec::new(),
    };
    run.all().map_err(|(line, what)| {
        let from = run.trace.len().saturating_sub(TRACE);
        let trace = run.trace[from..].join("\n    ");
        format!("{}:{line} ({}): {what}\n    {trace}", script.name, family.name())
    })
}

/// A blocking call that has not returned.
struct Pending<'a> {
    line: usize,
    call: &'a Call,
    end: Duration,
}

struct Run<'a> {
    script: &'a Script,
    settings: &'a Settings,
    path: Path,
    world: Option<World>,
    names: Names,
    sockets: Sockets,
    pending: Option<Pending<'a>>,
    /// The time that relative times count from.
    previous: Duration,
    trace: Vec<String>,
}

type Located<T> = Result<T, (usize, String)>;

impl<'a> Run<'a> {
    fn all(&mut self) -> Located<()> {
        let script = self.script;
        for event in &script.events {
            self.event(event)?;
            self.poll_pending()?;
        }
        let last = script.events.last().map_or(1, |event| event.line);
        if let Some(pending) = &self.pending {
            let (line, end) = (pending.line, pending.end);
            self.advance(line, end + self.settings.tolerance)?;
        }
        while let Some((at, segment)) = self.world.as_mut().and_then(|world| world.sent.pop_front())
        {
            let segment = self.trace_sent(at, &segment);
            if self.script.strict || !segment.is_pure_ack() {
                return Err((last, format!("the script has ended, but not the engine: {segment}")));
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &'a Event) -> Located<()> {
        let line = event.line;
        let (from, to) = self.window(event.time);
        match &event.action {
            Action::Expect(packet) => {
                let at = self.expect(line, packet, from, to)?;
                self.previous = if from == to { from } else { at };
                return Ok(());
            }
            Action::Inject(packet) => {
                self.advance(line, from)?;
                self.inject(packet).map_err(|what| (line, what))?;
            }
            Action::InjectIcmp(icmp) => {
                self.advance(line, from)?;
                self.inject_icmp(icmp).map_err(|what| (line, what))?;
            }
            Action::Call(call) => {
                self.advance(line, from)?;
                let end = call.end.map(|end| match event.time {
                    Time::Relative(_) => self.previous + Duration::from_nanos(end),
                    _ => Duration::from_nanos(end),
                });
                self.call(line, call, end)?;
            }
            Action::Command(_) => {} // Settings has done it.
        }
        self.previous = from;
        Ok(())
    }

    fn window(&self, time: Time) -> (Duration, Duration) {
        let after = |nanos| self.previous + Duration::from_nanos(nanos);
        match time {
            Time::Absolute(at) => (Duration::from_nanos(at), Duration::from_nanos(at)),
            Time::Relative(by) => (after(by), after(by)),
            Time::Any => (self.previous, self.previous + ANY),
            Time::AbsoluteRange(a, b) => (Duration::from_nanos(a), Duration::from_nanos(b)),
            Time::RelativeRange(a, b) => (after(a), after(b)),
        }
    }

    /// Lets the engine act whenever it is due, up to `to`.
    fn advance(&mut self, line: usize, to: Duration) -> Located<()> {
        loop {
            let Some(world) = &mut self.world else { return Ok(()) };
            let next = world.next_deadline().filter(|at| *at <= to);
            let next = next.unwrap_or(to).max(world.elapsed());
            world.advance(next).map_err(|what| (line, what))?;
            let done = next >= to;
            self.poll_pending()?;
            if done {
                return Ok(());
            }
        }
    }

    fn context(&mut self) -> (&mut Sockets, Context<'_>) {
        let Run { world, names, settings, path, sockets, .. } = self;
        (sockets, Context { world, names, settings, path: *path })
    }

    fn inject(&mut self, packet: &Packet) -> Result<(), String> {
        let live = self.names.injected(&self.path, packet)?;
        let mut shown = live.clone();
        (shown.seq, shown.ack) = (packet.seq, packet.ack.unwrap_or(0));
        let (_, mut context) = self.context();
        let world = context.world(false);
        let at = world.elapsed();
        let done = world.inject(&live);
        self.note(at, '<', &shown);
        done
    }

    fn inject_icmp(&mut self, icmp: &Icmp) -> Result<(), String> {
        let quote = icmp.quote(self.path.family(), self.names.live(icmp.seq))?;
        let (_, mut context) = self.context();
        let world = context.world(false);
        let at = world.elapsed();
        let done = world.inject_icmp(&quote);
        self.trace.push(format!("{:>12.6} < {icmp}", at.as_secs_f64()));
        done
    }

    fn note(&mut self, at: Duration, direction: char, segment: &Segment) {
        self.trace.push(format!("{:>12.6} {direction} {segment}", at.as_secs_f64()));
    }

    fn trace_sent(&mut self, at: Duration, live: &Segment) -> Segment {
        let segment = self.names.received(live);
        self.note(at, '>', &segment);
        segment
    }

    /// Waits for a segment; returns when it came.
    fn expect(
        &mut self,
        line: usize,
        packet: &Packet,
        from: Duration,
        to: Duration,
    ) -> Located<Duration> {
        let mut packet = packet.clone();
        let tolerance = self.settings.tolerance;
        loop {
            let Some((at, live)) = self.next_sent(line, to + tolerance)? else {
                let millis = (to + tolerance).as_secs_f64();
                return Err((line, format!("nothing came by {millis:.6}")));
            };
            let segment = self.trace_sent(at, &live);
            if let Some(byte) = self.names.wrong_byte(&segment) {
                return Err((line, format!("byte {byte} is not the one that was written")));
            }
            match compare(&packet, &segment, self.script.strict, &self.names) {
                Verdict::Different(_) if !self.script.strict && segment.is_pure_ack() => continue,
                Verdict::Different(wrong) => return Err((line, wrong.join("; "))),
                Verdict::Front(bytes) => {
                    rest_of_expected(&mut packet, bytes);
                    continue;
                }
                Verdict::Longer(bytes) => {
                    let rest = rest_of_segment(&live, bytes);
                    if let Some(world) = &mut self.world {
                        world.sent.push_front((at, rest));
                    }
                }
                Verdict::Same => {}
            }
            if at + tolerance < from || at > to + tolerance {
                let (at, from, to) = (at.as_secs_f64(), from.as_secs_f64(), to.as_secs_f64());
                let when =
                    if from == to { format!("{to:.6}") } else { format!("{from:.6}~{to:.6}") };
                return Err((line, format!("came at {at:.6}, expected at {when}")));
            }
            self.names.learn_timestamp(&packet, &live);
            return Ok(at);
        }
    }

    /// The next segment that the engine sends by `until`.
    fn next_sent(&mut self, line: usize, until: Duration) -> Located<Option<(Duration, Segment)>> {
        loop {
            let Some(world) = &mut self.world else {
                return Err((line, String::from("nothing has started that could send")));
            };
            if let Some(sent) = world.sent.pop_front() {
                return Ok(Some(sent));
            }
            match world.next_deadline().filter(|at| *at <= until) {
                Some(at) => {
                    world.advance(at).map_err(|what| (line, what))?;
                    self.poll_pending()?;
                }
                None => return Ok(None),
            }
        }
    }

    fn call(&mut self, line: usize, call: &'a Call, end: Option<Duration>) -> Located<()> {
        self.trace.push(format!("             {}() = {}", call.name, call.result));
        let (sockets, mut context) = self.context();
        let outcome = sockets.call(call, &mut context).map_err(|what| (line, what))?;
        match (outcome, end) {
            (Some(outcome), None) => check(call, outcome).map_err(|what| (line, what)),
            (None, None) => check(call, Err("EAGAIN")).map_err(|what| (line, what)),
            (Some(_), Some(end)) if end > self.now() + self.settings.tolerance => {
                Err((line, format!("{} returned at once", call.name)))
            }
            (Some(outcome), Some(_)) => check(call, outcome).map_err(|what| (line, what)),
            (None, Some(_)) if self.pending.is_some() => {
                Err((line, String::from("another call is still blocked")))
            }
            (None, Some(end)) => {
                self.pending = Some(Pending { line, call, end });
                Ok(())
            }
        }
    }

    fn now(&self) -> Duration {
        self.world.as_ref().map_or(Duration::ZERO, World::elapsed)
    }

    /// Asks the blocked call again.
    fn poll_pending(&mut self) -> Located<()> {
        let Some(Pending { line, call, end }) = self.pending.take() else { return Ok(()) };
        let (now, tolerance) = (self.now(), self.settings.tolerance);
        let (sockets, mut context) = self.context();
        match sockets.call(call, &mut context).map_err(|what| (line, what))? {
            Some(_) if now + tolerance < end => {
                Err((line, format!("{} returned early, at {:.6}", call.name, now.as_secs_f64())))
            }
            Some(outcome) => check(call, outcome).map_err(|what| (line, what)),
            None if now >= end + tolerance => {
                Err((line, format!("{} has not returned by {:.6}", call.name, now.as_secs_f64())))
            }
            None => {
                self.pending = Some(Pending { line, call, end });
                Ok(())
            }
        }
    }
}

/// Whether a call gave what the script says.
fn check(call: &Call, outcome: Outcome) -> Result<(), String> {
    let expected = (call.result, call.errno.as_deref());
    let same = match outcome {
        Ok(value) => expected == (value, None),
        Err(name) => expected.0 == -1 && expected.1.is_none_or(|errno| errno == name),
    };
    if same {
        return Ok(());
    }
    let text = |value: i64, errno: Option<&str>| match errno {
        Some(errno) => format!("{value} {errno}"),
        None => value.to_string(),
    };
    let got = outcome.map_or_else(|errno| text(-1, Some(errno)), |value| text(value, None));
    Err(format!("{} gave {got}, expected {}", call.name, text(expected.0, expected.1)))
}
