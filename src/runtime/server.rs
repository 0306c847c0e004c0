//! From a builder to a running server, on whichever backend can be had.

use std::cell::RefCell;
use std::io::Read;

use super::builder::{OnReady, Settings};
use super::control::Stop;
use super::cores::Failure;
use super::error::Error;
use super::ready::Ready;
use super::settings::Backend;
use super::stats;
use crate::app::{App, CoreContext};

/// What every backend is called with.
pub(super) struct Call<'a, F> {
    pub(super) settings: &'a Settings,
    pub(super) stop: &'a Stop,
    on_ready: RefCell<Option<OnReady>>,
    pub(super) factory: &'a F,
}

impl<F> Call<'_, F> {
    /// Tells the caller, once.
    pub(super) fn ready(&self, ready: &Ready) {
        if let Some(on_ready) = self.on_ready.take() {
            on_ready(ready);
        }
    }
}

/// Runs the server to its end.
pub(super) fn run<A, F>(
    settings: &Settings,
    stop: &Stop,
    on_ready: Option<OnReady>,
    factory: &F,
) -> Result<(), Error>
where
    A: App,
    F: Fn(CoreContext<A::Message>) -> A + Sync,
{
    if settings.listen.is_empty() && !settings.connects_only {
        return Err(Error::configuration("nowhere to listen: say --listen ADDRESS:PORT"));
    }
    if let Some(path) = &settings.stats_json {
        stats::check(path).map_err(|answer| {
            let tried = format!("writing statistics to {}", path.display());
            Error::machine(tried, answer, "name a file that can be written with --stats-json")
        })?;
    }
    let call = Call { settings, stop, on_ready: RefCell::new(on_ready), factory };
    let outcome = match settings.backend {
        Backend::Auto => automatic(&call),
        Backend::AfXdp => on_af_xdp(&call),
        Backend::Tap => on_tap(&call),
        Backend::Kernel => on_kernel(&call),
    };
    outcome.map_err(|failure| failure.error)
}

/// AF_XDP, else the kernel's sockets. What the caller got wrong is no reason for the latter.
fn automatic<A, F>(call: &Call<'_, F>) -> Result<(), Failure>
where
    A: App,
    F: Fn(CoreContext<A::Message>) -> A + Sync,
{
    let why = if call.settings.interface.is_none() {
        String::from("no interface is named (--interface)")
    } else {
        match on_af_xdp(call) {
            Err(failure) if !failure.served && !failure.error.is_configuration() => {
                failure.error.to_string()
            }
            outcome => return outcome,
        }
    };
    if !call.settings.addresses.is_empty() {
        return Err(Failure::from(Error::configuration(format!(
            "--address needs a backend with a stack of its own, and AF_XDP can't be had: {why}"
        ))));
    }
    eprintln!("sidestep: backend kernel instead of af-xdp: {why}");
    on_kernel(call)
}

#[cfg(feature = "af-xdp")]
use super::on_af_xdp::run as on_af_xdp;
#[cfg(feature = "kernel")]
use super::on_kernel::run as on_kernel;
#[cfg(feature = "tap")]
use super::on_tap::run as on_tap;

#[cfg(not(feature = "af-xdp"))]
fn on_af_xdp<F>(_: &Call<'_, F>) -> Result<(), Failure> {
    Err(left_out("af-xdp"))
}

#[cfg(not(feature = "tap"))]
fn on_tap<F>(_: &Call<'_, F>) -> Result<(), Failure> {
    Err(left_out("tap"))
}

#[cfg(not(feature = "kernel"))]
fn on_kernel<F>(_: &Call<'_, F>) -> Result<(), Failure> {
    Err(left_out("kernel"))
}

#[cfg(not(all(feature = "af-xdp", feature = "tap", feature = "kernel")))]
fn left_out(backend: &str) -> Failure {
    Failure::from(Error::Backend(format!(
        "machine: this program was built without the backend {backend}: build it with the feature \
         of that name"
    )))
}

/// The name of the interface, which this backend can't do without.
pub(super) fn named_interface(settings: &Settings) -> Result<&str, Error> {
    settings.interface.as_deref().ok_or_else(|| {
        Error::configuration(format!(
            "backend {} needs an interface: say --interface NAME ('ip link' lists them)",
            settings.backend
        ))
    })
}

/// The processors that this process may run on.
pub(super) fn processors() -> Vec<u32> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.into_iter().map(|id| id.id as u32).collect()
}

/// Keys that nobody can guess, new at each start.
pub(super) fn secret() -> Result<[u8; 32], Error> {
    let mut secret = [0; 32];
    let read =
        std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut secret));
    let advice = "this is a character device with mode 666 on every machine; make it so again";
    read.map_err(|answer| Error::machine("reading 32 bytes from /dev/urandom", answer, advice))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ() {
        assert_ne!(secret().expect("urandom"), secret().expect("urandom"));
    }
}
