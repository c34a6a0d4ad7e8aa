//! DHCPv4 messages. What is received is checked before any of it is used: nothing here trusts a
//! length, and options that are not understood are skipped.

use std::net::Ipv4Addr;

/// Port of clients.
pub const CLIENT_PORT: u16 = 68;
/// Port of servers.
pub const SERVER_PORT: u16 = 67;

const FIXED: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Shortest message that every relay passes on (BOOTP).
const LENGTH_MIN: usize = 300;
/// DNS servers that are used.
const DNS_LIMIT: usize = 3;
/// Smallest MTU of IPv4, largest of Ethernet with jumbo frames.
const MTU_RANGE: std::ops::RangeInclusive<u16> = 576..=9000;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Looking for servers.
    Discover,
    /// A server's offer.
    Offer,
    /// Asking for, or prolonging, an address.
    Request,
    /// Granted.
    Ack,
    /// Refused.
    Nak,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Discover => 1,
            Self::Offer => 2,
            Self::Request => 3,
            Self::Ack => 5,
            Self::Nak => 6,
        }
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Discover or request.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Seconds since the client began.
    pub seconds: u16,
    /// Own address, when renewing.
    pub client: Option<Ipv4Addr>,
    /// Address asked for.
    pub requested: Option<Ipv4Addr>,
    /// Server whose offer is taken.
    pub server: Option<Ipv4Addr>,
    /// Host name for the server's list.
    pub hostname: String,
}

impl Outgoing {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; FIXED];
        out[0] = 1; // BOOTREQUEST
        out[1] = 1; // Ethernet
        out[2] = 6;
        out[4..8].copy_from_slice(&self.xid.to_be_bytes());
        out[8..10].copy_from_slice(&self.seconds.to_be_bytes());
        if let Some(client) = self.client {
            out[12..16].copy_from_slice(&client.octets());
        }
        out[28..34].copy_from_slice(&self.mac);
        out.extend_from_slice(&COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            out.push(code);
            out.push(value.len() as u8);
            out.extend_from_slice(value);
        };
        option(53, &[self.kind.code()]);
        let mut id = [1; 7];
        id[1..].copy_from_slice(&self.mac);
        option(61, &id);
        if let Some(address) = self.requested {
            option(50, &address.octets());
        }
        if let Some(address) = self.server {
            option(54, &address.octets());
        }
        option(57, &1500u16.to_be_bytes());
        // mask, router, DNS, domain, MTU, lease, T1, T2
        option(55, &[1, 3, 6, 15, 26, 51, 58, 59]);
        let name = self.hostname.as_bytes();
        if !name.is_empty() && name.len() <= 63 {
            option(12, name);
        }
        out.push(255);
        out.resize(out.len().max(LENGTH_MIN), 0);
        out
    }
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Offer, ack or nak.
    pub kind: Kind,
    /// Transaction.
    pub xid: u32,
    /// Hardware address that it is for.
    pub mac: [u8; 6],
    /// Address offered or granted.
    pub address: Ipv4Addr,
    /// Server's identifier.
    pub server: Option<Ipv4Addr>,
    /// Length of the network's prefix.
    pub prefix: Option<u8>,
    /// First router.
    pub router: Option<Ipv4Addr>,
    /// DNS servers.
    pub dns: Vec<Ipv4Addr>,
    /// MTU.
    pub mtu: Option<u16>,
    /// Seconds that the address is granted for.
    pub lease_s: Option<u32>,
    /// Seconds until it should be prolonged.
    pub renew_s: Option<u32>,
    /// Seconds until any server should be asked.
    pub rebind_s: Option<u32>,
}

impl Incoming {
    /// `None` for anything that is not a well-formed answer of a server.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FIXED + 4 || bytes[0] != 2 || bytes[1] != 1 || bytes[2] != 6 {
            return None;
        }
        if bytes[FIXED..FIXED + 4] != COOKIE {
            return None;
        }
        let options = Options::collect(bytes)?;
        let kind = match options.get(53)? {
            [2] => Kind::Offer,
            [5] => Kind::Ack,
            [6] => Kind::Nak,
            _ => return None,
        };
        let address = |code: u8| options.get(code).and_then(first_address);
        let number = |code: u8| {
            options.get(code).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes)
        };
        Some(Self {
            kind,
            xid: u32::from_be_bytes(bytes[4..8].try_into().ok()?),
            mac: bytes[28..34].try_into().ok()?,
            address: first_address(&bytes[16..20])?,
            server: address(54),
            prefix: address(1).and_then(prefix_of),
            router: address(3),
            dns: options.get(6).map(addresses).unwrap_or_default(),
            mtu: options
                .get(26)
                .and_then(|value| value.try_into().ok())
                .map(u16::from_be_bytes)
                .filter(|mtu| MTU_RANGE.contains(mtu)),
            lease_s: number(51),
            renew_s: number(58),
            rebind_s: number(59),
        })
    }
}

