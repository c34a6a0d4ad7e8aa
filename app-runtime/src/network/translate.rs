//! Which packets of snaps go where, as one table of nf_tables that is replaced as a whole
//! (linux/netfilter/nf_tables.h, nfnetlink.h).
//!
//! | chain | rule |
//! |---|---|
//! | `in` | a packet to a port of a snap that did not come from a snap, or went to the device's end of a pair: to the snap |
//! | `out` | the same for what the device itself sends to an end of a pair |
//! | `after` | whatever comes from a snap has the device's address |
//! | `through` | answers, what came by a port, what goes from a snap out of the device; nothing else |

use super::{
    FIRST, FIRST_BITS, Network, PREFIX,
    netlink::{ACK, APPEND, Attributes, CREATE, Messages, Netlink},
    port::Port,
};
use crate::error::Result;
use rustix::net::netlink::NETFILTER;
use std::net::Ipv4Addr;

const TABLE: &str = "holdfast-snaps";

/// Subsystem of nf_tables, in the upper byte of a message's type.
const NF_TABLES: u16 = 10 << 8;
const NEW_TABLE: u16 = NF_TABLES;
const DELETE_TABLE: u16 = NF_TABLES | 2;
const NEW_CHAIN: u16 = NF_TABLES | 3;
const NEW_RULE: u16 = NF_TABLES | 6;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const IPV4: u8 = 2;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// Registers: the verdict, and two for data.
const VERDICT: u32 = 0;
const ONE: u32 = 1;
const TWO: u32 = 2;

/// Where packets are seen: number of the hook, and when there.
const BEFORE_ROUTING: (u32, i32) = (0, -100);
const THROUGH: (u32, i32) = (2, 0);
const FROM_HERE: (u32, i32) = (3, -100);
const AFTER_ROUTING: (u32, i32) = (4, 100);

/// `struct nfgenmsg`: family, version, and for a batch the subsystem.
fn head(family: u8, subsystem: u8) -> [u8; 4] {
    [family, 0, 0, subsystem]
}

