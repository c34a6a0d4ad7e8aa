//! Interfaces and routes. Wraps ioctl(2): SIOCSIFADDR and its kin, SIOCADDRT; setsockopt(2):
//! SO_ATTACH_FILTER.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
};

/// `ifreq` with the member in use written as bytes (24, the union's size on 64-bit machines).
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    value: [u8; 24],
}

fn request(name: &str) -> io::Result<InterfaceRequest> {
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], value: [0; 24] };
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no interface name"));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    Ok(request)
}

fn socket_address(address: Ipv4Addr) -> [u8; 16] {
    let mut out = [0; 16];
    out[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    out[4..8].copy_from_slice(&address.octets());
    out
}

fn interface_call(
    socket: &OwnedFd,
    number: libc::Ioctl,
    request: &mut InterfaceRequest,
) -> io::Result<()> {
    // SAFETY: all SIOC?IF* calls take an ifreq, which InterfaceRequest has the size and layout of.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), number, request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Flags of an interface (IFF_*).
fn flags(socket: &OwnedFd, name: &str) -> io::Result<u16> {
    let mut request = request(name)?;
    interface_call(socket, libc::SIOCGIFFLAGS as _, &mut request)?;
    Ok(u16::from_ne_bytes([request.value[0], request.value[1]]))
}

/// Brings an interface up.
pub fn bring_up(socket: &OwnedFd, name: &str) -> io::Result<()> {
    let flags = flags(socket, name)? | libc::IFF_UP as u16;
    let mut request = request(name)?;
    request.value[..2].copy_from_slice(&flags.to_ne_bytes());
    interface_call(socket, libc::SIOCSIFFLAGS as _, &mut request)
}

/// Index and hardware address.
pub fn index_and_mac(socket: &OwnedFd, name: &str) -> io::Result<(i32, [u8; 6])> {
    let mut index = request(name)?;
    interface_call(socket, libc::SIOCGIFINDEX as _, &mut index)?;
    let mut address = request(name)?;
    interface_call(socket, libc::SIOCGIFHWADDR as _, &mut address)?;
    let mut mac = [0; 6];
    mac.copy_from_slice(&address.value[2..8]);
    let number = [index.value[0], index.value[1], index.value[2], index.value[3]];
    Ok((i32::from_ne_bytes(number), mac))
}

/// Sets address and mask; the unspecified address takes it away.
pub fn set_address(socket: &OwnedFd, name: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let mut own = request(name)?;
    own.value[..16].copy_from_slice(&socket_address(address));
    interface_call(socket, libc::SIOCSIFADDR as _, &mut own)?;
    if address.is_unspecified() {
        return Ok(());
    }
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix.clamp(1, 32))).unwrap_or(0);
    let mut mask = request(name)?;
    mask.value[..16].copy_from_slice(&socket_address(Ipv4Addr::from(bits)));
    interface_call(socket, libc::SIOCSIFNETMASK as _, &mut mask)
}

/// The MTU.
pub fn mtu(socket: &OwnedFd, name: &str) -> io::Result<i32> {
    let mut request = request(name)?;
    interface_call(socket, libc::SIOCGIFMTU as _, &mut request)?;
    let value = request.value;
    Ok(i32::from_ne_bytes([value[0], value[1], value[2], value[3]]))
}

/// Sets the MTU.
pub fn set_mtu(socket: &OwnedFd, name: &str, mtu: i32) -> io::Result<()> {
    let mut request = request(name)?;
    request.value[..4].copy_from_slice(&mtu.to_ne_bytes());
    interface_call(socket, libc::SIOCSIFMTU as _, &mut request)
}

/// Adds or removes the default route through `router`.
pub fn default_route(socket: &OwnedFd, name: &str, router: Ipv4Addr, add: bool) -> io::Result<()> {
    let mut device = [0u8; libc::IFNAMSIZ];
    device[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
    // SAFETY: rtentry is plain data; all zero bytes are a valid value.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    let address = |address: Ipv4Addr| {
        let bytes = socket_address(address);
        // SAFETY: both are 16 bytes of plain data.
        unsafe { std::mem::transmute::<[u8; 16], libc::sockaddr>(bytes) }
    };
    route.rt_dst = address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = address(router);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    route.rt_dev = device.as_mut_ptr().cast();
    let number = if add { libc::SIOCADDRT } else { libc::SIOCDELRT };
    // SAFETY: the argument is an rtentry whose device name lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), number as _, &route) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets only datagrams to UDP port 68 through, so that other traffic does not wake netd.
pub fn only_dhcp(packets: &OwnedFd) -> io::Result<()> {
    let step = |code: u32, yes: u8, no: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k,
    };
    let (byte, half, word_x) = (
        libc::BPF_LD | libc::BPF_B | libc::BPF_ABS,
        libc::BPF_LD | libc::BPF_H | libc::BPF_IND,
        libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH,
    );
    let (equal, give) = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET | libc::BPF_K);
    let program = [
        step(byte, 0, 0, 9),   // protocol
        step(equal, 0, 4, 17), // UDP
        step(word_x, 0, 0, 0), // length of the IP header
        step(half, 0, 0, 2),   // destination port
        step(equal, 0, 1, 68),
        step(give, 0, 0, 0xffff),
        step(give, 0, 0, 0),
    ];
    let filter =
        libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program while the call lasts.
    let result = unsafe {
        libc::setsockopt(
            packets.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as u32,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A packet socket for IPv4 on one interface, without link headers.
pub fn packet_socket(index: i32) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is involved; the descriptor is ours alone.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_PACKET, kind, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    only_dhcp(&socket)?;
    let address = link_address(index);
    // SAFETY: the address is a sockaddr_ll of the size given.
    let result = unsafe {
        let length = size_of::<libc::sockaddr_ll>() as u32;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Sends an IPv4 packet to everybody on the link.
pub fn send_to_all(packets: &OwnedFd, index: i32, packet: &[u8]) -> io::Result<()> {
    let mut address = link_address(index);
    address.sll_halen = 6;
    address.sll_addr = [255, 255, 255, 255, 255, 255, 0, 0];
    // SAFETY: packet and address are valid for the lengths given.
    let sent = unsafe {
        libc::sendto(
            packets.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn link_address(index: i32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_IP as u16).to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}
