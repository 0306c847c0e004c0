//! The caller's wishes held against what the interface and the machine have.

use std::net::{IpAddr, SocketAddr};

use super::error::Error;
use super::settings::{Cidr, Numbers};
use crate::app::CoreId;
use crate::engine::LocalAddress;

/// One core of the server: which queue it serves and which processor it is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) core: CoreId,
    pub(super) queue: u32,
    pub(super) cpu: Option<u32>,
}

/// Gives each queue a processor. `cpus` are those that this process may run on.
///
/// Without a choice of queues all are served: frames on one that nobody serves would be lost.
pub(super) fn seats(
    queues: Option<&Numbers>,
    available_queues: u32,
    cores: Option<&Numbers>,
    cpus: &[u32],
) -> Result<Vec<Seat>, Error> {
    let every: Numbers = (0..available_queues).into();
    let queues = queues.unwrap_or(&every).as_slice();
    if let Some(&bad) = queues.iter().find(|&&queue| queue >= available_queues) {
        return Err(Error::configuration(format!(
            "--queues names queue {bad}, and there are {available_queues}, numbered from 0: name \
             one of those, or make more with 'ethtool -L'"
        )));
    }
    if let Some(cores) = cores.map(Numbers::as_slice) {
        if let Some(bad) = cores.iter().find(|core| !cpus.contains(core)) {
            return Err(Error::configuration(format!(
                "--cores names processor {bad}, and this process may run on {cpus:?} only: name \
                 one of those, or change the affinity with 'taskset'"
            )));
        }
        if cores.len() != queues.len() {
            return Err(Error::configuration(format!(
                "--cores names {} processors for {} queues, and each queue needs one of its own: \
                 name as many in --cores as in --queues (without --queues: as the interface has)",
                cores.len(),
                queues.len()
            )));
        }
    }
    if queues.is_empty() {
        return Err(Error::configuration("no queue to serve: name at least one in --queues"));
    }
    let pick = |i: usize| match cores {
        Some(cores) => cores.as_slice().get(i).copied(),
        None => cpus.get(i % cpus.len().max(1)).copied(),
    };
    let seat = |(i, &queue): (usize, &u32)| Seat { core: CoreId(i as u8), queue, cpu: pick(i) };
    Ok(queues.iter().enumerate().map(seat).collect())
}

/// Our addresses and where we listen on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// All of them, the kernel's first.
    pub(super) local: Vec<LocalAddress>,
    /// Address and port of each listener, wildcards resolved.
    pub(super) endpoints: Vec<SocketAddr>,
    /// Those of the endpoints that the kernel could serve too.
    pub(super) shared: Vec<SocketAddr>,
}

/// Finds out which addresses are the kernel's and which ours alone, and resolves wildcards.
pub(super) fn addresses(
    interface: &str,
    kernel: &[Cidr],
    owned: &[Cidr],
    listen: &[SocketAddr],
) -> Result<Addresses, Error> {
    if let Some(both) = owned.iter().find(|own| kernel.iter().any(|had| had.ip == own.ip)) {
        return Err(Error::configuration(format!(
            "--address {both}: the kernel has this address on {interface} already, and only one of \
             us can answer for it: leave --address out to share it with the kernel, or take it \
             from the kernel with 'ip address del {both} dev {interface}'"
        )));
    }
    let local =
        |owned| move |cidr: &Cidr| LocalAddress { ip: cidr.ip, prefix_len: cidr.prefix_len, owned };
    let local: Vec<LocalAddress> =
        kernel.iter().map(local(false)).chain(owned.iter().map(local(true))).collect();
    let mut plan = Addresses { local, ..Addresses::default() };
    for &at in listen {
        if at.port() == 0 {
            return Err(Error::configuration(format!(
                "--listen {at}: port 0 means no port here: name one"
            )));
        }
        let matches = |ip: IpAddr| {
            at.ip() == ip || (at.ip().is_unspecified() && at.is_ipv4() == ip.is_ipv4())
        };
        let found: Vec<LocalAddress> =
            plan.local.iter().copied().filter(|local| matches(local.ip)).collect();
        if found.is_empty() {
            return Err(not_there(interface, at, &plan.local));
        }
        for local in found {
            let endpoint = SocketAddr::new(local.ip, at.port());
            if plan.endpoints.contains(&endpoint) {
                continue;
            }
            plan.endpoints.push(endpoint);
            if !local.owned {
                plan.shared.push(endpoint);
            }
        }
    }
    Ok(plan)
}

