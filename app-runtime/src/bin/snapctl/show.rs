//! Reports, as text for people and as JSON for programs. JSON is the control messages' own shape.

use crate::change;
use crate::decide;
use crate::system::{System, boots_table};
use protocol::change::{ChangeInfo, ConnectionInfo, InterfaceInfo, QuotaInfo, SnapshotInfo};
use protocol::control::{AppServiceStatus, BootKind, BootReason, BootRecord, SlotName, SnapInfo};
use protocol::fleet::UpdateStatus;
use protocol::release::BuildInfo;
use serde_json::json;

/// What a command answers.
pub enum Report {
    /// Something done.
    Text(String),
    /// Lines of a log.
    Log(Vec<String>),
    /// Installed snaps.
    Snaps(Vec<SnapInfo>),
    /// One snap.
    Snap(Box<SnapInfo>),
    /// Services of snaps.
    Services(Vec<AppServiceStatus>),
    /// The number of a change that has begun.
    Began(u32),
    /// Changes.
    Changes(Vec<ChangeInfo>),
    /// One change with its tasks.
    Change(Box<ChangeInfo>),
    /// Snapshots.
    Snapshots(Vec<SnapshotInfo>),
    /// Values of a configuration, as JSON.
    Config(String),
    /// Plugs.
    Connections(Vec<ConnectionInfo>),
    /// Interfaces.
    Interfaces(Vec<InterfaceInfo>),
    /// Quotas.
    Quotas(Vec<QuotaInfo>),
    /// The system.
    System(Box<System>),
    /// Recorded boots.
    Boots(Vec<BootRecord>),
    /// The updater.
    Update(Box<UpdateStatus>),
    /// What the running system is.
    Version(Box<BuildInfo>),
}

impl Report {
    /// Prints it.
    pub fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
        } else {
            println!("{}", self.text().trim_end());
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Report::Text(text) => json!({ "ok": text }),
            Report::Log(lines) => json!(lines),
            Report::Snaps(snaps) => json!(snaps),
            Report::Snap(snap) => json!(snap),
            Report::Services(services) => json!(services),
            Report::Began(id) => json!({ "change": id }),
            Report::Changes(changes) => json!(changes),
            Report::Change(change) => json!(change),
            Report::Snapshots(snapshots) => json!(snapshots),
            Report::Config(text) => serde_json::from_str(text).unwrap_or_default(),
            Report::Connections(connections) => json!(connections),
            Report::Interfaces(interfaces) => json!(interfaces),
            Report::Quotas(quotas) => json!(quotas),
            Report::System(system) => json!(system),
            Report::Boots(boots) => json!(boots),
            Report::Update(status) => json!(status),
            Report::Version(info) => json!(info),
        }
    }

    fn text(&self) -> String {
        match self {
            Report::Text(text) => text.clone(),
            Report::Log(lines) => lines.join("\n"),
            Report::Snaps(snaps) if snaps.is_empty() => "no snaps are installed".into(),
            Report::Snaps(snaps) => snaps_table(snaps),
            Report::Snap(snap) => snap_text(snap),
            Report::Services(services) if services.is_empty() => "no services".into(),
            Report::Services(services) => services_table(services),
            Report::Began(id) => id.to_string(),
            Report::Changes(changes) => change::changes_text(changes),
            Report::Change(change) => change::tasks_text(change),
            Report::Snapshots(snapshots) => change::saved_text(snapshots),
            Report::Config(text) => config_text(text),
            Report::Connections(connections) => decide::connections_text(connections),
            Report::Interfaces(interfaces) => decide::interfaces_text(interfaces),
            Report::Quotas(quotas) => decide::quotas_text(quotas),
            Report::System(system) => system.text(),
            Report::Boots(boots) => boots_table(boots),
            Report::Update(status) => update_text(status),
            Report::Version(info) => format!(
                "{} {} (sequence {}, floor {}) for {}",
                info.product, info.version, info.sequence, info.floor, info.board
            ),
        }
    }
}

/// A text as it is, everything else as JSON.
fn config_text(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(value) => format!("{value:#}"),
        Err(_) => text.into(),
    }
}

