//! Clients with nothing to hide: one connection for each request.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use super::super::stage::{Interrupt, Trouble};
use crate::runtime::Error;
use crate::runtime::lab::{LabError, Namespace};

/// Clients that wait for an answer at any moment.
const CLIENTS: usize = 16;
/// How long a client waits: two retransmissions of its SYN.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: sidestep\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 ";

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Honest {
    /// Connections that were tried.
    pub(super) tried: u64,
    /// And that were established.
    pub(super) connected: u64,
    /// Those that had their answer within the time of the measurement.
    pub(super) served: u64,
    /// Microseconds of each `connect` that succeeded, in order of size.
    pub(super) connect_us: Vec<u32>,
}

impl Honest {
    /// The time to connect that this share of the clients did not exceed, in microseconds.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let last = self.connect_us.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.connect_us.get(at).copied().map_or(f64::NAN, f64::from)
    }

    fn add(&mut self, other: Honest) {
        self.tried += other.tried;
        self.connected += other.connected;
        self.served += other.served;
        self.connect_us.extend(other.connect_us);
    }
}

/// Lets them connect for so long, all on one processor inside of `namespace`.
pub(super) fn run(
    namespace: &Namespace,
    cpu: usize,
    to: SocketAddr,
    length: Duration,
    interrupt: &Interrupt,
) -> Result<Honest, Trouble> {
    let end = Instant::now() + length;
    let client = || -> Result<Honest, LabError> {
        namespace.enter()?;
        core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
        Ok(one_client(to, end, interrupt))
    };
    let mut all = Honest::default();
    thread::scope(|scope| -> Result<(), Trouble> {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            let one = client.join().map_err(|_| {
                Trouble::Failed(Error::Backend("an honest client panicked: a bug".into()))
            })?;
            all.add(one?);
        }
        Ok(())
    })?;
    interrupt.check()?;
    all.connect_us.sort_unstable();
    Ok(all)
}

fn one_client(to: SocketAddr, end: Instant, interrupt: &Interrupt) -> Honest {
    let mut seen = Honest::default();
    let mut answer = Vec::new();
    while Instant::now() < end && interrupt.check().is_ok() {
        seen.tried += 1;
        let begun = Instant::now();
        let Ok(stream) = TcpStream::connect_timeout(&to, PATIENCE) else { continue };
        seen.connected += 1;
        seen.connect_us.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        answer.clear();
        if ask(stream, &mut answer).is_ok() && answer.starts_with(ANSWER) && Instant::now() < end {
            seen.served += 1;
        }
    }
    seen
}

/// Until the server closes: so that the ports of clients are free again at once.
fn ask(mut stream: TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    stream.read_to_end(answer).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_established() {
        let mut all = Honest { tried: 3, connected: 2, served: 2, connect_us: vec![5, 9] };
        all.add(Honest { tried: 1, connected: 1, served: 0, connect_us: vec![7] });
        all.connect_us.sort_unstable();
        assert_eq!((all.tried, all.connected, all.served), (4, 3, 2));
        assert_eq!([0.0, 0.5, 0.99].map(|share| all.percentile(share)), [5.0, 7.0, 9.0]);
        assert!(Honest::default().percentile(0.5).is_nan());
    }
}
