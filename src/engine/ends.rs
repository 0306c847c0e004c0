//! A connection's addresses and ports as it keeps them: an IPv4 address fits in four bytes, and so
//! does the place of an IPv6 one.

use super::flow::Flow;
use super::slab::Slab;
use crate::wire::Addr;
use crate::wire::tcp::Segment;

/// What [`Flow`] says, in half the room.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed)]
pub(crate) struct Ends {
    /// An IPv4 address; or the index of another one among the [`FarAddresses`].
    remote: [u8; 4],
    remote_port: u16,
    local_port: u16,
    local: u16,
    is_v4: bool,
}

impl Ends {
    pub(crate) fn is_v4(&self) -> bool {
        self.is_v4
    }

    /// The peer's address, if it is of IPv4.
    #[inline]
    pub(crate) fn remote_v4(&self) -> Option<[u8; 4]> {
        self.is_v4.then_some(self.remote)
    }

    #[inline]
    pub(crate) fn remote_port(&self) -> u16 {
        self.remote_port
    }

    #[inline]
    pub(crate) fn local_port(&self) -> u16 {
        self.local_port
    }

    /// Which of our addresses it is.
    #[inline]
    pub(crate) fn local(&self) -> u16 {
        self.local
    }

    fn index(&self) -> u32 {
        u32::from_ne_bytes(self.remote)
    }
}

/// The peers' addresses that don't fit there.
#[derive(Debug)]
pub(crate) struct FarAddresses(Slab<Addr>);

impl FarAddresses {
    /// Of so many connections.
    pub(crate) fn new(limit: u32) -> FarAddresses {
        FarAddresses(Slab::new(limit))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> u32 {
        self.0.len()
    }

    /// To be [given back](FarAddresses::forget) when the connection ends. `None` if all
    /// connections are there already.
    pub(crate) fn keep(&mut self, flow: &Flow) -> Option<Ends> {
        let remote = match flow.remote.v4() {
            Some(v4) => v4,
            None => self.0.insert(flow.remote)?.to_ne_bytes(),
        };
        let Flow { remote_port, local_port, local, .. } = *flow;
        Some(Ends { remote, remote_port, local_port, local, is_v4: flow.remote.is_v4() })
    }

    pub(crate) fn forget(&mut self, ends: &Ends) {
        if !ends.is_v4 {
            self.0.remove(ends.index());
        }
    }

    #[inline]
    pub(crate) fn flow(&self, ends: &Ends) -> Flow {
        let Ends { remote_port, local_port, local, .. } = *ends;
        Flow { remote: self.remote(ends), remote_port, local_port, local }
    }

    #[inline]
    pub(crate) fn remote(&self, ends: &Ends) -> Addr {
        if ends.is_v4 {
            return Addr::from_v4(ends.remote);
        }
        self.0.get(ends.index()).copied().unwrap_or(Addr::UNSPECIFIED_V4)
    }

    #[inline]
    pub(crate) fn is(&self, ends: &Ends, flow: &Flow) -> bool {
        let Ends { remote_port, local_port, local, .. } = *ends;
        (remote_port, local_port, local) == (flow.remote_port, flow.local_port, flow.local)
            && self.remote(ends) == flow.remote
    }

    /// [`is`](FarAddresses::is) the flow of a received segment, to this address of ours. Not by way
    /// of a [`Flow`], whose making takes 40 instructions of each request.
    #[inline]
    pub(crate) fn is_from(&self, ends: &Ends, segment: &Segment, at: u16) -> bool {
        let Ends { remote_port, local_port, local, .. } = *ends;
        (remote_port, local_port, local) == (segment.src_port, segment.dst_port, at)
            && self.remote(ends) == segment.src
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_is_told_from_others() {
        let mut far = FarAddresses::new(1);
        let flow = |remote, port| Flow { remote, remote_port: port, local_port: 80, local: 3 };
        let (v4, v6) = (Addr::from_v4([10, 0, 0, 1]), Addr([0xfd; 16]));
        let flows = [flow(v4, 1), flow(v6, 1), flow(v4, 2)];
        let kept = flows.map(|flow| far.keep(&flow).expect("room"));
        for (at, ends) in kept.iter().enumerate() {
            assert_eq!(far.flow(ends), flows[at]);
            assert_eq!((far.remote(ends), ends.is_v4()), (flows[at].remote, at != 1));
            for (other, flow) in flows.iter().enumerate() {
                assert_eq!(far.is(ends, flow), at == other);
            }
        }
        assert!(far.keep(&flow(v6, 2)).is_none(), "one only");
        far.forget(&kept[1]);
        assert!(far.keep(&flow(v6, 2)).is_some());
    }
}