/// Columns as wide as their widest cell.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: usize, column: usize| match row {
        0 => head[column],
        _ => rows[row - 1].get(column).map_or("", String::as_str),
    };
    let width = |column| (0..=rows.len()).map(|row| cell(row, column).chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|c| width(c).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in 0..=rows.len() {
        let cells = (0..head.len()).map(|c| format!("{:<1$}", cell(row, c), widths[c]));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Bytes in a unit that fits.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// `-` for what is not there.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |v| v.to_string())
}

/// `a` or `b`.
pub fn slot(name: Option<SlotName>) -> &'static str {
    match name {
        Some(SlotName::A) => "a",
        Some(SlotName::B) => "b",
        None => "-",
    }
}

fn snaps_table(snaps: &[SnapInfo]) -> String {
    let rows: Vec<Vec<String>> = snaps
        .iter()
        .map(|snap| {
            let notes = match (snap.signed, snap.disabled) {
                (true, false) => "-",
                (false, false) => "dangerous",
                (true, true) => "disabled",
                (false, true) => "dangerous,disabled",
            };
            let revision = snap.revision.to_string();
            vec![snap.name.clone(), snap.version.clone(), revision, size(snap.size), notes.into()]
        })
        .collect();
    table(&["Name", "Version", "Rev", "Size", "Notes"], &rows)
}

fn snap_text(snap: &SnapInfo) -> String {
    let signed = if snap.signed { "yes" } else { "no, installed with --dangerous" };
    let connections = match snap.connections.as_slice() {
        [] => "none".to_string(),
        names => names.join(", "),
    };
    let health = match &snap.health {
        Some(health) if health.message.is_empty() => health.status.clone(),
        Some(health) => format!("{}: {}", health.status, health.message),
        None => "not told".into(),
    };
    format!(
        "name:        {}\nversion:     {}\nrevision:    {}\nsummary:     {}\n\
         signed:      {signed}\nsize:        {}\nconnections: {connections}\n\
         health:      {health}\n\n{}",
        snap.name,
        snap.version,
        snap.revision,
        snap.summary,
        size(snap.size),
        services_table(&snap.services)
    )
}

fn services_table(services: &[AppServiceStatus]) -> String {
    let rows: Vec<Vec<String>> = services
        .iter()
        .map(|s| {
            vec![
                s.name.clone(),
                s.daemon.clone(),
                s.state.clone(),
                or_dash(s.pid),
                s.restarts.to_string(),
                or_dash(s.memory.map(size)),
            ]
        })
        .collect();
    table(&["Service", "Daemon", "State", "Pid", "Restarts", "Memory"], &rows)
}

/// How the boot loader chose.
pub fn kind(kind: BootKind) -> &'static str {
    match kind {
        BootKind::Confirmed => "confirmed",
        BootKind::Trial => "trial",
        BootKind::Fallback => "fallback",
    }
}

/// Why the machine started, in a line.
pub fn reason(reason: &BootReason) -> String {
    let last_line = |text: &str| text.trim().lines().last().unwrap_or("").to_string();
    match reason {
        BootReason::Cold => "cold".into(),
        BootReason::Reboot(why) => format!("reboot: {why}"),
        BootReason::Panic(log) => format!("panic: {}", last_line(log)),
        BootReason::Watchdog => "watchdog".into(),
        BootReason::Unhealthy(why) => format!("unhealthy: {why}"),
        BootReason::Unknown => "unknown".into(),
    }
}

/// What the updater does.
pub fn update_text(status: &UpdateStatus) -> String {
    let phase = serde_json::to_value(status.phase).ok();
    let phase = phase.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown").to_string();
    let mut text = format!("phase:   {phase}\n");
    if let (Some(version), Some(sequence)) = (&status.version, status.sequence) {
        text.push_str(&format!("release: {version} (sequence {sequence})\n"));
    }
    if status.chunks_total > 0 {
        let (done, total) = (status.chunks_done, status.chunks_total);
        let fetched = size(status.bytes_fetched);
        text.push_str(&format!("chunks:  {done} of {total}, {fetched} fetched\n"));
    }
    if let Some(waiting) = &status.waiting {
        text.push_str(&format!("waits:   {waiting}\n"));
    }
    if let Some(failure) = &status.failure {
        text.push_str(&format!("failure: {} ({})\n", failure.message, failure.code));
    }
    text
}
