//! Tasks that boot images: they are programs of `hil-tests`, run as children, so that `xtask`
//! itself links nothing.

use crate::error::Error;
use crate::{process, setup};

/// `demo`, with what stands behind it.
pub fn demo(options: &[&str]) -> Result<(), Error> {
    if options.iter().any(|option| *option != "--once") {
        return Err(Error::Usage("usage: cargo xtask demo [--once]".into()));
    }
    setup::for_demo()?;
    program("demo", options)
}

/// `bench app`, `bench boot`, `bench memory`, `bench delta` and `bench install`.
pub fn bench(options: &[&str]) -> Result<(), Error> {
    if !matches!(options, ["app" | "boot" | "memory" | "delta" | "install"]) {
        return Err(Error::Usage("usage: cargo xtask bench app|boot|memory|delta|install".into()));
    }
    setup::for_demo()?;
    program("bench", options)
}

/// `soak`: power cuts of a gateway in QEMU, without end.
pub fn soak(options: &[&str]) -> Result<(), Error> {
    setup::for_demo()?;
    program("soak", options)
}

/// `replay`: power cuts between the writes of an update that was recorded.
pub fn replay(options: &[&str]) -> Result<(), Error> {
    setup::for_demo()?;
    program("replay", options)
}

/// `sim`: lives of simulated devices, by seed.
pub fn sim(options: &[&str]) -> Result<(), Error> {
    // Third-party code is optimised in debug builds too, and that is where its time goes.
    let start = ["run", "--quiet", "--package", "simulator", "--"];
    process::run(process::cargo(&[start.as_slice(), options].concat()))
}

fn program(name: &str, options: &[&str]) -> Result<(), Error> {
    let start = ["run", "--quiet", "--package", "hil-tests", "--bin", name, "--"];
    process::run(process::cargo(&[start.as_slice(), options].concat()))
}
