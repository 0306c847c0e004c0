//! Congestion marks: what a router does instead of dropping (RFC 3168 section 5).

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Marks an ECN-capable packet with CE. False, and nothing done, if it is none.
pub(super) fn mark(packet: &mut [u8]) -> bool {
    match ecn(packet) {
        Some(0) | None => false,
        Some(_) => {
            set_ecn(packet, 3);
            true
        }
    }
}

/// The ECN field of an IP packet.
fn ecn(packet: &[u8]) -> Option<u8> {
    match packet.get(12..14)? {
        t if t == IPV4 => Some(packet.get(ETHERNET + 1)? & 3),
        t if t == IPV6 => Some(packet.get(ETHERNET + 1)? >> 4 & 3),
        _ => None,
    }
}

/// Sets the ECN field of an IP packet, and mends the checksum (RFC 1624).
fn set_ecn(packet: &mut [u8], ecn: u8) {
    if packet[12..14] == IPV6 {
        packet[ETHERNET + 1] = packet[ETHERNET + 1] & 0xcf | ecn << 4;
        return;
    }
    let old = packet[ETHERNET + 1];
    let new = old & 0xfc | ecn;
    packet[ETHERNET + 1] = new;
    let field = &mut packet[ETHERNET + 10..ETHERNET + 12];
    let sum = u16::from_be_bytes([field[0], field[1]]);
    let word = |class: u8| u32::from(packet_start(class));
    let mut sum = u32::from(!sum) + (0xffff - word(old)) + word(new);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    field.copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// The first word of an IPv4 header without options.
fn packet_start(class: u8) -> u16 {
    0x4500 | u16::from(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(class: u8) -> Vec<u8> {
        let mut packet = vec![0; ETHERNET + 20];
        packet[12..14].copy_from_slice(&IPV4);
        let header = [0x45, class, 0, 20, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet[ETHERNET..].copy_from_slice(&header);
        let sum = !sum(&packet);
        packet[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn sum(packet: &[u8]) -> u16 {
        let words = packet[ETHERNET..].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
        let sum: u32 = words.sum();
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    #[test]
    fn only_ecn_capable_packets_are_marked_and_stay_whole() {
        for class in 0..=255 {
            let mut packet = ipv4(class);
            assert_eq!(mark(&mut packet), class & 3 != 0);
            assert_eq!(sum(&packet), 0xffff, "class {class}");
            let expected = if class & 3 == 0 { class } else { class | 3 };
            assert_eq!(packet[ETHERNET + 1], expected);
        }
    }

    #[test]
    fn ipv6_is_marked_and_the_flow_label_left_alone() {
        let mut packet = vec![0; ETHERNET + 40];
        packet[12..14].copy_from_slice(&IPV6);
        packet[ETHERNET..ETHERNET + 2].copy_from_slice(&[0x6a, 0xaf]);
        assert!(mark(&mut packet));
        assert_eq!(packet[ETHERNET..ETHERNET + 2], [0x6a, 0xbf]);
        packet[ETHERNET + 1] = 0x8f;
        assert!(!mark(&mut packet), "not ECN-capable");
    }

    #[test]
    fn what_is_no_ip_is_left_alone() {
        assert!(!mark(&mut [0xff; 60]));
        assert!(!mark(&mut []));
    }
}
