//! The engine, its wire and its clock.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sidestep::app::{ConnId, Mailbox};
use sidestep::device::{Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{Engine, EngineConfig, LocalAddress};
use sidestep::sim::with_mailbox;
use sidestep::tcp::TcpConfig;
use sidestep::time::Instant;

use crate::clock::Clock;
use crate::epolls::Epolls;
use crate::errno::{Errno, Outcome};
use crate::facade::{Connect, Facade, Message};
use crate::settings::Settings;
use crate::shared::Waiter;
use crate::sockets::Sockets;
use crate::split::split;

/// Turns at one moment after which the engine is said to go round in circles.
const MAX_TURNS: u32 = 10_000;
/// Frames of the pool: packetdrill locks all memory, so not more than scripts need.
const FRAMES: u32 = 4_096;
const LOCAL_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const REMOTE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// Next hops: everybody is behind them, so that any remote address will do.
const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 255, 254));
const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd3d, 0, 0, 0, 0, 0, 0, 0xfffe));
/// Addresses of ours if nothing says which: those that packetdrill's own test runner gives.
const LOCAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));
const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1));
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

struct Running {
    engine: Engine<Facade, VirtualDevice>,
    mailbox: Mailbox<Message>,
    port: Port,
    deadline: Option<Instant>,
}

/// Everything there is, behind one lock.
pub(crate) struct Stack {
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) sockets: Sockets,
    pub(crate) epolls: Epolls,
    /// The call that is blocked, if one is.
    pub(crate) waiter: Option<Waiter>,
    running: Option<Running>,
    /// Names of connects: each is used once.
    next_token: u64,
    /// IP packets sent by the engine and not yet asked for.
    sent: VecDeque<(Instant, Vec<u8>)>,
}

impl Stack {
    pub(crate) fn new(settings: Settings) -> Stack {
        Stack {
            clock: Clock::new(),
            settings,
            sockets: Sockets::default(),
            epolls: Epolls::default(),
            waiter: None,
            running: None,
            next_token: 0,
            sent: VecDeque::new(),
        }
    }

    /// Makes the engine if there is none. It starts when the first call or packet tells an address
    /// of ours, so that what scripts set before is known.
    fn start(&mut self, local: Option<IpAddr>) -> io::Result<&mut Running> {
        if self.running.is_none() {
            self.settings.read_sysctls();
            let mut locals = self.settings.locals.clone();
            locals.extend(local);
            for default in [LOCAL_V4, LOCAL_V6] {
                if !locals.iter().any(|ip| ip.is_ipv4() == default.is_ipv4()) {
                    locals.push(default);
                }
            }
            self.running = Some(run(&self.settings, locals)?);
            self.turn();
        }
        self.running.as_mut().ok_or_else(|| io::Error::other("no engine"))
    }

