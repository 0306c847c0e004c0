use std::net::SocketAddr;

use super::*;
use crate::app::{CoreId, Inboxes, MailboxReader};
use crate::apps::Hello;
use crate::device::{Pool, PoolConfig, Port, VirtualDevice, Waker};
use crate::engine::{Engine, EngineConfig, Listen, LocalAddress};
use crate::tcp::TcpConfig;

/// How long a turn of both ends takes, and a packet on the way.
const STEP: Duration = Duration::from_micros(10);

/// Says what one connection is to hear, whatever it asks; `None`: nothing.
struct Says(Option<&'static str>, bool);

impl App for Says {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        if let Some(text) = self.0.filter(|_| !rx.is_empty()) {
            tx.write(text.as_bytes());
            if self.1 {
                tx.finish();
            }
        }
        rx.consume(rx.len());
        if rx.fin() {
            tx.finish();
        }
    }
}

fn plan(connections: u32, rate: Option<f64>, close: bool) -> Plan {
    Plan {
        target: ([10, 9, 0, 1], 80).into(),
        sources: vec!["10.9.0.2".parse().expect("valid")],
        request: super::super::http::request("10.9.0.1", "/"),
        close,
        connections,
        rate,
        warm_up: Duration::from_millis(2),
        measure: Duration::from_millis(100),
    }
}

fn engine<A: App>(
    ip: &str,
    number: u8,
    listen: Option<SocketAddr>,
    reader: MailboxReader<A::Message>,
    app: A,
) -> (Engine<A, VirtualDevice>, Port) {
    let mut config = EngineConfig::new([number; 32]);
    let ip = ip.parse().expect("an address");
    config.addresses.push(LocalAddress { ip, prefix_len: 24, owned: true });
    config.listeners.extend(listen.map(|at| Listen { at }));
    let time_wait = Duration::from_millis(1);
    config.tcp = TcpConfig { connect_retries: 2, time_wait, ..TcpConfig::default() };
    let pool = PoolConfig { frames: 4_096, huge_pages: false, ..PoolConfig::default() };
    let pool = Pool::new(pool).expect("memory for a pool");
    let (device, port) = VirtualDevice::new(pool, [2, 0, 0, 0, 0, number], 1_500);
    (Engine::new(config, device, reader, app), port)
}

fn pump(from: &Port, to: &Port) {
    while let Some(packet) = from.receive() {
        to.send(&packet);
        from.recycle(packet);
    }
}

fn run<A: App<Message = ()>>(
    plan: &Plan,
    server: A,
    runs: impl Fn(u64) -> bool,
) -> (Tally, Option<Trouble>) {
    run_in_steps(STEP, plan, server, runs)
}

/// Runs the plan against `server` to its end in virtual time. `runs` says whether the server runs
/// at a moment (milliseconds since the start).
fn run_in_steps<A: App<Message = ()>>(
    step: Duration,
    plan: &Plan,
    server: A,
    runs: impl Fn(u64) -> bool,
) -> (Tally, Option<Trouble>) {
    let outcome = Outcome::default();
    let inboxes = |capacity| {
        let waker = Waker::new().expect("eventfd");
        let (mailbox, mut readers) = Inboxes::make::<Instant>(&[waker], capacity);
        (mailbox, readers.pop().expect("one for one"))
    };
    let (mailbox, reader) = inboxes(64);
    let context = CoreContext { core: CoreId(0), cores: 1, mailbox };
    let client = Client::new(plan, &outcome, &context);
    let (mut client, client_port) = engine("10.9.0.2", 2, None, reader, client);
    let (_, mut readers) = Inboxes::make::<()>(&[Waker::new().expect("eventfd")], 1);
    let reader = readers.pop().expect("one for one");
    let (mut server, server_port) = engine("10.9.0.1", 1, Some(plan.target), reader, server);
    let start = Instant::from_millis(1_000);
    let mut now = start;
    for _ in 0..5_000_000 {
        client.turn(now);
        if matches!(client.app().phase, Phase::Over { .. }) || outcome.collect().1.is_some() {
            break;
        }
        pump(&client_port, &server_port);
        if runs(now.since(start).as_millis() as u64) {
            server.turn(now);
            pump(&server_port, &client_port);
        }
        now = now + step;
    }
    client.abort_all(Close::Drained);
    client.turn(now);
    drop(client);
    outcome.collect()
}

