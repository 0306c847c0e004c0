//! A whole random simulation from one number: addresses, links, limits, workload and verdict.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::link::LinkConfig;
use super::network::Network;
use super::plan::PlanLimits;
use super::rng::Rng;
use super::simulation::{HostConfig, HostId, Simulation};
use super::violation::Violation;
use super::workload::{Planned, Workload};
use crate::app::Close;
use crate::device::PoolConfig;
use crate::engine::{Counter, EngineConfig, Listen, LocalAddress, SynCookies};
use crate::tcp::Ecn;
use crate::tcp::congestion::Algorithm;
use crate::time::Instant;

const PORT: u16 = 80;
/// By when every connection must be over.
const LONGEST: Duration = Duration::from_secs(4 * 3_600);
/// After the last connection: TIME-WAIT, half-open entries, lost RSTs.
const AFTERMATH: Duration = Duration::from_secs(600);
const PERCENT: u64 = 10_000;
/// Packets of a million that may be lost or damaged where connections must still end well: ten
/// retransmissions in a row do not fail in the life of these tests.
const MILD: u32 = 30_000;

/// A random simulation. All of it follows from the seed.
#[derive(Debug)]
pub struct Scenario {
    seed: u64,
    simulation: Simulation,
    hosts: Vec<HostId<Workload>>,
    planned: u32,
    /// Every connection must come to be and end well.
    clean: bool,
    /// Every connection that came to be must end well, though hosts may be short of frames: nothing
    /// that happens explains another end.
    mild: bool,
}

/// What a scenario that broke no promise did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Connections planned.
    pub planned: u32,
    /// Ends of connections, by [`Close`].
    pub closes: [u32; Close::COUNT],
    /// Connections that did not come to be.
    pub failed: u32,
    /// Bytes read by applications.
    pub bytes: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// Packets that the network marked as having met congestion.
    pub marked: u64,
    /// Windows reduced because of such marks.
    pub mark_reductions: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Moments at which something happened.
    pub steps: u64,
}

