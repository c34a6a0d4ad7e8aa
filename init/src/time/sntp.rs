//! SNTP messages. An answer counts only when it passes every check of RFC 4330, section 5: it is
//! from a server, the server has the time itself, and it answers exactly our question.

/// Bytes of a message without extensions.
pub const LENGTH: usize = 48;
/// Seconds between 1900 and 1970.
const UNIX_EPOCH: i64 = 2_208_988_800;
/// Larger root delay or dispersion in seconds: the server itself does not know.
const ROOT_LIMIT_S: u32 = 16;
/// A round trip that takes longer says little about the time.
const DELAY_LIMIT_NS: i64 = 4_000_000_000;

const NANOSECONDS: i64 = 1_000_000_000;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Nanoseconds that the local clock is behind.
    pub offset_ns: i64,
    /// Round trip in nanoseconds.
    pub delay_ns: i64,
    /// Hops from a reference clock.
    pub stratum: u8,
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Shorter than a message.
    #[error("only {0} bytes")]
    Short(usize),
    /// Not from a server.
    #[error("mode {0} instead of a server's")]
    Mode(u8),
    /// The server says that it has no time.
    #[error("server is not synchronised")]
    Unsynchronised,
    /// Stratum 0 with a code: `RATE`, `DENY`, …
    #[error("server sends kiss of death {0}")]
    KissOfDeath(String),
    /// Not the answer to our question.
    #[error("does not answer our question")]
    Originate,
    /// No transmit time.
    #[error("no time in the answer")]
    NoTime,
    /// Root delay or dispersion too large.
    #[error("server is too far from its reference")]
    Root,
    /// Took too long, or ended before it began.
    #[error("round trip of {0} ms")]
    Delay(i64),
}

/// A question. `nonce` stands where the transmit time would: servers give it back, and it tells
/// nothing about us.
pub fn question(nonce: u64) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[0] = 0x23; // no leap warning, version 4, client
    message[40..].copy_from_slice(&nonce.to_be_bytes());
    message
}

/// Checks an answer. `sent` and `received` are the local clock in Unix nanoseconds.
pub fn answer(message: &[u8], nonce: u64, sent: i64, received: i64) -> Result<Measured, Refused> {
    if message.len() < LENGTH {
        return Err(Refused::Short(message.len()));
    }
    let (leap, mode, stratum) = (message[0] >> 6, message[0] & 7, message[1]);
    let field = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    if mode != 4 {
        return Err(Refused::Mode(mode));
    }
    if field(24) != nonce {
        return Err(Refused::Originate);
    }
    if stratum == 0 {
        let code = message[12..16].iter().filter(|b| b.is_ascii_graphic());
        return Err(Refused::KissOfDeath(code.map(|b| char::from(*b)).collect()));
    }
    if leap == 3 || stratum > 15 {
        return Err(Refused::Unsynchronised);
    }
    if field(32) == 0 || field(40) == 0 {
        return Err(Refused::NoTime);
    }
    let seconds = |at: usize| u32::from(u16::from_be_bytes([message[at], message[at + 1]]));
    if seconds(4) >= ROOT_LIMIT_S || seconds(8) >= ROOT_LIMIT_S {
        return Err(Refused::Root);
    }
    let (arrived, left) = (unix_ns(field(32)), unix_ns(field(40)));
    let delay_ns = (received - sent) - (left - arrived);
    if !(-NANOSECONDS / 1000..=DELAY_LIMIT_NS).contains(&delay_ns) {
        return Err(Refused::Delay(delay_ns / 1_000_000));
    }
    let offset_ns = ((arrived - sent) + (left - received)) / 2;
    Ok(Measured { offset_ns, delay_ns, stratum })
}

