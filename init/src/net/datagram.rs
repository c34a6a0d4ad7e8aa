//! The IPv4 and UDP headers around a DHCP message: a client without an address cannot use the
//! kernel's UDP.

use super::dhcp::{CLIENT_PORT, SERVER_PORT};

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;

/// From 0.0.0.0:68 to 255.255.255.255:67.
pub fn broadcast(message: &[u8]) -> Vec<u8> {
    let length = (IP_HEADER + UDP_HEADER + message.len()) as u16;
    let mut out = vec![0; IP_HEADER + UDP_HEADER];
    out[0] = 0x45;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    out[8] = 64; // time to live
    out[9] = UDP;
    out[16..20].copy_from_slice(&[255; 4]);
    let sum = checksum(&out[..IP_HEADER]);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out[20..22].copy_from_slice(&CLIENT_PORT.to_be_bytes());
    out[22..24].copy_from_slice(&SERVER_PORT.to_be_bytes());
    out[24..26].copy_from_slice(&(length - IP_HEADER as u16).to_be_bytes());
    // a UDP check sum of zero is none: the link has its own, and DHCP its cookie
    out.extend_from_slice(message);
    out
}

/// The payload of a whole datagram from a server's port to ours; `None` for anything else.
pub fn payload(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
    let whole = packet.first()? >> 4 == 4 && header >= IP_HEADER && fragment == 0;
    if !whole || *packet.get(9)? != UDP || checksum(packet.get(..header)?) != 0 {
        return None;
    }
    let udp = packet.get(header..length)?;
    let field = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    if field(0)? != SERVER_PORT || field(2)? != CLIENT_PORT {
        return None;
    }
    udp.get(UDP_HEADER..usize::from(field(4)?))
}

fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other direction of [`broadcast`].
    fn answer(message: &[u8]) -> Vec<u8> {
        let mut packet = broadcast(message);
        packet.swap(20, 22);
        packet.swap(21, 23);
        packet
    }

    #[test]
    fn headers_as_wireshark_shows_them() {
        let packet = broadcast(b"hello");
        assert_eq!(packet[..4], [0x45, 0, 0, 33]);
        assert_eq!(checksum(&packet[..20]), 0, "check sum over itself");
        assert_eq!(packet[20..26], [0, 68, 0, 67, 0, 13]);
        assert_eq!(payload(&packet), None, "our own");
        assert_eq!(payload(&answer(b"hello")), Some(&b"hello"[..]));
    }

    #[test]
    fn damaged_cut_and_fragmented_packets_are_dropped() {
        let good = answer(b"hello");
        for cut in 0..good.len() {
            assert_eq!(payload(&good[..cut]), None, "cut at {cut}");
        }
        for at in 0..IP_HEADER {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(payload(&bad), None, "byte {at}");
        }
        let mut padded = good.clone();
        padded.extend_from_slice(&[0; 20]);
        assert_eq!(payload(&padded), Some(&b"hello"[..]), "Ethernet pads short frames");
    }
}