impl Scenario {
    /// Draws a scenario.
    ///
    /// # Panics
    /// If the system has no memory for the frames.
    pub fn from_seed(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed);
        let world = World::draw(&mut rng);
        // The clocks of timers and timestamps begin near a wrap in some of the worlds.
        let start = *rng.pick(&[0, 1 << 49, (1 << 49) - 3_000_000_000, 4_294_960_000_000_000]);
        let start = Instant::from_nanos(start);
        let network = Network::new(rng.next_u64(), world.link);
        let mut simulation = Simulation::new(rng.next_u64(), network, start);
        simulation.idle_turns = *rng.pick(&[0, 0, 100_000]);
        let plans = world.plan(&mut rng, start);
        // An end of a simultaneous open that comes late finds nobody and is refused.
        let simultaneous = plans.iter().flatten().any(|plan| plan.remote.port() != PORT);
        let planned = plans.iter().map(|plans| plans.len() as u32).sum();
        let mut hosts = Vec::new();
        for (index, plans) in plans.into_iter().enumerate() {
            let wakes: Vec<Instant> = plans.iter().map(|plan| plan.at).collect();
            let app = Workload::new(world.limits, plans, rng.fork(index as u64));
            let config = world.host(&mut rng, index);
            let host = simulation.add(config, app).expect("memory for the frames");
            wakes.into_iter().for_each(|at| simulation.wake(index, at));
            hosts.push(host);
        }
        for (from, to) in [(0, 1), (1, 0)] {
            if world.link.damage() > MILD && rng.chance(300_000) {
                let link = world.marking(random_link(&mut rng));
                simulation.network().set_link(from, to, link);
            }
        }
        let network = simulation.network();
        let steady = network.worst_damage() <= MILD && !network.is_slow();
        let mild = world.limits.aborts == 0 && steady;
        let clean = world.is_clean() && !simultaneous && network.is_perfect();
        Scenario { seed, simulation, hosts, planned, clean, mild }
    }

    /// The simulation, to be tampered with before it runs.
    pub fn simulation(&mut self) -> &mut Simulation {
        &mut self.simulation
    }

    /// Runs until everything is over and judges.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run(mut self) -> Result<Summary, Violation> {
        let start = self.simulation.now();
        let mut quiet_since = None;
        // In slices, so that a wrong byte is reported soon after it was read.
        for slice in 1u32.. {
            let until = start + Duration::from_secs(10) * slice;
            let over = self.simulation.run(until)?;
            self.check_bytes()?;
            if over {
                break;
            }
            if self.connections() > 0 || self.pending() {
                quiet_since = None;
            } else {
                let since = *quiet_since.get_or_insert(until);
                if until > since + AFTERMATH || self.simulation.is_quiet() {
                    break;
                }
            }
            if until > start + LONGEST {
                let what = format!("{} connections after {LONGEST:?}", self.connections());
                return Err(Violation::Unfinished { now: self.simulation.now(), what });
            }
        }
        self.simulation.check_end()?;
        self.check_bytes()?;
        self.verdict(start)
    }

    fn pending(&self) -> bool {
        let done = |host: &HostId<Workload>| self.simulation.app(*host).is_done();
        !self.hosts.iter().all(done)
    }

    fn connections(&self) -> u32 {
        self.hosts.iter().map(|host| self.simulation.engine(*host).connections()).sum()
    }

    fn check_bytes(&self) -> Result<(), Violation> {
        let found = self.hosts.iter().find_map(|host| self.simulation.app(*host).violation());
        found.map_or(Ok(()), |violation| Err(violation.clone()))
    }

    fn verdict(&mut self, start: Instant) -> Result<Summary, Violation> {
        let mut summary = Summary {
            planned: self.planned,
            virtual_time: self.simulation.now() - start,
            steps: self.simulation.steps(),
            ..Summary::default()
        };
        for host in &self.hosts {
            let app = self.simulation.app(*host);
            summary.failed += app.failed();
            for outcome in app.outcomes() {
                summary.closes[outcome.why as usize] += 1;
                summary.bytes += outcome.received;
            }
            let counters = self.simulation.engine(*host).counters();
            summary.retransmissions += counters.get(Counter::Retransmissions);
        }
        self.check_marks(&mut summary)?;
        let finished = summary.closes[Close::Finished as usize];
        let others = summary.closes.iter().sum::<u32>() - finished;
        let cookies = |host| self.simulation.engine(host).counters().get(Counter::SynCookiesSent);
        let forgotten = match self.hosts.iter().any(|host| cookies(*host) > 0) {
            // A client that waits to be spoken to, and whose ACK was lost with the cookie in it:
            // the server knows nothing of it (RFC 4987 section 3.6), and says so to a keep-alive.
            true => {
                let [timed_out, reset] = [Close::TimedOut, Close::Reset];
                summary.closes[timed_out as usize] + summary.closes[reset as usize]
            }
            false => 0,
        };
        // Where a dozen frames serve a dozen connections, one may be given up for the others
        // (RFC 6429), which its peer sees as a reset.
        let given_up = summary.closes[Close::NoResources as usize];
        let others = others.saturating_sub(forgotten + 2 * given_up);
        if self.mild && others > 0 {
            let what = format!("a mild network, and seed {} ends so: {summary:?}", self.seed);
            return Err(Violation::Unfinished { now: self.simulation.now(), what });
        }
        if self.clean && (summary.failed > 0 || finished != 2 * self.planned) {
            let what = format!("a perfect network, and seed {} ends so: {summary:?}", self.seed);
            return Err(Violation::Unfinished { now: self.simulation.now(), what });
        }
        Ok(summary)
    }
}

impl Scenario {
    /// Marks are neither made up nor answered more often than they were reported.
    fn check_marks(&mut self, summary: &mut Summary) -> Result<(), Violation> {
        let count = |counter| {
            let engines = self.hosts.iter().map(|host| self.simulation.engine(*host));
            engines.map(|engine| engine.counters().get(counter)).sum::<u64>()
        };
        let received = count(Counter::CongestionMarksReceived);
        let reported = count(Counter::CongestionMarksReported);
        let reductions = count(Counter::CongestionMarkReductions);
        // Where AccECN can't know how often its counter went round, it assumes the worst.
        let certain = count(Counter::AccurateEcnConnections) == 0;
        let network = self.simulation.network().total();
        (summary.marked, summary.mark_reductions) = (network.marked, reductions);
        // A changed byte of an IPv6 header may look like a mark.
        let made_up = network.corrupted == 0
            && (received > network.marked || certain && network.marked == 0 && reported > 0);
        if made_up || reductions > reported {
            let what = format!(
                "{} marked, {received} received, {reported} reported, {reductions} answered",
                network.marked
            );
            return Err(Violation::Marks { now: self.simulation.now(), what });
        }
        Ok(())
    }
}

