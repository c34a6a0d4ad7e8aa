//! The DHCP client as a pure machine (RFC 2131, figure 5): it is told the time and what was
//! received, and says what to send and what to configure.
//!
//! | state | sends | left by |
//! |---|---|---|
//! | selecting | DISCOVER to all, again after 2, 4, … 64 s | OFFER |
//! | requesting | REQUEST to all, [`REQUEST_TRIES`] times | ACK, NAK, no answer |
//! | bound | nothing | T1, link lost and found |
//! | renewing | REQUEST to the server, at half the time that is left | ACK, NAK, T2 |
//! | rebinding | REQUEST to all, at half the time that is left | ACK, NAK, end of the lease |
//! | verifying | REQUEST for the same address to all, after the link was lost | ACK, NAK, no answer |
//!
//! A lease that is lost is taken from the interface at once: another device may have the address.

use super::dhcp::{Incoming, Kind, Outgoing};
use std::net::Ipv4Addr;

/// Requests before an offer is given up.
pub const REQUEST_TRIES: u32 = 3;
/// First pause between two DISCOVERs, in milliseconds; it doubles.
const PAUSE_FIRST_MS: u64 = 2_000;
/// Longest pause between two DISCOVERs: a server that comes back is found within about a minute.
const PAUSE_MAX_MS: u64 = 64_000;
/// Shortest pause between two renewals (RFC 2131, 4.4.5).
const RENEW_PAUSE_MS: u64 = 60_000;
/// A shorter lease is taken as this long: a server must not keep us busy. Not longer: whoever
/// grants an address for seconds gives it to somebody else soon after.
const LEASE_MIN_S: u32 = 10;
/// A server that wants to be asked sooner is not heeded.
const RENEW_MIN_MS: u64 = 5_000;
/// A lease where the server does not say.
const LEASE_DEFAULT_S: u32 = 3_600;

/// What was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// Default route.
    pub router: Option<Ipv4Addr>,
    /// DNS servers.
    pub dns: Vec<Ipv4Addr>,
    /// MTU.
    pub mtu: Option<u16>,
    /// Who granted it.
    pub server: Ipv4Addr,
    renew_at: u64,
    rebind_at: u64,
    expires_at: u64,
}

/// What the caller shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send to everybody.
    Broadcast(Outgoing),
    /// Send to the server that granted the lease, from the leased address.
    Unicast(Ipv4Addr, Outgoing),
    /// Set address, route and DNS.
    Configure(Lease),
    /// Take the address away; why, for the log.
    Deconfigure(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Selecting,
    Requesting(Incoming),
    Bound,
    Renewing,
    Rebinding,
    Verifying,
}

/// The client of one interface.
#[derive(Debug)]
pub struct Client {
    mac: [u8; 6],
    hostname: String,
    state: State,
    xid: u32,
    began: u64,
    tries: u32,
    next: u64,
    lease: Option<Lease>,
}

impl Client {
    /// A client that starts at `now`; `seed` makes its transaction numbers differ from others'.
    pub fn new(mac: [u8; 6], hostname: &str, seed: u32, now: u64) -> Self {
        Self {
            mac,
            hostname: hostname.into(),
            state: State::Selecting,
            xid: seed,
            began: now,
            tries: 0,
            next: now,
            lease: None,
        }
    }

    /// When [`Client::tick`] is to be called although nothing was received.
    pub fn next_deadline(&self) -> u64 {
        self.next
    }

