//! The user-space stack over a TAP device, started.
//!
//! The kernel is at the other end of the wire: give its end an address and route with `ip`, and
//! every address of this end with [`ServerBuilder::address`](super::ServerBuilder::address).

use std::process::{Command, Stdio};

use super::builder::Settings;
use super::cookie_keys::{KeyKeeper, cookies};
use super::core_loop::World;
use super::cores::{self, Build, Common, Failure};
use super::error::Error;
use super::network::Network;
use super::plan::{Seat, seats};
use super::ready::Ready;
use super::server::{Call, named_interface, processors, secret};
use super::settings::Backend;
use crate::app::{App, CoreContext, MailboxReader};
use crate::device::{Pool, Tap, TapConfig, TapError, Waker};
use crate::engine::{CookieConfig, Engine, EngineConfig};

/// What the ready line says.
const MODE: &str = "tap";

pub(super) fn run<A, F>(call: &Call<'_, F>) -> Result<(), Failure>
where
    A: App,
    F: Fn(CoreContext<A::Message>) -> A + Sync,
{
    let settings = call.settings;
    let name = named_interface(settings)?;
    let network = Network::alone(name, settings)?;
    let cores = settings.cores.as_ref();
    let seats = seats(settings.queues.as_ref(), 1, cores, &processors())?;
    let common = Common::new(settings, &seats);
    let mut keeper = KeyKeeper::new(settings)?;
    let cookies = cookies(settings, keeper.keys());
    let opener = Opener { settings, name, network: &network, secret: secret()?, cookies };
    cores::run(&common, call.stop, &opener, call.factory, Some(&mut keeper), |reports| {
        bring_up(name);
        let ready = Ready {
            backend: Backend::Tap,
            mode: MODE.into(),
            listen: network.addresses.endpoints.clone(),
            queues: reports.len(),
        };
        call.ready(&ready);
        Ok(ready)
    })
}

/// A device that was made just now is down. One that the caller made may be up already, and one
/// that can't be brought up is the caller's to look at.
fn bring_up(name: &str) {
    let mut command = Command::new("ip");
    command.args(["link", "set", "dev", name, "up"]).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let answer = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            tracing::warn!("'ip link set dev {name} up' refused: {answer}");
        }
        Err(error) => tracing::warn!("'ip link set dev {name} up' failed: {error}"),
    }
}

/// Opens the device.
struct Opener<'a> {
    settings: &'a Settings,
    name: &'a str,
    network: &'a Network,
    secret: [u8; 32],
    cookies: CookieConfig,
}

impl<A: App> Build<A> for Opener<'_> {
    fn build<R>(
        &self,
        seat: &Seat,
        _waker: &Waker,
        mailbox: MailboxReader<A::Message>,
        app: impl FnOnce() -> A,
        run: impl FnOnce(&mut dyn World, &str) -> R,
    ) -> Result<R, Error> {
        let pool = Pool::new(self.settings.pool)?;
        let device = Tap::open(&TapConfig::new(self.name), pool)?;
        let config = self.network.engine_config(self.settings, seat, self.secret);
        let config = EngineConfig { cookies: self.cookies.clone(), ..config };
        Ok(run(&mut Engine::new(config, device, mailbox, app()), MODE))
    }
}

impl From<TapError> for Error {
    fn from(error: TapError) -> Error {
        Error::told(&error)
    }
}
