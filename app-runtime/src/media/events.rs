//! The kernel's events of devices, as it sends them to who listens (`netlink(7)`,
//! `NETLINK_KOBJECT_UEVENT`): `ACTION@PATH`, then `KEY=VALUE`, each ended by a zero.

use crate::{
    error::{Context, Result},
    pidfd::Watched,
};
use rustix::{
    io::Errno,
    net::{self, AddressFamily, RecvFlags, SocketFlags, SocketType, netlink},
};

/// The group that the kernel sends to; programs send to others.
const KERNEL: u32 = 1;
/// The kernel's limit is 2 KiB.
const MESSAGE: usize = 4096;

/// Events from now on.
pub struct Events(Watched);

impl Events {
    /// Begins to listen.
    pub fn open() -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
        let socket = net::socket_with(family, kind, flags, Some(netlink::KOBJECT_UEVENT));
        let socket = socket.context("open", "events of devices")?;
        let address = netlink::SocketAddrNetlink::new(0, KERNEL);
        net::bind(&socket, &address).context("listen to", "events of devices")?;
        Watched::new(socket).context("watch", "events of devices").map(Self)
    }

    /// Waits for one of a block device. What is lost counts as one, since nobody knows.
    pub async fn of_block_devices(&self) {
        let mut message = [0; MESSAGE];
        loop {
            let received = self.0.when_readable(|socket| {
                match net::recv(socket, &mut message[..], RecvFlags::empty()) {
                    Err(Errno::NOBUFS) => Ok(None),
                    received => Ok(Some(received?.0)),
                }
            });
            match received.await {
                Ok(Some(length)) if !is_of_block_device(&message[..length]) => {}
                _ => return,
            }
        }
    }
}

fn is_of_block_device(message: &[u8]) -> bool {
    message.split(|byte| *byte == 0).any(|part| part == b"SUBSYSTEM=block")
}

#[cfg(test)]
mod tests {
    use super::is_of_block_device;

    #[test]
    fn events_of_block_devices_are_told_from_others() {
        let message = b"add@/devices/x/block/sda\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=sda\0";
        assert!(is_of_block_device(message));
        for other in [&b"add@/devices/block\0SUBSYSTEM=blockade\0"[..], b"", b"\0\0"] {
            assert!(!is_of_block_device(other));
        }
    }
}
