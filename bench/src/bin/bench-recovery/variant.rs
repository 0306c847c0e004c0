//! Ways to send that are compared.

use core::time::Duration;

use sidestep::sim::{Bottleneck, Dumbbell, Group, Receiver};
use sidestep::tcp::congestion::Algorithm;
use sidestep::tcp::{Ecn, TcpConfig};

use crate::{Error, RATE, RTT_MS};

/// Bytes of a buffer that never limits a flow of the experiments: 16 products of bandwidth and
/// delay.
const BUFFER: u32 = 4 << 20;
/// What a flow does before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// One way to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) algorithm: Algorithm,
    pub(crate) sack: bool,
    /// The receiver keeps nothing beyond a loss.
    pub(crate) goes_back: bool,
}

impl Variant {
    /// RACK-TLP under this control.
    pub(crate) fn of(algorithm: Algorithm) -> Variant {
        Variant { algorithm, sack: true, goes_back: false }
    }

    /// All of them, the controls with SACK first.
    pub(crate) fn all() -> Vec<Variant> {
        let without = |algorithm| Variant { sack: false, ..Variant::of(algorithm) };
        let mut all: Vec<Variant> = Algorithm::ALL.map(Variant::of).into();
        all.extend([without(Algorithm::Cubic), without(Algorithm::NewReno)]);
        all.push(Variant { goes_back: true, ..without(Algorithm::NewReno) });
        all
    }

    pub(crate) fn name(&self) -> String {
        let name = match self.algorithm {
            Algorithm::Cubic => "CUBIC",
            Algorithm::NewReno => "NewReno",
            Algorithm::Dctcp => "DCTCP",
            Algorithm::Bbr => "BBR",
        };
        match (self.sack, self.goes_back) {
            (true, _) => name.into(),
            (false, false) => format!("{name}, no SACK"),
            (false, true) => format!("{name}, go-back-N"),
        }
    }

    pub(crate) fn tcp(&self) -> TcpConfig {
        let marks = self.algorithm == Algorithm::Dctcp;
        TcpConfig {
            congestion: self.algorithm,
            ecn: if marks { Ecn::Accurate } else { Ecn::default() },
            sack: self.sack,
            send_buffer: BUFFER,
            receive_buffer: BUFFER,
            ..TcpConfig::default()
        }
    }

    /// The usual path; its queue marks for the one that answers marks in proportion.
    pub(crate) fn path(&self) -> Bottleneck {
        let mut path = Bottleneck::new(RATE, Duration::from_millis(RTT_MS));
        if self.algorithm == Algorithm::Dctcp {
            path.mark_above = path.queue / 4;
        }
        path
    }

    /// Goodput of one flow in Mbit/s, once it is under way.
    pub(crate) fn goodput(&self, path: &Bottleneck, seconds: u64, seed: u64) -> Result<f64, Error> {
        let tcp = self.tcp();
        let receiver = Receiver { tcp, reassembles: !self.goes_back };
        let mut dumbbell = Dumbbell::new(seed, path, receiver, &[Group { tcp, flows: 1 }]);
        dumbbell.run(WARM_UP)?;
        let before = delivered(&dumbbell);
        dumbbell.run(Duration::from_secs(seconds))?;
        Ok((delivered(&dumbbell) - before) * 8e-6 / seconds as f64)
    }
}

fn delivered(dumbbell: &Dumbbell) -> f64 {
    dumbbell.delivered().iter().flatten().sum::<u64>() as f64
}
