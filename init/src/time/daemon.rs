//! timed's loop: asks one server after the other, sets or slews the clock, stores the time that was
//! seen as the floor of the next boot. The floor of this boot is in force already: init sets it
//! before any service starts.

use super::{
    schedule::{Adjust, Schedule},
    sntp::{self, Measured},
    sys_clock,
};
use crate::{
    clock, facts, files, floor, net::told::RESOLV, provision, root::Root, sys_signal::Signals,
};
use protocol::device::DeviceConfig;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    time::{ClockId, clock_gettime, clock_settime},
};
use std::{
    fs::File,
    io::{self, Read},
    net::{SocketAddr, ToSocketAddrs, UdpSocket},
    path::PathBuf,
    time::Duration,
};

const NTP_PORT: u16 = 123;
/// A server that takes longer does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The time is stored this often: what a power cut can cost the clock, against wear of the card.
const STORE_MS: u64 = 600_000;
/// While there is no network this is how often it is looked for; a look is one `stat`.
const NETWORK_LOOK_MS: u64 = 250;
/// Addresses of one name that are tried.
const ADDRESS_LIMIT: usize = 3;

/// timed.
struct Daemon {
    servers: Vec<String>,
    schedule: Schedule,
    /// No time before this is taken, Unix seconds.
    floor_s: u64,
    synced: PathBuf,
    resolv: PathBuf,
    stored: PathBuf,
}

/// Runs until SIGTERM.
pub fn run(root: &Root) {
    let mut signals = match Signals::open() {
        Ok(signals) => Some(signals),
        Err(error) => {
            println!("signals: {error}; the time is not stored at the end");
            None
        }
    };
    let mut daemon = Daemon::new(root);
    if let Err(error) = crate::notify::ready(root) {
        println!("tell init: {error}");
    }
    let mut ask_at = clock::now_ms();
    let mut store_at = ask_at + STORE_MS;
    loop {
        let now = clock::now_ms();
        if now >= ask_at {
            let pause = if daemon.resolv.exists() { daemon.ask_all() } else { NETWORK_LOOK_MS };
            ask_at = now + pause;
        }
        if now >= store_at {
            store_at = now + STORE_MS;
            daemon.keep();
        }
        if wait(signals.as_mut(), ask_at.min(store_at)) {
            daemon.keep();
            return;
        }
    }
}

impl Daemon {
    fn new(root: &Root) -> Self {
        let config = provision::stored(&root.at(provision::STORED)).unwrap_or_else(|error| {
            println!("{error}; the default time servers are used");
            DeviceConfig::default()
        });
        let release = facts::read_release(&root.at(facts::RELEASE));
        let stored = root.at(protocol::clock::STORED);
        Self {
            servers: config.time.servers,
            schedule: Schedule::default(),
            floor_s: floor::floor(&stored, release.map_or(0, |release| release.build_time)),
            synced: root.at(protocol::clock::SYNCED),
            resolv: root.at(RESOLV),
            stored,
        }
    }

    /// A clock that no server set is stored only as far as it went on from the floor: one that
    /// runs ahead would become a floor that no true time could ever go below.
    fn keep(&self) {
        let since_boot = clock::now_ms() / 1000;
        if self.synced.exists() || clock::now_s() <= self.floor_s + since_boot {
            self.store();
        }
    }

    fn store(&self) {
        if let Err(error) = floor::store(&self.stored, clock::now_s()) {
            println!("{error}");
        }
    }

    /// Asks the servers in order until one answers; the pause until the next time.
    fn ask_all(&mut self) -> u64 {
        for server in &self.servers {
            match ask(server) {
                Ok(measured) => {
                    let (adjust, pause) = self.schedule.answered(measured, now_ns(), self.floor_s);
                    match self.apply(adjust, server) {
                        Ok(true) => return pause,
                        Ok(false) => println!("{server}: its time is before the floor; not taken"),
                        Err(error) => println!("set clock: {error}"),
                    }
                }
                Err(error) => println!("{server}: {error}"),
            }
        }
        self.schedule.failed()
    }

