//! Two hosts joined by a veth pair: the server on processor 0, the load on processor 1.

use std::path::PathBuf;

use sidestep::runtime::lab::{Lab, LabError, Namespace, VethEnd};

/// The kernel's address at the server.
pub(crate) const SERVER: &str = "10.9.0.1";
/// An address for a server that must answer ARP itself.
pub(crate) const OWNED: &str = "10.9.0.7";
/// Where the load comes from.
pub(crate) const LOAD: &str = "10.9.0.3/24";
/// The interfaces.
pub(crate) const AT_SERVER: &str = "srv0";
pub(crate) const AT_LOAD: &str = "cli0";
/// Processors.
pub(crate) const SERVER_CPU: u32 = 0;
pub(crate) const LOAD_CPU: u32 = 1;

/// What stops a measurement.
pub(crate) type Error = Box<dyn std::error::Error>;

/// The network; gone when dropped.
pub(crate) struct Stage {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    _lab: Lab,
}

impl Stage {
    pub(crate) fn build() -> Result<Stage, LabError> {
        let mut lab = Lab::new("wire")?;
        let (server, client) = (lab.namespace("server")?, lab.namespace("client")?);
        let end = |namespace, name, addresses, offloads| VethEnd {
            namespace,
            name,
            addresses,
            queues: 1,
            offloads,
        };
        // The kernel leaves its checksums to the veth, as it does to a real network interface.
        let ours = end(&server, AT_SERVER, &["10.9.0.1/24"], true);
        let theirs = end(&client, AT_LOAD, &["10.9.0.2/24"], false);
        lab.join(ours, theirs)?;
        Ok(Stage { server, client, _lab: lab })
    }

    /// Has each end's receive work done on its own processor, or on that of the sender, as veth
    /// does by default.
    pub(crate) fn steer(&self, on: bool) -> Result<(), LabError> {
        for (namespace, interface, cpu) in
            [(&self.server, AT_SERVER, SERVER_CPU), (&self.client, AT_LOAD, LOAD_CPU)]
        {
            let mask = if on { 1 << cpu } else { 0 };
            let file = format!("/sys/class/net/{interface}/queues/rx-0/rps_cpus");
            namespace.run("sh", &["-c", &format!("echo {mask:x} > {file}")])?;
        }
        Ok(())
    }
}

/// A program that was built beside this one.
pub(crate) fn beside(name: &str) -> Result<String, Error> {
    let path: PathBuf = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        return Err(format!("{} is not there: 'make bench-wire' builds it", path.display()).into());
    }
    Ok(path.to_string_lossy().into_owned())
}
