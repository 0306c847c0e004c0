//! Makes the two namespaces resemble two machines with a network card each.
//!
//! On veth, whoever sends does the receiving side's work too, on his own processor: a server would
//! never feel a flood. Here each end's packets are taken in by a kernel thread of that end
//! (threaded NAPI), on that end's processor and before anything else there, as a card's interrupts
//! would be; and what finds a ring full waits in a queue before it, so that the wire loses nothing.

use std::collections::HashSet;
use std::fs;
use std::process::Command;

use super::super::stage::{INTERFACE, PEER, Stage, Trouble};
use crate::device::af_xdp::{Mode, Steer};
use crate::runtime::lab::Namespace;
use crate::runtime::{Error, Interface};

/// Address of the clients.
const CLIENTS: &str = "10.9.0.2";
/// Packets that wait for a full ring.
const QUEUE: &str = "4000";

/// What Linux is usually told where floods are expected; and ports enough for the clients.
const SERVER_SETTINGS: [&str; 3] =
    ["net.ipv4.tcp_syncookies=1", "net.ipv4.tcp_max_syn_backlog=4096", "net.core.somaxconn=4096"];
const CLIENT_SETTINGS: [&str; 1] = ["net.ipv4.ip_local_port_range=1024 65535"];

/// The server on processor `server`, the clients on processor `clients`. What is returned is to be
/// kept meanwhile: a program that passes everything, without which veth would not deliver what the
/// other end's program sends back.
pub(super) fn prepare(stage: &Stage, server: usize, clients: usize) -> Result<Steer, Trouble> {
    for setting in SERVER_SETTINGS {
        stage.server.run("sysctl", &["-qw", setting])?;
    }
    for setting in CLIENT_SETTINGS {
        stage.client.run("sysctl", &["-qw", setting])?;
    }
    // Where answers to nobody go; nothing there forwards them.
    stage.server.ip(&["route", "add", "default", "via", CLIENTS])?;
    let attach = || -> Result<Steer, Error> {
        Ok(Steer::attach(&Interface::find(PEER)?.nic(), Mode::Copy)?)
    };
    let passing = stage.client.inside(attach)??;
    receive_on(&stage.server, INTERFACE, server)?;
    receive_on(&stage.client, PEER, clients)?;
    Ok(passing)
}

/// Has the packets that arrive at an interface taken in on one processor.
fn receive_on(namespace: &Namespace, interface: &str, cpu: usize) -> Result<(), Trouble> {
    namespace.run("tc", &["qdisc", "add", "dev", interface, "root", "pfifo", "limit", QUEUE])?;
    // Without it veth has no NAPI at all before there is an XDP program.
    namespace.run("ethtool", &["-K", interface, "gro", "on"])?;
    let before = napi_threads(interface);
    let threaded = format!("echo 1 > /sys/class/net/{interface}/threaded");
    namespace.run("sh", &["-c", &threaded])?;
    let mut new = napi_threads(interface);
    new.retain(|pid| !before.contains(pid));
    if new.is_empty() {
        let message = "machine: threaded NAPI on veth did nothing: it needs Linux 5.12 or newer";
        return Err(Error::Backend(message.into()).into());
    }
    for pid in new {
        for tool in [["taskset", "-pc", &cpu.to_string()], ["chrt", "-fp", "1"]] {
            let [program, arguments @ ..] = tool;
            let output = Command::new(program).args(arguments).arg(&pid).output();
            let advice = "'make setup' installs util-linux";
            let output = output
                .map_err(|answer| Error::machine(format!("running {program}"), answer, advice))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                let message = format!("machine: {program} refused thread {pid}: {said}");
                return Err(Error::Backend(message).into());
            }
        }
    }
    Ok(())
}

/// The kernel's threads that receive for interfaces of this name, in any namespace.
fn napi_threads(interface: &str) -> HashSet<String> {
    let start = format!("napi/{interface}-");
    let Ok(entries) = fs::read_dir("/proc") else { return HashSet::new() };
    let pids = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let ours = |pid: &String| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with(&start)
    };
    pids.filter(ours).collect()
}