/// What the parts of a scenario have in common.
struct World {
    ipv6: bool,
    link: LinkConfig,
    limits: PlanLimits,
    receive_buffer: u32,
    known_neighbours: bool,
    starving: bool,
    flows: u64,
}

impl World {
    fn draw(rng: &mut Rng) -> World {
        let receive_buffer =
            *rng.pick(&[64, 100, 536, 1_460, 3_000, 8_192, 65_535, 262_144, 262_144, 262_144]);
        let perfect = LinkConfig { delay: random_delay(rng), ..LinkConfig::default() };
        let mild = LinkConfig {
            loss: rng.range(0..u64::from(MILD) / 2) as u32,
            corrupt: rng.range(0..u64::from(MILD) / 2) as u32,
            duplicate: rng.range(0..u64::from(MILD)) as u32,
            reorder: rng.range(0..u64::from(MILD)) as u32,
            reorder_by: Duration::from_micros(rng.range(1..50_000)),
            ..perfect
        };
        let link = match rng.range(0..10) {
            0..2 => perfect,
            2..4 => mild,
            _ => random_link(rng),
        };
        let bytes = (300 * u64::from(receive_buffer)).min(150_000);
        let mut world = World {
            ipv6: rng.chance(500_000),
            link,
            limits: PlanLimits { seed: rng.next_u64(), bytes, aborts: *rng.pick(&[0, 0, 100_000]) },
            receive_buffer,
            known_neighbours: rng.chance(700_000),
            starving: rng.chance(200_000),
            flows: *rng.pick(&[1, 1, 2, 4, 8, 16]),
        };
        world.link = world.marking(world.link);
        world
    }

    /// The link, marking packets as this world's do. Not drawn: as with the congestion control.
    fn marking(&self, link: LinkConfig) -> LinkConfig {
        let bits = (self.limits.seed >> 34) as usize;
        LinkConfig {
            mark: [0, 0, 20_000, 300_000][bits % 4],
            mark_above: [0, 2_000][bits / 4 % 2],
            ..link
        }
    }

    fn is_clean(&self) -> bool {
        self.limits.aborts == 0 && !self.starving
    }

