//! What is ours, as told to the XDP program: served endpoints, owned addresses, sockets by queue.

use core::net::IpAddr;
use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::{MapCore, MapFlags, Xdp, XdpFlags};

use super::abi;
use super::counters::{COUNT, SteerCounters};
use super::error::{AfXdpError, Attempts, Errno};
use super::group::SolicitedNodes;
use super::program::{self, Hook, Loaded};
use super::shield::Shield;
use super::{Mode, Nic, jumbo, privilege};

/// A process that was just killed leaves its program attached for some milliseconds.
const PREDECESSOR_TRIES: u32 = 100;
const PREDECESSOR_PAUSE: Duration = Duration::from_millis(10);

/// The driver whose word on XDP_TX is not to be trusted: see [`Shield::answers`].
const VETH: &str = "veth";

/// What the XDP program says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame is lost.
    Drop,
    /// The frame goes to the kernel.
    Pass,
    /// The frame, perhaps changed, leaves by the interface that it came from.
    Transmit,
    /// The frame goes to an AF_XDP socket.
    Redirect,
    /// The program failed.
    Aborted,
}

/// The XDP program and its maps, shared by the queues of one interface.
///
/// It detaches when dropped, or when the process ends, however that happens.
#[derive(Debug)]
pub struct Steer {
    loaded: Loaded,
    /// Held for its drop.
    link: Option<OwnedFd>,
    hook: Hook,
    attempts: Attempts,
    groups: Option<SolicitedNodes>,
    shield: Arc<Shield>,
}

impl Steer {
    /// Loads the program without attaching it: for [`Steer::run`].
    ///
    /// # Errors
    /// As [`Steer::attach`], but for those about the interface.
    pub fn load(queues: u32) -> Result<Steer, AfXdpError> {
        Steer::of(program::load(queues, None)?)
    }

    fn of(loaded: Loaded) -> Result<Steer, AfXdpError> {
        let shield = shield(&loaded, true)?;
        Ok(Steer {
            loaded,
            shield,
            link: None,
            hook: Hook::Native,
            attempts: Attempts::default(),
            groups: None,
        })
    }

    /// Loads the program and attaches it to `nic`: to the driver's hook unless `mode` is
    /// [`Mode::Generic`]; to the generic one also if the driver has none and `mode` is
    /// [`Mode::Auto`]. Nothing is redirected before addresses are named.
    ///
    /// # Errors
    /// A capability is missing, another program is attached, the interface is down, or neither hook
    /// takes the program; or packets are larger than a page and the kernel is older than 6.6.
    pub fn attach(nic: &Nic, mode: Mode) -> Result<Steer, AfXdpError> {
        if !nic.up {
            return Err(AfXdpError::Down { interface: nic.name.clone() });
        }
        let large = jumbo::has_fragments(nic).then_some(nic);
        let mut steer = Steer::of(program::load(nic.rx_queues, large)?)?;
        if mode != Mode::Generic {
            match steer.attach_patiently(nic, Hook::Native) {
                Ok(()) => {
                    steer.shield.set_answers(nic.driver != VETH);
                    return Ok(steer);
                }
                Err(answer) => steer.not_native(nic, mode, answer)?,
            }
        }
        match steer.attach_patiently(nic, Hook::Generic) {
            Ok(()) => {
                steer.shield.set_answers(false);
                Ok(steer)
            }
            Err(answer) => {
                steer.attempts.add("attaching to the generic hook", answer);
                Err(steer.attach_error(nic, mode, answer))
            }
        }
    }

    fn attach_patiently(&mut self, nic: &Nic, hook: Hook) -> Result<(), Errno> {
        for _ in 0..PREDECESSOR_TRIES {
            match program::attach(&self.loaded, nic.index, hook) {
                Ok(link) => {
                    self.link = Some(link);
                    self.hook = hook;
                    return Ok(());
                }
                Err(Errno(libc::EBUSY | libc::EEXIST)) if self.is_predecessor(nic) => {
                    thread::sleep(PREDECESSOR_PAUSE);
                }
                Err(answer) => return Err(answer),
            }
        }
        Err(Errno(libc::EBUSY))
    }

    /// Remembers why the driver's hook failed; an error if that is the end of it.
    fn not_native(&mut self, nic: &Nic, mode: Mode, answer: Errno) -> Result<(), AfXdpError> {
        self.attempts.add("attaching to the driver's hook", answer);
        let hopeless = matches!(answer.0, libc::EBUSY | libc::EEXIST | libc::EPERM);
        if mode == Mode::Auto && !hopeless {
            return Ok(());
        }
        Err(self.attach_error(nic, mode, answer))
    }

    fn attach_error(&self, nic: &Nic, mode: Mode, answer: Errno) -> AfXdpError {
        let interface = nic.name.clone();
        let doing = "attaching the XDP program";
        match answer.0 {
            libc::EPERM => AfXdpError::MissingCapability {
                doing,
                answer,
                missing: privilege::missing_capabilities(),
            },
            libc::EBUSY | libc::EEXIST => {
                let (id, program) = self.attached(nic).unwrap_or((0, "unknown".into()));
                AfXdpError::ForeignProgram { interface, id, program, answer }
            }
            libc::ENOSPC => {
                AfXdpError::TooFewQueues { interface, rx: nic.rx_queues, tx: nic.tx_queues, answer }
            }
            libc::ERANGE => AfXdpError::DriverMtu {
                interface,
                mtu: nic.mtu,
                driver: nic.driver.clone(),
                answer,
            },
            libc::ENOSYS => {
                AfXdpError::Kernel { doing, release: privilege::kernel_release(), answer }
            }
            _ => AfXdpError::NoMode {
                interface,
                driver: nic.driver.clone(),
                asked: mode.name(),
                attempts: self.attempts.clone(),
            },
        }
    }

