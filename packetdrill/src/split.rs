//! Cuts what a script injects into packets that a link carries.
//!
//! Scripts speak of segments as large as 64 KiB, which a kernel's TUN device takes whole. Frames
//! here are as large as the link's MTU, so a large segment arrives as its sender's card would send
//! it.

const TCP: u8 = 6;
const FIN_PSH: u8 = 0x01 | 0x08;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// Where the headers of a TCP packet are.
struct Layout {
    tcp: usize,
    payload: usize,
}

/// The packet, or its pieces of at most `mtu` bytes. What is not TCP or not well formed stays
/// whole: the engine is to see it as it is.
pub(crate) fn split(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let layout = layout(packet).filter(|layout| packet.len() > mtu && mtu > layout.payload);
    let Some(Layout { tcp, payload }) = layout else { return vec![packet.to_vec()] };
    let text = &packet[payload..];
    let most = mtu - payload;
    let count = text.len().div_ceil(most);
    let piece = |(at, text): (usize, &[u8])| {
        let mut piece = packet[..payload].to_vec();
        piece.extend_from_slice(text);
        let field: [u8; 4] = [piece[tcp + 4], piece[tcp + 5], piece[tcp + 6], piece[tcp + 7]];
        let seq = u32::from_be_bytes(field).wrapping_add((at * most) as u32);
        piece[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
        if at + 1 < count {
            piece[tcp + 13] &= !FIN_PSH;
        }
        finish(&mut piece, tcp);
        piece
    };
    text.chunks(most).enumerate().map(piece).collect()
}

fn layout(packet: &[u8]) -> Option<Layout> {
    let (tcp, protocol) = match packet.first()? >> 4 {
        4 => (usize::from(packet[0] & 0x0f) * 4, *packet.get(9)?),
        6 => (IPV6_HEADER, *packet.get(6)?),
        _ => return None,
    };
    let payload = tcp + usize::from(packet.get(tcp + 12)? >> 4) * 4;
    let good = protocol == TCP && tcp >= IPV4_HEADER && payload >= tcp + 20;
    (good && payload < packet.len()).then_some(Layout { tcp, payload })
}

/// Lengths and checksums.
fn finish(packet: &mut [u8], tcp: usize) {
    let len = packet.len();
    let mut pseudo = Vec::with_capacity(40);
    if packet[0] >> 4 == 4 {
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet[10..12].fill(0);
        let sum = checksum(&[&packet[..tcp]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        pseudo.extend_from_slice(&packet[12..20]);
    } else {
        packet[4..6].copy_from_slice(&((len - IPV6_HEADER) as u16).to_be_bytes());
        pseudo.extend_from_slice(&packet[8..40]);
    }
    pseudo.extend(((len - tcp) as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, TCP]);
    packet[tcp + 16..tcp + 18].fill(0);
    let sum = checksum(&[&pseudo, &packet[tcp..]]);
    packet[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
}

/// RFC 1071; every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let words = pairs.map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = words.map(u64::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(text: usize) -> Vec<u8> {
        let mut packet = vec![0u8; IPV4_HEADER + 20 + text];
        packet[0] = 0x45;
        packet[9] = TCP;
        packet[IPV4_HEADER + 4..IPV4_HEADER + 8].copy_from_slice(&u32::MAX.to_be_bytes());
        packet[IPV4_HEADER + 12] = 5 << 4;
        packet[IPV4_HEADER + 13] = FIN_PSH | 0x10;
        packet.iter_mut().skip(40).enumerate().for_each(|(at, byte)| *byte = at as u8);
        finish(&mut packet, IPV4_HEADER);
        packet
    }

    #[test]
    fn pieces_carry_the_whole_text_in_order() {
        let whole = packet(2_500);
        let pieces = split(&whole, 1_040);
        let lengths: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1_040, 1_040, 540]);
        let text: Vec<u8> = pieces.iter().flat_map(|piece| piece[40..].to_vec()).collect();
        assert_eq!(text, whole[40..]);
        let seq = |piece: &Vec<u8>| piece[24..].first_chunk().map(|seq| u32::from_be_bytes(*seq));
        let seqs: Vec<u32> = pieces.iter().filter_map(seq).collect();
        assert_eq!(seqs, [u32::MAX, 999, 1_999]);
        let flags: Vec<u8> = pieces.iter().map(|piece| piece[33]).collect();
        assert_eq!(flags, [0x10, 0x10, 0x10 | FIN_PSH]);
    }

    #[test]
    fn checksums_of_pieces_are_right() {
        for piece in split(&packet(2_001), 1_500) {
            assert_eq!(checksum(&[&piece[..IPV4_HEADER]]), 0);
            let mut pseudo = piece[12..20].to_vec();
            pseudo.extend(((piece.len() - IPV4_HEADER) as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, TCP]);
            assert_eq!(checksum(&[&pseudo, &piece[IPV4_HEADER..]]), 0);
        }
    }

    #[test]
    fn what_fits_or_is_no_tcp_stays_whole() {
        assert_eq!(split(&packet(1_460), 1_500), [packet(1_460)]);
        let mut udp = packet(3_000);
        udp[9] = 17;
        assert_eq!(split(&udp, 1_500), [udp.clone()]);
        assert_eq!(split(&[], 1_500), [Vec::<u8>::new()]);
    }
}
