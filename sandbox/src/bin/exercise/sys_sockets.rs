//! Sockets.

use crate::fixtures::{Exercise, fails, leak, ok};
use std::{
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

/// Any port of 127.0.0.1, as `struct sockaddr_in`.
const LOCAL: [u8; 16] = [libc::AF_INET as u8, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
const AT_ONCE: i32 = libc::MSG_DONTWAIT;

fn stream() -> i64 {
    call!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)
}

/// A listener to which somebody has connected.
fn listener() -> i32 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("it can listen");
    let address = listener.local_addr().expect("it has an address");
    leak(TcpStream::connect(address).expect("it can be reached"));
    leak(listener)
}

/// One end of a pair; the other has sent it "abc" and waits for nothing.
fn pair() -> i32 {
    let (one, other) = UnixDatagram::pair().expect("a pair can be made");
    other.send(b"abc").expect("and used");
    leak(other);
    leak(one)
}

/// `struct msghdr` for the bytes at `data` (a `struct iovec`).
fn header(data: &[usize; 2]) -> [usize; 8] {
    [0, 0, data.as_ptr() as usize, 1, 0, 0, 0, 0]
}

/// A `struct iovec` of three bytes that are never freed.
fn bytes() -> [usize; 2] {
    [Box::leak(Box::new([0_u8; 3])).as_mut_ptr() as usize, 3]
}

pub const ALL: &[Exercise] = &[
    ("socket unix", || ok(call!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0))),
    ("socket inet", || ok(stream())),
    // The kernel may be without it.
    ("socket inet6", || {
        let socket = call!(SYS_socket, libc::AF_INET6, libc::SOCK_STREAM, 0);
        socket >= 0 || fails(socket, libc::EAFNOSUPPORT)
    }),
    ("socket route", || ok(call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, 0))),
    ("socket packet", || ok(call!(SYS_socket, libc::AF_PACKET, libc::SOCK_DGRAM, 0))),
    ("socketpair", || {
        ok(call!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, [0_i32; 2].as_mut_ptr()))
    }),
    ("bind", || ok(call!(SYS_bind, stream(), LOCAL.as_ptr(), 16))),
    // Nobody is at port 0.
    ("connect", || fails(call!(SYS_connect, stream(), LOCAL.as_ptr(), 16), libc::ECONNREFUSED)),
    ("listen", || ok(call!(SYS_listen, stream(), 1))),
    ("accept", || ok(call!(SYS_accept, listener(), 0, 0))),
    ("accept4", || ok(call!(SYS_accept4, listener(), 0, 0, libc::SOCK_CLOEXEC))),
    ("getsockname", || {
        ok(call!(SYS_getsockname, listener(), [0_u8; 16].as_mut_ptr(), [16_u32].as_mut_ptr()))
    }),
    ("getpeername", || {
        ok(call!(SYS_getpeername, pair(), [0_u8; 128].as_mut_ptr(), [128_u32].as_mut_ptr()))
    }),
    ("getsockopt", || {
        let (mut value, mut size) = (0_i32, 4_u32);
        let (option, value) = (libc::SO_TYPE, &raw mut value);
        ok(call!(SYS_getsockopt, pair(), libc::SOL_SOCKET, option, value, &raw mut size))
    }),
    ("setsockopt", || {
        let value = [1_i32].as_ptr();
        ok(call!(SYS_setsockopt, stream(), libc::SOL_SOCKET, libc::SO_REUSEADDR, value, 4))
    }),
    ("shutdown", || ok(call!(SYS_shutdown, pair(), libc::SHUT_RDWR))),
    ("sendto", || ok(call!(SYS_sendto, pair(), c"x".as_ptr(), 1_usize, AT_ONCE, 0, 0))),
    ("sendmsg", || ok(call!(SYS_sendmsg, pair(), header(&bytes()).as_ptr(), AT_ONCE))),
    ("sendmmsg", || ok(call!(SYS_sendmmsg, pair(), header(&bytes()).as_ptr(), 1, AT_ONCE))),
    ("recvfrom", || {
        ok(call!(SYS_recvfrom, pair(), [0_u8; 3].as_mut_ptr(), 3_usize, AT_ONCE, 0, 0))
    }),
    ("recvmsg", || ok(call!(SYS_recvmsg, pair(), header(&bytes()).as_mut_ptr(), AT_ONCE))),
    ("recvmmsg", || ok(call!(SYS_recvmmsg, pair(), header(&bytes()).as_mut_ptr(), 1, AT_ONCE, 0))),
    // FIONREAD
    ("ioctl", || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket can be had");
        ok(call!(SYS_ioctl, socket.as_raw_fd(), libc::FIONREAD, [0_i32].as_mut_ptr()))
    }),
];
