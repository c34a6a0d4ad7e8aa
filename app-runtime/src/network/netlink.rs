//! Messages to the kernel's network, and whether it did what they say (RFC 3549; `netlink(7)`):
//! headers and attributes, each padded to four bytes. What goes into them is for who sends them.

use crate::error::{Context, Result};
use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType},
};

/// It asks for something, an answer is wanted, something is made, and is not there yet
/// (`NLM_F_…` in linux/netlink.h).
pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const CREATE: u16 = 0x400;
pub const EXCLUSIVE: u16 = 0x200;
pub const APPEND: u16 = 0x800;
/// An attribute whose value are attributes.
const NESTED: u16 = 0x8000;
/// Type of an answer.
const ERROR: u16 = 2;
/// What errors begin with.
const OPERATION: &str = "network:";
/// Size of a message's header: length, type, flags, number, sender.
const HEADER: usize = 16;

/// Attributes, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        pad(&mut self.0);
        self
    }

    /// Adds a text that ends with a zero, as names do.
    pub fn name(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds one of attributes.
    pub fn nested(self, kind: u16, inner: &Attributes) -> Self {
        self.with(kind | NESTED, &inner.0)
    }

    /// The same behind a structure that an attribute may begin with.
    pub fn nested_behind(self, kind: u16, head: &[u8], inner: &Attributes) -> Self {
        self.with(kind | NESTED, &[head, &inner.0].concat())
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Messages that are sent at once.
#[derive(Debug, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    /// Numbers of those to which an answer is wanted.
    awaited: Vec<u32>,
    count: u32,
}

impl Messages {
    /// Adds one: a header, the structure that its kind begins with, attributes.
    pub fn push(&mut self, kind: u16, flags: u16, head: &[u8], attributes: &Attributes) {
        self.count += 1;
        let start = self.bytes.len();
        let length = (HEADER + head.len() + attributes.0.len()) as u32;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(head);
        self.bytes.extend(&attributes.0);
        pad(&mut self.bytes);
        debug_assert_eq!((self.bytes.len() - start) % 4, 0);
        if flags & ACK != 0 {
            self.awaited.push(self.count);
        }
    }
}

/// A way to the kernel, for the network namespace that its thread was in.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    /// Opens it.
    pub fn open(protocol: Option<Protocol>) -> Result<Self> {
        let kind = SocketType::RAW;
        let socket = net::socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol);
        socket.context(OPERATION, "open a way to the kernel").map(Self)
    }

    /// Sends all and waits for all answers; the first refusal is the error.
    pub fn send(&self, what: &str, mut messages: Messages) -> Result<()> {
        net::send(&self.0, &messages.bytes, SendFlags::empty()).context(OPERATION, what)?;
        let mut buffer = vec![0; 32 << 10];
        while !messages.awaited.is_empty() {
            let (_, length) = match net::recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                received => received.context(OPERATION, what)?,
            };
            for (number, errno) in answers(&buffer[..length]) {
                if errno != 0 {
                    return Err(Errno::from_raw_os_error(errno)).context(OPERATION, what);
                }
                messages.awaited.retain(|awaited| *awaited != number);
            }
        }
        Ok(())
    }
}

/// Numbers of messages, and what became of them: 0 or an errno.
fn answers(mut bytes: &[u8]) -> Vec<(u32, i32)> {
    let mut answers = Vec::new();
    let word =
        |bytes: &[u8], at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    while let Some(length) = word(bytes, 0).map(|b| u32::from_ne_bytes(b) as usize) {
        let kind = word(bytes, 4).map(|b| u16::from_ne_bytes([b[0], b[1]]));
        let number = word(bytes, 8).map(u32::from_ne_bytes);
        let result = word(bytes, HEADER).map(i32::from_ne_bytes);
        if let (Some(ERROR), Some(number), Some(result)) = (kind, number, result) {
            answers.push((number, -result));
        }
        match bytes.get(length.max(HEADER).next_multiple_of(4)..) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    answers
}
