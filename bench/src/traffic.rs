//! The packets of the load: written from a template, read at fixed places.
//!
//! Reading and writing them must cost little, or the load would hide what it loads.

use core::net::Ipv4Addr;

use sidestep::device::{Batch, Pool};
use sidestep::wire::checksum::Sum;
use sidestep::wire::tcp::{Flags, Headers, Options, Timestamps};
use sidestep::wire::{Addr, DEFAULT_HOP_LIMIT, Link, Mac, Seq};

/// Bytes of a request, and of a response.
pub const PAYLOAD: usize = 100;
/// The first byte of what asks the server to close.
pub const QUIT: u8 = b'q';
/// Hardware address of the server.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Hardware address of everybody else: the router before the server.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Address of the server, in a network of 24 bits.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Address of the router in that network.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Port of the server.
pub const PORT: u16 = 80;

/// Address of the first client.
pub const FIRST_CLIENT: u32 = u32::from_be_bytes([10, 16, 0, 1]);
/// Port of the first client.
pub const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 50_000;

/// Bytes of the headers of a segment with timestamps and no other options.
pub const HEADERS: usize = 14 + 20 + 32;

/// The fields of a segment that differ from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Which client.
    pub client: u32,
    /// The sequence number.
    pub seq: u32,
    /// The acknowledgment number.
    pub ack: u32,
    /// TSval.
    pub ts_value: u32,
    /// TSecr.
    pub ts_echo: u32,
}

/// A segment whose variable fields are zero, with the checksums of that.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    timestamps_at: usize,
    ip: u16,
    tcp: u16,
}

impl Template {
    /// Data with this payload, or an ACK without any.
    pub fn data(payload: &[u8]) -> Template {
        let flags = if payload.is_empty() { Flags::ACK } else { Flags::ACK | Flags::PSH };
        Template::new(flags, Options::timestamps(0, 0), payload)
    }

    /// A FIN.
    pub fn fin() -> Template {
        Template::new(Flags::ACK | Flags::FIN, Options::timestamps(0, 0), &[])
    }

    /// A SYN with the options of a Linux client that takes segments of up to `mss` bytes.
    pub fn syn(mss: u16) -> Template {
        let options = Options {
            mss: Some(mss),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps::default()),
            ..Options::NONE
        };
        Template { timestamps_at: 62, ..Template::new(Flags::SYN, options, &[]) }
    }

    fn new(flags: Flags, options: Options, payload: &[u8]) -> Template {
        let headers = Headers {
            link: Link { src: Mac(ROUTER_MAC), dst: Mac(SERVER_MAC), vlan: None },
            src: Addr::UNSPECIFIED_V4,
            dst: Addr::from(SERVER),
            src_port: 0,
            dst_port: PORT,
            seq: Seq(0),
            ack: Seq(0),
            flags,
            window: 501,
            urgent: 0,
            hop_limit: DEFAULT_HOP_LIMIT,
            dscp: 0,
            ecn: 0,
            flow_label: 0,
            options,
        };
        let start = headers.len();
        let mut bytes = vec![0; start + payload.len()];
        bytes[start..].copy_from_slice(payload);
        headers.emit(&mut bytes);
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (ip, tcp) = (word(24), word(50));
        Template { bytes, timestamps_at: 58, ip, tcp }
    }

    /// Bytes of the packet.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the packet with these fields.
    ///
    /// # Panics
    /// If `packet` has not [`Template::len`] bytes.
    #[inline]
    pub fn write(&self, packet: &mut [u8], fields: &Fields) {
        packet.copy_from_slice(&self.bytes);
        let (src, port) = address(fields.client);
        let Fields { seq, ack, ts_value, ts_echo, .. } = *fields;
        let tcp = Sum::ZERO
            .word(!self.tcp)
            .dword(src)
            .word(port)
            .dword(seq)
            .dword(ack)
            .dword(ts_value)
            .dword(ts_echo)
            .checksum();
        let ip = Sum::ZERO.word(!self.ip).dword(src).checksum();
        let Some(headers) = packet.first_chunk_mut::<HEADERS>() else { return };
        headers[24..26].copy_from_slice(&ip.to_be_bytes());
        headers[26..30].copy_from_slice(&src.to_be_bytes());
        headers[34..36].copy_from_slice(&port.to_be_bytes());
        headers[38..42].copy_from_slice(&seq.to_be_bytes());
        headers[42..46].copy_from_slice(&ack.to_be_bytes());
        headers[50..52].copy_from_slice(&tcp.to_be_bytes());
        let at = self.timestamps_at;
        packet[at..at + 4].copy_from_slice(&ts_value.to_be_bytes());
        packet[at + 4..at + 8].copy_from_slice(&ts_echo.to_be_bytes());
    }
}

/// Has the server receive a packet of `len` bytes, which `write` writes. False if there is no frame
/// for it.
#[inline]
pub(crate) fn deliver(
    pool: &Pool,
    batch: &mut Batch,
    len: usize,
    write: impl FnOnce(&mut [u8]),
) -> bool {
    let Some(position) = pool.take_for_fill() else { return false };
    let mut frame = pool.received(position, Pool::RX_HEADROOM, len);
    write(pool.bytes_mut(&mut frame));
    batch.push(frame);
    true
}

