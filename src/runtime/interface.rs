//! What the kernel knows of a network interface: hardware, addresses, gateways, neighbours.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use super::netlink;
use crate::device::ethtool;

/// Routing table `main`, where routes are that an administrator or DHCP made.
const TABLE_MAIN: u32 = 254;

/// A network interface of this thread's network namespace, as it was when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Name of its driver, or `unknown`.
    pub driver: String,
    /// Receive queues in use.
    pub rx_queues: u32,
    /// Transmit queues in use.
    pub tx_queues: u32,
    /// What somebody noted about it: `ip link set IF alias TEXT`.
    pub alias: Option<String>,
    /// Its addresses, each with the length of its prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Why an [`Interface`] can't be had.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// There is none of that name.
    #[error("configuration: there is no interface '{name}'; this machine has: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// It is not Ethernet.
    #[error("configuration: interface {name} is not Ethernet: choose one with a MAC address")]
    NotEthernet {
        /// Its name.
        name: String,
    },
    /// The kernel did not answer.
    #[error("machine: asking the kernel for its {what} over netlink failed: {source}")]
    Netlink {
        /// What was asked for.
        what: &'static str,
        /// What the system answered.
        source: io::Error,
    },
}

/// A way to other networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// First address of the network that it leads to.
    pub destination: IpAddr,
    /// Length of that network's prefix; 0 for the default route.
    pub prefix_len: u8,
    /// The router; `None` for a network that is on the link.
    pub gateway: Option<IpAddr>,
}

/// A host on the link whose hardware address the kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

impl Interface {
    /// Looks up the interface called `name`.
    ///
    /// # Errors
    /// There is none, it isn't Ethernet, or netlink fails.
    pub fn find(name: &str) -> Result<Interface, InterfaceError> {
        let links = dump("links", RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let mut known = Vec::new();
        for message in links {
            let RouteNetlinkMessage::NewLink(link) = message else { continue };
            let Some(its_name) = link_name(&link) else { continue };
            if its_name == name {
                return Interface::from_link(name, &link);
            }
            known.push(its_name.to_owned());
        }
        Err(InterfaceError::Unknown { name: name.into(), known: known.join(", ") })
    }

    fn from_link(name: &str, link: &LinkMessage) -> Result<Interface, InterfaceError> {
        let (mut mac, mut mtu, mut rx, mut tx) = (None, 1500, 1, 1);
        let mut alias = None;
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Address(address) => mac = address.as_slice().try_into().ok(),
                LinkAttribute::Mtu(value) => mtu = *value,
                LinkAttribute::NumRxQueues(count) => rx = *count,
                LinkAttribute::NumTxQueues(count) => tx = *count,
                LinkAttribute::IfAlias(text) => alias = Some(text.clone()),
                _ => {}
            }
        }
        let mac = mac.filter(|_| link.header.link_layer_type == LinkLayerType::Ether);
        let Some(mac) = mac else {
            return Err(InterfaceError::NotEthernet { name: name.into() });
        };
        // What netlink tells is how many queues were made; drivers may use fewer.
        let (rx_queues, tx_queues) = match ethtool::queues(name) {
            Ok((rx, tx)) if rx > 0 && tx > 0 => (rx, tx),
            _ => (rx, tx),
        };
        Ok(Interface {
            name: name.into(),
            index: link.header.index,
            mac,
            mtu,
            up: link.header.flags.contains(LinkFlags::Up),
            driver: ethtool::driver(name).unwrap_or_else(|_| "unknown".into()),
            rx_queues,
            tx_queues,
            alias,
            addresses: addresses(link.header.index)?,
        })
    }

    /// What the AF_XDP backend needs to know of it.
    #[cfg(feature = "af-xdp")]
    pub fn nic(&self) -> crate::device::af_xdp::Nic {
        crate::device::af_xdp::Nic {
            name: self.name.clone(),
            index: self.index,
            mac: self.mac,
            mtu: self.mtu,
            up: self.up,
            driver: self.driver.clone(),
            rx_queues: self.rx_queues,
            tx_queues: self.tx_queues,
        }
    }

    /// The kernel's unicast routes over this interface, from its main table.
    ///
    /// # Errors
    /// Netlink fails.
    pub fn routes(&self) -> Result<Vec<Route>, InterfaceError> {
        let answer = dump("routes", RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
        let routes = answer.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => self.route(&route),
            _ => None,
        });
        Ok(routes.collect())
    }

    fn route(&self, message: &RouteMessage) -> Option<Route> {
        let (mut destination, mut gateway) = (None, None);
        let (mut interface, mut table) = (0, u32::from(message.header.table));
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(address) => destination = route_ip(address),
                RouteAttribute::Gateway(address) => gateway = route_ip(address),
                RouteAttribute::Oif(index) => interface = *index,
                RouteAttribute::Table(number) => table = *number,
                _ => {}
            }
        }
        let ours = interface == self.index && table == TABLE_MAIN;
        if !ours || message.header.kind != RouteType::Unicast {
            return None;
        }
        // A default route names no destination.
        let any = match gateway {
            Some(IpAddr::V6(_)) => IpAddr::from([0u16; 8]),
            _ => IpAddr::from([0u8; 4]),
        };
        Some(Route {
            destination: destination.unwrap_or(any),
            prefix_len: message.header.destination_prefix_length,
            gateway,
        })
    }

    /// The gateways of the kernel's default routes over this interface.
    ///
    /// # Errors
    /// Netlink fails.
    pub fn gateways(&self) -> Result<Vec<IpAddr>, InterfaceError> {
        let routes = self.routes()?.into_iter();
        Ok(routes.filter(|route| route.prefix_len == 0).filter_map(|route| route.gateway).collect())
    }

    /// The neighbours on this interface that the kernel has a hardware address of.
    ///
    /// # Errors
    /// Netlink fails.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, InterfaceError> {
        let question = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let neighbours = dump("neighbours", question)?.into_iter().filter_map(|message| {
            let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
            (message.header.ifindex == self.index).then(|| neighbour(&message)).flatten()
        });
        Ok(neighbours.collect())
    }
}

fn dump(
    what: &'static str,
    question: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, InterfaceError> {
    netlink::dump(question).map_err(|source| InterfaceError::Netlink { what, source })
}

fn link_name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn addresses(interface: u32) -> Result<Vec<(IpAddr, u8)>, InterfaceError> {
    let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let addresses = dump("addresses", question)?.into_iter().filter_map(|message| {
        let RouteNetlinkMessage::NewAddress(message) = message else { return None };
        if message.header.index != interface {
            return None;
        }
        // On a point-to-point link `Address` is the other side's.
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(ip) => Some(*ip),
            _ => None,
        });
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        });
        Some((local.or(address)?, message.header.prefix_len))
    });
    Ok(addresses.collect())
}

fn route_ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    if !matches!(message.header.state, Reachable | Stale | Delay | Probe | Permanent) {
        return None;
    }
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some((*v4).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some((*v6).into()),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    Some(Neighbour { ip: ip?, mac: mac? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = Interface::find("no-such-if").expect_err("no such interface");
        let text = error.to_string();
        assert!(text.contains("'no-such-if'") && text.contains("lo"), "{text}");
    }

    #[test]
    fn loopback_is_no_ethernet() {
        let error = Interface::find("lo").expect_err("loopback");
        assert!(matches!(error, InterfaceError::NotEthernet { .. }), "{error}");
    }
}