/// Code and value of each option, in the order of the message; an option that comes twice is joined
/// (RFC 3396).
struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    fn collect(bytes: &[u8]) -> Option<Self> {
        let mut all = Self(Vec::new());
        let overload = all.read(&bytes[FIXED + 4..])?;
        if overload & 1 != 0 {
            all.read(&bytes[108..236])?;
        }
        if overload & 2 != 0 {
            all.read(&bytes[44..108])?;
        }
        Some(all)
    }

    /// Reads one area; returns the value of the option "overload".
    fn read(&mut self, area: &[u8]) -> Option<u8> {
        let mut overload = 0;
        let mut rest = area;
        while let [code, tail @ ..] = rest {
            match code {
                0 => rest = tail,
                255 => break,
                _ => {
                    let (length, tail) = tail.split_first()?;
                    let (value, tail) = tail.split_at_checked(usize::from(*length))?;
                    if let (52, [value]) = (*code, value) {
                        overload = *value;
                    }
                    match self.0.iter_mut().find(|(known, _)| known == code) {
                        Some((_, known)) => known.extend_from_slice(value),
                        None => self.0.push((*code, value.to_vec())),
                    }
                    rest = tail;
                }
            }
        }
        Some(overload)
    }

    fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }
}

fn first_address(value: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = value.get(..4)?.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}

fn addresses(value: &[u8]) -> Vec<Ipv4Addr> {
    value.chunks_exact(4).filter_map(first_address).take(DNS_LIMIT).collect()
}

/// Length of a mask whose ones all come first.
fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then_some(ones as u8)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A server's answer, byte by byte.
    pub(crate) fn answer(kind: u8, xid: u32, mac: [u8; 6], options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = vec![0; FIXED];
        out[..3].copy_from_slice(&[2, 1, 6]);
        out[4..8].copy_from_slice(&xid.to_be_bytes());
        out[16..20].copy_from_slice(&[10, 0, 2, 15]);
        out[28..34].copy_from_slice(&mac);
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&[53, 1, kind]);
        for (code, value) in options {
            out.extend_from_slice(&[*code, value.len() as u8]);
            out.extend_from_slice(value);
        }
        out.push(255);
        out
    }

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn a_discover_has_what_servers_look_at() {
        let out = Outgoing {
            kind: Kind::Discover,
            xid: 0x0102_0304,
            mac: MAC,
            seconds: 7,
            client: None,
            requested: Some(Ipv4Addr::new(10, 0, 2, 15)),
            server: None,
            hostname: "shed".into(),
        };
        let bytes = out.encode();
        assert!(bytes.len() >= LENGTH_MIN);
        assert_eq!(&bytes[..8], &[1, 1, 6, 0, 1, 2, 3, 4]);
        assert_eq!(&bytes[28..34], &MAC);
        assert_eq!(&bytes[236..243], &[99, 130, 83, 99, 53, 1, 1]);
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(has(&[61, 7, 1, 2, 0, 0, 0, 0, 1]) && has(&[50, 4, 10, 0, 2, 15]));
        assert!(has(b"\x0c\x04shed"));
    }

    #[test]
    fn an_ack_is_read_with_all_its_options() {
        let bytes = answer(
            5,
            9,
            MAC,
            &[
                (1, &[255, 255, 255, 0]),
                (3, &[10, 0, 2, 2, 10, 0, 2, 99]),
                (6, &[10, 0, 2, 3]),
                (6, &[1, 1, 1, 1]),
                (26, &[5, 180]),
                (51, &[0, 1, 81, 128]),
                (54, &[10, 0, 2, 2]),
                (58, &[0, 0, 0, 60]),
                (200, &[1, 2, 3]),
            ],
        );
        let ack = Incoming::parse(&bytes).unwrap();
        assert_eq!((ack.kind, ack.xid, ack.prefix, ack.mtu), (Kind::Ack, 9, Some(24), Some(1460)));
        assert_eq!(ack.router, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(ack.dns, [Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::new(1, 1, 1, 1)]);
        assert_eq!((ack.lease_s, ack.renew_s, ack.rebind_s), (Some(86_400), Some(60), None));
    }

    #[test]
    fn no_cut_or_changed_byte_makes_it_panic() {
        let bytes =
            answer(5, 9, MAC, &[(1, &[255, 255, 255, 0]), (51, &[0, 0, 0, 60]), (52, &[3])]);
        for cut in 0..bytes.len() {
            let _ = Incoming::parse(&bytes[..cut]);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 52, 53, 254, 255] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = Incoming::parse(&changed);
            }
        }
    }

    #[test]
    fn rubbish_is_refused() {
        let good = answer(2, 1, MAC, &[]);
        assert!(Incoming::parse(&good).is_some());
        for (at, value) in [(0, 1), (1, 6), (2, 8), (236, 0), (242, 9)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Incoming::parse(&bad), None, "byte {at}");
        }
        let holes = answer(5, 1, MAC, &[(1, &[255, 0, 255, 0]), (26, &[0, 10])]);
        let read = Incoming::parse(&holes).unwrap();
        assert_eq!((read.prefix, read.mtu), (None, None));
    }
}