/// A 64-bit timestamp as Unix nanoseconds. Without the top bit it is of the era that begins in
/// 2036.
fn unix_ns(timestamp: u64) -> i64 {
    let seconds = (timestamp >> 32) as i64;
    let era = if timestamp >> 63 == 0 { 1 << 32 } else { 0 };
    let fraction = ((timestamp & 0xffff_ffff) * NANOSECONDS as u64) >> 32;
    (seconds + era - UNIX_EPOCH) * NANOSECONDS + fraction as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_440_519 * NANOSECONDS;

    fn timestamp(unix_ns: i64) -> u64 {
        let seconds = (unix_ns / NANOSECONDS + UNIX_EPOCH) as u64;
        let fraction = (((unix_ns % NANOSECONDS) as u64) << 32) / NANOSECONDS as u64;
        (seconds & 0xffff_ffff) << 32 | fraction
    }

    fn reply(nonce: u64, arrived: i64, left: i64) -> [u8; LENGTH] {
        let mut message = [0; LENGTH];
        message[0] = 0x24;
        message[1] = 2;
        message[24..32].copy_from_slice(&nonce.to_be_bytes());
        message[32..40].copy_from_slice(&timestamp(arrived).to_be_bytes());
        message[40..48].copy_from_slice(&timestamp(left).to_be_bytes());
        message
    }

    #[test]
    fn offset_and_delay_of_a_good_answer() {
        let millisecond = NANOSECONDS / 1000;
        // we are 5 s behind; 20 ms there, 1 ms at the server, 20 ms back
        let arrived = NOW + 5 * NANOSECONDS + 20 * millisecond;
        let message = reply(7, arrived, arrived + millisecond);
        let measured = answer(&message, 7, NOW, NOW + 41 * millisecond).unwrap();
        assert!((measured.offset_ns - 5 * NANOSECONDS).abs() < 1000, "{measured:?}");
        assert!((measured.delay_ns - 40 * millisecond).abs() < 1000, "{measured:?}");
    }

    #[test]
    fn a_clock_of_1970_is_told_the_time_and_2036_is_no_end() {
        let message = reply(7, NOW, NOW);
        assert_eq!(answer(&message, 7, 0, 0).unwrap().offset_ns / NANOSECONDS, NOW / NANOSECONDS);
        let later = 2_200_000_000 * NANOSECONDS;
        let message = reply(7, later, later);
        assert_eq!(answer(&message, 7, later, later).unwrap().offset_ns, 0);
    }

    #[test]
    fn every_check_refuses() {
        type Damage = fn(&mut [u8; LENGTH]);
        let rows: &[(Damage, Refused)] = &[
            (|m| m[0] = 0x23, Refused::Mode(3)),
            (|m| m[0] = 0x25, Refused::Mode(5)),
            (|m| m[0] = 0xe4, Refused::Unsynchronised),
            (|m| m[1] = 16, Refused::Unsynchronised),
            (
                |m| {
                    m[1] = 0;
                    m[12..16].copy_from_slice(b"RATE");
                },
                Refused::KissOfDeath("RATE".into()),
            ),
            (|m| m[31] ^= 1, Refused::Originate),
            (|m| m[40..].fill(0), Refused::NoTime),
            (|m| m[32..40].fill(0), Refused::NoTime),
            (|m| m[5] = 16, Refused::Root),
            (|m| m[9] = 200, Refused::Root),
        ];
        for (row, (damage, refused)) in rows.iter().enumerate() {
            let mut message = reply(7, NOW, NOW);
            damage(&mut message);
            assert_eq!(answer(&message, 7, NOW, NOW), Err(refused.clone()), "row {row}");
        }
        assert_eq!(answer(&[0x24; 47], 7, NOW, NOW), Err(Refused::Short(47)));
        let slow = answer(&reply(7, NOW, NOW), 7, NOW, NOW + 5 * NANOSECONDS);
        assert_eq!(slow, Err(Refused::Delay(5000)));
        let early = answer(&reply(7, NOW, NOW + NANOSECONDS), 7, NOW, NOW);
        assert_eq!(early, Err(Refused::Delay(-1000)));
    }
}