    /// Whether what is attached has our program's name, or has gone meanwhile.
    fn is_predecessor(&self, nic: &Nic) -> bool {
        self.attached(nic).is_none_or(|(_, name)| name == "steer")
    }

    /// Id and name of the program on the interface.
    fn attached(&self, nic: &Nic) -> Option<(u32, String)> {
        let xdp = Xdp::new(self.loaded.program.as_fd());
        let id = xdp.query_id(nic.index as i32, XdpFlags::NONE).ok().filter(|&id| id != 0)?;
        let info = ProgInfoIter::default().find(|info| info.id == id);
        let name = info.map(|info| info.name.to_string_lossy().into_owned());
        Some((id, name.unwrap_or_else(|| "unknown".into())))
    }

    /// The program's map of this name in bpf/maps.h, for other programs to share.
    pub fn map(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let Loaded { xsks, served, owned, counters, flood, known, .. } = &self.loaded;
        let maps = [xsks, served, owned, counters, flood, known];
        maps.into_iter().find(|map| map.name() == name).map(|map| map.as_fd())
    }

    /// What the program needs in floods. It is shared with the queues that are opened.
    pub fn shield(&self) -> &Arc<Shield> {
        &self.shield
    }

    /// Whether it sits on the generic hook.
    pub fn is_generic(&self) -> bool {
        self.hook == Hook::Generic
    }

    /// What was tried before, and failed.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Redirects TCP segments to (`address`, `port`). Not for wildcard addresses: name each local
    /// address instead.
    ///
    /// # Errors
    /// The table is full (4,096 entries), or the kernel refused.
    pub fn serve(&self, address: IpAddr, port: u16) -> Result<(), AfXdpError> {
        let key = abi::endpoint_key(address, port);
        let update = self.loaded.served.update(&key, &1u32.to_ne_bytes(), MapFlags::ANY);
        update.map_err(|error| map_error(format!("serving {address} port {port}"), &error))
    }

    /// Leaves segments to (`address`, `port`) to the kernel again. Nothing happens if they are.
    pub fn withdraw(&self, address: IpAddr, port: u16) {
        let _ = self.loaded.served.delete(&abi::endpoint_key(address, port));
    }

    /// Makes `address` ours alone: its ARP, NDP, ICMP and all of its TCP.
    ///
    /// # Errors
    /// The table is full (1,024 entries), or the kernel refused.
    pub fn own(&mut self, nic: &Nic, address: IpAddr) -> Result<(), AfXdpError> {
        if let IpAddr::V6(v6) = address {
            self.join_group(nic, v6).map_err(|answer| AfXdpError::System {
                doing: format!("joining the solicited-node group of {address} on {}", nic.name),
                answer,
            })?;
        }
        let key = abi::address_key(address);
        let update = self.loaded.owned.update(&key, &1u32.to_ne_bytes(), MapFlags::ANY);
        update.map_err(|error| map_error(format!("owning address {address}"), &error))
    }

    fn join_group(&mut self, nic: &Nic, address: core::net::Ipv6Addr) -> Result<(), Errno> {
        if self.groups.is_none() {
            self.groups = Some(SolicitedNodes::new(nic.index)?);
        }
        self.groups.as_ref().map_or(Ok(()), |groups| groups.join(address))
    }

    /// Hands frames of ours that arrive on `queue` to `socket`.
    pub(super) fn join(&self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), AfXdpError> {
        let value = (socket.as_raw_fd() as u32).to_ne_bytes();
        let update = self.loaded.xsks.update(&queue.to_ne_bytes(), &value, MapFlags::ANY);
        update.map_err(|error| map_error(format!("redirecting queue {queue}"), &error))
    }

    /// What the program counted since it was loaded.
    pub fn counters(&self) -> SteerCounters {
        let mut values = [0u64; COUNT];
        for (key, value) in (0u32..).zip(&mut values) {
            let counters = &self.loaded.counters;
            let Ok(Some(each)) = counters.lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY) else {
                continue;
            };
            let words = each.iter().filter_map(|bytes| bytes.first_chunk::<8>());
            *value = words.map(|bytes| u64::from_ne_bytes(*bytes)).sum();
        }
        SteerCounters::new(values)
    }

    /// Runs the program on `frame` as if received on queue 0, without a network. Returns what it
    /// decided, and the frame as it left it in `out`.
    ///
    /// # Errors
    /// The kernel refused: frames shorter than an Ethernet header, or longer than a page.
    pub fn run(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<Verdict, AfXdpError> {
        match program::run(&self.loaded, frame, out) {
            Ok(1) => Ok(Verdict::Drop),
            Ok(2) => Ok(Verdict::Pass),
            Ok(3) => Ok(Verdict::Transmit),
            Ok(4) => Ok(Verdict::Redirect),
            Ok(_) => Ok(Verdict::Aborted),
            Err(answer) => {
                Err(AfXdpError::System { doing: "running the XDP program".into(), answer })
            }
        }
    }
}

fn shield(loaded: &Loaded, answers: bool) -> Result<Arc<Shield>, AfXdpError> {
    let shield = Shield::new(loaded.flood.as_fd(), loaded.known.as_fd(), answers);
    shield.map(Arc::new).map_err(|error| AfXdpError::System {
        doing: "mapping the XDP program's memory for floods".into(),
        answer: Errno::of(&error),
    })
}

fn map_error(doing: String, error: &libbpf_rs::Error) -> AfXdpError {
    match program::errno_in(error) {
        Some(answer) => AfXdpError::System { doing, answer },
        None => AfXdpError::Bpf { doing, detail: format!("{error:#}") },
    }
}
