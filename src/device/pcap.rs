//! Recording what goes through a device as a pcap file, for Wireshark or tcpdump.
//!
//! The classic format is a header of 24 bytes and one of 16 before each packet (nanosecond
//! variant): less to write than a library for it would be to depend on.

use core::time::Duration;
use std::io::{self, Write};
use std::time::SystemTime;

use super::{Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, SynAckOffer, Waker};
use crate::tcp::cookie::Tuple;

/// Magic number of the variant with nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: (u16, u16) = (2, 4);
/// More than any frame.
const SNAPSHOT_LEN: u32 = 65_535;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u32 = 1;

/// A device that writes a copy of every packet, received or transmitted, to `W`.
///
/// Packets carry the time of the turn in which they went by. If writing fails, recording ends and
/// [`Tee::error`] tells why; the traffic goes on.
#[derive(Debug)]
pub struct Tee<D, W: Write> {
    device: D,
    out: W,
    /// Time since 1970 of the last receive.
    now: Duration,
    error: Option<io::Error>,
}

impl<D: Device, W: Write> Tee<D, W> {
    /// Begins a file on `out`, which had better be buffered.
    ///
    /// # Errors
    /// What writing the file's header answered.
    pub fn new(device: D, mut out: W) -> io::Result<Tee<D, W>> {
        out.write_all(&file_header())?;
        Ok(Tee { device, out, now: since_1970(), error: None })
    }

    /// The device inside.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Why recording ended, if it has.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn record(&mut self, frame: &Frame) {
        let bytes = self.device.pool().bytes(frame);
        let header = packet_header(self.now, bytes.len() as u32);
        if let Err(error) = self.out.write_all(&header).and_then(|()| self.out.write_all(bytes)) {
            self.end(error);
        }
    }

    fn end(&mut self, error: io::Error) {
        tracing::warn!("recording of {} ends: {error}", self.device.link().name);
        self.error = Some(error);
    }
}

impl<D: Device, W: Write> Device for Tee<D, W> {
    fn pool(&self) -> &Pool {
        self.device.pool()
    }

    fn link(&self) -> &LinkProperties {
        self.device.link()
    }

    fn receive(&mut self, batch: &mut Batch) {
        self.now = since_1970();
        let before = batch.frames().len();
        self.device.receive(batch);
        for frame in &batch.frames()[before..] {
            if self.error.is_none() {
                self.record(frame);
            }
        }
    }

    fn room(&self) -> usize {
        self.device.room()
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        let taken = self.device.transmit(frame);
        if taken && self.error.is_none() {
            self.record(frame);
        }
        taken
    }

    fn flush(&mut self) {
        self.device.flush();
    }

    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker) {
        // There is time now, and whoever reads along sees all.
        if self.error.is_none()
            && let Err(error) = self.out.flush()
        {
            self.end(error);
        }
        self.device.wait(timeout, waker);
    }

    fn flood(&mut self, offer: Option<&SynAckOffer>) {
        self.device.flood(offer);
    }

    fn note_flow(&mut self, tuple: &Tuple, known: bool) {
        self.device.note_flow(tuple, known);
    }

    fn may_know(&self, tuple: &Tuple) -> bool {
        self.device.may_know(tuple)
    }

    fn counters(&self) -> DeviceCounters {
        self.device.counters()
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[4..6].copy_from_slice(&VERSION.0.to_le_bytes());
    header[6..8].copy_from_slice(&VERSION.1.to_le_bytes());
    header[16..20].copy_from_slice(&SNAPSHOT_LEN.to_le_bytes());
    header[20..24].copy_from_slice(&ETHERNET.to_le_bytes());
    header
}

fn packet_header(at: Duration, len: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[0..4].copy_from_slice(&(at.as_secs() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&at.subsec_nanos().to_le_bytes());
    header[8..12].copy_from_slice(&len.to_le_bytes());
    header[12..16].copy_from_slice(&len.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Class, PoolConfig, VirtualDevice};

    fn pool() -> Pool {
        let config = PoolConfig { frames: 16, reserve: 2, ..PoolConfig::default() };
        Pool::new(config).expect("frames")
    }

    /// Accepts a number of bytes, then fails.
    #[derive(Debug)]
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.0.checked_sub(bytes.len());
            self.0 = left.ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn exchange<W: Write>(out: W) -> Tee<VirtualDevice, W> {
        let (device, port) = VirtualDevice::new(pool(), [2, 0, 0, 0, 0, 1], 1_500);
        let mut tee = Tee::new(device, out).expect("a header");
        port.send(b"there");
        let mut batch = Batch::new(4);
        tee.receive(&mut batch);
        for frame in batch.drain() {
            tee.pool().release(frame);
        }
        let mut frame = tee.pool().alloc(Class::Data).expect("a frame");
        tee.pool().extend(&mut frame, 4);
        tee.pool().bytes_mut(&mut frame).copy_from_slice(b"back");
        assert!(tee.transmit(&frame));
        tee.pool().release(frame);
        assert_eq!(port.receive().as_deref(), Some(&b"back"[..]));
        tee
    }

    #[test]
    fn both_directions_are_in_the_file() {
        let tee = exchange(Vec::new());
        let file = tee.out.as_slice();
        assert_eq!(file[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(file[20..24], [1, 0, 0, 0]);
        let packets = &file[24..];
        assert_eq!(packets[8..16], [5, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(&packets[16..21], b"there");
        assert_eq!(packets[29..37], [4, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(&packets[37..], b"back");
    }

    #[test]
    fn times_are_seconds_and_nanoseconds() {
        let header = packet_header(Duration::new(3, 999_999_999), 60);
        assert_eq!(header[..4], [3, 0, 0, 0]);
        assert_eq!(header[4..8], 999_999_999u32.to_le_bytes());
    }

    #[test]
    fn traffic_goes_on_when_the_disk_is_full() {
        let tee = exchange(Disk(24 + 16));
        let error = tee.error().expect("recording has ended");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
