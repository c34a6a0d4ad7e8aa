//! `meta/snap.yaml`: the snapcraft schema, read strictly and checked to snapd's rules. A field that
//! is not known is refused by name and path, never silently dropped.
//!
//! | room | what |
//! |---|---|
//! | [`snap`] | the file as a whole |
//! | [`app`], [`socket`], [`timer`] | one app, what activates it |
//! | [`hook`], [`plug`], [`layout`], [`epoch`], [`environment`] | the other concerns |
//! | [`names`], [`places`] | what may be a name, a version, a command, a path of the snap's own |
//! | `checks` | what the fields must hold together |
//! | [`order`] | in which order the services of a snap start |
//! | [`support`] | what is refused, or only told |

pub mod app;
mod checks;
pub mod environment;
pub mod epoch;
pub mod hook;
pub mod layout;
pub mod names;
pub mod order;
pub mod places;
pub mod plug;
pub mod snap;
pub mod socket;
pub mod support;
pub mod timer;

use crate::error::{Error, Result};
use oci::process::ImageProcess;
use std::fmt::Display;

pub use app::{App, Daemon, Ended, RestartCondition};
pub(crate) use names::check_name;
pub use snap::Snap;

/// Largest snap.yaml in bytes. Depth and aliases are bounded by the parser.
pub const MAX_YAML: u64 = 64 * 1024;
/// What `architectures` may name on this machine.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// What is wrong with a field.
pub(crate) fn invalid(field: impl Display, why: impl Display) -> Error {
    Error::refused("snap-invalid", format!("snap.yaml: {field}: {why}"))
}

/// Reads and checks a snap.yaml. Hooks that it does not name are not known here:
/// [`Snap::add_hooks`].
pub fn parse(text: &str) -> Result<Snap> {
    parse_with(text, None)
}

/// The same of a snap that was made of an image, with what that says of its process.
pub fn parse_with(text: &str, image: Option<ImageProcess>) -> Result<Snap> {
    if text.len() as u64 > MAX_YAML {
        return Err(invalid("file", format!("larger than {MAX_YAML} bytes")));
    }
    let mut snap: Snap = serde_norway::from_str(text)
        .map_err(|e| Error::refused("snap-invalid", format!("snap.yaml: {e}")))?;
    snap.image = image;
    checks::check(&snap)?;
    Ok(snap)
}

#[cfg(test)]
mod tests;