#[test]
fn a_closed_loop_asks_when_it_is_answered() {
    let (tally, trouble) = run(&plan(3, None, false), Hello::default(), |_| true);
    assert_eq!((trouble, tally.faults(), tally.failed(), tally.opened), (None, 0, 0, 3));
    // A request in each step of each connection, and the last one's answer in the next.
    let steps = (tally.measured.as_nanos() / STEP.as_nanos()) as u64;
    assert_eq!((tally.responses, tally.unanswered), (3 * steps, 0));
    assert!((tally.micros(0.5) - 10.0).abs() < 0.1, "{}", tally.micros(0.5));
    assert_eq!(tally.bytes, tally.responses * 78);
}

#[test]
fn an_open_loop_sends_at_its_rate_and_no_faster() {
    let (tally, trouble) = run(&plan(3, Some(10_000.0), false), Hello::default(), |_| true);
    assert_eq!((trouble, tally.faults()), (None, 0));
    assert!((999..=1_001).contains(&(tally.responses + tally.unanswered)), "{}", tally.responses);
    assert!(tally.micros(1.0) <= 50.0, "{}", tally.micros(1.0));
}

#[test]
fn an_open_loop_charges_a_stalled_server_with_all_that_was_due() {
    let stalls = |ms: u64| !(40..60).contains(&ms);
    let (closed, _) = run(&plan(3, None, false), Hello::default(), stalls);
    let (open, _) = run(&plan(3, Some(10_000.0), false), Hello::default(), stalls);
    // The closed loop had three requests waiting, the open one a fifth of all that were due.
    assert!(closed.micros(0.99) < 100.0, "{}", closed.micros(0.99));
    assert!(open.micros(0.99) > 18_000.0, "{}", open.micros(0.99));
    assert!((8_000.0..12_000.0).contains(&open.micros(0.9)), "{}", open.micros(0.9));
    assert!((999..=1_001).contains(&(open.responses + open.unanswered)));
}

#[test]
fn what_is_unanswered_at_the_end_has_waited() {
    let stalls = |ms: u64| ms < 52;
    for close in [false, true] {
        let (tally, trouble) = run(&plan(3, Some(10_000.0), close), Hello::default(), stalls);
        assert_eq!(trouble, None);
        let total = tally.responses + tally.unanswered;
        assert!((499..=502).contains(&tally.responses), "{}", tally.responses);
        assert!((999..=1_001).contains(&total), "{total}");
        assert!((49_000.0..51_000.0).contains(&tally.micros(1.0)), "{}", tally.micros(1.0));
        assert_eq!(tally.latency.len(), total);
    }
}

#[test]
fn a_connection_for_each_request_is_opened_and_closed() {
    let (tally, trouble) = run(&plan(3, None, true), Hello::default(), |_| true);
    assert_eq!((trouble, tally.faults(), tally.failed()), (None, 0, 0));
    assert!(tally.responses > 1_000 && tally.opened >= tally.responses, "{}", tally.responses);
    let rate = Some(5_000.0);
    let (tally, trouble) = run(&plan(20, rate, true), Hello::default(), |_| true);
    assert_eq!((trouble, tally.faults(), tally.failed()), (None, 0, 0));
    let due = tally.responses + tally.unanswered;
    assert!((499..=501).contains(&due), "{due}");
}

#[test]
fn a_server_that_closes_each_time_is_connected_to_again() {
    let says = "HTTP/1.0 200 OK\r\n\r\nall until the end";
    let (tally, trouble) = run(&plan(2, None, false), Says(Some(says), true), |_| true);
    assert_eq!((trouble, tally.faults(), tally.failed()), (None, 0, 0));
    assert!(tally.responses > 100 && tally.bytes == tally.responses * says.len() as u64);
}

#[test]
fn bad_answers_are_counted_by_what_is_bad() {
    for (says, closes, fault) in [
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false, Fault::Status),
        ("220 mail.example ESMTP\r\n", false, Fault::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", true, Fault::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n12", false, Fault::Malformed),
    ] {
        let (tally, trouble) = run(&plan(1, None, false), Says(Some(says), closes), |_| true);
        assert_eq!(trouble, None, "{says}");
        assert!(tally.faults[fault as usize] > 0, "{says}: {:?}", tally.faults);
        assert_eq!(tally.faults(), tally.faults[fault as usize], "{says}");
    }
}

#[test]
fn nobody_there_is_found_out_before_anything_is_measured() {
    let mut plan = plan(4, None, false);
    plan.target = ([10, 9, 0, 1], 81).into();
    let step = Duration::from_millis(1);
    let (tally, trouble) = run_in_steps(step, &plan, Says(None, false), |_| false);
    assert_eq!(trouble, Some(Trouble::Connecting(Close::Unreachable)), "no answer to ARP");
    assert_eq!(tally.responses, 0);
}
