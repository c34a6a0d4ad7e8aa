//! The network of a snap: a namespace of its own, which a pair of virtual Ethernet devices joins to
//! the device's network.
//!
//! | granted | the snap's services see |
//! |---|---|
//! | nothing | each a loopback interface of its own |
//! | `network` | together a loopback interface, and all that the device reaches; nobody reaches them |
//! | `network-bind` with `ports` | the same, and who connects to these ports of the device reaches them |
//! | `network-bind` without | the device's network itself, as with snapd |
//!
//! | module | what |
//! |---|---|
//! | [`port`] | a port of the device that leads to one of a snap |
//! | `link` | the pair of devices, addresses, the route out |
//! | `translate` | the rules by which packets change addresses, and which go through at all |
//! | `netlink` | messages to the kernel's network |
//!
//! What always holds: the namespace lives as long as the snap is active or a process of it is left,
//! and everything here goes with it; a snap changes nothing in its namespace, which belongs to the
//! machine's user namespace; a port of the device leads to one snap; snaps reach each other by such
//! ports only; the device forwards for snaps, and for nobody else.
//!
//! Addresses are out of 198.18.0.0/15, which RFC 2544 keeps for measurements and no real network
//! has: two for each snap, by its user id, the even one the device's, the odd one the snap's. Only
//! IPv4; in a namespace of its own a snap has no IPv6.

mod link;
mod netlink;
pub mod port;
mod translate;

use crate::{
    error::{Context, Error, Result},
    interface::{Granted, Reach},
};
use port::Port;
use std::{fs, net::Ipv4Addr, os::fd::OwnedFd, path::Path, sync::Arc};

/// What the device's ends of all pairs are named with; the user id of the snap follows.
const PREFIX: &str = "snap-";
/// First address of all, and how many bits of it all have.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const FIRST_BITS: u32 = 15;
/// Lets packets from one device go on to another.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The namespace of a snap that is active.
#[derive(Debug)]
pub struct Network {
    /// What services enter.
    pub namespace: Arc<OwnedFd>,
    /// The device's end of the pair.
    device: String,
    /// The snap's address.
    address: Ipv4Addr,
    /// What leads to it.
    ports: Vec<Port>,
}

impl Network {
    /// Makes the namespace of the snap with this user id.
    pub fn make(uid: u32, ports: Vec<Port>) -> Result<Self> {
        let device = format!("{PREFIX}{uid}");
        let here = address(uid, 0)?;
        let there = address(uid, 1)?;
        // A namespace of before goes only when its last process is gone.
        link::remove(&device);
        let namespace = link::namespace()?;
        let network = Self { namespace: Arc::new(namespace), device, address: there, ports };
        link::join(&network.device, &network.namespace, here, there)?;
        Ok(network)
    }

    /// A port of the device that leads here and is one of these.
    pub fn taken(&self, ports: &[Port]) -> Option<Port> {
        ports.iter().copied().find(|port| self.ports.iter().any(|own| own.is_the_same(*port)))
    }

    /// Takes the device's end away, and with it the snap's: the namespace itself may outlive this,
    /// by whoever still holds it.
    pub fn remove(&self) {
        link::remove(&self.device);
    }
}

/// The ports that lead to the network of a snap with these plugs; `None`: it needs no network.
pub fn ports(granted: &[Granted]) -> Option<Vec<Port>> {
    let mut all: Option<Vec<Port>> = None;
    for granted in granted {
        let Reach::Snap(ports) = granted.network() else { continue };
        let all = all.get_or_insert_default();
        let new = ports.iter().filter(|port| !all.iter().any(|other| other.is_the_same(**port)));
        let new: Vec<Port> = new.copied().collect();
        all.extend(new);
    }
    all
}

/// Rules for the snaps that are active; none is no rules. The device forwards only while there are
/// some.
pub fn translate<'a>(networks: impl IntoIterator<Item = &'a Network>) -> Result<()> {
    let networks: Vec<&Network> = networks.into_iter().collect();
    if networks.is_empty() {
        forward(false)?;
    }
    translate::replace(&networks)?;
    if !networks.is_empty() {
        forward(true)?;
    }
    Ok(())
}

fn forward(on: bool) -> Result<()> {
    let path = Path::new(FORWARDING);
    let wanted = if on { "1" } else { "0" };
    match fs::read_to_string(path).at("read", path)?.trim() == wanted {
        true => Ok(()),
        false => fs::write(path, wanted).at("write", path),
    }
}

/// The device's (0) or the snap's (1) address.
fn address(uid: u32, side: u32) -> Result<Ipv4Addr> {
    let nth = uid.checked_sub(crate::state::FIRST_UID).and_then(|nth| nth.checked_mul(2));
    let offset = nth.map(|nth| nth + side).filter(|offset| *offset < 1 << (32 - FIRST_BITS));
    let offset = offset.ok_or_else(|| Error::refused("no-uid", format!("no address for {uid}")))?;
    Ok(Ipv4Addr::from_bits(FIRST.to_bits() + offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{FIRST_UID, LAST_UID};

    #[test]
    fn every_snap_has_addresses_of_its_own() {
        assert_eq!(address(FIRST_UID, 0).unwrap(), Ipv4Addr::new(198, 18, 0, 0));
        assert_eq!(address(FIRST_UID + 1, 1).unwrap(), Ipv4Addr::new(198, 18, 0, 3));
        assert_eq!(address(LAST_UID, 1).unwrap(), Ipv4Addr::new(198, 19, 56, 127));
        assert!(address(FIRST_UID - 1, 0).is_err());
    }
}