fn not_there(interface: &str, at: SocketAddr, local: &[LocalAddress]) -> Error {
    let has: Vec<String> =
        local.iter().map(|local| format!("{}/{}", local.ip, local.prefix_len)).collect();
    let has = if has.is_empty() { String::from("none") } else { has.join(", ") };
    let ip = at.ip();
    let way_out = if ip.is_unspecified() {
        String::from(
            "give it one with 'ip address add', or one for this server alone with --address",
        )
    } else {
        let prefix_len = if ip.is_ipv4() { 24 } else { 64 };
        format!(
            "listen on one of those, or take this one for this server alone with --address \
             {ip}/{prefix_len}"
        )
    };
    Error::configuration(format!(
        "--listen {at}: interface {interface} has no such address (it has: {has}): {way_out}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().expect("valid")).collect()
    }

    fn resolve(owned: &[&str], listen: &[&str]) -> Result<Addresses, Error> {
        let listen: Vec<SocketAddr> =
            listen.iter().map(|text| text.parse().expect("valid")).collect();
        let kernel = cidrs(&["10.9.0.1/24", "fd09::1/64", "fe80::1/64"]);
        addresses("eth1", &kernel, &cidrs(owned), &listen)
    }

    #[test]
    fn wildcards_listen_on_all_of_their_family() {
        let plan = resolve(&["10.9.0.7/24"], &["0.0.0.0:80", "10.9.0.1:80"]).expect("fits");
        let endpoints: Vec<String> = plan.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["10.9.0.1:80", "10.9.0.7:80"]);
        assert_eq!(plan.shared, ["10.9.0.1:80".parse().expect("valid")]);
        let plan = resolve(&[], &["[::]:80"]).expect("fits");
        assert_eq!(plan.endpoints.len(), 2);
    }

    #[test]
    fn an_address_that_is_nobodys_is_refused_with_a_way_out() {
        let text = resolve(&[], &["10.9.0.9:80"]).expect_err("not there").to_string();
        assert!(text.contains("it has: 10.9.0.1/24, fd09::1/64"), "{text}");
        assert!(text.contains("--address 10.9.0.9/24"), "{text}");
        let text = resolve(&["10.9.0.1/24"], &["10.9.0.1:80"]).expect_err("both").to_string();
        assert!(text.contains("ip address del 10.9.0.1/24 dev eth1"), "{text}");
        assert!(resolve(&[], &["10.9.0.1:0"]).is_err());
    }

    #[test]
    fn each_queue_has_a_processor() {
        let numbers = |text: &str| text.parse::<Numbers>().expect("valid");
        let all = seats(None, 3, None, &[0, 1]).expect("fits");
        let pairs: Vec<_> = all.iter().map(|seat| (seat.queue, seat.cpu)).collect();
        assert_eq!(pairs, [(0, Some(0)), (1, Some(1)), (2, Some(0))]);
        let (queues, cores) = (numbers("1"), numbers("5"));
        let one = seats(Some(&queues), 2, Some(&cores), &[4, 5]).expect("fits");
        assert_eq!(one, [Seat { core: CoreId(0), queue: 1, cpu: Some(5) }]);

        let text = seats(Some(&numbers("2")), 2, None, &[0]).expect_err("no queue 2").to_string();
        assert!(text.contains("queue 2") && text.contains("ethtool -L"), "{text}");
        let text = seats(None, 1, Some(&numbers("9")), &[0]).expect_err("no core").to_string();
        assert!(text.contains("processor 9") && text.contains("taskset"), "{text}");
        assert!(seats(None, 1, Some(&numbers("0-1")), &[0, 1]).is_err());
        assert!(seats(Some(&Numbers::default()), 1, None, &[0]).is_err());
    }
}
