//! C's buffers and addresses as Rust's.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::slice;

use libc::{AF_INET, AF_INET6, iovec, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use crate::errno::{Errno, Outcome};

const FAULT: Errno = Errno(libc::EFAULT);

/// Bytes to read from; an empty buffer may be null.
///
/// # Safety
/// If not null, `buf` points to `len` bytes that nobody writes meanwhile.
pub(super) unsafe fn bytes<'a>(buf: *const c_void, len: usize) -> Outcome<&'a [u8]> {
    match (buf.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(FAULT),
        // SAFETY: the caller promises it.
        (false, _) => Ok(unsafe { slice::from_raw_parts(buf.cast(), len) }),
    }
}

/// Bytes to write to; an empty buffer may be null.
///
/// # Safety
/// If not null, `buf` points to `len` bytes that nobody else uses meanwhile.
pub(super) unsafe fn bytes_mut<'a>(buf: *mut c_void, len: usize) -> Outcome<&'a mut [u8]> {
    match (buf.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(FAULT),
        // SAFETY: the caller promises it; packetdrill's buffers are allocated zeroed.
        (false, _) => Ok(unsafe { slice::from_raw_parts_mut(buf.cast(), len) }),
    }
}

/// The pieces of a vector.
///
/// # Safety
/// If not null, `iov` points to `count` pieces.
pub(super) unsafe fn pieces<'a>(iov: *const iovec, count: usize) -> Outcome<&'a [iovec]> {
    match (iov.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(FAULT),
        // SAFETY: the caller promises it.
        (false, _) => Ok(unsafe { slice::from_raw_parts(iov, count) }),
    }
}

/// All bytes of the pieces, one after the other.
///
/// # Safety
/// Each piece is as [`bytes`] asks.
pub(super) unsafe fn gather(pieces: &[iovec]) -> Outcome<Vec<u8>> {
    let mut all = Vec::new();
    for piece in pieces {
        // SAFETY: the caller promises it.
        all.extend_from_slice(unsafe { bytes(piece.iov_base, piece.iov_len) }?);
    }
    Ok(all)
}

/// Spreads bytes over the pieces, which are large enough.
///
/// # Safety
/// Each piece is as [`bytes_mut`] asks.
pub(super) unsafe fn scatter(mut data: &[u8], pieces: &[iovec]) -> Outcome<()> {
    for piece in pieces {
        let n = piece.iov_len.min(data.len());
        // SAFETY: the caller promises it.
        unsafe { bytes_mut(piece.iov_base, n) }?.copy_from_slice(&data[..n]);
        data = &data[n..];
    }
    Ok(())
}

/// How much the pieces hold.
pub(super) fn total(pieces: &[iovec]) -> usize {
    pieces.iter().map(|piece| piece.iov_len).sum()
}

/// A socket address; an IPv4 address in IPv6's clothes becomes IPv4.
///
/// # Safety
/// If not null, `addr` points to `len` bytes.
pub(super) unsafe fn address(addr: *const sockaddr, len: socklen_t) -> Outcome<SocketAddr> {
    const V4: usize = size_of::<sockaddr_in>();
    const V6: usize = size_of::<sockaddr_in6>();
    // SAFETY: the caller promises it.
    let bytes = unsafe { bytes(addr.cast(), len as usize) }?;
    let invalid = Errno(libc::EINVAL);
    let family = bytes.first_chunk().map(|family| u16::from_ne_bytes(*family)).ok_or(invalid)?;
    let port = bytes.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]])).ok_or(invalid)?;
    let ip = match i32::from(family) {
        AF_INET if bytes.len() >= V4 => IpAddr::from([bytes[4], bytes[5], bytes[6], bytes[7]]),
        AF_INET6 if bytes.len() >= V6 => {
            let octets: [u8; 16] = bytes[8..24].try_into().map_err(|_| invalid)?;
            IpAddr::from(octets).to_canonical()
        }
        AF_INET | AF_INET6 => return Err(invalid),
        _ => return Err(Errno(libc::EAFNOSUPPORT)),
    };
    Ok(SocketAddr::new(ip, port))
}

/// Writes a socket address as far as it fits, and its whole length, as accept does. Null pointers
/// ask for nothing.
///
/// # Safety
/// If not null, `len` points to the length of what `addr` points to.
pub(super) unsafe fn put_address(
    from: SocketAddr,
    ipv6: bool,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> Outcome<()> {
    if addr.is_null() || len.is_null() {
        return Ok(());
    }
    let whole = encode(from, ipv6);
    // SAFETY: the caller promises it.
    let room = unsafe { *len } as usize;
    let n = room.min(whole.len());
    // SAFETY: the caller promises it.
    unsafe { bytes_mut(addr.cast(), n) }?.copy_from_slice(&whole[..n]);
    // SAFETY: the caller promises it.
    unsafe { *len = whole.len() as socklen_t };
    Ok(())
}

fn encode(addr: SocketAddr, ipv6: bool) -> Vec<u8> {
    let family = if ipv6 { AF_INET6 } else { AF_INET } as u16;
    let mut bytes = Vec::from(family.to_ne_bytes());
    bytes.extend(addr.port().to_be_bytes());
    match addr.ip() {
        IpAddr::V4(ip) if !ipv6 => {
            bytes.extend(ip.octets());
            bytes.extend([0; 8]);
        }
        ip => {
            let ip: Ipv6Addr = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            bytes.extend([0; 4]);
            bytes.extend(ip.octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}
