//! Snaps on a Holdfast device: `appd` installs, runs and supervises them; `snapctl` (in `src/bin`)
//! asks it to.
//!
//! | module | what |
//! |---|---|
//! | [`meta`], [`duration`] | `meta/snap.yaml`: the snapcraft schema, strict |
//! | [`squashfs`], [`loopdev`], [`mounting`] | a snap file as a read-only mount |
//! | [`verify`] | signature and digest of a snap file |
//! | [`state`], [`rebuild`] | what is installed: a file and its copy; what is known without both |
//! | [`incoming`], [`download`] | a file or an address becomes a checked copy |
//! | [`image`], [`registry`] | so does an image of containers, from an archive or a registry |
//! | [`change`] | install, refresh, revert, remove, snapshots: tasks that are done, or undone |
//! | [`manager`], [`transact`] | what is mounted and runs; requests that change it |
//! | [`data`], [`snapshot`], [`disk`] | data of snaps; their snapshots; files behind a trait |
//! | [`beneath`] | files of a snap's own, opened without being led out of it |
//! | [`mutant`] | bugs put in on purpose, for the simulator |
//! | [`settings`], `decided`, [`interface`] | what people and the snap decided; what plugs may grant |
//! | [`confine`], [`layouts`], [`content`] | what an app is granted and sees, as a `sandbox::Confinement` |
//! | [`hooks`], [`inside`] | programs of a snap that changes run; `snapctl` as apps and hooks see it |
//! | [`service`], [`pidfd`], [`output`], [`ring`] | one task per service: activate, start, supervise, stop; its log |
//! | [`clock`], [`device`] | the device's clock, set by an app; what people set for the device |
//! | [`network`] | the network of a snap, and the ports of the device that lead there |
//! | [`media`] | what is plugged into USB, for apps that may see it |
//! | [`hardware`], [`quota`] | lines, addresses and ports for services; bounds of a whole snap |
//! | [`server`], [`notify`], [`resolver`] | the control socket; init; DNS for apps |
//!
//! What always holds: a snap's bytes are verified in appd's own copy, before the kernel parses
//! them; what is installed is what `state.json` says, which changes in one rename together with the
//! change that is under way, so that a power cut leaves the old or the new; a failed change is
//! undone as a whole; one snap's trouble stops no other.

pub mod beneath;
pub mod change;
pub mod clock;
pub mod confine;
pub mod content;
pub mod data;
mod decided;
pub mod device;
pub mod disk;
pub mod download;
pub mod duration;
mod error;
pub mod hardware;
pub mod hooks;
pub mod image;
pub mod incoming;
pub mod inside;
pub mod interface;
pub mod layouts;
pub mod loopdev;
pub mod manager;
pub mod media;
pub mod meta;
pub mod mounting;
pub mod mutant;
pub mod network;
pub mod notify;
pub mod output;
pub mod paths;
pub mod pidfd;
pub mod quota;
pub mod rebuild;
pub mod registry;
pub mod resolver;
pub mod ring;
pub mod server;
pub mod service;
pub mod settings;
pub mod snapshot;
pub mod squashfs;
pub mod state;
pub mod transact;
pub mod verify;

pub use error::{Context, Error, Result};
