//! Sockets that start a service: `listen-stream`.
//!
//! | written | listens |
//! |---|---|
//! | `$SNAP_DATA/…`, `$SNAP_COMMON/…` | on a socket in the file system |
//! | `@snap.NAME.…` | on an abstract socket |
//! | `8080`, `[::]:8080` | on a port of every address |
//! | `127.0.0.1:8080`, `[::1]:8080` | on a port of the device alone |

use super::{
    invalid,
    places::{Base, OwnPath},
};
use crate::error::Result;
use serde::{Deserialize, Deserializer, de};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Permission bits of a socket in the file system, unless it says so. systemd's.
const MODE: u32 = 0o666;
/// Longest name of an abstract socket, and path that the kernel takes.
const MAX_ABSTRACT: usize = 107;

/// One socket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Socket {
    /// Where it listens.
    pub listen_stream: String,
    /// Permission bits of a socket in the file system.
    #[serde(default = "mode", deserialize_with = "octal")]
    pub socket_mode: u32,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// In the file system.
    Path(OwnPath),
    /// An abstract name, without the `@`.
    Abstract(String),
    /// TCP.
    Tcp(SocketAddr),
}

fn mode() -> u32 {
    MODE
}

/// As YAML 1.1 has it: `0600` and `0o600` are octal, `384` is not.
fn octal<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    let digits = text.strip_prefix("0o").or(text.strip_prefix('0').filter(|d| !d.is_empty()));
    let mode = match digits {
        Some(digits) => u32::from_str_radix(digits, 8),
        None => text.parse(),
    };
    mode.ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
        de::Error::custom(format!("socket-mode: {text:?} is not permission bits in octal"))
    })
}

impl Socket {
    /// Where it listens, for the snap `snap`; the error is about `field`.
    pub fn listen(&self, field: &str, snap: &str) -> Result<Listen> {
        let (field, text) = (format!("{field}.listen-stream"), self.listen_stream.as_str());
        if text.starts_with("$XDG_RUNTIME_DIR") {
            let why = "$XDG_RUNTIME_DIR is each service's own here: use $SNAP_DATA or $SNAP_COMMON";
            return Err(invalid(field, why));
        }
        if text.starts_with(['$', '/']) {
            let path = OwnPath::parse(&field, text)?;
            if path.base == Base::Snap || path.rest.is_empty() {
                return Err(invalid(field, "not below $SNAP_DATA or $SNAP_COMMON"));
            }
            return Ok(Listen::Path(path));
        }
        if let Some(name) = text.strip_prefix('@') {
            let own = name.starts_with(&format!("snap.{snap}."));
            return match own && name.len() <= MAX_ABSTRACT && !name.contains('\0') {
                true => Ok(Listen::Abstract(name.into())),
                false => Err(invalid(field, format!("does not begin with @snap.{snap}."))),
            };
        }
        tcp(text).map(Listen::Tcp).ok_or_else(|| {
            let rule = "a port, alone or after 127.0.0.1:, [::1]: or [::]:";
            invalid(field, format!("{text:?} is not {rule}"))
        })
    }
}

fn tcp(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("[::]", text));
    let plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|port| *port > 0 && plain)?;
    match host {
        "127.0.0.1" => Some((Ipv4Addr::LOCALHOST, port).into()),
        "[::1]" => Some((Ipv6Addr::LOCALHOST, port).into()),
        "[::]" => Some((Ipv6Addr::UNSPECIFIED, port).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_socket_may_listen() {
        let rows = [
            ("$SNAP_DATA/a/b.sock", "Path"),
            ("$SNAP_COMMON/b", "Path"),
            ("@snap.me.a", "Abstract"),
            ("80", "[::]:80"),
            ("[::]:65535", "[::]:65535"),
            ("[::1]:1", "[::1]:1"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
        ];
        let socket = |text: &str| Socket { listen_stream: text.into(), socket_mode: 0 };
        for (text, expected) in rows {
            let listen = socket(text).listen("s", "me").unwrap();
            assert!(format!("{listen:?}").contains(expected), "{text}: {listen:?}");
        }
        for text in [
            "",
            "0",
            "65536",
            "+80",
            "192.168.0.1:80",
            "0.0.0.0:80",
            "localhost:80",
            "@snap.other.a",
            "@me",
            "/run/x",
            "$SNAP/x",
            "$SNAP_DATA",
            "$SNAP_DATA/",
            "$SNAP_DATA/../x",
            "$SNAP_DATA//x",
            "$SNAP_DATAx/y",
            "$HOME/x",
            "$XDG_RUNTIME_DIR/x",
        ] {
            let error = socket(text).listen("apps.a.sockets.s", "me").unwrap_err().to_string();
            assert!(error.contains("apps.a.sockets.s.listen-stream: "), "{text}: {error}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, expected) in [
            ("0600", Some(0o600)),
            ("0o640", Some(0o640)),
            ("0777", Some(0o777)),
            ("384", Some(0o600)),
            ("0", Some(0)),
            ("01777", None),
            ("644", None),
            ("0800", None),
            ("-1", None),
            ("rw", None),
        ] {
            let yaml = format!("{{listen-stream: '80', socket-mode: {text}}}");
            let socket: Option<Socket> = serde_norway::from_str(&yaml).ok();
            assert_eq!(socket.map(|socket| socket.socket_mode), expected, "{text}");
        }
    }
}
