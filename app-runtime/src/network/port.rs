//! `8080`, `8080:80`, `53/udp`: a port of the device, and the one of a snap that it leads to.

use std::{fmt, str::FromStr};

/// One.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The device's.
    pub device: u16,
    /// The snap's.
    pub snap: u16,
    /// UDP; else TCP.
    pub udp: bool,
}

impl Port {
    /// Whether both are the same port of the device.
    pub fn is_the_same(self, other: Self) -> bool {
        (self.device, self.udp) == (other.device, other.udp)
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (numbers, udp) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), false),
            Some((numbers, "udp")) => (numbers, true),
            Some((_, other)) => return Err(format!("{text}: neither tcp nor udp: {other}")),
        };
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let number = digits.then(|| text.parse().ok()).flatten();
            number.filter(|n| *n != 0).ok_or(format!("{text}: no port from 1 to 65535"))
        };
        let (device, snap) = numbers.split_once(':').unwrap_or((numbers, numbers));
        Ok(Self { device: number(device)?, snap: number(snap)?, udp })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device)?;
        if self.snap != self.device {
            write!(f, ":{}", self.snap)?;
        }
        if self.udp { f.write_str("/udp") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_written() {
        for text in ["80", "8080:80", "53/udp", "5353:53/udp", "65535"] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert_eq!("80/tcp".parse(), Ok(Port { device: 80, snap: 80, udp: false }));
        for wrong in ["", "0", "80:0", "65536", "+80", "80/sctp", "80/", "a", "1:2:3", "80/tcp/tcp"]
        {
            assert!(wrong.parse::<Port>().is_err(), "{wrong}");
        }
    }
}
