//! A kernel's last words survive the reset in memory, and the gateway that fell back tells them.
//! The broken release is put into the slot by hand, so that no download stands before it.

use bootloader_config::layout::{SLOT_A, SLOT_B, SLOT_ROOT_OFFSET, VERITY_BLOCK};
use hil::error::{ensure, file};
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

/// Slot a is confirmed, and the first block of its root has rotted; slot b holds the same release.
#[test]
fn a_root_that_rotted_is_passed_over_after_three_panics() -> Result {
    let releases = Releases::get()?;
    let first = releases.first()?;
    let mut gateway = Gateway::new("rot", &first, &provision::stand_alone("rot"))?;
    let image = std::fs::read(&first.slot_image).map_err(file("read", &first.slot_image))?;
    gateway.card()?.write(SLOT_B.offset, &image)?;
    let block = SLOT_ROOT_OFFSET as usize..(SLOT_ROOT_OFFSET + VERITY_BLOCK) as usize;
    let rotten: Vec<u8> = image[block].iter().map(|byte| !byte).collect();
    gateway.card()?.write(SLOT_A.offset + SLOT_ROOT_OFFSET, &rotten)?;
    gateway.power_on()?;
    for _ in 0..3 {
        gateway.expect("slot a as confirmed", hil::limits::BOOT)?;
        gateway.expect("Kernel panic", hil::limits::BOOT)?;
    }
    gateway.expect("slot b as fallback", hil::limits::BOOT)?;
    let status = gateway.wait_healthy()?;
    ensure(status.slot == SlotName::B && status.trial.is_none(), || format!("{status:?}"))?;
    ensure(status.boot_kind == BootKind::Fallback, || format!("{status:?}"))?;
    ensure(matches!(status.boot_reason, BootReason::Panic(_)), || format!("{status:?}"))?;
    let told = |warning: &String| warning.contains("slot a panicked 3 times in a row");
    ensure(status.warnings.iter().any(told), || format!("not told: {status:?}"))?;
    // Healthy: the count is gone, and slot b is the confirmed one.
    ensure(status.confirmed == Some(SlotName::B), || format!("{status:?}"))?;
    gateway.reboot()?;
    gateway.expect("slot b as confirmed", hil::limits::BOOT)?;
    let status = gateway.wait_healthy()?;
    ensure(status.boot_kind == BootKind::Confirmed, || format!("{status:?}"))
}
