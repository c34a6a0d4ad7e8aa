//! The pair of virtual Ethernet devices, addresses, and the route out (`rtnetlink(7)`;
//! linux/if_link.h, if_addr.h, rtnetlink.h).

use super::netlink::{ACK, Attributes, CREATE, EXCLUSIVE, Messages, Netlink};
use crate::error::{Context, Error, Result};
use rustix::thread::UnshareFlags;
use std::{
    fs,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    thread,
};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

const LINK_NAME: u16 = 3;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ROUTE_GATEWAY: u16 = 5;

const INET: u8 = 2;
/// `IFF_UP`.
const UP: u32 = 1;
/// Two addresses, as on a line between two machines (RFC 3021).
const PREFIX_LENGTH: u8 = 31;
/// What errors call it.
const NAMESPACE: &str = "network namespace";
/// What a snap's end is named, as on a machine with one adapter.
const INSIDE: &str = "eth0";

/// `struct ifinfomsg`: flags that are set, out of those that are changed.
fn link(flags: u32) -> Vec<u8> {
    let mut head = vec![0; 8];
    head.extend(flags.to_ne_bytes());
    head.extend(flags.to_ne_bytes());
    head
}

/// A new namespace, whose loopback interface is up.
pub fn namespace() -> Result<OwnedFd> {
    // A thread of its own is in it while it is made.
    let made = thread::spawn(|| {
        unshare().context("make", NAMESPACE)?;
        let path = Path::new("/proc/thread-self/ns/net");
        let namespace = OwnedFd::from(fs::File::open(path).at("open", path)?);
        sandbox::loopback_up().context("bring up", "lo")?;
        // Nobody else is here: every port is its own, as images of containers expect.
        let path = Path::new("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        fs::write(path, "0").at("write", path)?;
        without_ipv6("all");
        Ok(namespace)
    });
    made.join().unwrap_or_else(|_| Err(Error::refused("internal", NAMESPACE)))
}

#[allow(deprecated, reason = "the safe form exists only in a newer rustix")]
fn unshare() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
}

/// A machine without IPv6 has no such file.
fn without_ipv6(device: &str) {
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1");
}

/// Joins a namespace to the one of the caller.
pub fn join(device: &str, namespace: &OwnedFd, here: Ipv4Addr, there: Ipv4Addr) -> Result<()> {
    let peer = Attributes::new()
        .name(LINK_NAME, INSIDE)
        .with(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
    let data = Attributes::new().nested_behind(VETH_PEER, &link(0), &peer);
    let info = Attributes::new().name(INFO_KIND, "veth").nested(INFO_DATA, &data);
    let pair = Attributes::new().name(LINK_NAME, device).nested(LINK_INFO, &info);
    let mut messages = Messages::default();
    messages.push(NEW_LINK, ACK | CREATE | EXCLUSIVE, &link(0), &pair);
    Netlink::open(None)?.send(&format!("make {device}"), messages)?;
    without_ipv6(device);
    set_up(device, here)?;

    let entered = namespace.try_clone().context("enter", NAMESPACE)?;
    let inside = thread::spawn(move || {
        use rustix::{fd::AsFd, thread::LinkNameSpaceType};
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(entered.as_fd(), kind)
            .context("enter", NAMESPACE)?;
        set_up(INSIDE, there)?;
        let mut messages = Messages::default();
        messages.push(NEW_ROUTE, ACK | CREATE, &default_route(), &gateway(here));
        Netlink::open(None)?.send("make the route out", messages)
    });
    inside.join().unwrap_or_else(|_| Err(Error::refused("internal", NAMESPACE)))
}

/// Gives a device its address and brings it up.
fn set_up(device: &str, address: Ipv4Addr) -> Result<()> {
    let what = format!("set up {device}");
    let netlink = Netlink::open(None)?;
    let mut messages = Messages::default();
    messages.push(NEW_LINK, ACK, &link(UP), &Attributes::new().name(LINK_NAME, device));
    netlink.send(&what, messages)?;
    let mut messages = Messages::default();
    // `struct ifaddrmsg`: family, prefix, flags, scope, index.
    let mut head = vec![INET, PREFIX_LENGTH, 0, 0];
    head.extend(index(device)?.to_ne_bytes());
    let octets = address.octets();
    let both = Attributes::new().with(ADDRESS_LOCAL, &octets).with(ADDRESS, &octets);
    messages.push(NEW_ADDRESS, ACK | CREATE | EXCLUSIVE, &head, &both);
    netlink.send(&what, messages)
}

/// Number of a device in the caller's namespace.
fn index(device: &str) -> Result<u32> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
        .and_then(|socket| netdevice::name_to_index(socket, device))
        .context("find", device)
}

/// `struct rtmsg`: family, lengths, TOS, main table, made by a person, for everywhere, unicast.
fn default_route() -> Vec<u8> {
    const MAIN: u8 = 254;
    const STATIC: u8 = 4;
    const UNICAST: u8 = 1;
    vec![INET, 0, 0, 0, MAIN, STATIC, 0, UNICAST, 0, 0, 0, 0]
}

fn gateway(address: Ipv4Addr) -> Attributes {
    Attributes::new().with(ROUTE_GATEWAY, &address.octets())
}

/// Removes the device's end, and with it the other; there may be none.
pub fn remove(device: &str) {
    let mut messages = Messages::default();
    messages.push(DELETE_LINK, ACK, &link(0), &Attributes::new().name(LINK_NAME, device));
    let _ = Netlink::open(None).and_then(|netlink| netlink.send("remove", messages));
}
