//! Where the demonstration takes place, and how Ctrl-C ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::runtime::Error;
use crate::runtime::lab::{Lab, LabError, Namespace, VethEnd};

/// Address of the server in its namespace.
pub(super) const SERVER: &str = "10.9.0.1";
/// The server's interface.
pub(super) const INTERFACE: &str = "srv0";
/// The clients'.
pub(super) const PEER: &str = "cli0";

/// Why the demonstration did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// Something went wrong.
    Failed(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Failed(error)
    }
}

impl From<LabError> for Trouble {
    fn from(error: LabError) -> Trouble {
        Trouble::Failed(Error::Backend(error.to_string()))
    }
}

/// Whether the user wants to end.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP are only noted.
    pub(super) fn listen() -> Result<Interrupt, Error> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let advice = "see the limits of this process ('ulimit -a')";
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .map_err(|answer| Error::machine("listening to signals", answer, advice))?;
        }
        Ok(Interrupt(flag))
    }

    /// An error once the user wants to end.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.0.load(Ordering::Relaxed) { Err(Trouble::Interrupted) } else { Ok(()) }
    }
}

/// Two namespaces joined by a veth pair; gone when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) server: Namespace,
    pub(super) client: Namespace,
    pub(super) interrupt: Interrupt,
    _lab: Lab,
}

impl Stage {
    pub(super) fn build(interrupt: &Interrupt) -> Result<Stage, Trouble> {
        let mut lab = Lab::new("demo")?;
        let (server, client) = (lab.namespace("server")?, lab.namespace("client")?);
        let ends = [
            VethEnd {
                namespace: &server,
                name: INTERFACE,
                addresses: &["10.9.0.1/24"],
                queues: 1,
                offloads: true,
            },
            VethEnd {
                namespace: &client,
                name: PEER,
                addresses: &["10.9.0.2/24"],
                queues: 1,
                offloads: false,
            },
        ];
        let [a, b] = ends;
        lab.join(a, b)?;
        interrupt.check()?;
        Ok(Stage { server, client, interrupt: interrupt.clone(), _lab: lab })
    }
}
