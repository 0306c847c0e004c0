//! Loading the XDP program, attaching it as a link that this process owns, and running it on a
//! packet without a network.
#![allow(unsafe_code)]

use core::mem::{MaybeUninit, size_of};
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapHandle, PrintLevel, libbpf_sys};

use super::error::{AfXdpError, Errno};
use super::privilege;

mod skeleton {
    include!(concat!(env!("OUT_DIR"), "/steer.skel.rs"));
}

/// The loaded program and its maps; all live in the kernel as long as these descriptors.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) program: OwnedFd,
    pub(super) xsks: MapHandle,
    pub(super) served: MapHandle,
    pub(super) owned: MapHandle,
    pub(super) counters: MapHandle,
}

/// Loads the program with room for `queues` sockets.
pub(super) fn load(queues: u32) -> Result<Loaded, AfXdpError> {
    // libbpf would print its own errors to stderr; ours say more.
    libbpf_rs::set_print(Some((PrintLevel::Info, |_, text| {
        tracing::debug!(target: "libbpf", "{}", text.trim_end());
    })));
    let mut object = MaybeUninit::uninit();
    let mut open = skeleton::SteerSkelBuilder::default().open(&mut object).map_err(load_error)?;
    open.maps.xsks.set_max_entries(queues.max(1)).map_err(load_error)?;
    let steer = open.load().map_err(load_error)?;
    let program = steer.progs.steer.as_fd().try_clone_to_owned();
    Ok(Loaded {
        program: program.map_err(|error| AfXdpError::System {
            doing: "duplicating the XDP program's descriptor".into(),
            answer: Errno::of(&error),
        })?,
        xsks: MapHandle::try_from(&steer.maps.xsks).map_err(load_error)?,
        served: MapHandle::try_from(&steer.maps.served).map_err(load_error)?,
        owned: MapHandle::try_from(&steer.maps.owned).map_err(load_error)?,
        counters: MapHandle::try_from(&steer.maps.counters).map_err(load_error)?,
    })
}

/// The number of the system's answer inside of a libbpf error.
pub(super) fn errno_in(error: &libbpf_rs::Error) -> Option<Errno> {
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = at {
        let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if number.is_some() {
            return number.map(Errno);
        }
        at = error.source();
    }
    None
}

fn load_error(error: libbpf_rs::Error) -> AfXdpError {
    let doing = "loading the XDP program";
    match (errno_in(&error), error.kind()) {
        (Some(Errno(libc::EPERM)), _) | (_, libbpf_rs::ErrorKind::PermissionDenied) => {
            AfXdpError::MissingCapability {
                doing,
                answer: Errno(libc::EPERM),
                missing: privilege::missing_capabilities(),
            }
        }
        (Some(answer @ Errno(libc::ENOSYS)), _) => {
            AfXdpError::Kernel { doing, release: privilege::kernel_release(), answer }
        }
        _ => AfXdpError::Bpf { doing: doing.into(), detail: format!("{error:#}") },
    }
}

/// Which hook of the interface to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// The driver's own.
    Native,
    /// The kernel's, behind the driver, for any interface.
    Generic,
}

/// Attaches the program. Whoever holds the descriptor holds the link: the kernel detaches when it is
/// closed, be it by the end of the process.
pub(super) fn attach(loaded: &Loaded, interface: u32, hook: Hook) -> Result<OwnedFd, Errno> {
    // SAFETY: a plain structure of integers and null pointers, for which zero is a value.
    let mut options: libbpf_sys::bpf_link_create_opts = unsafe { core::mem::zeroed() };
    options.sz = size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t;
    options.flags = match hook {
        Hook::Native => libbpf_sys::XDP_FLAGS_DRV_MODE,
        Hook::Generic => libbpf_sys::XDP_FLAGS_SKB_MODE,
    };
    let program = loaded.program.as_raw_fd();
    // SAFETY: a valid program descriptor, and options that live until the call returns.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program, interface as i32, libbpf_sys::BPF_XDP, &options)
    };
    if fd < 0 {
        return Err(Errno(-fd));
    }
    // SAFETY: the descriptor is new and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs the program on `frame` as received on queue 0 of the loopback interface. Returns the XDP
/// verdict and leaves in `out` the frame as the program left it.
pub(super) fn run(loaded: &Loaded, frame: &[u8], out: &mut Vec<u8>) -> Result<u32, Errno> {
    // Room for what a program may put in front of the frame.
    out.clear();
    out.resize(frame.len() + 512, 0);
    // SAFETY: a plain structure of integers and null pointers, for which zero is a value.
    let mut options: libbpf_sys::bpf_test_run_opts = unsafe { core::mem::zeroed() };
    options.sz = size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t;
    options.data_in = frame.as_ptr().cast();
    options.data_size_in = frame.len() as u32;
    options.data_out = out.as_mut_ptr().cast();
    options.data_size_out = out.len() as u32;
    options.repeat = 1;
    // SAFETY: a valid program descriptor; the buffers are as long as said and live until the call
    // returns.
    let answer =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(loaded.program.as_raw_fd(), &mut options) };
    if answer < 0 {
        return Err(Errno(-answer));
    }
    out.truncate(options.data_size_out as usize);
    Ok(options.retval)
}
