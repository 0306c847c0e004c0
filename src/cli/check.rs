//! `sidestep check`: what this machine and an interface offer, and what would be picked.

use std::fs;

use crate::runtime::{Error, Interface};

/// Prints the report; only an interface that does not exist is an error.
pub(super) fn run(interface: Option<&str>) -> Result<(), Error> {
    let interface = interface.map(Interface::find).transpose().map_err(Error::from)?;
    row("kernel", &read("/proc/sys/kernel/osrelease"));
    row("privileges", &privileges());
    row("huge pages", &huge_pages());
    row("processors", &processors());
    let Some(interface) = interface else {
        row("interface", "none named: say --interface NAME to see what AF_XDP gets there");
        row("would pick", "--backend kernel, as no interface is named");
        return Ok(());
    };
    describe(&interface);
    let pick = match try_af_xdp(&interface) {
        Ok(()) => String::from("--backend af-xdp"),
        Err(why) => {
            row("af-xdp", &format!("not here. {why}"));
            String::from("--backend kernel, as AF_XDP can't be had")
        }
    };
    row("would pick", &pick);
    Ok(())
}

fn row(name: &str, text: &str) {
    println!("{name:<12}  {text}");
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| String::from("unknown"), |text| text.trim().to_owned())
}

fn describe(interface: &Interface) {
    let state = if interface.up { "up" } else { "down" };
    row(
        "interface",
        &format!(
            "{}: driver {}, {state}, MTU {}, {} receive and {} transmit queues",
            interface.name,
            interface.driver,
            interface.mtu,
            interface.rx_queues,
            interface.tx_queues
        ),
    );
    let addresses = interface.addresses.iter().map(|(ip, len)| format!("{ip}/{len}"));
    let addresses: Vec<String> = addresses.collect();
    let none = "none: only --address can be listened on";
    let addresses = if addresses.is_empty() { none.to_owned() } else { addresses.join(" ") };
    row("addresses", &addresses);
}

fn privileges() -> String {
    const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_BPF", 39)];
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| if set >> bit & 1 == 1 { "yes" } else { "no" };
    NEEDED.map(|(name, bit)| format!("{name} {}", has(bit))).join(", ")
}

fn huge_pages() -> String {
    let count = |name| read(&format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}_hugepages"));
    let (free, all) = (count("free"), count("nr"));
    let frames = if matches!(free.as_str(), "0" | "unknown") {
        "frames will lie on ordinary pages, merged where the kernel can (sysctl vm.nr_hugepages)"
    } else {
        "frames will lie on them as far as they go"
    };
    format!("{free} of {all} of 2 MiB are free: {frames}")
}

fn processors() -> String {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let ids: Vec<String> = ids.iter().map(|id| id.id.to_string()).collect();
    format!("this process may run on {}", ids.join(", "))
}

#[cfg(feature = "af-xdp")]
fn try_af_xdp(interface: &Interface) -> Result<(), Error> {
    use crate::device::af_xdp::{AfXdp, AfXdpConfig, Mode, Steer, fitting};
    use crate::device::{Pool, PoolConfig};

    let nic = interface.nic();
    let steer = Steer::attach(&nic, Mode::Auto)?;
    for queue in 0..interface.rx_queues {
        let frames = PoolConfig { frames: 1_024, ..PoolConfig::default() };
        let pool = Pool::new(fitting(frames, nic.mtu))?;
        let config = AfXdpConfig { queue, ..AfXdpConfig::default() };
        let device = AfXdp::open(&steer, &nic, &config, pool)?;
        let mut text = format!("queue {queue}: {}", device.obtained().name());
        if !device.attempts().0.is_empty() {
            text = format!("{text} ({})", device.attempts());
        }
        row("af-xdp", &text);
    }
    Ok(())
}

#[cfg(not(feature = "af-xdp"))]
fn try_af_xdp(_: &Interface) -> Result<(), Error> {
    Err(Error::Backend(String::from("this program was built without the feature af-xdp")))
}
