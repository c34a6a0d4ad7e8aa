//! The interface: finding it, and setting it up. USB adapters come late, so nothing here takes its
//! absence for an error.

use super::{client::Lease, sys_interface as sys};
use crate::{Result, error::At};
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

/// An interface that is there.
pub struct Link {
    /// Name.
    pub name: String,
    /// Kernel's number.
    pub index: i32,
    /// Hardware address.
    pub mac: [u8; 6],
    control: OwnedFd,
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
    /// Brings an interface up.
    pub fn open(name: &str) -> Result<Self> {
        let control = control_socket()?;
        sys::bring_up(&control, name).at("bring up", name)?;
        let (index, mac) = sys::index_and_mac(&control, name).at("look at", name)?;
        Ok(Self { name: name.into(), index, mac, control, router: None })
    }

    /// Whether the cable is in; `None` when the interface is gone.
    pub fn carrier(&self) -> Option<bool> {
        let flags = sys::flags(&self.control, &self.name).ok()?;
        Some(flags & libc::IFF_RUNNING as u16 != 0)
    }

    /// Sets address, MTU and default route.
    pub fn configure(&mut self, lease: &Lease) -> Result<()> {
        self.set(lease.address, lease.prefix, lease.router, lease.mtu)
    }

    /// Sets address, MTU and default route.
    pub fn set(
        &mut self,
        address: Ipv4Addr,
        prefix: u8,
        router: Option<Ipv4Addr>,
        mtu: Option<u16>,
    ) -> Result<()> {
        sys::set_address(&self.control, &self.name, address, prefix)
            .at("set address of", &self.name)?;
        if let Some(mtu) = mtu {
            sys::set_mtu(&self.control, &self.name, mtu).at("set MTU of", &self.name)?;
        }
        if let Some(old) = self.router.take() {
            // gone already when the address changed
            let _ = sys::default_route(&self.control, &self.name, old, false);
        }
        if let Some(router) = router {
            sys::default_route(&self.control, &self.name, router, true)
                .or_else(|e| if e.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(e) })
                .at("set default route of", &self.name)?;
            self.router = Some(router);
        }
        Ok(())
    }

    /// Takes the address away; the kernel takes its routes with it.
    pub fn deconfigure(&mut self) -> Result<()> {
        self.router = None;
        sys::set_address(&self.control, &self.name, Ipv4Addr::UNSPECIFIED, 32)
            .at("take address of", &self.name)
    }
}
