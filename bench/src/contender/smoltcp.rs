//! smoltcp with the same application, as its own documentation would have it written.

use sidestep::device::{Batch, Class, Device as _, Frame, Pool};
use sidestep::time::Instant;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::{RESPONSE, Server};
use crate::generator::Generator;
use crate::traffic::{PAYLOAD, PORT, ROUTER, SERVER, SERVER_MAC};

/// Bytes of each of a socket's two buffers.
const BUFFER: usize = 4_096;

/// A socket for each client, all listening; smoltcp knows no backlog.
pub struct Smoltcp {
    phy: Phy,
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
}

impl Smoltcp {
    /// With so many sockets, and `batch` packets a turn.
    ///
    /// # Panics
    /// If smoltcp refuses its configuration.
    pub fn new(generator: Generator, connections: u32, batch: u32) -> Smoltcp {
        let pool = generator.pool().clone();
        let mut phy = Phy { generator, pool, batch: Batch::new(batch as usize), ready: Vec::new() };
        let config = Config::new(EthernetAddress(SERVER_MAC).into());
        let now = smoltcp::time::Instant::from_micros(0);
        let mut interface = Interface::new(config, &mut phy, now);
        interface.update_ip_addrs(|addresses| {
            let ours = IpCidr::new(IpAddress::Ipv4(SERVER), 24);
            addresses.push(ours).expect("room for one address");
        });
        interface.routes_mut().add_default_ipv4_route(ROUTER).expect("room for one route");
        let mut sockets = SocketSet::new(Vec::with_capacity(connections as usize));
        let handles = (0..connections).map(|_| sockets.add(socket())).collect();
        Smoltcp { phy, interface, sockets, handles }
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_tsval_generator(Some(|| 1));
    socket.listen(PORT).expect("a port that is not zero");
    socket
}

impl Server for Smoltcp {
    fn turn(&mut self, now: Instant) {
        let Smoltcp { phy, interface, sockets, handles } = self;
        let micros = i64::try_from(now.nanos() / 1_000).unwrap_or(i64::MAX);
        let now = smoltcp::time::Instant::from_micros(micros);
        phy.fill();
        while interface.poll_ingress_single(now, phy, sockets) != PollIngressSingleResult::None {}
        for handle in handles {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(*handle);
            while socket.recv_queue() >= PAYLOAD {
                let mut request = [0; PAYLOAD];
                let read = socket.recv_slice(&mut request).expect("an open socket");
                let written = socket.send_slice(&RESPONSE).expect("an open socket");
                assert_eq!((read, written), (PAYLOAD, PAYLOAD));
            }
            match socket.state() {
                tcp::State::CloseWait => socket.close(),
                tcp::State::Closed => socket.listen(PORT).expect("a port that is not zero"),
                _ => {}
            }
        }
        interface.poll_egress(now, phy, sockets);
    }

    fn generator(&mut self) -> &mut Generator {
        &mut self.phy.generator
    }
}

/// The load as smoltcp's kind of device, without a copy that it doesn't make itself.
struct Phy {
    generator: Generator,
    pool: Pool,
    batch: Batch,
    /// Received in this turn, the last one first.
    ready: Vec<Frame>,
}

impl Phy {
    /// Receives what this turn is to have.
    fn fill(&mut self) {
        self.generator.receive(&mut self.batch);
        self.ready.extend(self.batch.drain().rev());
    }
}

impl Device for Phy {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received<'_>, ToSend<'_>)> {
        let frame = self.ready.pop()?;
        let Phy { generator, pool, .. } = self;
        Some((Received { pool, frame }, ToSend { pool, generator }))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<ToSend<'_>> {
        Some(ToSend { pool: &self.pool, generator: &mut self.generator })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1_514;
        capabilities
    }
}

struct Received<'a> {
    pool: &'a Pool,
    frame: Frame,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(self.pool.bytes(&self.frame));
        self.pool.release(self.frame);
        result
    }
}

struct ToSend<'a> {
    pool: &'a Pool,
    generator: &'a mut Generator,
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.pool.alloc(Class::Control).expect("more frames than sockets");
        self.pool.extend(&mut frame, len);
        let result = f(self.pool.bytes_mut(&mut frame));
        self.generator.transmit(&frame);
        self.pool.release(frame);
        result
    }
}
