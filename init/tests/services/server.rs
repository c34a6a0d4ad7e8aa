//! The DHCP servers of the local network: busybox's, which can grant leases of seconds and refuses
//! what a client of another network asks for, and dnsmasq, which is in many home routers, refuses
//! renewals, and has a name server.

use crate::{
    network::{LAN, MAC, Network, ROUTER},
    program::Program,
};
use std::fs;

/// What a server grants.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// The only address that it has.
    pub address: &'static str,
    /// Whether the address is the gateway's, known without a lease.
    pub reserved: bool,
    pub router: &'static str,
    pub dns: &'static str,
    pub mtu: Option<u32>,
    /// Seconds: lease, T1 and T2.
    pub lease_s: u32,
    pub times: Option<(u32, u32)>,
}

/// An ordinary lease.
pub const GRANT: Grant = Grant {
    address: "10.77.0.50",
    reserved: false,
    router: ROUTER,
    dns: ROUTER,
    mtu: None,
    lease_s: 3600,
    times: None,
};

impl Grant {
    /// busybox's server, at the first address of the local network.
    pub fn udhcpd(&self, network: &Network) -> Program {
        let dir = network.dir.path().display();
        let Self { address, router, dns, lease_s, .. } = self;
        let mut text = format!(
            "start {address}\nend {address}\ninterface {LAN}\nmin_lease 10\n\
             lease_file {dir}/udhcpd.leases\npidfile {dir}/udhcpd.pid\n\
             opt subnet 255.255.255.0\nopt router {router}\nopt dns {dns}\nopt lease {lease_s}\n"
        );
        if let Some((renew, rebind)) = self.times {
            text += &format!("opt 0x3a {renew:08x}\nopt 0x3b {rebind:08x}\n");
        }
        if let Some(mtu) = self.mtu {
            text += &format!("opt mtu {mtu}\n");
        }
        if self.reserved {
            text += &format!("static_lease {MAC} {address}\n");
        }
        // a server that was replaced shall not have its leases from the earlier one
        let _ = fs::remove_file(network.dir.path().join("udhcpd.leases"));
        let path = network.dir.path().join("udhcpd.conf");
        fs::write(&path, text).unwrap();
        let mut command = network.command("busybox");
        // it asks the network for 100 ms whether an address is taken
        command.args(["udhcpd", "-f", "-a", "100"]).arg(&path);
        let mut server = Program::start("udhcpd", &mut command);
        server.expect("started");
        server
    }

    /// dnsmasq, as the one server of its network. Its name server knows `far.test`.
    pub fn dnsmasq(&self, network: &Network) -> Program {
        let address = self.address;
        let dir = network.dir.path().display();
        let mut command = network.command("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-"]);
        command.args(["--no-resolv", "--no-hosts", "--no-ping", "--log-dhcp", "--user=root"]);
        command.args(["--dhcp-authoritative", "--bind-dynamic", "--address=/far.test/192.0.2.1"]);
        command.arg(format!("--interface={LAN}")).arg("--pid-file=");
        command.arg(format!("--dhcp-leasefile={dir}/dnsmasq.leases"));
        command.arg(format!("--dhcp-range={address},{address},255.255.255.0,{}", self.lease_s));
        command.arg(format!("--dhcp-option=option:router,{}", self.router));
        command.arg(format!("--dhcp-option=option:dns-server,{}", self.dns));
        if let Some((renew, rebind)) = self.times {
            command.arg(format!("--dhcp-option=option:T1,{renew}"));
            command.arg(format!("--dhcp-option=option:T2,{rebind}"));
        }
        if let Some(mtu) = self.mtu {
            command.arg(format!("--dhcp-option=option:mtu,{mtu}"));
        }
        if self.reserved {
            command.arg(format!("--dhcp-host={MAC},{address}"));
        }
        let _ = fs::remove_file(network.dir.path().join("dnsmasq.leases"));
        let mut server = Program::start("dnsmasq", &mut command);
        server.expect("started");
        server
    }
}
