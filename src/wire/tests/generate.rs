//! Strategies that make packets.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::wire::tcp::{
    AccEcn, AccEcnOrder, Flags, Headers, Options, SackBlocks, Timestamps, UserTimeout,
};

pub(super) fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

pub(super) fn link() -> impl Strategy<Value = Link> {
    (mac(), mac(), option::of(any::<u16>().prop_map(Vlan))).prop_map(|(src, dst, vlan)| Link {
        src,
        dst,
        vlan,
    })
}

pub(super) fn v4() -> impl Strategy<Value = Addr> {
    any::<[u8; 4]>().prop_map(Addr::from_v4)
}

pub(super) fn v6() -> impl Strategy<Value = Addr> {
    any::<[u8; 16]>().prop_map(Addr).prop_filter("not v4-mapped", |addr| !addr.is_v4())
}

/// Two addresses of one family.
pub(super) fn addresses() -> impl Strategy<Value = (Addr, Addr)> {
    prop_oneof![(v4(), v4()), (v6(), v6())]
}

fn sack_blocks() -> impl Strategy<Value = SackBlocks> {
    vec(any::<(u32, u32)>().prop_map(|(left, right)| (Seq(left), Seq(right))), 0..=4)
        .prop_map(SackBlocks::from_iter)
}

/// Any options, also more than fit into a header.
fn accecn() -> impl Strategy<Value = AccEcn> {
    let order = any::<bool>().prop_map(|reversed| match reversed {
        false => AccEcnOrder::Ect0First,
        true => AccEcnOrder::Ect1First,
    });
    (order, any::<[u32; 3]>(), 0usize..=3)
        .prop_map(|(order, counters, count)| AccEcn::new(order, &counters[..count]))
}

pub(super) fn options() -> impl Strategy<Value = Options> {
    let timestamps = any::<(u32, u32)>().prop_map(|(value, echo)| Timestamps { value, echo });
    (
        any::<Option<u16>>(),
        any::<Option<u8>>(),
        any::<bool>(),
        option::of(timestamps),
        sack_blocks(),
        any::<Option<u16>>(),
        option::of(accecn()),
    )
        .prop_map(|(mss, window_scale, sack_permitted, timestamps, sack, timeout, accecn)| {
            Options {
                mss,
                window_scale,
                sack_permitted,
                malformed: false,
                user_timeout: timeout.map(UserTimeout::from_bits),
                accecn,
                timestamps,
                sack,
            }
        })
}

pub(super) fn headers() -> impl Strategy<Value = Headers> {
    let numbers = (any::<[u16; 4]>(), any::<[u32; 2]>(), 0u16..0x200);
    let ip = (any::<u8>(), 0u8..64, 0u8..4, 0u32..1 << 20);
    (link(), addresses(), numbers, ip, options()).prop_map(
        |(
            link,
            (src, dst),
            (words, [seq, ack], flags),
            (hop_limit, dscp, ecn, flow_label),
            options,
        )| {
            let [src_port, dst_port, window, urgent] = words;
            Headers {
                link,
                src,
                dst,
                src_port,
                dst_port,
                seq: Seq(seq),
                ack: Seq(ack),
                flags: Flags::from_bits_truncate(flags),
                window,
                urgent,
                hop_limit,
                dscp,
                ecn,
                flow_label,
                options,
            }
        },
    )
}

/// The packet of `headers` and `payload`, padded with `padding` bytes that belong to neither.
pub(super) fn segment(headers: &Headers, payload: &[u8], padding: usize) -> Vec<u8> {
    let mut packet = vec![0xa5; headers.len()];
    packet.extend(payload);
    headers.emit(&mut packet);
    packet.resize(packet.len() + padding, 0x5a);
    packet
}
