//! The functions of `bench/lwip/glue.c`, with what makes them safe to call.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::marker::PhantomData;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

use sidestep::device::Frame;

use super::Wire;
use crate::contender::Work;
use crate::generator::Load;
use crate::traffic::{PAYLOAD, PORT, ROUTER, SERVER, SERVER_MAC};

/// What the glue is told: `struct glue_config`.
#[repr(C)]
struct Config {
    work: u8,
    mac: [u8; 6],
    ip: [u8; 4],
    router: [u8; 4],
    port: u16,
    mtu: u16,
    request: usize,
    block: *const u8,
    block_len: usize,
    transmit: unsafe extern "C" fn(*mut c_void, *const Pbuf),
}

/// How a `struct pbuf` begins; the glue asserts it.
#[repr(C)]
struct Pbuf {
    next: *const Pbuf,
    payload: *const u8,
    tot_len: u16,
    len: u16,
}

// SAFETY: as glue.c defines them.
unsafe extern "C" {
    fn glue_start(config: *const Config) -> c_int;
    fn glue_stop();
    fn glue_turn(wire: *mut c_void, milliseconds: u32);
    fn glue_input(wire: *mut c_void, bytes: *mut u8, len: u16);
}

static TAKEN: AtomicBool = AtomicBool::new(false);

/// lwIP itself, of which a process has one: its state is global. What it transmits goes to a
/// `Wire<L>`, whoever calls it.
#[derive(Debug)]
pub(super) struct Stack<L> {
    wire: PhantomData<fn(L)>,
}

impl<L: Load> Stack<L> {
    /// Listens, and does `work` with `block` for whoever connects. Segments are of at most `mtu`
    /// bytes, less their headers.
    ///
    /// # Panics
    /// If there is another one, or lwIP has no memory.
    pub(super) fn new(work: Work, block: &'static [u8], mtu: u16) -> Stack<L> {
        assert!(!TAKEN.swap(true, Ordering::Acquire), "a process has one lwIP only");
        let config = Config {
            work: match work {
                Work::Respond => 0,
                Work::Sink => 1,
                Work::Source => 2,
            },
            mac: SERVER_MAC,
            ip: SERVER.octets(),
            router: ROUTER.octets(),
            port: PORT,
            mtu,
            request: PAYLOAD,
            block: block.as_ptr(),
            block_len: block.len(),
            transmit: transmit::<L>,
        };
        // SAFETY: nobody else is in lwIP, as `TAKEN` was not set; `block` lives forever.
        let started = unsafe { glue_start(&raw const config) };
        assert_eq!(started, 1, "lwIP starts");
        Stack { wire: PhantomData }
    }

    /// Tells the time, and lets what is due be done.
    pub(super) fn turn(&mut self, wire: &mut Wire<L>, milliseconds: u32) {
        let wire: *mut Wire<L> = wire;
        // SAFETY: nobody else is in lwIP, as this is the only one. It gives `wire` to `transmit`
        // alone and has forgotten it when it returns.
        unsafe { glue_turn(wire.cast(), milliseconds) }
    }

    /// Lets a packet be received.
    pub(super) fn input(&mut self, wire: &mut Wire<L>, frame: &mut Frame) {
        let pool = wire.pool.clone();
        let bytes = pool.bytes_mut(frame);
        let len = bytes.len() as u16;
        let wire: *mut Wire<L> = wire;
        // SAFETY: as in `turn`. The bytes are ours alone until it returns, and it aborts if lwIP
        // keeps them.
        unsafe { glue_input(wire.cast(), bytes.as_mut_ptr(), len) }
    }
}

impl<L> Drop for Stack<L> {
    fn drop(&mut self) {
        // SAFETY: nobody else is in lwIP, as this is the only one; without a `wire` that is lent it
        // transmits nothing.
        unsafe { glue_stop() }
        TAKEN.store(false, Ordering::Release);
    }
}

/// lwIP has written a packet. Should this panic, the process aborts: there is no way back through
/// C.
///
/// # Safety
/// `wire` is what `Stack<L>` lent, and `packet` a chain of buffers that nobody changes.
unsafe extern "C" fn transmit<L: Load>(wire: *mut c_void, packet: *const Pbuf) {
    // SAFETY: it was made from a `&mut Wire<L>` that is not used until lwIP returns.
    let wire = unsafe { &mut *wire.cast::<Wire<L>>() };
    let mut next = packet;
    // SAFETY: a pbuf of the chain is valid until this returns, and the last one's `next` is null.
    let pieces = core::iter::from_fn(|| unsafe { next.as_ref() }.inspect(|pbuf| next = pbuf.next));
    // SAFETY: a pbuf has `len` bytes at `payload`.
    let pieces = pieces.map(|each| unsafe { slice::from_raw_parts(each.payload, each.len.into()) });
    // SAFETY: as above; lwIP transmits no empty chain.
    let len = unsafe { (*packet).tot_len };
    wire.transmit(len.into(), pieces);
}
