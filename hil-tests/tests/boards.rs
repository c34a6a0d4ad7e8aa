//! Boards other than the one of the other stories: each boots its image through its U-Boot, gets an
//! address, keeps its data, and tries and confirms a release in the other slot.

use hil::board::Board;
use hil::error::ensure;
use hil::gateway::Gateway;
use hil::releases::Releases;
use hil::{Result, checks, limits, provision};
use protocol::control::{BootKind, SlotName};

/// The address that QEMU's DHCP server gives its first client.
const ADDRESS: &str = "10.0.2.15";

#[test]
fn a_raspberry_pi_4_becomes_a_gateway_and_tries_a_release() -> Result {
    becomes_a_gateway(Board::Rpi4)
}

#[test]
fn qemus_own_board_becomes_a_gateway_and_tries_a_release() -> Result {
    becomes_a_gateway(Board::Virt)
}

fn becomes_a_gateway(board: Board) -> Result {
    let releases = Releases::of(board)?;
    let (first, second) = (releases.first()?, releases.second()?);
    let name = format!("boards-{}", board.id());
    let mut gateway = Gateway::new(&name, &first, &provision::stand_alone(&name))?;

    gateway.power_on()?;
    let line = gateway.expect("holdfast: network ", limits::BOOT)?;
    ensure(line.contains(ADDRESS), || format!("another address: {line}"))?;
    let status = gateway.wait_healthy()?;
    ensure(status.board == board.id() && status.version == first.version, || {
        format!("{status:?}")
    })?;
    ensure(status.boot_kind == BootKind::Confirmed, || format!("{status:?}"))?;
    ensure(status.slot == SlotName::A && status.trial.is_none(), || format!("{status:?}"))?;
    gateway.power_off()?;

    // The other slot is tried, found healthy, and from then on it is the confirmed one.
    gateway.stage(&second, 1)?;
    gateway.power_on()?;
    let status = gateway.wait_healthy()?;
    ensure(status.boot_kind == BootKind::Trial && status.slot == SlotName::B, || {
        format!("no trial: {status:?}")
    })?;
    ensure(status.version == second.version, || format!("{status:?}"))?;
    gateway.reboot()?;
    let status = gateway.wait_healthy()?;
    ensure(status.confirmed == Some(SlotName::B) && status.trial.is_none(), || {
        format!("not confirmed: {status:?}")
    })?;

    // Data outlived both.
    let kinds: Vec<BootKind> = gateway.boots()?.iter().map(|boot| boot.kind).collect();
    ensure(kinds == [BootKind::Confirmed, BootKind::Trial, BootKind::Confirmed], || {
        format!("three boots were to be recorded: {kinds:?}")
    })?;
    gateway.power_off()?;
    checks::data_partition_fills_the_card(gateway.card()?)
}
