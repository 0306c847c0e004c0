//! What is written is read back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::generate::{headers, link, mac, segment, v6};
use super::*;
use crate::wire::ndp::AdvertisementFlags;
use crate::wire::tcp::{MAX_HEADERS, MAX_OPTIONS, SackBlocks};

proptest! {
    #[test]
    fn segments(
        headers in headers(), payload in vec(any::<u8>(), 0..1500), padding in 0usize..20,
    ) {
        let packet = segment(&headers, &payload, padding);
        let parsed = parse(&packet, VERIFY);
        prop_assert!(headers.len() <= MAX_HEADERS && headers.options.emitted_len() <= MAX_OPTIONS);
        prop_assert_eq!(headers.options.emitted_len() % 4, 0);
        let Ok(Parsed { link, hop_limit, body: Body::Tcp(segment) }) = parsed else {
            return Err(TestCaseError::fail(format!("{parsed:?}")));
        };
        prop_assert_eq!(link, headers.link);
        prop_assert_eq!((hop_limit, segment.ecn), (headers.hop_limit, headers.ecn));
        prop_assert_eq!((segment.src, segment.dst), (headers.src, headers.dst));
        prop_assert_eq!(
            (segment.src_port, segment.dst_port),
            (headers.src_port, headers.dst_port)
        );
        prop_assert_eq!((segment.seq, segment.ack), (headers.seq, headers.ack));
        prop_assert_eq!(segment.flags, headers.flags);
        prop_assert_eq!((segment.window, segment.urgent), (headers.window, headers.urgent));
        prop_assert_eq!(usize::from(segment.payload_start), headers.len());
        prop_assert_eq!(segment.payload(&packet), payload.as_slice());
        let mut options = headers.options;
        options.sack = fitting(&headers.options.sack, segment.options.sack.len());
        prop_assert_eq!(segment.options, options);
        // The first block comes with a head.
        let next = if options.sack.is_empty() { 12 } else { 8 };
        let full = headers.options.emitted_len() + next > MAX_OPTIONS;
        prop_assert!(full || options.sack == headers.options.sack, "blocks left out for no reason");
    }

    #[test]
    fn solicitations(link in link(), src in v6(), dst in v6(), target in v6()) {
        prop_assume!(!target.is_multicast() && !target.is_unspecified() && !src.is_unspecified());
        let mut packet = [0; ndp::MAX_LEN];
        let len = ndp::solicitation(&mut packet, link, src, dst, target);
        let kind = ndp::Kind::Solicitation { source_mac: Some(link.src) };
        let body = Body::Ndp(ndp::Message { src, dst, target, kind });
        prop_assert_eq!(parse(&packet[..len], VERIFY), Ok(Parsed { link, hop_limit: 255, body }));
    }

    #[test]
    fn advertisements(link in link(), src in v6(), dst in v6(), bits: [bool; 3], mac in mac()) {
        prop_assume!(!src.is_multicast() && !src.is_unspecified() && !dst.is_multicast());
        let [router, solicited, replace] = bits;
        let flags = AdvertisementFlags { router, solicited, replace };
        let link = Link { src: mac, ..link };
        let mut packet = [0; ndp::MAX_LEN];
        let len = ndp::advertisement(&mut packet, link, src, dst, src, flags);
        let kind = ndp::Kind::Advertisement { target_mac: Some(mac), flags };
        let body = Body::Ndp(ndp::Message { src, dst, target: src, kind });
        prop_assert_eq!(parse(&packet[..len], VERIFY), Ok(Parsed { link, hop_limit: 255, body }));
    }
}

/// The first `len` of `blocks`.
fn fitting(blocks: &SackBlocks, len: usize) -> SackBlocks {
    blocks.iter().take(len).collect()
}