fn be(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// Replaces all rules.
pub fn replace(networks: &[&Network]) -> Result<()> {
    let mut batch = Batch::default();
    batch.push(NEW_TABLE, CREATE, &table());
    batch.push(DELETE_TABLE, 0, &table());
    if !networks.is_empty() {
        batch.push(NEW_TABLE, CREATE, &table());
        batch.chain("in", "nat", BEFORE_ROUTING, ACCEPT);
        batch.chain("out", "nat", FROM_HERE, ACCEPT);
        batch.chain("after", "nat", AFTER_ROUTING, ACCEPT);
        batch.chain("through", "filter", THROUGH, DROP);
        for network in networks {
            for port in &network.ports {
                let to = lead(*port, network.address);
                batch.rule("in", &[not_from_snaps(), is_port(*port), to.clone()].concat());
                for chain in ["in", "out"] {
                    batch.rule(chain, &[to_snaps(), is_port(*port), to.clone()].concat());
                }
            }
        }
        batch.rule("after", &[address_is(SOURCE), vec![("masq", Attributes::new())]].concat());
        batch.rule("through", &[answers(), accept()].concat());
        batch.rule("through", &[by_a_port(), accept()].concat());
        batch.rule("through", &[device(IN, EQUAL), device(OUT, UNEQUAL), accept()].concat());
    }
    batch.send()
}

fn table() -> Attributes {
    Attributes::new().name(1, TABLE)
}

/// Messages that all hold or none.
struct Batch(Messages);

impl Default for Batch {
    fn default() -> Self {
        let mut messages = Messages::default();
        messages.push(BATCH_BEGIN, 0, &head(0, 10), &Attributes::new());
        Self(messages)
    }
}

impl Batch {
    fn push(&mut self, kind: u16, flags: u16, attributes: &Attributes) {
        self.0.push(kind, flags | ACK, &head(IPV4, 0), attributes);
    }

    fn chain(&mut self, name: &str, kind: &str, (hook, priority): (u32, i32), policy: u32) {
        let hook = Attributes::new().with(1, &be(hook)).with(2, &priority.to_be_bytes());
        let chain = table().name(3, name).nested(4, &hook).with(5, &be(policy)).name(7, kind);
        self.push(NEW_CHAIN, CREATE, &chain);
    }

    fn rule(&mut self, chain: &str, expressions: &[Expression]) {
        let list = expressions.iter().fold(Attributes::new(), |list, (name, data)| {
            list.nested(1, &Attributes::new().name(1, name).nested(2, data))
        });
        let rule = table().name(2, chain).nested(4, &list);
        self.push(NEW_RULE, CREATE | APPEND, &rule);
    }

    fn send(mut self) -> Result<()> {
        self.0.push(BATCH_END, 0, &head(0, 10), &Attributes::new());
        Netlink::open(Some(NETFILTER))?.send("rules for the snaps' packets", self.0)
    }
}

/// A step of a rule: its name and what it takes.
type Expression = (&'static str, Attributes);

const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;

fn compare(register: u32, how: u32, with: &[u8]) -> Expression {
    let value = Attributes::new().with(1, with);
    ("cmp", Attributes::new().with(1, &be(register)).with(2, &be(how)).nested(3, &value))
}

fn meta(key: u32) -> Expression {
    ("meta", Attributes::new().with(1, &be(ONE)).with(2, &be(key)))
}

fn payload(base: u32, offset: u32, length: u32) -> Expression {
    let place = Attributes::new().with(1, &be(ONE)).with(2, &be(base));
    ("payload", place.with(3, &be(offset)).with(4, &be(length)))
}

fn masked(register: u32, mask: &[u8]) -> Expression {
    let nothing = Attributes::new().with(1, &vec![0; mask.len()]);
    let registers = Attributes::new().with(1, &be(register)).with(2, &be(register));
    let mask = Attributes::new().with(1, mask);
    let length = be(4);
    ("bitwise", registers.with(3, &length).nested(4, &mask).nested(5, &nothing))
}

fn immediate(register: u32, value: &[u8]) -> Expression {
    let value = Attributes::new().with(1, value);
    ("immediate", Attributes::new().with(1, &be(register)).nested(2, &value))
}

/// Keys of `meta`: names of the devices by which a packet comes and goes; its protocol.
const IN: u32 = 6;
const OUT: u32 = 7;
const PROTOCOL: u32 = 16;

/// Whether a device is the end of a pair: its name begins as theirs do.
fn device(which: u32, how: u32) -> Vec<Expression> {
    vec![meta(which), compare(ONE, how, PREFIX.as_bytes())]
}

fn not_from_snaps() -> Vec<Expression> {
    device(IN, UNEQUAL)
}

fn to_snaps() -> Vec<Expression> {
    address_is(DESTINATION)
}

/// Offsets in the header of IPv4.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// Whether an address is one of those of snaps and their pairs.
fn address_is(offset: u32) -> Vec<Expression> {
    const NETWORK_HEADER: u32 = 1;
    let mask = be(u32::MAX << (32 - FIRST_BITS));
    let all = payload(NETWORK_HEADER, offset, 4);
    vec![all, masked(ONE, &mask), compare(ONE, EQUAL, &FIRST.octets())]
}

fn is_port(port: Port) -> Vec<Expression> {
    const TRANSPORT_HEADER: u32 = 2;
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let protocol = if port.udp { UDP } else { TCP };
    vec![
        meta(PROTOCOL),
        compare(ONE, EQUAL, &[protocol]),
        // The port of the destination is the second number of both.
        payload(TRANSPORT_HEADER, 2, 2),
        compare(ONE, EQUAL, &port.device.to_be_bytes()),
    ]
}

/// To this address and the port of the snap.
fn lead(port: Port, address: Ipv4Addr) -> Vec<Expression> {
    const DESTINATION_NAT: u32 = 1;
    let kind = Attributes::new().with(1, &be(DESTINATION_NAT)).with(2, &be(u32::from(IPV4)));
    let nat = ("nat", kind.with(3, &be(ONE)).with(5, &be(TWO)));
    vec![immediate(ONE, &address.octets()), immediate(TWO, &port.snap.to_be_bytes()), nat]
}

/// Bits of what connection tracking knows, any of which is enough.
fn tracked(key: u32, bits: u32) -> Vec<Expression> {
    let known = ("ct", Attributes::new().with(1, &be(ONE)).with(2, &be(key)));
    // They are numbers of this machine, not of the network.
    vec![known, masked(ONE, &bits.to_ne_bytes()), compare(ONE, UNEQUAL, &[0; 4])]
}

fn answers() -> Vec<Expression> {
    const STATE: u32 = 0;
    const ESTABLISHED: u32 = 2;
    const RELATED: u32 = 4;
    tracked(STATE, ESTABLISHED | RELATED)
}

fn by_a_port() -> Vec<Expression> {
    const STATUS: u32 = 2;
    const DESTINATION_CHANGED: u32 = 1 << 5;
    tracked(STATUS, DESTINATION_CHANGED)
}

fn accept() -> Vec<Expression> {
    let verdict = Attributes::new().nested(2, &Attributes::new().with(1, &be(ACCEPT)));
    vec![("immediate", Attributes::new().with(1, &be(VERDICT)).nested(2, &verdict))]
}
