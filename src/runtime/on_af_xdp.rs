//! The AF_XDP backend, started: what is reserved, attached, opened and served, in which order.
//!
//! The interface is looked at, the ports are reserved in the kernel and the XDP program is attached
//! before any core starts; each core opens its queue; only when all have, the endpoints are named
//! to the program, so that no segment is taken from the kernel before somebody can answer it.

use std::sync::Arc;

use super::builder::Settings;
use super::cookie_keys::{KeyKeeper, Mirror, cookies};
use super::core_loop::World;
use super::cores::{self, Build, Common, Failure};
use super::error::Error;
use super::interface::Interface;
use super::network::Network;
use super::plan::{Seat, seats};
use super::ready::Ready;
use super::reserve::Reservation;
use super::server::{Call, named_interface, processors, secret};
use super::settings::{self, Backend, Poll};
use crate::app::{App, CoreContext, MailboxReader};
use crate::device::af_xdp::{
    AfXdp, AfXdpConfig, AfXdpError, BusyPoll, Mode, Nic, Shield, Steer, fitting,
};
use crate::device::{Pool, Waker};
use crate::engine::{CookieConfig, Engine, EngineConfig, SynCookies};
use crate::tcp::cookie::CookieKeys;

pub(super) fn run<A, F>(call: &Call<'_, F>) -> Result<(), Failure>
where
    A: App,
    F: Fn(CoreContext<A::Message>) -> A + Sync,
{
    let settings = call.settings;
    let interface = Interface::find(named_interface(settings)?).map_err(Error::from)?;
    let network = Network::of(&interface, settings)?;
    let cores = settings.cores.as_ref();
    let seats = seats(settings.queues.as_ref(), interface.rx_queues, cores, &processors())?;
    let reservation = Reservation::make(&network.addresses.shared, interface.index)?;
    let nic = interface.nic();
    let mut steer = Steer::attach(&nic, mode(settings.mode)).map_err(Error::from)?;
    for local in network.addresses.local.iter().filter(|local| local.owned) {
        steer.own(&nic, local.ip).map_err(Error::from)?;
    }
    let common = Common::new(settings, &seats);
    let secret = secret()?;
    let mut keeper = KeyKeeper::new(settings)?;
    let shield = Arc::clone(steer.shield());
    keeper.mirror(&*shield);
    if settings.answer_in_driver && !steer.is_generic() {
        shield.set_answers(true);
    }
    if settings.syn_cookies != SynCookies::Off && !shield.answers() {
        tracing::info!(
            "in a flood of SYNs the engine will answer them, as {} (driver {}) can't be trusted to \
             send frames back",
            nic.name,
            nic.driver
        );
    }
    let cookies = cookies(settings, keeper.keys());
    let opener = Opener { settings, network: &network, nic: &nic, steer: &steer, secret, cookies };
    let keeper = Some(&mut keeper);
    let result = cores::run(&common, call.stop, &opener, call.factory, keeper, |reports| {
        for at in &network.addresses.endpoints {
            steer.serve(at.ip(), at.port())?;
        }
        let ready = Ready {
            backend: Backend::AfXdp,
            mode: reports.first().map_or_else(String::new, |core| core.mode.clone()),
            listen: network.addresses.endpoints.clone(),
            queues: reports.len(),
        };
        call.ready(&ready);
        Ok(ready)
    });
    // The program goes first: what comes after it is the kernel's again, ports included.
    drop(steer);
    drop(reservation);
    result
}

/// Opens the queue of each core.
struct Opener<'a> {
    settings: &'a Settings,
    network: &'a Network,
    nic: &'a Nic,
    steer: &'a Steer,
    secret: [u8; 32],
    cookies: CookieConfig,
}

impl Opener<'_> {
    fn open(&self, seat: &Seat) -> Result<(AfXdp, String, EngineConfig), Error> {
        let frames = fitting(self.settings.pool, self.nic.mtu);
        let pool = Pool::new(frames)?;
        tracing::info!(
            "queue {}: {} frames of {} bytes on {} pages",
            seat.queue,
            frames.frames,
            frames.frame_size,
            pool.pages().name()
        );
        let config = AfXdpConfig {
            queue: seat.queue,
            mode: mode(self.settings.mode),
            busy_poll: (self.settings.poll == Poll::Busy).then(BusyPoll::default),
            accept_partial_checksums: self.settings.accept_partial_checksums,
            ..AfXdpConfig::default()
        };
        let device = AfXdp::open(self.steer, self.nic, &config, pool)?;
        let obtained = device.obtained().name();
        if !device.attempts().0.is_empty() {
            tracing::info!("queue {}: {obtained}, as {}", seat.queue, device.attempts());
        }
        let config = self.network.engine_config(self.settings, seat, self.secret);
        let config = EngineConfig { cookies: self.cookies.clone(), ..config };
        Ok((device, obtained.to_owned(), config))
    }
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
        let (device, mode, config) = self.open(seat)?;
        #[cfg(debug_assertions)]
        if self.settings.fault_percent > 0 {
            let device = crate::device::Faulty::new(device, self.settings.fault_percent);
            return Ok(run(&mut Engine::new(config, device, mailbox, app()), &mode));
        }
        Ok(run(&mut Engine::new(config, device, mailbox, app()), &mode))
    }
}

fn mode(mode: settings::Mode) -> Mode {
    match mode {
        settings::Mode::Auto => Mode::Auto,
        settings::Mode::ZeroCopy => Mode::ZeroCopy,
        settings::Mode::Copy => Mode::Copy,
        settings::Mode::Generic => Mode::Generic,
    }
}

impl Mirror for Shield {
    fn publish_keys(&self, keys: &CookieKeys) {
        Shield::publish_keys(self, keys);
    }

    fn set_clock(&self, unix_ms: u64) {
        Shield::set_clock(self, Shield::monotonic_ns(), unix_ms);
    }
}

impl From<AfXdpError> for Error {
    fn from(error: AfXdpError) -> Error {
        Error::told(&error)
    }
}