/// What a client looks at in a segment from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which client it is for; any number if for none.
    pub client: u32,
    /// The sequence number.
    pub seq: u32,
    /// The acknowledgment number.
    pub ack: u32,
    /// The control bits.
    pub flags: Flags,
    /// Bytes of payload.
    pub payload: usize,
    /// TSval, or zero.
    pub ts_value: u32,
}

/// Reads an untagged IPv4 segment without IP options. With `REFLECTED`, one that a client wrote, as
/// if the server had sent it with the two sides swapped. `None` if it is no such segment.
#[inline]
pub fn read<const REFLECTED: bool>(packet: &[u8]) -> Option<Seen> {
    let headers = packet.first_chunk::<54>()?;
    let long = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|n| headers[at + n]));
    let word = |at: usize| u16::from_be_bytes([headers[at], headers[at + 1]]);
    if word(12) != 0x0800 || word(14) >> 8 != 0x45 {
        return None;
    }
    let (src, port) = if REFLECTED { (long(26), word(34)) } else { (long(30), word(36)) };
    let offset_flags = word(46);
    let tcp_header = usize::from(offset_flags >> 12) * 4;
    let timestamps = packet.get(58..62).filter(|_| tcp_header == 32);
    let ts_value = timestamps.map_or(0, |at| u32::from_be_bytes([at[0], at[1], at[2], at[3]]));
    let numbers = (long(38), long(42));
    let (seq, ack) = if REFLECTED { (numbers.1, numbers.0) } else { numbers };
    Some(Seen {
        client: client(src, port),
        seq,
        ack,
        flags: Flags::from_bits_truncate(offset_flags),
        payload: usize::from(word(16)).checked_sub(20 + tcp_header)?,
        ts_value,
    })
}

/// Address and port of a client.
#[inline]
fn address(client: u32) -> (u32, u16) {
    (FIRST_CLIENT + client / PORTS, FIRST_PORT + (client % PORTS) as u16)
}

/// The client with this address and port.
#[inline]
fn client(addr: u32, port: u16) -> u32 {
    let host = addr.wrapping_sub(FIRST_CLIENT);
    host.wrapping_mul(PORTS).wrapping_add(u32::from(port.wrapping_sub(FIRST_PORT)))
}

/// The answer to an ARP request for the router's address, if `packet` is one.
pub fn arp_reply(packet: &[u8]) -> Option<Vec<u8>> {
    let request = packet.get(..42)?;
    let wanted = request[12..14] == [8, 6] && request[20..22] == [0, 1];
    if !wanted || request[38..42] != ROUTER.octets() {
        return None;
    }
    let mut reply = request.to_vec();
    reply[..6].copy_from_slice(&request[6..12]);
    reply[6..12].copy_from_slice(&ROUTER_MAC);
    reply[21] = 2;
    reply[22..28].copy_from_slice(&ROUTER_MAC);
    reply[28..32].copy_from_slice(&ROUTER.octets());
    reply[32..42].copy_from_slice(&request[22..32]);
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidestep::wire::{Body, Checks, Parsed, parse};

    const FIELDS: Fields =
        Fields { client: 50_001, seq: 0xfffe_0102, ack: 7, ts_value: 0xdead_beef, ts_echo: 99 };

    #[test]
    fn what_is_written_is_whole_and_says_what_it_should() {
        let data = [Template::data(&[7; PAYLOAD]), Template::data(&[])];
        for template in data.into_iter().chain([Template::syn(1_460), Template::fin()]) {
            let mut packet = vec![0; template.len()];
            template.write(&mut packet, &FIELDS);
            let parsed = parse(&packet, Checks::FULL);
            let Ok(Parsed { body: Body::Tcp(segment), .. }) = parsed else {
                panic!("{parsed:?}");
            };
            assert_eq!(segment.src, Addr::from(Ipv4Addr::new(10, 16, 0, 2)));
            assert_eq!((segment.src_port, segment.dst_port), (10_001, PORT));
            assert_eq!((segment.seq.0, segment.ack.0), (FIELDS.seq, FIELDS.ack));
            let timestamps = segment.options.timestamps.expect("timestamps");
            assert_eq!((timestamps.value, timestamps.echo), (FIELDS.ts_value, FIELDS.ts_echo));
        }
    }

    #[test]
    fn a_reflection_reads_as_an_answer() {
        let template = Template::data(&[7; PAYLOAD]);
        let mut packet = vec![0; template.len()];
        template.write(&mut packet, &FIELDS);
        let seen = read::<true>(&packet).expect("a segment");
        assert_eq!((seen.client, seen.seq, seen.ack), (FIELDS.client, FIELDS.ack, FIELDS.seq));
        assert_eq!((seen.payload, seen.ts_value), (PAYLOAD, FIELDS.ts_value));
        assert_eq!(seen.flags, Flags::ACK | Flags::PSH);
    }
}
