//! smoltcp with the same application, as its own documentation would have it written.

use sidestep::time::Instant;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::{BLOCK, RESPONSE, Server, Work};
use crate::generator::Load;
use crate::phy::Phy;
use crate::traffic::{PAYLOAD, PORT, ROUTER, SERVER, SERVER_MAC};

/// Bytes of each of a socket's two buffers, for requests and for bulk.
const BUFFER: usize = 4_096;
const BULK_BUFFER: usize = 256 << 10;

/// A socket for each client, all listening; smoltcp knows no backlog.
pub struct Smoltcp<L> {
    work: Work,
    phy: Phy<L>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
}

impl<L: Load> Smoltcp<L> {
    /// With so many sockets, and `batch` packets a turn.
    ///
    /// # Panics
    /// If smoltcp refuses its configuration.
    pub fn new(work: Work, load: L, connections: u32, batch: u32) -> Smoltcp<L> {
        let mut phy = Phy::new(load, batch as usize);
        let config = Config::new(EthernetAddress(SERVER_MAC).into());
        let now = smoltcp::time::Instant::from_micros(0);
        let mut interface = Interface::new(config, &mut phy, now);
        interface.update_ip_addrs(|addresses| {
            let ours = IpCidr::new(IpAddress::Ipv4(SERVER), 24);
            addresses.push(ours).expect("room for one address");
        });
        interface.routes_mut().add_default_ipv4_route(ROUTER).expect("room for one route");
        let mut sockets = SocketSet::new(Vec::with_capacity(connections as usize));
        let handles = (0..connections).map(|_| sockets.add(socket(work))).collect();
        Smoltcp { work, phy, interface, sockets, handles }
    }
}

fn socket(work: Work) -> tcp::Socket<'static> {
    let bytes = if work == Work::Respond { BUFFER } else { BULK_BUFFER };
    let buffer = || tcp::SocketBuffer::new(vec![0; bytes]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_tsval_generator(Some(|| 1));
    socket.listen(PORT).expect("a port that is not zero");
    socket
}

impl<L: Load> Server<L> for Smoltcp<L> {
    fn turn(&mut self, now: Instant) {
        let Smoltcp { work, phy, interface, sockets, handles } = self;
        let micros = i64::try_from(now.nanos() / 1_000).unwrap_or(i64::MAX);
        let now = smoltcp::time::Instant::from_micros(micros);
        phy.fill();
        while interface.poll_ingress_single(now, phy, sockets) != PollIngressSingleResult::None {}
        for handle in handles {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(*handle);
            match work {
                Work::Respond => respond(socket),
                Work::Sink if socket.can_recv() => {
                    socket.recv(|bytes| (bytes.len(), ())).expect("an open socket");
                }
                Work::Source if socket.can_send() => {
                    while socket.send_slice(&BLOCK).expect("an open socket") == BLOCK.len() {}
                }
                Work::Sink | Work::Source => {}
            }
        }
        while interface.poll_egress(now, phy, sockets) != PollResult::None {}
        assert_eq!(phy.lost(), 0, "more frames than sockets");
    }

    fn load(&mut self) -> &mut L {
        self.phy.device()
    }
}

fn respond(socket: &mut tcp::Socket<'_>) {
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
