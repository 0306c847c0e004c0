//! From a socket into frames, and from frames into a socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use mio::net::TcpStream;

use crate::app::Close;
use crate::device::{Class, Frame, FrameQueue, FrameRef, Place, Pool};

/// Frames offered to one read: 60 KiB of the usual size.
pub(super) const READ_FRAMES: usize = 32;
/// Frames offered to one write.
const WRITE_FRAMES: usize = 64;

/// What reading brought.
#[derive(Debug)]
pub(super) enum Received {
    /// So many bytes, and whether they filled what was offered: then there may be more.
    Bytes { count: usize, filled: bool },
    /// The peer has finished.
    Fin,
    /// Nothing yet.
    Nothing,
    /// The pool has no frame.
    NoFrames,
    /// The connection is broken.
    Broken(Close),
}

/// Reads up to `room` bytes into what is left of the queue's last frame and up to `frames` new
/// ones.
pub(super) fn receive(
    stream: &TcpStream,
    pool: &Pool,
    queue: &mut FrameQueue,
    room: usize,
    frames: usize,
) -> Received {
    let mut fresh = [const { None }; READ_FRAMES];
    let tail = last_room(pool, queue).map(|(at, len)| (at, len.min(room)));
    let mut offered = tail.map_or(0, |(_, len)| len);
    for place in fresh.iter_mut().take(frames) {
        if offered == room {
            break;
        }
        let Some(mut frame) = pool.alloc(Class::Data) else { break };
        let part = pool.tailroom(&frame).min(room - offered);
        pool.extend(&mut frame, part);
        offered += part;
        *place = Some(frame);
    }
    if offered == 0 {
        return Received::NoFrames;
    }
    let result = match tail {
        None => read_into(stream, pool, &mut [], &mut fresh),
        Some((at, len)) => queue.edit(pool, at, Place::Received, |last| {
            let before = last.len();
            pool.extend(last, len);
            let rest = &mut pool.bytes_mut(last)[before..];
            let result = read_into(stream, pool, rest, &mut fresh);
            last.truncate(before + result.as_ref().map_or(0, |count| *count));
            result
        }),
    };
    let count = *result.as_ref().unwrap_or(&0);
    keep(pool, queue, &mut fresh, count - count.min(tail.map_or(0, |(_, len)| len)));
    match result {
        Ok(0) => Received::Fin,
        Ok(count) => Received::Bytes { count, filled: count == offered },
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Err(error) => Received::Broken(why(&error)),
    }
}

/// The last frame and how much more it can take: small segments share a frame.
fn last_room(pool: &Pool, queue: &FrameQueue) -> Option<(FrameRef, usize)> {
    let last = queue.back().some()?;
    let room = pool.queued_tailroom(last) as usize;
    (room > 0).then_some((last, room))
}

/// Keeps the frames that the first `count` bytes went to and gives the others back.
fn keep(pool: &Pool, queue: &mut FrameQueue, fresh: &mut [Option<Frame>], mut count: usize) {
    for place in fresh {
        let Some(mut frame) = place.take() else { break };
        if count == 0 {
            pool.release(frame);
            continue;
        }
        frame.truncate(count);
        count -= frame.len();
        queue.push_back(pool, frame, Place::Received);
    }
}

fn read_into(
    mut stream: &TcpStream,
    pool: &Pool,
    first: &mut [u8],
    rest: &mut [Option<Frame>; READ_FRAMES],
) -> io::Result<usize> {
    if first.is_empty()
        && let [Some(frame), None, ..] = rest
    {
        return retry(|| stream.read(pool.bytes_mut(frame)));
    }
    let mut slices: [IoSliceMut<'_>; READ_FRAMES + 1] =
        core::array::from_fn(|_| IoSliceMut::new(&mut []));
    slices[0] = IoSliceMut::new(first);
    let mut used = 1;
    for (slice, frame) in slices[1..].iter_mut().zip(rest.iter_mut().flatten()) {
        *slice = IoSliceMut::new(pool.bytes_mut(frame));
        used += 1;
    }
    retry(|| stream.read_vectored(&mut slices[..used]))
}

/// What writing did.
#[derive(Debug)]
pub(super) enum Sent {
    /// So many bytes, and whether that was all that was offered: then the kernel may take more.
    Bytes { count: usize, all: bool },
    /// The connection is broken.
    Broken(Close),
}

/// Writes from the front of the queue, once, and releases the frames whose bytes the kernel took.
pub(super) fn transmit(mut stream: &TcpStream, pool: &Pool, queue: &mut FrameQueue) -> Sent {
    let mut chunks = queue.chunks(pool);
    let first = chunks.next().unwrap_or_default();
    let (result, offered) = match chunks.next() {
        None => (retry(|| stream.write(first)), first.len()),
        Some(second) => {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
            (slices[0], slices[1]) = (IoSlice::new(first), IoSlice::new(second));
            let (mut used, mut offered) = (2, first.len() + second.len());
            for (slice, chunk) in slices[2..].iter_mut().zip(chunks) {
                *slice = IoSlice::new(chunk);
                offered += chunk.len();
                used += 1;
            }
            (retry(|| stream.write_vectored(&slices[..used])), offered)
        }
    };
    match result {
        Ok(count) => {
            queue.consume(pool, count as u32, Place::Sending);
            Sent::Bytes { count, all: count == offered }
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Sent::Bytes { count: 0, all: false }
        }
        Err(error) => Sent::Broken(why(&error)),
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Why an established connection broke.
pub(super) fn why(error: &io::Error) -> Close {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    match error.kind() {
        // A reset that was reported before, or that came after the peer's FIN, reads as a broken
        // pipe.
        ConnectionReset | BrokenPipe | NotConnected => Close::Reset,
        io::ErrorKind::OutOfMemory => Close::NoResources,
        // What ICMP told meanwhile.
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Close::Unreachable,
        // ETIMEDOUT: nobody acknowledged for too long.
        _ => Close::TimedOut,
    }
}
