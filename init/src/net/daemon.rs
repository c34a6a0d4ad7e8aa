//! netd's loop: waits for an interface, keeps it configured, and tells others what it did. Without
//! an interface, a cable or a server it stays, tries again and says so; it never ends by itself.
//!
//! What always holds: an interface without a link has no address and no route. The network that
//! comes back may be another, where somebody else has the address; and what waits for an answer
//! through a dead route waits longer than what is told at once that there is none.

use super::{
    client::{Client, Lease, Output},
    datagram, dhcp,
    link::{self, Link, Settings},
    sys_interface,
    told::Told,
};
use crate::{Error, Result, clock, error::At, provision, root::Root};
use protocol::device::{DeviceConfig, NetworkConfig};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with},
};
use std::{
    fs::File,
    io::Read,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::OwnedFd,
};

/// Looked for an interface this often while there is none, and at the carrier at least this often.
const LOOK_MS: u64 = 250;
/// Slower, once the interface is there: netlink tells of changes at once, this is for what it
/// misses.
const RECHECK_MS: u64 = 15_000;
/// Pause after a failure, so that a server is not asked, nor the log filled, without end.
const FAILED_MS: u64 = 1_000;
/// Without an address for this long, one line says so.
const COMPLAIN_MS: u64 = 60_000;
/// Longest packet that is looked at.
const PACKET_LIMIT: usize = 2048;
/// Links, as a netlink multicast group (`RTMGRP_LINK`).
const LINK_GROUP: u32 = 1;

/// netd.
pub struct Daemon {
    config: NetworkConfig,
    /// Static configuration; DHCP when absent.
    fixed: Option<Settings>,
    hostname: String,
    told: Told,
    changes: Option<OwnedFd>,
    active: Option<Active>,
    complain_at: u64,
}

/// An interface at work.
struct Active {
    link: Link,
    carrier: bool,
    packets: OwnedFd,
    client: Client,
    in_force: Option<InForce>,
}

/// What was set up last, to tell a change from a lease that was merely prolonged.
#[derive(PartialEq, Eq)]
struct InForce {
    settings: Settings,
    dns: Vec<String>,
}

/// Reads the configuration and runs for ever.
pub fn run(root: &Root) -> ! {
    let mut daemon = Daemon::new(root);
    loop {
        if let Err(error) = daemon.turn() {
            println!("{error}");
            daemon.give_up_interface(&error);
            std::thread::sleep(std::time::Duration::from_millis(FAILED_MS));
        }
    }
}

impl Daemon {
    fn new(root: &Root) -> Self {
        let config = provision::stored(&root.at(provision::STORED)).unwrap_or_else(|error| {
            println!("{error}; DHCP is used");
            DeviceConfig::default()
        });
        let config = config.network;
        let fixed = fixed(&config).unwrap_or_else(|error| {
            println!("{error}; DHCP is used");
            None
        });
        if let Err(error) = link::loopback() {
            println!("{error}");
        }
        let told = Told::below(root);
        // what an earlier netd told is true no more
        told.without_address("", "starting");
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if let Err(error) = crate::notify::ready(root) {
            println!("tell init: {error}");
        }
        let changes = link_changes()
            .map_err(|error| println!("{error}; carrier is looked at now and then"))
            .ok();
        let complain_at = clock::now_ms() + COMPLAIN_MS;
        Self { config, fixed, hostname, told, changes, active: None, complain_at }
    }

    fn give_up_interface(&mut self, why: &Error) {
        let Some(mut active) = self.active.take() else { return };
        // an interface that is gone has no address either
        let _ = active.link.clear();
        self.told.without_address(&active.link.name, &why.to_string());
        self.complain_at = clock::now_ms() + COMPLAIN_MS;
    }

    fn turn(&mut self) -> Result<()> {
        let now = clock::now_ms();
        if self.active.is_none() {
            self.find()?;
        }
        self.look_at_carrier(now)?;
        if self.fixed.is_none() {
            self.run_client(now)?;
        }
        self.complain(now);
        self.wait();
        Ok(())
    }

