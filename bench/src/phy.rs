//! Any of Sidestep's devices as smoltcp's kind of device, without a copy that smoltcp doesn't make
//! itself.

use sidestep::device::{Batch, Class, Device, Frame, Pool};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// The device, and what it received in this turn.
#[derive(Debug)]
pub struct Phy<D> {
    device: D,
    pool: Pool,
    batch: Batch,
    /// The last one first.
    ready: Vec<Frame>,
    lost: u64,
}

impl<D: Device> Phy<D> {
    /// Takes up to `batch` packets a turn.
    pub fn new(device: D, batch: usize) -> Phy<D> {
        let pool = device.pool().clone();
        Phy { device, pool, batch: Batch::new(batch), ready: Vec::with_capacity(batch), lost: 0 }
    }

    /// Receives what this turn is to have.
    pub fn fill(&mut self) {
        self.device.receive(&mut self.batch);
        self.ready.extend(self.batch.drain().rev());
    }

    /// The device itself.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Packets for which there was no frame to send them in.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl<D: Device> phy::Device for Phy<D> {
    type RxToken<'a>
        = Received<'a>
    where
        D: 'a;
    type TxToken<'a>
        = ToSend<'a, D>
    where
        D: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, ToSend<'_, D>)> {
        let frame = self.ready.pop()?;
        let Phy { device, pool, lost, .. } = self;
        Some((Received { pool, frame }, ToSend { pool, device, lost }))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_, D>> {
        let Phy { device, pool, lost, .. } = self;
        Some(ToSend { pool, device, lost })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET + usize::from(self.device.link().mtu);
        capabilities
    }
}

/// A received packet.
#[derive(Debug)]
pub struct Received<'a> {
    pool: &'a Pool,
    frame: Frame,
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(self.pool.bytes(&self.frame));
        self.pool.release(self.frame);
        result
    }
}

/// A packet to be written.
#[derive(Debug)]
pub struct ToSend<'a, D> {
    pool: &'a Pool,
    device: &'a mut D,
    lost: &'a mut u64,
}

impl<D: Device> phy::TxToken for ToSend<'_, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Some(mut frame) = self.pool.alloc(Class::Control) else {
            *self.lost += 1;
            return f(&mut vec![0; len]);
        };
        self.pool.extend(&mut frame, len);
        let result = f(self.pool.bytes_mut(&mut frame));
        self.device.transmit(&frame);
        self.pool.release(frame);
        result
    }
}