    /// The lease in force.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The link came back: it may be another network. A lease that ended meanwhile is not asked
    /// for.
    pub fn link_up(&mut self, now: u64) {
        self.lease = self.lease.take().filter(|lease| now < lease.expires_at);
        self.state = if self.lease.is_some() { State::Verifying } else { State::Selecting };
        self.begin(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) -> Vec<Output> {
        if now < self.next {
            return Vec::new();
        }
        match (&self.state, self.lease.clone()) {
            (State::Bound, Some(_)) => {
                self.state = State::Renewing;
                self.begin(now);
                self.renew(now)
            }
            (State::Renewing | State::Rebinding, Some(lease)) if now >= lease.expires_at => {
                self.lose(now, "the lease ended")
            }
            (State::Renewing, Some(lease)) if now >= lease.rebind_at => {
                self.state = State::Rebinding;
                self.renew(now)
            }
            (State::Renewing | State::Rebinding, Some(_)) => self.renew(now),
            (State::Verifying, Some(lease)) => {
                if self.tries >= REQUEST_TRIES {
                    return self.lose(now, "no server knows the address on this link");
                }
                self.retry_in(PAUSE_FIRST_MS, now);
                vec![Output::Broadcast(Outgoing {
                    requested: Some(lease.address),
                    ..self.message(Kind::Request, now)
                })]
            }
            (State::Requesting(offer), _) => {
                let offer = offer.clone();
                if self.tries >= REQUEST_TRIES {
                    self.state = State::Selecting;
                    self.begin(now);
                    return self.tick(now);
                }
                self.request(&offer, now)
            }
            _ => {
                self.state = State::Selecting;
                let pause = PAUSE_FIRST_MS.saturating_mul(1 << self.tries.min(16));
                // no two devices that lost power together ask in step
                let jitter = u64::from(self.xid % 1000);
                self.retry_in(pause.min(PAUSE_MAX_MS) + jitter, now);
                vec![Output::Broadcast(self.message(Kind::Discover, now))]
            }
        }
    }

    /// Takes a message that was received.
    pub fn receive(&mut self, message: &Incoming, now: u64) -> Vec<Output> {
        if message.xid != self.xid || message.mac != self.mac {
            return Vec::new();
        }
        match (&self.state, message.kind) {
            (State::Selecting, Kind::Offer) if usable(message) => {
                self.state = State::Requesting(message.clone());
                self.tries = 0;
                self.request(message, now)
            }
            (State::Requesting(offer), Kind::Ack)
                if usable(message) && message.server == offer.server =>
            {
                self.grant(message, now)
            }
            (State::Renewing | State::Rebinding | State::Verifying, Kind::Ack)
                if usable(message) =>
            {
                self.grant(message, now)
            }
            (State::Requesting(offer), Kind::Nak) if message.server == offer.server => {
                self.lose(now, "the server refused its own offer")
            }
            (State::Renewing | State::Rebinding | State::Verifying, Kind::Nak) => {
                self.lose(now, "the server refused the address")
            }
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, now: u64) {
        self.xid = self.xid.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.began = now;
        self.tries = 0;
        self.next = now;
    }

    fn retry_in(&mut self, pause: u64, now: u64) {
        self.tries += 1;
        self.next = now + pause;
    }

    fn message(&self, kind: Kind, now: u64) -> Outgoing {
        Outgoing {
            kind,
            xid: self.xid,
            mac: self.mac,
            seconds: (now.saturating_sub(self.began) / 1000).min(u16::MAX.into()) as u16,
            client: None,
            requested: None,
            server: None,
            hostname: self.hostname.clone(),
        }
    }

    fn request(&mut self, offer: &Incoming, now: u64) -> Vec<Output> {
        self.retry_in(PAUSE_FIRST_MS << self.tries.min(4), now);
        vec![Output::Broadcast(Outgoing {
            requested: Some(offer.address),
            server: offer.server,
            ..self.message(Kind::Request, now)
        })]
    }

    fn renew(&mut self, now: u64) -> Vec<Output> {
        let Some(lease) = self.lease.clone() else { return Vec::new() };
        let renewing = self.state == State::Renewing;
        let end = if renewing { lease.rebind_at } else { lease.expires_at };
        let half = end.saturating_sub(now) / 2;
        self.tries += 1;
        self.next = (now + half.max(RENEW_PAUSE_MS)).min(end).max(now + 1);
        let message = Outgoing { client: Some(lease.address), ..self.message(Kind::Request, now) };
        if renewing {
            vec![Output::Unicast(lease.server, message)]
        } else {
            vec![Output::Broadcast(message)]
        }
    }

    fn grant(&mut self, ack: &Incoming, now: u64) -> Vec<Output> {
        let lease_s = ack.lease_s.unwrap_or(LEASE_DEFAULT_S).max(LEASE_MIN_S);
        let lease_ms = u64::from(lease_s) * 1000;
        let before = |seconds: Option<u32>, end: u64| {
            let ms = seconds.map(|seconds| u64::from(seconds) * 1000);
            ms.filter(|ms| (RENEW_MIN_MS..end).contains(ms))
        };
        let rebind_ms = before(ack.rebind_s, lease_ms).unwrap_or(lease_ms / 8 * 7);
        let renew_ms = before(ack.renew_s, rebind_ms).unwrap_or(lease_ms / 2).min(rebind_ms);
        let lease = Lease {
            address: ack.address,
            prefix: ack.prefix.unwrap_or_else(|| class_prefix(ack.address)),
            router: ack.router,
            dns: ack.dns.clone(),
            mtu: ack.mtu,
            server: ack.server.unwrap_or(Ipv4Addr::BROADCAST),
            renew_at: now + renew_ms,
            rebind_at: now + rebind_ms,
            expires_at: now + lease_ms,
        };
        self.state = State::Bound;
        self.tries = 0;
        self.next = lease.renew_at;
        self.lease = Some(lease.clone());
        vec![Output::Configure(lease)]
    }

    fn lose(&mut self, now: u64, why: &'static str) -> Vec<Output> {
        let had = self.lease.take().is_some();
        self.state = State::Selecting;
        self.begin(now);
        // a server that says no to everything shall not be asked without a pause
        self.next = now + 1000;
        if had { vec![Output::Deconfigure(why)] } else { Vec::new() }
    }
}

/// Whether an offer or ack has an address that a host can have, and a server.
fn usable(message: &Incoming) -> bool {
    let address = message.address;
    message.server.is_some()
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast()
        && message.prefix.is_none_or(|prefix| (1..=32).contains(&prefix))
}

/// Prefix of a server that gives none: that of the address's old class.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::dhcp::tests::answer, *};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const SERVER: [u8; 4] = [10, 0, 2, 2];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

    fn from_server(client: &Client, kind: u8) -> Incoming {
        let options: &[(u8, &[u8])] =
            &[(54, &SERVER), (1, &[255, 255, 255, 0]), (3, &SERVER), (51, &[0, 0, 3, 232])];
        Incoming::parse(&answer(kind, client.xid, MAC, options)).unwrap()
    }

    fn kinds(outputs: &[Output]) -> Vec<String> {
        let told = |output: &Output| match output {
            Output::Broadcast(m) => format!("broadcast {:?}", m.kind),
            Output::Unicast(to, m) => format!("{:?} to {to}", m.kind),
            Output::Configure(lease) => format!("configure {}/{}", lease.address, lease.prefix),
            Output::Deconfigure(why) => format!("deconfigure: {why}"),
        };
        outputs.iter().map(told).collect()
    }

    fn bound() -> Client {
        let mut client = Client::new(MAC, "shed", 500, 0);
        assert_eq!(kinds(&client.tick(0)), ["broadcast Discover"]);
        let offer = from_server(&client, 2);
        assert_eq!(kinds(&client.receive(&offer, 10)), ["broadcast Request"]);
        let ack = from_server(&client, 5);
        assert_eq!(kinds(&client.receive(&ack, 20)), ["configure 10.0.2.15/24"]);
        client
    }

    #[test]
    fn four_messages_make_a_lease() {
        let client = bound();
        assert_eq!(client.next_deadline(), 20 + 500_000, "half the lease");
        assert_eq!(client.lease().unwrap().router, Some(Ipv4Addr::from(SERVER)));
    }

    #[test]
    fn without_a_server_it_asks_ever_more_seldom() {
        let mut client = Client::new(MAC, "shed", 500, 0);
        let mut pauses = Vec::new();
        let mut now = 0;
        for _ in 0..9 {
            assert_eq!(kinds(&client.tick(now)), ["broadcast Discover"]);
            pauses.push(client.next_deadline() - now - 500);
            now = client.next_deadline();
        }
        assert_eq!(pauses, [2000, 4000, 8000, 16_000, 32_000, 64_000, 64_000, 64_000, 64_000]);
    }

    #[test]
    fn an_offer_whose_server_falls_silent_is_given_up() {
        let mut client = Client::new(MAC, "shed", 500, 0);
        client.tick(0);
        let offer = from_server(&client, 2);
        client.receive(&offer, 0);
        let mut told = Vec::new();
        for _ in 0..3 {
            let now = client.next_deadline();
            told.extend(kinds(&client.tick(now)));
        }
        assert_eq!(told, ["broadcast Request", "broadcast Request", "broadcast Discover"]);
    }

    #[test]
    fn a_lease_is_renewed_with_its_server_then_with_any_then_lost() {
        let mut client = bound();
        let mut told = Vec::new();
        let mut now = 0;
        while client.lease().is_some() {
            now = client.next_deadline();
            told.extend(kinds(&client.tick(now)));
        }
        assert_eq!(now, 20 + 1_000_000, "not a moment longer than granted");
        assert_eq!(told.first().unwrap(), "Request to 10.0.2.2");
        assert_eq!(told[told.len() - 2], "broadcast Request");
        assert_eq!(told.last().unwrap(), "deconfigure: the lease ended");
        assert!(told.len() < 12, "{told:?}");
    }

    #[test]
    fn an_answer_prolongs_it() {
        let mut client = bound();
        let now = client.next_deadline();
        let Output::Unicast(_, request) = client.tick(now).remove(0) else { panic!() };
        assert_eq!(
            (request.client, request.requested, request.server),
            (Some(ADDRESS), None, None)
        );
        let ack = from_server(&client, 5);
        assert_eq!(kinds(&client.receive(&ack, now)), ["configure 10.0.2.15/24"]);
        assert_eq!(client.next_deadline(), now + 500_000);
    }

    #[test]
    fn times_are_the_servers_where_they_make_sense() {
        // seconds: lease, T1, T2 as the server says; then as they are taken
        for (said, taken) in [
            ((1000, None, None), (1000, 500, 875)),
            ((1000, Some(100), Some(200)), (1000, 100, 200)),
            ((1000, Some(300), Some(200)), (1000, 200, 200)),
            ((1000, Some(2000), Some(3000)), (1000, 500, 875)),
            ((1000, Some(0), Some(0)), (1000, 500, 875)),
            ((20, None, None), (20, 10, 17)),
            ((0, None, None), (10, 5, 8)),
        ] {
            let mut client = bound();
            let now = client.next_deadline();
            client.tick(now);
            let (lease_s, renew_s, rebind_s) = said;
            let ack =
                Incoming { lease_s: Some(lease_s), renew_s, rebind_s, ..from_server(&client, 5) };
            client.receive(&ack, now);
            let lease = client.lease().unwrap();
            let after = |at: u64| (at - now) / 1000;
            let times = (after(lease.expires_at), after(lease.renew_at), after(lease.rebind_at));
            assert_eq!(times, taken, "{said:?}");
        }
    }

    #[test]
    fn a_lease_that_ended_while_the_link_was_lost_is_not_asked_for() {
        let mut client = bound();
        client.link_up(20 + 1_000_000);
        assert_eq!(kinds(&client.tick(20 + 1_000_000)), ["broadcast Discover"]);
        assert_eq!(client.lease(), None);
    }

    #[test]
    fn a_refusal_takes_the_address_at_once_and_pauses() {
        let mut client = bound();
        let now = client.next_deadline();
        client.tick(now);
        let nak = from_server(&client, 6);
        let told = kinds(&client.receive(&nak, now));
        assert_eq!(told, ["deconfigure: the server refused the address"]);
        assert_eq!(client.next_deadline(), now + 1000);
        assert_eq!(kinds(&client.tick(now + 1000)), ["broadcast Discover"]);
    }

    #[test]
    fn a_link_that_comes_back_is_asked_whether_the_address_still_holds() {
        let mut client = bound();
        client.link_up(1000);
        let Output::Broadcast(request) = client.tick(1000).remove(0) else { panic!() };
        assert_eq!((request.requested, request.client), (Some(ADDRESS), None));
        assert!(client.lease().is_some(), "kept meanwhile");
        let mut told = Vec::new();
        for _ in 0..3 {
            let now = client.next_deadline();
            told.extend(kinds(&client.tick(now)));
        }
        assert_eq!(told.last().unwrap(), "deconfigure: no server knows the address on this link");
    }

    #[test]
    fn strangers_answers_are_not_for_us() {
        let mut client = Client::new(MAC, "shed", 500, 0);
        client.tick(0);
        let offer = from_server(&client, 2);
        let others = [
            Incoming { xid: offer.xid + 1, ..offer.clone() },
            Incoming { mac: [9; 6], ..offer.clone() },
            Incoming { address: Ipv4Addr::UNSPECIFIED, ..offer.clone() },
            Incoming { address: Ipv4Addr::LOCALHOST, ..offer.clone() },
            Incoming { server: None, ..offer.clone() },
            Incoming { kind: Kind::Ack, ..offer },
        ];
        for other in others {
            assert_eq!(client.receive(&other, 0), [], "{other:?}");
        }
    }
}
