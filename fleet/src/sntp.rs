//! An SNTP responder (RFC 4330, server side) with this machine's clock: a closed network may have
//! no other source of time, and gateways have no clock of their own.

use crate::error::Error;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::UdpSocket;

/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;
/// Bytes of a message without extensions.
const MESSAGE: usize = 48;
/// Mode of a client's request.
const CLIENT: u8 = 3;
/// Mode of a server's reply.
const SERVER: u8 = 4;
/// "An unsynchronised local clock": the reference of a server that has no better one.
const REFERENCE: &[u8; 4] = b"LOCL";
/// Claimed distance from a true clock; well above 1, so that a better source is preferred.
const STRATUM: u8 = 8;
/// Precision claimed, as a power of two of a second: about a microsecond.
const PRECISION: i8 = -20;

/// Opens the socket.
pub async fn bind(address: SocketAddr) -> Result<UdpSocket, Error> {
    UdpSocket::bind(address).await.map_err(|source| Error::Listen {
        what: "SNTP",
        address: address.to_string(),
        source,
    })
}

/// Answers until the task is dropped. What is no client's request is ignored.
pub async fn serve(socket: UdpSocket) {
    // One byte more than a message: what fills it has extensions and is answered all the same.
    let mut buffer = [0; MESSAGE + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(reply) = reply(&buffer[..length], SystemTime::now()) {
            // A reply that cannot be sent is asked for again.
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// The reply to one datagram; `None`: not a request.
pub fn reply(request: &[u8], now: SystemTime) -> Option<[u8; MESSAGE]> {
    if request.len() < MESSAGE || request[0] & 7 != CLIENT {
        return None;
    }
    let version = (request[0] >> 3) & 7;
    if !(1..=4).contains(&version) {
        return None;
    }
    let time = timestamp(now);
    let mut reply = [0; MESSAGE];
    reply[0] = version << 3 | SERVER;
    reply[1] = STRATUM;
    reply[2] = request[2];
    reply[3] = PRECISION as u8;
    reply[12..16].copy_from_slice(REFERENCE);
    reply[16..24].copy_from_slice(&time);
    // Originate: the client's transmit time, by which it knows its reply.
    reply[24..32].copy_from_slice(&request[40..48]);
    reply[32..40].copy_from_slice(&time);
    reply[40..48].copy_from_slice(&time);
    Some(reply)
}

/// 32 bits of seconds since 1900 (they wrap in 2036, as everyone's), 32 bits of fraction.
fn timestamp(time: SystemTime) -> [u8; 8] {
    let past = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = (past.as_secs() + NTP_EPOCH) as u32;
    let fraction = ((u64::from(past.subsec_nanos()) << 32) / 1_000_000_000) as u32;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&fraction.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_client_gets_its_own_time_back_and_the_servers() {
        let mut request = [0; MESSAGE];
        request[0] = 4 << 3 | CLIENT;
        request[40..48].copy_from_slice(b"question");
        let now = UNIX_EPOCH + Duration::from_millis(1_500);
        let reply = reply(&request, now).expect("a reply");
        assert_eq!(reply[0], 4 << 3 | SERVER, "no leap warning, version 4, server");
        assert_eq!(&reply[24..32], b"question");
        assert_eq!(reply[40..44], ((NTP_EPOCH + 1) as u32).to_be_bytes());
        assert_eq!(reply[44..48], 0x8000_0000_u32.to_be_bytes());
    }

    #[test]
    fn what_is_no_request_gets_no_answer() {
        let now = UNIX_EPOCH;
        assert!(reply(&[0x23; 47], now).is_none(), "too short");
        let mut server = [0; MESSAGE];
        server[0] = 4 << 3 | SERVER;
        assert!(reply(&server, now).is_none(), "a server's reply: no loops");
        server[0] = 7 << 3 | CLIENT;
        assert!(reply(&server, now).is_none(), "version 7");
    }
}
