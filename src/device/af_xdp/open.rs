//! Opening one queue: what is tried in which order, and what a refusal means.

use core::time::Duration;
use std::thread;

use super::error::{AfXdpError, Attempts, Errno};
use super::socket::{RingSizes, Rings, Socket};
use super::{AfXdpConfig, Mode, Nic, Obtained, Steer, jumbo, privilege};
use crate::device::Pool;

/// The kernel lets go of a closed socket's queue after a grace period.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// An open queue.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) rings: Rings,
    pub(super) obtained: Obtained,
    pub(super) attempts: Attempts,
    /// Frames in the fill ring.
    pub(super) filled: u32,
    pub(super) busy_polled: bool,
}

/// Binds a socket over `pool` to the queue: zero-copy if it can be had and is wanted, else copy.
pub(super) fn open(
    steer: &Steer,
    nic: &Nic,
    config: &AfXdpConfig,
    pool: &Pool,
) -> Result<Opened, AfXdpError> {
    check(nic, config, pool)?;
    let mut attempts = steer.attempts().clone();
    for zero_copy in ways(config.mode, steer.is_generic()) {
        match try_open(nic, config, pool, *zero_copy)? {
            Ok(mut opened) => {
                let zero_copy = opened.socket.is_zero_copy().map_err(|answer| {
                    AfXdpError::System { doing: "reading XDP_OPTIONS".into(), answer }
                })?;
                opened.obtained = match (zero_copy, steer.is_generic()) {
                    (true, _) => Obtained::ZeroCopy,
                    (false, false) => Obtained::Copy,
                    (false, true) => Obtained::Generic,
                };
                opened.attempts = attempts;
                return Ok(opened);
            }
            Err(answer) => {
                let large = is_large(pool);
                attempts.add(way(*zero_copy, large), answer);
                refuse(nic, config, answer)?;
                // Copy mode binds to any queue: what isn't known here is the flag.
                if large && !*zero_copy && answer == Errno(libc::EINVAL) {
                    return Err(jumbo::not_here(nic, way(false, true), answer));
                }
            }
        }
    }
    Err(AfXdpError::NoMode {
        interface: nic.name.clone(),
        driver: nic.driver.clone(),
        asked: config.mode.name(),
        attempts,
    })
}

/// Whether to ask for zero-copy, in order. On the generic hook such a socket is accepted and then
/// refuses to transmit.
fn ways(mode: Mode, generic: bool) -> &'static [bool] {
    match (mode, generic) {
        (Mode::Auto, false) => &[true, false],
        (Mode::ZeroCopy, false) => &[true],
        (Mode::ZeroCopy, true) => &[],
        _ => &[false],
    }
}

/// Whether frames are larger than what the kernel takes for one.
fn is_large(pool: &Pool) -> bool {
    pool.frame_size() > jumbo::CHUNK as usize
}

fn way(zero_copy: bool, large: bool) -> &'static str {
    match (zero_copy, large) {
        (true, false) => "binding zero-copy",
        (false, false) => "binding in copy mode",
        (true, true) => "binding zero-copy with multi-buffer",
        (false, true) => "binding in copy mode with multi-buffer",
    }
}

fn check(nic: &Nic, config: &AfXdpConfig, pool: &Pool) -> Result<(), AfXdpError> {
    for (name, size) in [("fill", config.fill_ring), ("rx", config.rx_ring), ("tx", config.tx_ring)]
    {
        if !size.is_power_of_two() || !(64..=1 << 16).contains(&size) {
            return Err(AfXdpError::Config(format!(
                "the {name} ring has {size} entries: it must be a power of two from 64 to 65536"
            )));
        }
    }
    if !nic.up {
        return Err(AfXdpError::Down { interface: nic.name.clone() });
    }
    if config.queue >= nic.rx_queues {
        return Err(AfXdpError::NoSuchQueue {
            interface: nic.name.clone(),
            queue: config.queue,
            queues: nic.rx_queues,
        });
    }
    let frame_size = pool.frame_size() as u32;
    let largest = jumbo::largest_mtu(frame_size);
    if nic.mtu > largest {
        let larger = jumbo::frame_size(nic.mtu);
        return Err(AfXdpError::MtuTooLarge {
            interface: nic.name.clone(),
            mtu: nic.mtu,
            largest,
            frame_size,
            hint: larger.map(|size| format!(", or use frames of {size} bytes")).unwrap_or_default(),
        });
    }
    Ok(())
}

