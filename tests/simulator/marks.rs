//! A bottleneck that marks packets as its queue grows, instead of dropping them.

use std::net::SocketAddr;
use std::time::Duration;

use sidestep::device::PoolConfig;
use sidestep::engine::{Counter, EngineConfig, Listen, LocalAddress};
use sidestep::sim::{
    HostConfig, LinkConfig, LinkCounters, Network, PlanLimits, Planned, Rng, Simulation, Workload,
};
use sidestep::tcp::Ecn;
use sidestep::tcp::congestion::Algorithm;
use sidestep::time::Instant;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const LIMITS: PlanLimits = PlanLimits { seed: 11, bytes: 4_000_000, aborts: 0 };
const FLOWS: u16 = 4;

/// 20 Mbit/s, a round trip of 20 ms, and a queue of two times what fits into that.
const LINK: LinkConfig = LinkConfig {
    delay: Duration::from_millis(10),
    rate: Some(2_500_000),
    queue: 100_000,
    mark_above: 20_000,
    jitter: Duration::ZERO,
    loss: 0,
    burst_loss: 0,
    burst_length: 0,
    duplicate: 0,
    reorder: 0,
    reorder_by: Duration::ZERO,
    corrupt: 0,
    mark: 0,
    mtu: 0,
};

fn address(host: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host as u8 + 1], port))
}

fn host(index: usize, ecn: Ecn, congestion: Algorithm) -> HostConfig {
    let mut engine = EngineConfig::new([index as u8; 32]);
    let ip = address(index, 0).ip();
    engine.addresses.push(LocalAddress { ip, prefix_len: 24, owned: true });
    engine.neighbours.push((address(1 - index, 0).ip(), MACS[1 - index]));
    engine.listeners.push(Listen { at: address(index, 80) });
    engine.tcp.time_wait = Duration::from_secs(1);
    (engine.tcp.ecn, engine.tcp.congestion) = (ecn, congestion);
    let pool = PoolConfig { frames: 4_096, frame_size: 2_048, reserve: 16, huge_pages: false };
    HostConfig { engine, pool, mac: MACS[index], mtu: 1_500 }
}

/// What happened: in the network, then the sum of a counter over both hosts.
fn run(ecns: [Ecn; 2], congestion: Algorithm) -> (LinkCounters, impl Fn(Counter) -> u64) {
    let mut world = Simulation::new(1, Network::new(2, LINK), Instant::from_millis(1));
    let at = Instant::from_millis(2);
    let plan = |n| Planned { at, local: address(0, 5_000 + n), remote: address(1, 80) };
    let client = Workload::new(LIMITS, (0..FLOWS).map(plan).collect(), Rng::new(4));
    let server = Workload::new(LIMITS, Vec::new(), Rng::new(3));
    let client = world.add(host(0, ecns[0], congestion), client).expect("a pool");
    world.wake(0, at);
    let server = world.add(host(1, ecns[1], congestion), server).expect("a pool");
    world.run(Instant::from_millis(1_000_000)).expect("no violation");
    world.check_end().expect("nothing left");
    for host in [client, server] {
        assert_eq!(world.app(host).violation(), None, "every byte is right");
        assert_eq!(world.app(host).outcomes().len(), usize::from(FLOWS));
    }
    let network = world.network().total();
    (network, move |counter| {
        let count = |host| world.engine(host).counters().get(counter);
        count(client) + count(server)
    })
}

#[test]
fn marks_reduce_windows_before_anything_is_lost() {
    let algorithms = [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Dctcp];
    for (ecn, congestion) in algorithms
        .into_iter()
        .flat_map(|algorithm| [Ecn::Classic, Ecn::Accurate].map(|ecn| (ecn, algorithm)))
    {
        let (network, count) = run([ecn, Ecn::Accept], congestion);
        assert_eq!(count(Counter::EcnConnections), 2 * u64::from(FLOWS));
        let accurate = if ecn == Ecn::Accurate { 2 * u64::from(FLOWS) } else { 0 };
        assert_eq!(count(Counter::AccurateEcnConnections), accurate);
        assert_eq!(count(Counter::EcnFallbacks), 0);
        let reductions = count(Counter::CongestionMarkReductions);
        assert!(reductions >= u64::from(FLOWS), "{congestion}: {reductions} reductions");
        assert!(network.marked >= reductions, "{congestion}: {network:?}");
        assert_eq!((network.lost, count(Counter::Retransmissions)), (0, 0), "{congestion}");
    }
}

#[test]
fn without_agreement_the_same_queue_drops() {
    for ecns in [[Ecn::Off, Ecn::Accept], [Ecn::Classic, Ecn::Off], [Ecn::Accept; 2]] {
        let (network, count) = run(ecns, Algorithm::Cubic);
        assert_eq!((network.marked, count(Counter::CongestionMarkReductions)), (0, 0));
        assert!(network.lost > 20 && count(Counter::Retransmissions) > 20, "{network:?}");
    }
}
