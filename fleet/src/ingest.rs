//! What devices say becomes state, history and news.
//!
//! Invariants: a message is taken for the device whose topic it came on, whatever it says inside;
//! what does not parse changes nothing but the history.

use crate::broker::{Incoming, Leaf};
use crate::clock::now;
use crate::core::Fleet;
use crate::error::Error;
use crate::feed::News;
use crate::store::Device;
use protocol::control::{BootKind, BootReason, Health, SlotName, SnapInfo};
use protocol::fleet::{CommandResult, DeviceState, UpdatePhase, UpdateStatus};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Takes messages until the link ends.
pub async fn run(fleet: Arc<Fleet>, mut incoming: mpsc::Receiver<Incoming>) {
    while let Some(message) = incoming.recv().await {
        if let Err(error) = take(&fleet, &message) {
            eprintln!("fleet: message of {}: {error}", message.device);
        }
    }
}

/// Takes one message.
pub fn take(fleet: &Fleet, message: &Incoming) -> Result<(), Error> {
    let Some(device) = fleet.store.find_device(&message.device)? else {
        // A topic left from before the database was replaced.
        return Ok(());
    };
    if device.revoked.is_some() {
        return Ok(());
    }
    let id = &message.device;
    match &message.leaf {
        Leaf::Online => fleet.store.set_online(id, message.body == b"true", now())?,
        Leaf::State => match serde_json::from_slice::<DeviceState>(&message.body) {
            Ok(state) if state.device == *id => report(fleet, &device, &state, &message.body)?,
            Ok(state) => {
                fleet.note(id, "error", &format!("reports the state of {:?}", state.device));
            }
            Err(error) => fleet.note(id, "error", &format!("state does not parse: {error}")),
        },
        Leaf::Progress => {
            if let Ok(status) = serde_json::from_slice::<UpdateStatus>(&message.body) {
                update_event(fleet, &device, &status);
                fleet.store.set_progress(id, &text(&message.body), now())?;
            }
        }
        Leaf::Apps => match serde_json::from_slice::<Vec<SnapInfo>>(&message.body) {
            Ok(_) => fleet.store.set_apps(id, &text(&message.body), now())?,
            Err(error) => fleet.note(id, "error", &format!("apps do not parse: {error}")),
        },
        Leaf::Result(command) => result(fleet, id, command, &message.body)?,
    }
    fleet.feed.tell(News::Device { id: id.clone() });
    Ok(())
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

fn report(fleet: &Fleet, before: &Device, state: &DeviceState, body: &[u8]) -> Result<(), Error> {
    let id = &before.id;
    let old = before.state.as_ref().map(|state| &state.system);
    let new = &state.system;
    if old.is_none_or(|old| old.boot_id != new.boot_id) {
        fleet.note(
            id,
            "boot",
            &format!(
                "{} in slot {} ({}), {}",
                new.version,
                slot_text(new.slot),
                boot_text(new.boot_kind),
                reason_text(&new.boot_reason)
            ),
        );
    }
    if old.is_none_or(|old| {
        old.boot_id != new.boot_id || health_word(&old.health) != health_word(&new.health)
    }) {
        fleet.note(id, "health", &health_text(&new.health));
    }
    let known = old.map_or(&[][..], |old| &old.warnings);
    for warning in new.warnings.iter().filter(|warning| !known.contains(warning)) {
        fleet.note(id, "warning", warning);
    }
    update_event(fleet, before, &state.update);
    fleet.store.set_state(id, &text(body), now())
}

/// One line per phase, not per chunk.
fn update_event(fleet: &Fleet, before: &Device, update: &UpdateStatus) {
    let same = before.update().is_some_and(|old| {
        (old.phase, &old.sequence, &old.failure, &old.waiting)
            == (update.phase, &update.sequence, &update.failure, &update.waiting)
    });
    if same || (update.phase == UpdatePhase::Idle && before.update().is_none()) {
        return;
    }
    let version = update.version.as_deref().unwrap_or("");
    let mut line = format!("{} {version}", phase_text(update.phase));
    if let Some(failure) = &update.failure {
        line.push_str(&format!(": {failure}"));
    }
    if let Some(waiting) = &update.waiting {
        line.push_str(&format!(": {waiting}"));
    }
    fleet.note(&before.id, "update", line.trim_end());
}

fn result(fleet: &Fleet, id: &str, command: &str, body: &[u8]) -> Result<(), Error> {
    let result = match serde_json::from_slice::<CommandResult>(body) {
        Ok(result) if result.id == command => result,
        Ok(_) => return Ok(()),
        Err(error) => {
            fleet.note(id, "error", &format!("result of {command} does not parse: {error}"));
            return Ok(());
        }
    };
    if !fleet.store.finish_command(command, id, &text(body), now())? {
        return Ok(());
    }
    if let Some(failure) = result.failure {
        fleet.note(id, "command", &format!("failed: {failure}"));
    }
    fleet.feed.tell(News::Command { id: command.to_owned(), device: id.to_owned() });
    Ok(())
}

/// `a` or `b`.
pub fn slot_text(slot: SlotName) -> &'static str {
    match slot {
        SlotName::A => "a",
        SlotName::B => "b",
    }
}

/// How the boot loader chose, in a word.
pub fn boot_text(kind: BootKind) -> &'static str {
    match kind {
        BootKind::Confirmed => "confirmed",
        BootKind::Trial => "on trial",
        BootKind::Fallback => "fell back",
    }
}

/// Why the machine started, in a line.
pub fn reason_text(reason: &BootReason) -> String {
    match reason {
        BootReason::Cold => "power on".into(),
        BootReason::Reboot(why) => format!("reboot: {why}"),
        BootReason::Panic(log) => {
            format!("kernel panic: {}", log.lines().last().unwrap_or("no log"))
        }
        BootReason::Watchdog => "watchdog".into(),
        BootReason::Unhealthy(why) => format!("was not healthy: {why}"),
        BootReason::Unknown => "unknown reason".into(),
    }
}

/// The gate's verdict in a word.
pub fn health_word(health: &Health) -> &'static str {
    match health {
        Health::Starting(_) => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy(_) => "unhealthy",
    }
}

/// The gate's verdict in a line.
pub fn health_text(health: &Health) -> String {
    match health {
        Health::Healthy => "healthy".into(),
        Health::Starting(waits) if waits.is_empty() => "starting".into(),
        Health::Starting(waits) => format!("starting, waits for {}", waits.join(", ")),
        Health::Unhealthy(why) => format!("unhealthy: {}", why.join(", ")),
    }
}

/// A phase in words.
pub fn phase_text(phase: UpdatePhase) -> &'static str {
    match phase {
        UpdatePhase::Idle => "up to date",
        UpdatePhase::Downloading => "downloading",
        UpdatePhase::Verifying => "verifying",
        UpdatePhase::Waiting => "waits with",
        UpdatePhase::Staged => "restarting into",
        UpdatePhase::Trial => "on trial",
        UpdatePhase::Confirmed => "confirmed",
        UpdatePhase::FellBack => "fell back from",
        UpdatePhase::Refused => "refused",
        UpdatePhase::Failed => "failed, will try again",
    }
}
