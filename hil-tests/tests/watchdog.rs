//! A machine that hangs is reset by its watchdog; when it hung on trial, it falls back and says
//! why. The broken releases run the same init as the good ones, with a service beside it that
//! freezes PID 1, or stops the kernel.
//!
//! QEMU's own board has a watchdog that works (i6300esb). The Raspberry Pi's resets QEMU when it is
//! opened, so the Pi's story is told with the kernel's own (softdog), which a kernel that stopped
//! takes with it.

use hil::board::Board;
use hil::error::ensure;
use hil::fleet_server::FleetServer;
use hil::gateway::Gateway;
use hil::releases::Releases;
use hil::{Result, limits, provision};
use protocol::control::{BootKind, BootReason, BootRecord, SystemStatus};
use protocol::fleet::UpdatePhase;

/// Boots that the trial may use that is staged by hand.
const ATTEMPTS: u8 = 2;

#[test]
fn a_trial_whose_init_or_kernel_hangs_falls_back_and_the_fleet_is_told() -> Result {
    let releases = Releases::of(Board::Virt)?;
    let fleet = FleetServer::start("watchdog", releases.keys())?;
    let first = releases.first()?;
    let mut gateway = Gateway::new("watchdog", &first, &fleet.device_toml("watchdog")?)?;

    // A new card whose first boots are a trial that hangs, twice.
    gateway.stage(&releases.init_hangs()?, ATTEMPTS)?;
    gateway.power_on()?;
    for _ in 0..ATTEMPTS {
        hangs_on_trial(&mut gateway, "i6300esb")?;
    }
    gateway.expect("slot a as fallback", limits::BOOT)?;
    let status = gateway.wait_healthy()?;
    let boots = gateway.boots()?;
    fell_back_by_watchdog(&status, &boots)?;
    ensure(boots.len() == usize::from(ATTEMPTS) + 1, || format!("{boots:?}"))?;

    // An update to a kernel that stops for good.
    let device = fleet.wait_enrolled("watchdog")?;
    let broken = releases.kernel_hangs()?;
    fleet.deploy(&broken, &device)?;
    let state = fleet.wait_update(&device, &broken, UpdatePhase::FellBack)?;
    let code = state.update.failure.map(|failure| failure.code).unwrap_or_default();
    ensure(code == "trial-hung", || format!("{}: told as {code:?}", broken.version))?;
    let status = gateway.wait_healthy_again()?;
    ensure(status.version == first.version, || format!("{status:?}"))?;
    fell_back_by_watchdog(&status, &gateway.boots()?[boots.len()..])
}

#[test]
fn a_trial_whose_init_hangs_falls_back_by_the_kernels_own_watchdog() -> Result {
    let releases = Releases::get()?;
    let config = provision::stand_alone("softdog");
    let mut gateway = Gateway::new("softdog", &releases.first()?, &config)?;
    gateway.stage(&releases.init_hangs()?, 1)?;
    gateway.power_on()?;
    hangs_on_trial(&mut gateway, "softdog")?;
    gateway.expect("slot a as fallback", limits::BOOT)?;
    let status = gateway.wait_healthy()?;
    fell_back_by_watchdog(&status, &gateway.boots()?)
}

/// One boot of a trial, as far as init comes.
fn hangs_on_trial(gateway: &mut Gateway, watchdog: &str) -> Result {
    gateway.expect("slot b as trial", limits::BOOT)?;
    gateway.expect(&format!("holdfast: watchdog {watchdog}"), limits::BOOT).map(drop)
}

/// The last boot is the fall back, those before it are the trial's, and the watchdog ended each of
/// them.
fn fell_back_by_watchdog(status: &SystemStatus, boots: &[BootRecord]) -> Result {
    let told = || format!("{status:?}\n{boots:?}");
    ensure(status.boot_kind == BootKind::Fallback && status.trial.is_none(), told)?;
    ensure(status.boot_reason == BootReason::Watchdog, told)?;
    let kinds: Vec<BootKind> = boots.iter().rev().map(|boot| boot.kind).collect();
    let one_fall_back = kinds.starts_with(&[BootKind::Fallback, BootKind::Trial])
        && kinds[1..].iter().all(|kind| *kind == BootKind::Trial);
    ensure(one_fall_back, told)?;
    ensure(boots[1..].iter().all(|boot| boot.reason == BootReason::Watchdog), told)
}
