//! A veth pair with an AF_XDP device at one end.

use std::thread;
use std::time::Duration;

use sidestep::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Nic, Steer, fitting};
use sidestep::device::{Pool, PoolConfig};
use sidestep::runtime::Interface;
use sidestep::runtime::lab::{Lab, Namespace, VethEnd};

use crate::common;

/// Bound of every wait for something to happen, in turns of [`PAUSE`].
const PATIENCE: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

/// A server's and a client's namespace, joined by a veth pair: `x0` at the server, `x1` at the
/// client.
pub(crate) struct Net {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    /// Held for its drop.
    _lab: Lab,
}

pub(crate) fn net(queues: u32) -> Option<Net> {
    net_of(queues, 1_500)
}

/// The same with another MTU.
pub(crate) fn net_of(queues: u32, mtu: usize) -> Option<Net> {
    let mut lab = common::or_skip(Lab::new("xdp"))?;
    let server = common::or_skip(lab.namespace("server"))?;
    let client = lab.namespace("client").expect("a second namespace");
    let end = |namespace, name, addresses, offloads| VethEnd {
        namespace,
        name,
        addresses,
        queues,
        offloads,
    };
    lab.join(
        end(&server, "x0", &["10.9.0.1/24", "fd09::1/64"], true),
        end(&client, "x1", &["10.9.0.2/24", "fd09::2/64"], false),
    )
    .expect("a veth pair");
    let net = Net { server, client, _lab: lab };
    for (namespace, name) in [(&net.server, "x0"), (&net.client, "x1")] {
        let mtu = ["link", "set", "dev", name, "mtu", &mtu.to_string()];
        namespace.ip(&mtu).expect("an MTU");
    }
    Some(net)
}

pub(crate) fn nic(name: &str) -> Nic {
    Interface::find(name).expect("our end of the pair").nic()
}

pub(crate) fn pool() -> Pool {
    pool_for(1_500)
}

/// Frames that packets of `mtu` bytes fit.
pub(crate) fn pool_for(mtu: u32) -> Pool {
    let config = PoolConfig { frames: 4_096, reserve: 64, ..PoolConfig::default() };
    Pool::new(fitting(config, mtu)).expect("frames")
}

pub(crate) fn open(steer: &Steer, nic: &Nic, mode: Mode) -> AfXdp {
    let config = AfXdpConfig { mode, ..AfXdpConfig::default() };
    AfXdp::open(steer, nic, &config, pool_for(nic.mtu)).expect("a device")
}

/// Attached and open on `interface` in copy mode.
pub(crate) fn device(interface: &str) -> (Steer, AfXdp) {
    let nic = nic(interface);
    let steer = Steer::attach(&nic, Mode::Copy).expect("an attached program");
    let device = open(&steer, &nic, Mode::Copy);
    (steer, device)
}

pub(crate) fn nic_inside(namespace: &Namespace, name: &str) -> Nic {
    namespace.inside(|| nic(name)).expect("inside")
}

pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if condition() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("never: {what}");
}
