//! What building and testing need, and getting it: nothing is installed without being named first,
//! and what is already there (a QEMU of at least version 10, a cross compiler) is used.
//!
//! [`packages`] is the list, [`plan`] decides what an installation does, [`apt`] does it on Debian
//! and its relatives, [`rust`] adds the target.

mod apt;
mod packages;
mod plan;
mod rust;

pub use rust::TARGET;

use crate::error::Error;
use crate::process::say;
use packages::{Need, Purpose};

/// What a build and a demo need.
pub fn for_demo() -> Result<(), Error> {
    provide(Purpose::Build)
}

/// What tests need as well: tools of others that check our images.
pub fn everything() -> Result<(), Error> {
    provide(Purpose::Test)
}

fn provide(purpose: Purpose) -> Result<(), Error> {
    rust::add_target()?;
    let missing = missing(purpose);
    if missing.is_empty() {
        say("setup: everything that is needed is here");
        return Ok(());
    }
    for need in &missing {
        say(&format!("setup: missing: {} ({})", need.what, need.reason));
    }
    apt::install(&missing)?;
    let still = self::missing(purpose);
    if still.is_empty() {
        return Ok(());
    }
    Err(Error::Missing(apt::by_hand("was installed and is still not found", &still)))
}

fn missing(purpose: Purpose) -> Vec<&'static Need> {
    packages::NEEDS.iter().filter(|n| n.purpose <= purpose && !n.is_there()).collect()
}
