//! The engine under judgement, its wire and its clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sidestep::app::{ConnId, Mailbox};
use sidestep::device::{Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{Engine, EngineConfig, Listen, LocalAddress};
use sidestep::sim::with_mailbox;
use sidestep::time::Instant;

use super::facade::{Connect, Facade, Message};
use super::settings::Settings;
use crate::segments::codec::{Decoded, Quote, decode, encode, encode_icmp, flow_label};
use crate::segments::path::Path;
use crate::segments::segment::Segment;

/// Turns at one moment after which the engine is said to go round in circles.
const MAX_TURNS: u32 = 1_000;
/// Where the clock begins: a moment like any other.
const ORIGIN: Instant = Instant::from_nanos(77_777_777_777);

pub(crate) struct World {
    path: Path,
    engine: Engine<Facade, VirtualDevice>,
    mailbox: Mailbox<Message>,
    port: Port,
    now: Instant,
    deadline: Option<Instant>,
    /// The flow label of all segments so far (RFC 6437 section 3).
    label: Option<u32>,
    /// Sent by the engine and not yet expected by the script, with the moment.
    pub(crate) sent: VecDeque<(Duration, Segment)>,
}

impl World {
    pub(crate) fn new(settings: &Settings, path: Path, listen: bool) -> World {
        let mut config = EngineConfig::new([0x5d; 32]);
        let (ip, prefix_len) = (path.local.ip(), path.prefix_len());
        config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
        config.neighbours.push((path.remote.ip(), path.remote_mac));
        config.tcp = settings.tcp;
        config.cookies = settings.cookies.clone();
        (config.limits, config.overflow) = (settings.limits, settings.overflow);
        if listen {
            config.listeners.push(Listen { at: path.local });
        }
        let pool = PoolConfig {
            frames: 4_096,
            frame_size: 4_096,
            huge_pages: false,
            ..PoolConfig::default()
        };
        let pool = Pool::new(pool).expect("memory for the frames");
        let mtu = settings.mtu(path.family());
        let (device, port) = VirtualDevice::new(pool, path.local_mac, mtu);
        let mut facade = Facade::default();
        (facade.pauses, facade.refuses) = (settings.accept_later, settings.refuse);
        let (engine, mailbox) = with_mailbox(config, device, facade).expect("eventfd");
        let mut world = World {
            path,
            engine,
            mailbox,
            port,
            now: ORIGIN,
            deadline: Some(ORIGIN),
            label: None,
            sent: VecDeque::new(),
        };
        world.turn().expect("an engine that has just started has nothing to say");
        world
    }

    /// Time since the script began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - ORIGIN
    }

    pub(crate) fn facade(&self) -> &Facade {
        self.engine.app()
    }

    pub(crate) fn facade_mut(&mut self) -> &mut Facade {
        self.engine.app_mut()
    }

    /// The next moment at which the engine wants to act.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadline.map(|at| at - ORIGIN)
    }

    /// Sets the clock, which never goes back, and lets the engine act if it is due.
    pub(crate) fn advance(&mut self, to: Duration) -> Result<(), String> {
        self.now = self.now.max(ORIGIN + to);
        match self.deadline {
            Some(at) if at <= self.now => self.turn(),
            _ => Ok(()),
        }
    }

    pub(crate) fn inject(&mut self, segment: &Segment) -> Result<(), String> {
        self.port.send(&encode(&self.path, segment));
        self.turn()
    }

    pub(crate) fn inject_icmp(&mut self, quote: &Quote) -> Result<(), String> {
        self.port.send(&encode_icmp(&self.path, quote));
        self.turn()
    }

    pub(crate) fn post(&mut self, to: ConnId, message: Message) -> Result<(), String> {
        self.mailbox.post(to, message).map_err(|error| error.to_string())?;
        self.turn()
    }

    pub(crate) fn connect(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<(), String> {
        self.facade_mut().connect = Some(Connect { local, remote });
        self.turn()
    }

    /// Accepts whoever waits.
    pub(crate) fn accept(&mut self) -> Result<(), String> {
        if !core::mem::replace(&mut self.facade_mut().pauses, false) {
            return Ok(());
        }
        self.turn()
    }

    /// Turns until there is nothing left to do, and takes what was sent.
    fn turn(&mut self) -> Result<(), String> {
        for _ in 0..MAX_TURNS {
            let turn = self.engine.turn(self.now);
            self.deadline = turn.next_deadline;
            self.collect()?;
            let overdue = self.deadline.is_some_and(|at| at <= self.now);
            if !turn.worked && self.port.unreceived() == 0 && !overdue {
                return Ok(());
            }
        }
        Err(String::from("the engine finds no end of work, and time does not pass"))
    }

    /// All connections of a script have the same addresses and ports, and so the same label.
    fn check_label(&mut self, frame: &[u8]) -> Result<(), String> {
        let Some(label) = flow_label(frame) else { return Ok(()) };
        match *self.label.get_or_insert(label) {
            0 => Err(String::from("the engine sent a packet without a flow label")),
            first if first != label => Err(format!("flow label {label:x} after {first:x}")),
            _ => Ok(()),
        }
    }

    fn collect(&mut self) -> Result<(), String> {
        while let Some(frame) = self.port.receive() {
            match decode(&self.path, &frame) {
                Ok(Decoded::Tcp(segment)) => {
                    self.check_label(&frame)?;
                    self.sent.push_back((self.elapsed(), segment));
                }
                Ok(Decoded::Other) => {}
                Err(what) => return Err(format!("the engine sent a bad packet: {what}")),
            }
        }
        Ok(())
    }
}
