//! The link of one cell: two hosts joined by a veth pair, or the kernel's host with a TAP device.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use sidestep::runtime::lab::{Lab, Namespace, VethEnd};

use super::cell::{Cell, Has, Mtu};

/// The kernel's end of a veth pair.
const KERNEL_INTERFACE: &str = "x1";
/// The port of whoever is connected to.
const PORT: u16 = 7;

/// Ends with everything on it when dropped.
pub(crate) struct Stage {
    pub(crate) kernel: Namespace,
    /// Where our device is: the kernel's own host if that is a TAP device.
    pub(crate) ours: Namespace,
    /// Where to connect to us.
    pub(crate) our_address: SocketAddr,
    /// Where to connect to the kernel.
    pub(crate) kernel_address: SocketAddr,
    _lab: Lab,
}

impl Stage {
    pub(crate) const OUR_INTERFACE: &str = "x0";

    pub(crate) fn new(cell: &Cell) -> Stage {
        let mut lab = Lab::new("interop").expect("iproute2");
        let kernel = lab.namespace("kernel").expect("root");
        let ours = if on_tap(cell) { kernel.clone() } else { lab.namespace("ours").expect("root") };
        let mtu = cell.mtu.bytes(cell.v4).to_string();
        let theirs = if cell.v4 { "10.9.0.2/24" } else { "fd09::2/64" };
        if on_tap(cell) {
            tap(&kernel, &mtu, theirs);
        } else {
            let end = |namespace, name, addresses| VethEnd {
                namespace,
                name,
                addresses,
                queues: 1,
                offloads: false,
            };
            let (a, b) =
                (end(&ours, Stage::OUR_INTERFACE, &[]), end(&kernel, KERNEL_INTERFACE, &[]));
            lab.join(a, b).expect("a veth pair");
            for (namespace, name) in [(&ours, Stage::OUR_INTERFACE), (&kernel, KERNEL_INTERFACE)] {
                namespace.ip(&["link", "set", "dev", name, "mtu", &mtu]).expect("an MTU");
            }
            address(&kernel, KERNEL_INTERFACE, theirs);
        }
        let link = if on_tap(cell) { Stage::OUR_INTERFACE } else { KERNEL_INTERFACE };
        // In the place of the one that the kernel made, which in IPv6 has a metric.
        let (net, metric) = if cell.v4 { ("10.9.0.0/24", "0") } else { ("fd09::/64", "256") };
        // The wire is short: waiting as long as on the Internet would only take time.
        let route = ["route", "replace", net, "dev", link, "metric", metric, "rto_min", "20ms"];
        kernel.ip(&route).expect("a route");
        kernel.inside(|| configure(cell)).expect("inside");
        let at = |n: u8| -> SocketAddr {
            let ip: IpAddr = if cell.v4 {
                [10, 9, 0, n].into()
            } else {
                [0xfd09, 0, 0, 0, 0, 0, 0, u16::from(n)].into()
            };
            (ip, PORT).into()
        };
        Stage { kernel, ours, our_address: at(1), kernel_address: at(2), _lab: lab }
    }
}

/// Large packets go over both devices: they are one packet for the one, several for the other.
pub(crate) fn on_tap(cell: &Cell) -> bool {
    cell.mtu == Mtu::Jumbo && cell.timestamps != Has::Both
}

/// A persistent device, so that it is whole before we open it.
fn tap(host: &Namespace, mtu: &str, theirs: &str) {
    let name = Stage::OUR_INTERFACE;
    host.ip(&["tuntap", "add", "dev", name, "mode", "tap"]).expect("a TAP device");
    host.ip(&["link", "set", "dev", name, "mtu", mtu, "up"]).expect("an MTU");
    address(host, name, theirs);
}

/// Without duplicate address detection, which takes seconds.
fn address(host: &Namespace, name: &str, address: &str) {
    let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
    let add = [&["address", "add", address, "dev", name], nodad].concat();
    host.ip(&add).expect("an address");
}

/// The kernel's settings are those of the namespace that the calling thread is in.
fn configure(cell: &Cell) {
    let switch = |name: &str, on: bool| set(name, if on { "1" } else { "0" });
    switch("tcp_timestamps", cell.timestamps.kernel());
    switch("tcp_sack", cell.sack.kernel());
    switch("tcp_window_scaling", cell.scaling.kernel());
    switch("tcp_ecn", cell.ecn.kernel());
    // The one that every kernel has, so that the judge is the same on every machine.
    set("tcp_congestion_control", "reno");
}

fn set(name: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv4/{name}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}