/// One attempt. The outer error ends everything, the inner one this way only.
fn try_open(
    nic: &Nic,
    config: &AfXdpConfig,
    pool: &Pool,
    zero_copy: bool,
) -> Result<Result<Opened, Errno>, AfXdpError> {
    let socket =
        Socket::new().map_err(|answer| socket_error("opening an AF_XDP socket", answer))?;
    register(&socket, pool)?;
    let sizes = RingSizes {
        fill: config.fill_ring,
        completion: config.tx_ring,
        rx: config.rx_ring,
        tx: config.tx_ring,
    };
    let mut rings = socket
        .make_rings(sizes)
        .map_err(|answer| socket_error("making the rings of an AF_XDP socket", answer))?;
    socket.raise_transmit_limits(config.tx_ring);
    let busy_polled = config
        .busy_poll
        .is_some_and(|poll| socket.prefer_busy_poll(poll.micros, poll.budget).is_ok());

    // Some drivers take their buffers when they are bound.
    let filled = prefill(&mut rings, config, pool);
    let mode = if zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
    let multi_buffer = if is_large(pool) { libc::XDP_USE_SG } else { 0 };
    let flags = mode | multi_buffer | libc::XDP_USE_NEED_WAKEUP;
    match bind_patiently(&socket, nic, config.queue, flags) {
        Ok(()) => Ok(Ok(Opened {
            socket,
            rings,
            obtained: Obtained::Copy,
            attempts: Attempts::default(),
            filled: filled.len() as u32,
            busy_polled,
        })),
        Err(answer) => {
            drop(socket);
            for position in filled {
                pool.release(pool.received(position, 0, 0));
            }
            Ok(Err(answer))
        }
    }
}

fn register(socket: &Socket, pool: &Pool) -> Result<(), AfXdpError> {
    let chunk = jumbo::CHUNK.min(pool.frame_size() as u32);
    let mut answer = socket.register_umem(pool.region(), chunk);
    if matches!(answer, Err(Errno(libc::ENOBUFS | libc::ENOMEM)))
        && privilege::raise_locked_memory()
    {
        answer = socket.register_umem(pool.region(), chunk);
    }
    answer.map_err(|answer| match answer.0 {
        libc::ENOBUFS | libc::ENOMEM => AfXdpError::LockedMemory {
            bytes: pool.region().1,
            limit: privilege::locked_memory_limit(),
            answer,
        },
        _ => socket_error("registering the frame memory", answer),
    })
}

fn prefill(rings: &mut Rings, config: &AfXdpConfig, pool: &Pool) -> Vec<u32> {
    let mut filled = Vec::new();
    while filled.len() < fill_limit(config, pool) as usize {
        let Some(position) = pool.take_for_fill() else { break };
        let address = u64::from(position) * pool.frame_size() as u64;
        assert!(rings.fill.push(address), "a new fill ring has room for all its entries");
        filled.push(position);
    }
    rings.fill.publish();
    filled
}

/// Frames to keep in the fill ring: a small pool must have some left to transmit.
pub(super) fn fill_limit(config: &AfXdpConfig, pool: &Pool) -> u32 {
    config.fill_ring.min(pool.frames() / 2)
}

fn bind_patiently(socket: &Socket, nic: &Nic, queue: u32, flags: u16) -> Result<(), Errno> {
    for _ in 0..BUSY_TRIES {
        match socket.bind(nic.index, queue, flags) {
            Err(Errno(libc::EBUSY)) => thread::sleep(BUSY_PAUSE),
            answer => return answer,
        }
    }
    Err(Errno(libc::EBUSY))
}

/// An error if `answer` to a bind says that no other mode would work either.
fn refuse(nic: &Nic, config: &AfXdpConfig, answer: Errno) -> Result<(), AfXdpError> {
    let interface = nic.name.clone();
    match answer.0 {
        libc::EBUSY => Err(AfXdpError::QueueTaken { interface, queue: config.queue, answer }),
        libc::ENETDOWN => Err(AfXdpError::Down { interface }),
        libc::EPERM | libc::ENODEV => Err(socket_error("binding an AF_XDP socket", answer)),
        _ => Ok(()),
    }
}

fn socket_error(doing: &'static str, answer: Errno) -> AfXdpError {
    match answer.0 {
        libc::EPERM | libc::EACCES => AfXdpError::MissingCapability {
            doing,
            answer,
            missing: privilege::missing_capabilities(),
        },
        libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT => {
            AfXdpError::Kernel { doing, release: privilege::kernel_release(), answer }
        }
        _ => AfXdpError::System { doing: doing.into(), answer },
    }
}
