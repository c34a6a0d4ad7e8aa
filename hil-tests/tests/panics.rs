//! A kernel's last words survive the reset in memory, and the gateway that fell back tells them.
//! The broken release is put into the slot by hand, so that no download stands before it.

use hil::error::ensure;
use hil::gateway::Gateway;
use hil::releases::Releases;
use hil::{Result, provision};
use protocol::control::{BootKind, BootReason, SlotName};

#[test]
fn a_panic_is_told_after_the_fall_back() -> Result {
    let releases = Releases::get()?;
    let broken = releases.panics_early()?;
    let config = provision::stand_alone("panics");
    let mut gateway = Gateway::new("panics", &releases.first()?, &config)?;
    gateway.stage(&broken, 1)?;
    gateway.power_on()?;
    gateway.expect("Kernel panic", hil::limits::BOOT)?;
    let status = gateway.wait_healthy()?;
    ensure(status.slot == SlotName::A && status.trial.is_none(), || format!("{status:?}"))?;
    ensure(status.boot_kind == BootKind::Fallback, || format!("{status:?}"))?;
    match &status.boot_reason {
        BootReason::Panic(log) => {
            ensure(log.contains("Attempted to kill init"), || format!("another panic: {log}"))
        }
        other => ensure(false, || format!("the panic is forgotten: {other:?}")),
    }
}
