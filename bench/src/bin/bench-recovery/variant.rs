//! Ways to send that are compared.

use core::time::Duration;

use sidestep::sim::{Bottleneck, Dumbbell, Group};
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
}

impl Variant {
    /// All of them, the controls with SACK first.
    pub(crate) fn all() -> Vec<Variant> {
        let with = Algorithm::ALL.map(|algorithm| Variant { algorithm, sack: true });
        let without = [Algorithm::Cubic, Algorithm::NewReno]
            .map(|algorithm| Variant { algorithm, sack: false });
        with.into_iter().chain(without).collect()
    }

    pub(crate) fn name(&self) -> String {
        let name = match self.algorithm {
            Algorithm::Cubic => "CUBIC",
            Algorithm::NewReno => "NewReno",
            Algorithm::Dctcp => "DCTCP",
            Algorithm::Bbr => "BBR",
        };
        if self.sack { name.into() } else { format!("{name}, no SACK") }
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
        let mut dumbbell = Dumbbell::new(seed, path, &tcp, &[Group { tcp, flows: 1 }]);
        dumbbell.run(WARM_UP)?;
        let before = delivered(&dumbbell);
        dumbbell.run(Duration::from_secs(seconds))?;
        Ok((delivered(&dumbbell) - before) * 8e-6 / seconds as f64)
    }
}

fn delivered(dumbbell: &Dumbbell) -> f64 {
    dumbbell.delivered().iter().flatten().sum::<u64>() as f64
}
