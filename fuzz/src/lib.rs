//! Fuzz targets: every parser that reads bytes from outside the device, the fleet or the card, each
//! as a plain function of bytes.
//!
//! | module | parsers |
//! |---|---|
//! | [`signed`] | envelopes and what is signed in them |
//! | [`update`] | payload, delta, boot environment |
//! | [`image`] | images of containers |
//! | [`medium`] | what a USB stick says of itself |
//! | [`text`] | `device.toml`, `snap.yaml`, JSON of devices |
//! | [`wire`] | control sockets, DHCP, SNTP, superblocks |
//!
//! Invariants: a target never panics but for a broken property; what has an encoder is encoded
//! again and must decode to the same; a target is a pure function of its bytes, so that a crash is
//! the file that libFuzzer leaves. `fuzz_targets/` has one program for each, as cargo-fuzz wants
//! them; `tests/replay.rs` runs every file of `corpus/` and `crashes/` through the same functions
//! in an ordinary `cargo test`.

pub mod image;
pub mod medium;
pub mod signed;
pub mod text;
pub mod update;
pub mod wire;

/// What a target does with bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its program and of its corpus' folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("release_manifest", signed::release_manifest),
    ("key_set", signed::key_set),
    ("assignment", signed::assignment),
    ("command", signed::command),
    ("snap_file", signed::snap_file),
    ("image", image::image),
    ("delta", update::delta),
    ("payload", update::payload),
    ("environment", update::environment),
    ("device_toml", text::device_toml),
    ("snap_yaml", text::snap_yaml),
    ("device_messages", text::device_messages),
    ("control", wire::control),
    ("datagrams", wire::datagrams),
    ("medium", medium::medium),
];

/// Runs the target of this name; panics when there is none.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a known target");
    target(data);
}

/// A message that says in its first byte how the rest is to be taken; nothing for no bytes.
fn mode(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}