    fn find(&mut self) -> Result<()> {
        let name = match &self.config.interface {
            Some(name) => Some(name.clone()).filter(|name| link::exists(name)),
            None => link::first_ethernet(),
        };
        let Some(name) = name else { return Ok(()) };
        let link = Link::open(&name)?;
        let packets =
            sys_interface::packet_socket(link.index).at("open packet socket on", &name)?;
        let client = Client::new(link.mac, &self.hostname, seed(), clock::now_ms());
        println!("interface {name}");
        self.active = Some(Active { link, carrier: false, packets, client, in_force: None });
        Ok(())
    }

    fn look_at_carrier(&mut self, now: u64) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let name = active.link.name.clone();
        let Some(carrier) = active.link.carrier() else {
            return Err(Error::invalid(name, "interface is gone"));
        };
        if carrier == active.carrier {
            return Ok(());
        }
        active.carrier = carrier;
        if !carrier {
            active.in_force = None;
            active.link.clear()?;
            self.told.without_address(&name, "link lost");
            println!("holdfast: network {name} link lost");
            return Ok(());
        }
        println!("{name} has a link");
        match self.fixed.clone() {
            None => active.client.link_up(now),
            Some(settings) => self.set_up(settings, "static", &[])?,
        }
        Ok(())
    }

    fn run_client(&mut self, now: u64) -> Result<()> {
        let mut outputs = Vec::new();
        if let Some(active) = self.active.as_mut().filter(|active| active.carrier) {
            let mut packet = [0; PACKET_LIMIT];
            while let Ok((count, _)) =
                rustix::net::recv(&active.packets, &mut packet[..], rustix::net::RecvFlags::empty())
            {
                let message = datagram::payload(&packet[..count]).and_then(dhcp::Incoming::parse);
                if let Some(message) = message {
                    outputs.extend(active.client.receive(&message, now));
                }
            }
            outputs.extend(active.client.tick(now));
        }
        outputs.into_iter().try_for_each(|output| self.perform(output))
    }

    fn perform(&mut self, output: Output) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let name = active.link.name.clone();
        match output {
            Output::Broadcast(message) => {
                let packet = datagram::broadcast(&message.encode());
                // a full queue or a link that just went is as good as a lost packet
                if let Err(error) =
                    sys_interface::send_to_all(&active.packets, active.link.index, &packet)
                {
                    println!("send on {name}: {error}");
                }
            }
            Output::Unicast(server, message) => {
                let from = active.client.lease().map_or(Ipv4Addr::UNSPECIFIED, |l| l.address);
                let sent = UdpSocket::bind(SocketAddrV4::new(from, dhcp::CLIENT_PORT)).and_then(
                    |socket| {
                        let to = SocketAddrV4::new(server, dhcp::SERVER_PORT);
                        socket.send_to(&message.encode(), to)
                    },
                );
                if let Err(error) = sent {
                    println!("renew with {server}: {error}");
                }
            }
            Output::Configure(lease) => {
                let Lease { address, prefix, router, mtu, .. } = lease;
                self.set_up(Settings { address, prefix, router, mtu }, "dhcp", &lease.dns)?;
            }
            Output::Deconfigure(why) => {
                active.in_force = None;
                active.link.clear()?;
                self.told.without_address(&name, why);
                println!("holdfast: network {name} lost its address: {why}");
                self.complain_at = clock::now_ms() + COMPLAIN_MS;
            }
        }
        Ok(())
    }

    /// Sets the interface up, and tells so, unless it is so already.
    fn set_up(&mut self, settings: Settings, source: &str, dns: &[Ipv4Addr]) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        self.complain_at = u64::MAX;
        let wanted = InForce { dns: dns_of(&self.config, dns), settings };
        if active.in_force.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let name = &active.link.name.clone();
        for refused in active.link.set(&wanted.settings)? {
            println!("{refused}; going on without");
        }
        let set = Settings { router: active.link.router(), ..wanted.settings.clone() };
        let via = set.router.map(|router| format!(" via {router}")).unwrap_or_default();
        self.told.configured(name, &set, source, &wanted.dns);
        active.in_force = Some(wanted);
        println!("holdfast: network {name} {}/{}{via}", set.address, set.prefix);
        Ok(())
    }

    fn complain(&mut self, now: u64) {
        if now < self.complain_at {
            return;
        }
        self.complain_at = u64::MAX;
        let why = match &self.active {
            None => "no interface".to_string(),
            Some(active) if !active.carrier => format!("no link on {}", active.link.name),
            Some(active) => format!("no DHCP server answers on {}", active.link.name),
        };
        println!("holdfast: network: {why}; trying on");
        let name = self.active.as_ref().map_or("", |active| &active.link.name);
        self.told.without_address(name, &why);
    }

    fn wait(&self) {
        let now = clock::now_ms();
        let mut fds = Vec::new();
        let mut wait = if self.active.is_some() { RECHECK_MS } else { LOOK_MS };
        if let Some(active) = &self.active {
            fds.push(PollFd::new(&active.packets, PollFlags::IN));
            if active.carrier && self.fixed.is_none() {
                wait = wait.min(active.client.next_deadline().saturating_sub(now));
            }
        }
        fds.extend(self.changes.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let timeout =
            Timespec { tv_sec: (wait / 1000) as i64, tv_nsec: (wait % 1000 * 1_000_000) as i64 };
        let _ = poll(&mut fds, Some(&timeout));
        drop(fds);
        let mut notice = [0; PACKET_LIMIT];
        while let Some(Ok(_)) = self
            .changes
            .as_ref()
            .map(|fd| rustix::net::recv(fd, &mut notice[..], rustix::net::RecvFlags::empty()))
        {
        }
    }
}