    fn started(&mut self, local: Option<IpAddr>) -> Outcome<&mut Running> {
        self.start(local).map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::ENOMEM)))
    }

    pub(crate) fn facade(&self) -> Option<&Facade> {
        self.running.as_ref().map(|running| running.engine.app())
    }

    pub(crate) fn facade_mut(&mut self) -> Option<&mut Facade> {
        self.running.as_mut().map(|running| running.engine.app_mut())
    }

    /// When the engine next wants to act by itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref()?.deadline
    }

    /// Turns until there is nothing left to do at this moment.
    ///
    /// # Panics
    /// If that never comes: the engine has a fault that no script could name.
    pub(crate) fn turn(&mut self) {
        let now = self.clock.now();
        let Some(running) = &mut self.running else { return };
        for _ in 0..MAX_TURNS {
            let turn = running.engine.turn(now);
            running.deadline = turn.next_deadline;
            while let Some(frame) = running.port.receive() {
                if frame.len() > ETHERNET && [IPV4, IPV6].iter().any(|kind| frame[12..14] == *kind)
                {
                    self.sent.push_back((now, frame[ETHERNET..].to_vec()));
                }
                running.port.recycle(frame);
            }
            let overdue = running.deadline.is_some_and(|at| at <= now);
            if !turn.worked && running.port.unreceived() == 0 && !overdue {
                return;
            }
        }
        panic!("the engine finds no end of work, and time does not pass");
    }

    /// Gives an IP packet to the engine.
    pub(crate) fn inject(&mut self, packet: &[u8]) -> Outcome<()> {
        let (kind, local) = destination(packet).ok_or(Errno(libc::EINVAL))?;
        let mtu = usize::from(self.settings.mtu);
        let running = self.started(Some(local))?;
        for piece in split(packet, mtu) {
            let mut frame = Vec::with_capacity(ETHERNET + piece.len());
            frame.extend(LOCAL_MAC);
            frame.extend(REMOTE_MAC);
            frame.extend(kind);
            frame.extend(piece);
            running.port.send(&frame);
        }
        self.turn();
        Ok(())
    }

    /// The oldest packet that the engine sent, and when.
    pub(crate) fn take_sent(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }

    pub(crate) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Has a message carried out.
    pub(crate) fn post(&mut self, to: ConnId, message: Message) -> Outcome<()> {
        let running = self.started(None)?;
        running.mailbox.post(to, message).map_err(|_| Errno(libc::ENOBUFS))?;
        self.turn();
        Ok(())
    }

    pub(crate) fn connect(&mut self, connect: Connect) -> Outcome<()> {
        let local = connect.local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified());
        self.started(local)?.engine.app_mut().connects.push(connect);
        self.turn();
        Ok(())
    }

    /// A name that no other connect has.
    pub(crate) fn new_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Gives up a connect that has not opened.
    pub(crate) fn cancel_connect(&mut self, token: u64) {
        if let Some(running) = &mut self.running {
            running.engine.cancel_connect(token);
            self.turn();
        }
    }

    pub(crate) fn listen(&mut self, at: SocketAddr) -> Outcome<()> {
        let local = Some(at.ip()).filter(|ip| !ip.is_unspecified());
        self.started(local)?.engine.listen(at);
        Ok(())
    }

    pub(crate) fn stop_listening(&mut self, at: SocketAddr) {
        if let Some(running) = &mut self.running {
            running.engine.stop_listening(at);
        }
    }

    /// Changes how TCP behaves, before or after the engine started: for all connections.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut TcpConfig)) {
        change(&mut self.settings.tcp);
        if let Some(running) = &mut self.running {
            running.engine.set_tcp_config(self.settings.tcp);
        }
        self.turn();
    }
}

fn run(settings: &Settings, locals: Vec<IpAddr>) -> io::Result<Running> {
    let mut config = EngineConfig::new([0x5d; 32]);
    for ip in locals {
        let prefix_len = if ip.is_ipv4() { 32 } else { 128 };
        config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
    }
    config.gateways = vec![GATEWAY_V4, GATEWAY_V6];
    config.neighbours = config.gateways.iter().map(|ip| (*ip, REMOTE_MAC)).collect();
    config.tcp = settings.tcp;
    config.limits.backlog = settings.backlog;
    config.limits.connections = 1_024;
    // Frames for any MTU that scripts ask for.
    let pool = PoolConfig {
        frame_size: 4_096,
        huge_pages: false,
        frames: FRAMES,
        ..PoolConfig::default()
    };
    let pool = Pool::new(pool).map_err(io::Error::other)?;
    let (device, port) = VirtualDevice::new(pool, LOCAL_MAC, settings.mtu);
    let (engine, mailbox) = with_mailbox(config, device, Facade::default())?;
    Ok(Running { engine, mailbox, port, deadline: None })
}

/// The kind of an IP packet, and where it goes.
fn destination(packet: &[u8]) -> Option<([u8; 2], IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some((IPV4, IpAddr::from(octets)))
        }
        6 => {
            let octets: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some((IPV6, IpAddr::from(octets)))
        }
        _ => None,
    }
}
