//! x
use sidestep::engine::Counter;
use sidestep::sim::*;
use sidestep::tcp::TcpConfig;
use sidestep::tcp::congestion::Algorithm;
use std::time::Duration;
fn main() {
    let secs: u64 = std::env::args().nth(1).map_or(20, |s| s.parse().unwrap());
    for alg in Algorithm::ALL {
        for sack in [true, false] {
            for loss in [100, 10_000] {
                let mut path = Bottleneck::new(100_000_000, Duration::from_millis(20));
                path.loss = loss;
                let tcp = TcpConfig {
                    sack,
                    congestion: alg,
                    send_buffer: 4 << 20,
                    receive_buffer: 4 << 20,
                    ..TcpConfig::default()
                };
                let mut d = Dumbbell::new(7, &path, &tcp, &[Group { tcp, flows: 1 }]);
                let t = std::time::Instant::now();
                d.run(Duration::from_secs(2)).unwrap();
                let a = d.delivered()[0][0];
                let mut sum = 0;
                let mut n = 0;
                for _ in 0..secs * 100 {
                    d.run(Duration::from_millis(10)).unwrap();
                    if let Some(f) = d.flow(0, 0) {
                        sum += u64::from(f.cwnd);
                        n += 1;
                    }
                }
                let b = d.delivered()[0][0];
                let c = |c| d.counter(0, c);
                println!(
                    "{alg} sack {sack} loss {:.2} %: {:.2} Mbit/s, cwnd {} rtx {} rto {} fast {} tlp {} srtt {:?} ({:?})",
                    loss as f64 / 1e4,
                    (b - a) as f64 * 8.0 / 1e6 / secs as f64,
                    sum / n,
                    c(Counter::Retransmissions),
                    c(Counter::RetransmissionTimeouts),
                    c(Counter::FastRetransmits),
                    c(Counter::TailLossProbes),
                    d.flow(0, 0).unwrap().srtt,
                    t.elapsed()
                );
            }
        }
    }
}
