//! The interface: finding it, and setting it up. USB adapters come late, so nothing here takes its
//! absence for an error.

use super::sys_interface as sys;
use crate::{Error, Result, error::At};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::{fs, net::Ipv4Addr, os::fd::OwnedFd, path::Path};

const CLASS: &str = "/sys/class/net";
/// `ARPHRD_ETHER`
const ETHERNET: &str = "1";

/// The first Ethernet interface of real hardware, by name.
pub fn first_ethernet() -> Option<String> {
    let mut names: Vec<String> = fs::read_dir(CLASS)
        .ok()?
        .flatten()
        .filter(|entry| {
            let path = entry.path();
            let kind = crate::files::read_line(path.join("type"));
            kind.as_deref() == Some(ETHERNET)
                && path.join("device").exists()
                && !path.join("wireless").exists()
        })
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.into_iter().next()
}

/// How an interface is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// Default route.
    pub router: Option<Ipv4Addr>,
    /// MTU; the interface's own when absent.
    pub mtu: Option<u16>,
}

/// An interface that is there.
pub struct Link {
    /// Name.
    pub name: String,
    /// Kernel's number.
    pub index: i32,
    /// Hardware address.
    pub mac: [u8; 6],
    control: OwnedFd,
    /// MTU that it had before.
    own_mtu: i32,
    /// Default route that was set.
    router: Option<Ipv4Addr>,
}

/// A socket for interface calls.
fn control_socket() -> Result<OwnedFd> {
    socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .at("open", "a socket for interfaces")
}

/// Brings the loopback interface up.
pub fn loopback() -> Result<()> {
    let control = control_socket()?;
    sys::set_address(&control, "lo", Ipv4Addr::LOCALHOST, 8).at("set address of", "lo")?;
    sys::bring_up(&control, "lo").at("bring up", "lo")
}

/// Whether an interface with this name exists.
pub fn exists(name: &str) -> bool {
    Path::new(CLASS).join(name).exists()
}

impl Link {
    /// Brings an interface up, without what an earlier netd may have left on it: nobody keeps an
    /// eye on that lease any more.
    pub fn open(name: &str) -> Result<Self> {
        let control = control_socket()?;
        sys::bring_up(&control, name).at("bring up", name)?;
        let (index, mac) = sys::index_and_mac(&control, name).at("look at", name)?;
        let own_mtu = sys::mtu(&control, name).at("look at MTU of", name)?;
        let mut link = Self { name: name.into(), index, mac, control, own_mtu, router: None };
        link.clear()?;
        Ok(link)
    }

    /// Whether the cable is in; `None` when the interface is gone. Not by its flag `IFF_RUNNING`:
    /// that follows the cable later, and is set at first although there may be none.
    pub fn carrier(&self) -> Option<bool> {
        let carrier = crate::files::read_line(Path::new(CLASS).join(&self.name).join("carrier"));
        // an interface that somebody took down has the file, but it cannot be read
        carrier.map(|text| text == "1").or_else(|| exists(&self.name).then_some(false))
    }

    /// Sets address, MTU and default route. Without the address it fails; whatever else the kernel
    /// refuses is returned, and left out: a server's mistake must not cost the network.
    pub fn set(&mut self, settings: &Settings) -> Result<Vec<Error>> {
        sys::set_address(&self.control, &self.name, settings.address, settings.prefix)
            .at("set address of", &self.name)?;
        let mtu = settings.mtu.map_or(self.own_mtu, i32::from);
        let rest = [
            sys::set_mtu(&self.control, &self.name, mtu)
                .at("set MTU to that of the lease on", &self.name),
            self.route(settings.router),
        ];
        Ok(rest.into_iter().filter_map(std::result::Result::err).collect())
    }

    /// The default route that is set.
    pub fn router(&self) -> Option<Ipv4Addr> {
        self.router
    }

    fn route(&mut self, router: Option<Ipv4Addr>) -> Result<()> {
        if let Some(old) = self.router.take().filter(|old| Some(*old) != router) {
            // gone already when the address changed
            let _ = sys::default_route(&self.control, &self.name, old, false);
        }
        let Some(router) = router else { return Ok(()) };
        sys::default_route(&self.control, &self.name, router, true)
            .or_else(|e| if e.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(e) })
            .at("set default route of", &self.name)?;
        self.router = Some(router);
        Ok(())
    }

    /// Takes the address away; the kernel takes its routes with it.
    pub fn clear(&mut self) -> Result<()> {
        self.router = None;
        sys::set_address(&self.control, &self.name, Ipv4Addr::UNSPECIFIED, 32)
            .at("take address of", &self.name)
    }
}
