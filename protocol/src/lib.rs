//! Wire types of Holdfast and their codecs. No I/O, no clock, no allocation that the input's length
//! does not bound.
//!
//! | module | what | encoding |
//! |---|---|---|
//! | [`envelope`] | signed bytes | COSE_Sign1, RFC 9052, Ed25519 |
//! | [`keys`] | key set with roles and thresholds | CBOR in an envelope |
//! | [`keychain`] | successors of a key set | CBOR array of envelopes |
//! | [`release`] | release manifest, build info | CBOR in an envelope; JSON |
//! | [`payload`] | container of compressed chunks | own, see module |
//! | [`delta`] | chunks as changes to another image | own, see module |
//! | [`fleet`] | assignment, command, MQTT messages and topics | CBOR in an envelope; JSON |
//! | [`control`], [`change`], [`quota`] | control-socket messages | postcard in frames |
//! | [`device`] | `device.toml` | TOML |
//! | [`cbor`] | limits of received CBOR | |
//! | [`calendar`] | times as text | RFC 3339 |
//! | [`clock`] | what is known of the time, between daemons | text |
//! | [`checks`] | health checks that a release declares | text |
//! | [`policy`] | when a gateway may update | TOML, JSON, CBOR |
//! | [`snap`] | trailer of a signed snap | CBOR in an envelope |
//! | [`naming`] | what a snap may be called | |
//! | [`template`] | the data partition's file system when new | own, see module |
//! | [`error`] | every refusal with its frozen code | |
//! | [`mutants`] | bugs put in on purpose, for the simulator | |

pub mod calendar;
pub mod cbor;
pub mod change;
pub mod checks;
pub mod clock;
pub mod control;
pub mod delta;
pub mod device;
pub mod envelope;
pub mod error;
pub mod fleet;
pub mod keychain;
pub mod keys;
pub mod mutants;
pub mod naming;
pub mod payload;
pub mod policy;
pub mod quota;
pub mod release;
pub mod snap;
pub mod template;

pub use error::Error;