    fn ip(&self, host: usize) -> IpAddr {
        let n = host as u16 + 1;
        match self.ipv6 {
            true => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)),
            false => IpAddr::V4(Ipv4Addr::new(10, 0, 0, n as u8)),
        }
    }

    /// Who connects to whom, when: mostly host 0 to host 1, sometimes both to each other at once.
    fn plan(&self, rng: &mut Rng, start: Instant) -> [Vec<Planned>; 2] {
        let mut plans = [Vec::new(), Vec::new()];
        for flow in 0..self.flows {
            let at = start + Duration::from_micros(rng.range(0..2_000_000));
            let port = 1_024 + (rng.range(0..600) * 100 + flow) as u16;
            let from = usize::from(rng.chance(200_000));
            let ends = [from, 1 - from].map(|host| self.ip(host));
            let [local, remote] = [SocketAddr::new(ends[0], port), SocketAddr::new(ends[1], PORT)];
            if rng.chance(100_000) {
                // Simultaneous open needs a port on either side where nobody listens.
                let remote = SocketAddr::new(ends[1], port);
                plans[from].push(Planned { at, local, remote });
                plans[1 - from].push(Planned { at, local: remote, remote: local });
            } else {
                plans[from].push(Planned { at, local, remote });
            }
        }
        plans.iter_mut().for_each(|plans| plans.sort_by_key(|plan| plan.at));
        plans
    }

    fn host(&self, rng: &mut Rng, index: usize) -> HostConfig {
        let mac = |host: usize| [2, 0, 0, 0, 1, host as u8 + 1];
        let mut secret = [0; 32];
        secret.iter_mut().for_each(|byte| *byte = rng.next_u64() as u8);
        let mut engine = EngineConfig::new(secret);
        let (ip, other) = (self.ip(index), self.ip(1 - index));
        let prefix_len = if self.ipv6 { 64 } else { 24 };
        engine.addresses.push(LocalAddress { ip, prefix_len, owned: true });
        if self.known_neighbours {
            engine.neighbours.push((other, mac(1 - index)));
        }
        engine.listeners.push(Listen { at: SocketAddr::new(ip, PORT) });
        engine.limits.connections = 64;
        engine.limits.half_open = 32;
        engine.limits.time_wait = 64;
        engine.limits.batch = *rng.pick(&[1, 3, 64]);
        // From the secret, which is drawn anyway: seeds keep their worlds.
        engine.cookies.when = match secret[0] % 4 {
            0 => SynCookies::Always,
            1 => SynCookies::Off,
            _ => SynCookies::Auto,
        };
        engine.limits.syn_cookies_at = u32::from(secret[1] % 8);
        self.tcp(rng, &mut engine);
        // Not drawn: what a seed draws otherwise stays what it was.
        let choice = (self.limits.seed >> (8 * index)) as usize % Algorithm::ALL.len();
        engine.tcp.congestion = Algorithm::ALL[choice];
        engine.tcp.pacing = (self.limits.seed >> (32 + 8 * index)).is_multiple_of(4);
        let choice = (self.limits.seed >> (16 + 8 * index)) as usize % Ecn::ALL.len();
        engine.tcp.ecn = Ecn::ALL[choice];
        let mtu = *rng.pick(&[1_500, 1_500, 1_280, if self.ipv6 { 1_280 } else { 576 }]);
        let frames = if self.starving { *rng.pick(&[24, 32, 64]) } else { 2_048 };
        let pool = PoolConfig { frames, frame_size: 2_048, reserve: 8, huge_pages: false };
        HostConfig { engine, pool, mac: mac(index), mtu }
    }

    fn tcp(&self, rng: &mut Rng, engine: &mut EngineConfig) {
        let tcp = &mut engine.tcp;
        tcp.receive_buffer = self.receive_buffer;
        tcp.send_buffer = *rng.pick(&[500, 3_000, 20_000, 65_536, 262_144]);
        tcp.no_delay = rng.chance(600_000);
        tcp.delayed_ack = Duration::from_millis(*rng.pick(&[0, 1, 40, 200]));
        tcp.timestamps = rng.chance(600_000);
        tcp.window_scaling = rng.chance(600_000);
        // Longer than the first timeout of a peer that has no sample: 1 s after a cookie, 3 s after
        // a lost SYN-ACK.
        tcp.time_wait = Duration::from_secs(*rng.pick(&[4, 60]));
        // A peer that backs off may be silent for minutes after our FIN.
        tcp.fin_wait_2 = Duration::from_secs(600);
        // A lost RST must not leave the other end waiting for ever.
        tcp.keep_alive = Some(Duration::from_secs(rng.range(5..60)));
        tcp.keep_alive_interval = Duration::from_secs(10);
        tcp.keep_alive_probes = 5;
    }
}

fn random_delay(rng: &mut Rng) -> Duration {
    Duration::from_micros(*rng.pick(&[0, 5, 100, 1_000, 20_000, 100_000]))
}

fn random_link(rng: &mut Rng) -> LinkConfig {
    let rare = |rng: &mut Rng, most: u64| match rng.range(0..3) {
        0 => 0,
        _ => rng.range(0..most * PERCENT) as u32,
    };
    LinkConfig {
        delay: random_delay(rng),
        jitter: Duration::from_micros(*rng.pick(&[0, 0, 10, 1_000, 30_000])),
        rate: *rng.pick(&[None, None, Some(50_000), Some(1_000_000), Some(100_000_000)]),
        queue: *rng.pick(&[3_000, 20_000, 200_000]),
        loss: rare(rng, 15),
        burst_loss: rare(rng, 1),
        burst_length: 8,
        duplicate: rare(rng, 10),
        reorder: rare(rng, 20),
        reorder_by: Duration::from_micros(rng.range(1..50_000)),
        corrupt: rare(rng, 5),
        mark: 0,
        mark_above: 0,
        mtu: 0,
    }
}
