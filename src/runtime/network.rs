//! What an engine needs to know of the network around its interface.

use std::net::IpAddr;

use super::builder::Settings;
use super::error::Error;
use super::interface::Interface;
use super::plan::{self, Addresses, Seat};
use super::settings::Cidr;
use crate::engine::{EngineConfig, Listen};

/// Addresses, next hops and neighbours.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub(super) addresses: Addresses,
    gateways: Vec<IpAddr>,
    neighbours: Vec<(IpAddr, [u8; 6])>,
}

impl Network {
    /// As the kernel knows it, and as the caller wants it.
    pub(super) fn of(interface: &Interface, settings: &Settings) -> Result<Network, Error> {
        let kernel: Vec<Cidr> =
            interface.addresses.iter().map(|&(ip, prefix_len)| Cidr { ip, prefix_len }).collect();
        let addresses =
            plan::addresses(&interface.name, &kernel, &settings.addresses, &settings.listen)?;
        let mut gateways = settings.gateways.clone();
        for gateway in interface.gateways()? {
            if !gateways.iter().any(|given| given.is_ipv4() == gateway.is_ipv4()) {
                gateways.push(gateway);
            }
        }
        let neighbours = interface.neighbours()?;
        let neighbours = neighbours.into_iter().map(|known| (known.ip, known.mac)).collect();
        Ok(Network { addresses, gateways, neighbours })
    }

    /// With no kernel on this side of the link: all addresses are ours alone.
    #[cfg(feature = "tap")]
    pub(super) fn alone(interface: &str, settings: &Settings) -> Result<Network, Error> {
        let addresses = plan::addresses(interface, &[], &settings.addresses, &settings.listen)?;
        Ok(Network { addresses, gateways: settings.gateways.clone(), neighbours: Vec::new() })
    }

    /// The configuration of one core's engine.
    pub(super) fn engine_config(
        &self,
        settings: &Settings,
        seat: &Seat,
        secret: [u8; 32],
    ) -> EngineConfig {
        EngineConfig {
            core: seat.core,
            addresses: self.addresses.local.clone(),
            gateways: self.gateways.clone(),
            neighbours: self.neighbours.clone(),
            listeners: self.addresses.endpoints.iter().map(|&at| Listen { at }).collect(),
            overflow: settings.overflow,
            tcp: settings.tcp,
            limits: settings.limits,
            ..EngineConfig::new(secret)
        }
    }
}