/// The static address, where there is one.
fn fixed(config: &NetworkConfig) -> Result<Option<Settings>> {
    let Some(text) = &config.address else { return Ok(None) };
    let wrong = |field: &str, value: &str| {
        Error::invalid(
            format!("device.toml: network.{field}"),
            format!("cannot be used: {value:?}"),
        )
    };
    let (address, prefix) = text.split_once('/').ok_or_else(|| wrong("address", text))?;
    let address = address.parse().map_err(|_| wrong("address", text))?;
    let prefix = prefix.parse().ok().filter(|p| (1..=32).contains(p));
    let prefix = prefix.ok_or_else(|| wrong("address", text))?;
    let router = match &config.gateway {
        Some(text) => Some(text.parse().map_err(|_| wrong("gateway", text))?),
        None => None,
    };
    Ok(Some(Settings { address, prefix, router, mtu: None }))
}

/// Servers of the configuration first, then those of the lease; musl asks the first three.
fn dns_of(config: &NetworkConfig, lease: &[Ipv4Addr]) -> Vec<String> {
    let own = config.dns.iter().filter(|text| text.parse::<std::net::IpAddr>().is_ok()).cloned();
    let mut all: Vec<String> = Vec::new();
    for server in own.chain(lease.iter().map(Ipv4Addr::to_string)) {
        if !all.contains(&server) {
            all.push(server);
        }
    }
    all.truncate(3);
    all
}

fn link_changes() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // protocol 0 is NETLINK_ROUTE
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
        .at("open", "a socket for link changes")?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, LINK_GROUP))
        .at("listen for", "link changes")?;
    Ok(socket)
}

/// A number that differs between devices and starts.
fn seed() -> u32 {
    let mut bytes = [0; 4];
    let read = File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    if read.is_err() {
        return clock::now_ms() as u32;
    }
    u32::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str, gateway: Option<&str>) -> NetworkConfig {
        NetworkConfig {
            address: Some(address.into()),
            gateway: gateway.map(String::from),
            dns: vec!["9.9.9.9".into(), "not one".into()],
            ..NetworkConfig::default()
        }
    }

    #[test]
    fn a_static_address_is_checked_field_by_field() {
        let good = fixed(&config("192.168.1.10/24", Some("192.168.1.1"))).unwrap().unwrap();
        assert_eq!((good.prefix, good.router), (24, Some(Ipv4Addr::new(192, 168, 1, 1))));
        assert_eq!(fixed(&NetworkConfig::default()).unwrap(), None);
        for (address, gateway, field) in [
            ("192.168.1.10", None, "address"),
            ("192.168.1.10/33", None, "address"),
            ("192.168.1/24", None, "address"),
            ("192.168.1.10/24", Some("router"), "gateway"),
        ] {
            let error = fixed(&config(address, gateway)).unwrap_err().to_string();
            assert!(error.contains(&format!("network.{field}")), "{error}");
        }
    }

    #[test]
    fn configured_servers_come_first() {
        let lease = [Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(9, 9, 9, 9)];
        assert_eq!(dns_of(&config("1.2.3.4/8", None), &lease), ["9.9.9.9", "10.0.2.3"]);
    }
}