    fn apply(&self, adjust: Adjust, server: &str) -> io::Result<bool> {
        match adjust {
            Adjust::BelowFloor => return Ok(false),
            Adjust::Step(offset) => {
                let time = now_ns() + offset;
                let time = Timespec { tv_sec: time / 1_000_000_000, tv_nsec: time % 1_000_000_000 };
                clock_settime(ClockId::Realtime, time)?;
                let text = protocol::calendar::utc_text(clock::now_s());
                println!("holdfast: time {text} from {server}, off by {} ms", offset / 1_000_000);
                self.store();
            }
            Adjust::Slew(offset) => {
                sys_clock::slew(offset)?;
                println!("{server}: off by {} µs", offset / 1000);
            }
        }
        let synced = format!("{} {server}\n", clock::now_s());
        if let Err(error) = files::replace_volatile(&self.synced, synced.as_bytes(), 0o644) {
            println!("{error}");
        }
        Ok(true)
    }
}

/// Sleeps until `deadline`; `true` when SIGTERM came.
fn wait(signals: Option<&mut Signals>, deadline: u64) -> bool {
    let ms = deadline.saturating_sub(clock::now_ms());
    let timeout = Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as i64 };
    let Some(signals) = signals else {
        let _ = poll(&mut [], Some(&timeout));
        return false;
    };
    let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&timeout));
    std::iter::from_fn(|| signals.next()).any(|signal| signal == libc::SIGTERM)
}

fn ask(server: &str) -> io::Result<Measured> {
    let mut last = io::Error::other("no address");
    for address in addresses(server)?.into_iter().take(ADDRESS_LIMIT) {
        match ask_address(address) {
            Ok(measured) => return Ok(measured),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `host`, `host:port`, an IPv6 address, or one in brackets with a port.
fn addresses(server: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = server.parse() {
        return Ok(vec![address]);
    }
    if let Ok(ip) = server.parse() {
        return Ok(vec![SocketAddr::new(ip, NTP_PORT)]);
    }
    match server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => Ok((host, port).to_socket_addrs()?.collect()),
        None => Ok((server, NTP_PORT).to_socket_addrs()?.collect()),
    }
}

fn ask_address(address: SocketAddr) -> io::Result<Measured> {
    let local: SocketAddr = match address {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let nonce = nonce()?;
    let sent = now_ns();
    socket.send(&sntp::question(nonce))?;
    let mut message = [0; 512];
    let count = socket.recv(&mut message)?;
    sntp::answer(&message[..count], nonce, sent, now_ns()).map_err(io::Error::other)
}

fn nonce() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn now_ns() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn servers_as_people_write_them() {
        for (text, port) in
            [("127.0.0.1", 123), ("127.0.0.1:1123", 1123), ("[::1]:9", 9), ("::1", 123)]
        {
            assert_eq!(addresses(text).unwrap()[0].port(), port, "{text}");
        }
        assert!(addresses("localhost:77").unwrap().iter().all(|a| a.port() == 77));
        assert!(addresses("").is_err());
    }

    #[test]
    fn a_server_on_this_machine_is_asked_and_believed() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = thread::spawn(move || {
            let mut message = [0; 48];
            let (_, from) = server.recv_from(&mut message).unwrap();
            let nonce: [u8; 8] = message[40..].try_into().unwrap();
            message = [0; 48];
            message[..2].copy_from_slice(&[0x24, 1]);
            message[24..32].copy_from_slice(&nonce);
            let hour_ahead = (clock::now_s() + 3600 + 2_208_988_800) as u32;
            message[32..36].copy_from_slice(&hour_ahead.to_be_bytes());
            message[40..44].copy_from_slice(&hour_ahead.to_be_bytes());
            server.send_to(&message, from).unwrap();
        });
        let measured = ask(&address.to_string()).unwrap();
        answering.join().unwrap();
        assert!((measured.offset_ns / 1_000_000_000 - 3600).abs() <= 10, "{measured:?}");
    }
}
