//! Devices, what they last said, and their bounded history.

use super::{Store, json};
use crate::error::Error;
use protocol::fleet::{DeviceState, UpdateStatus};
use protocol::policy::UpdatePolicy;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// Events kept per device; older ones are dropped.
pub const EVENTS_PER_DEVICE: u32 = 300;

/// One device as the store knows it, and as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Id, chosen at enrolment.
    pub id: String,
    /// Name wished for at enrolment.
    pub name: String,
    /// Board at enrolment.
    pub board: String,
    /// Serial number of the board.
    pub serial: Option<String>,
    /// When it enrolled.
    pub enrolled: u64,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// When its certificate was revoked.
    pub revoked: Option<u64>,
    /// Connected to the broker.
    pub online: bool,
    /// Last message.
    pub last_seen: Option<u64>,
    /// Counter of its last assignment.
    pub counter: u64,
    /// Last report.
    pub state: Option<DeviceState>,
    /// Newer update status than the report's, while an update runs.
    pub progress: Option<UpdateStatus>,
    /// When it may update, as the fleet says.
    #[serde(default)]
    pub policy: UpdatePolicy,
    /// Installed snaps, as reported.
    pub apps: Option<Vec<protocol::control::SnapInfo>>,
    /// Address by which it reached the server at enrolment.
    #[serde(skip)]
    pub base_url: String,
}

impl Device {
    /// The update status that is newest.
    pub fn update(&self) -> Option<&UpdateStatus> {
        self.progress.as_ref().or(self.state.as_ref().map(|state| &state.update))
    }
}

/// What enrolment stores.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Id.
    pub id: String,
    /// Name wished for.
    pub name: String,
    /// Board id.
    pub board: String,
    /// Serial number of the board.
    pub serial: Option<String>,
    /// PEM of its certificate.
    pub certificate: String,
    /// Serial number of its certificate.
    pub cert_serial: String,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// Address by which it reached the server.
    pub base_url: String,
}

/// One line of a device's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: u64,
    /// `enrolled`, `online`, `offline`, `boot`, `health`, `update`, `warning`, `command`, `deploy`,
    /// `error`.
    pub kind: String,
    /// For people.
    pub text: String,
}

const COLUMNS: &str = "id, name, board, serial, enrolled, fingerprint, revoked, online, last_seen, \
                       counter, state, progress, apps, base_url, policy";

fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let typed = |column: usize| -> rusqlite::Result<Option<serde_json::Value>> {
        Ok(json(row.get::<_, Option<String>>(column)?))
    };
    Ok(Device {
        id: row.get(0)?,
        name: row.get(1)?,
        board: row.get(2)?,
        serial: row.get(3)?,
        enrolled: row.get(4)?,
        fingerprint: row.get(5)?,
        revoked: row.get(6)?,
        online: row.get(7)?,
        last_seen: row.get(8)?,
        counter: row.get(9)?,
        state: typed(10)?.and_then(|value| serde_json::from_value(value).ok()),
        progress: typed(11)?.and_then(|value| serde_json::from_value(value).ok()),
        apps: typed(12)?.and_then(|value| serde_json::from_value(value).ok()),
        base_url: row.get(13)?,
        policy: typed(14)?.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default(),
    })
}

impl Store {
    /// All devices by name.
    pub fn devices(&self) -> Result<Vec<Device>, Error> {
        self.with("list devices", |c| {
            let sql = format!("SELECT {COLUMNS} FROM devices ORDER BY revoked NOTNULL, name, id");
            c.prepare_cached(&sql)?.query_map([], device)?.collect()
        })
    }

    /// One device.
    pub fn device(&self, id: &str) -> Result<Device, Error> {
        self.find_device(id)?.ok_or_else(|| Error::not_found("device", id))
    }

    /// One device, if there is such a one.
    pub fn find_device(&self, id: &str) -> Result<Option<Device>, Error> {
        self.with("read a device", |c| {
            let sql = format!("SELECT {COLUMNS} FROM devices WHERE id = ?1");
            c.prepare_cached(&sql)?.query_row([id], device).optional()
        })
    }

    /// Keeps when a device may update.
    pub fn set_policy(&self, id: &str, policy: &UpdatePolicy) -> Result<(), Error> {
        let text = serde_json::to_string(policy).map_err(|e| Error::Internal(e.to_string()))?;
        self.with("store a policy", |c| {
            c.execute("UPDATE devices SET policy = ?2 WHERE id = ?1", params![id, text]).map(drop)
        })
    }

    /// Stores a device's last report.
    pub fn set_state(&self, id: &str, json: &str, time: u64) -> Result<(), Error> {
        self.with("store a state", |c| {
            // A report carries an update status that is at least as new as any progress before it.
            c.prepare_cached(
                "UPDATE devices SET state = ?2, progress = NULL, last_seen = ?3 WHERE id = ?1",
            )?
            .execute(params![id, json, time])
            .map(drop)
        })
    }

    /// Stores how far a running update is.
    pub fn set_progress(&self, id: &str, json: &str, time: u64) -> Result<(), Error> {
        self.with("store progress", |c| {
            c.prepare_cached("UPDATE devices SET progress = ?2, last_seen = ?3 WHERE id = ?1")?
                .execute(params![id, json, time])
                .map(drop)
        })
    }

    /// Stores the installed snaps.
    pub fn set_apps(&self, id: &str, json: &str, time: u64) -> Result<(), Error> {
        self.with("store apps", |c| {
            c.prepare_cached("UPDATE devices SET apps = ?2, last_seen = ?3 WHERE id = ?1")?
                .execute(params![id, json, time])
                .map(drop)
        })
    }

    /// Stores whether a device is connected, and with it the event when that is news.
    pub fn set_online(&self, id: &str, online: bool, time: u64) -> Result<(), Error> {
        self.with("store presence", |c| {
            let c = c.transaction()?;
            let before: Option<bool> = c
                .query_row("SELECT online FROM devices WHERE id = ?1", [id], |row| row.get(0))
                .optional()?;
            let news = before.is_some_and(|before| before != online);
            if news || online {
                c.execute(
                    "UPDATE devices SET online = ?2, last_seen = ?3 WHERE id = ?1",
                    params![id, online, time],
                )?;
            }
            if news {
                let (kind, text) =
                    if online { ("online", "connected") } else { ("offline", "disconnected") };
                insert_event(&c, id, time, kind, text)?;
            }
            c.commit()
        })
    }

    /// At start nothing is known to be connected; the broker's retained messages say what is.
    pub fn forget_presence(&self) -> Result<(), Error> {
        self.with("reset presence", |c| c.execute("UPDATE devices SET online = 0", []).map(drop))
    }

    /// Revokes a device's certificate; returns false when it was already.
    pub fn revoke(&self, id: &str, time: u64) -> Result<bool, Error> {
        self.with("revoke a device", |c| {
            c.execute(
                "UPDATE devices SET revoked = ?2, online = 0, desired = NULL \
                 WHERE id = ?1 AND revoked IS NULL",
                params![id, time],
            )
            .map(|changed| changed > 0)
        })
    }

    /// Serial numbers of revoked certificates, with the time.
    pub fn revoked_serials(&self) -> Result<Vec<(String, u64)>, Error> {
        self.with("list revoked certificates", |c| {
            c.prepare("SELECT cert_serial, revoked FROM devices WHERE revoked NOTNULL")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Adds to a device's history, dropping what exceeds [`EVENTS_PER_DEVICE`].
    pub fn add_event(&self, device: &str, time: u64, kind: &str, text: &str) -> Result<(), Error> {
        self.with("store an event", |c| insert_event(c, device, time, kind, text))
    }

    /// A device's history, newest first.
    pub fn events(&self, device: &str) -> Result<Vec<Event>, Error> {
        self.with("list events", |c| {
            c.prepare_cached(
                "SELECT time, kind, text FROM events WHERE device = ? ORDER BY id DESC",
            )?
            .query_map([device], |row| {
                Ok(Event { time: row.get(0)?, kind: row.get(1)?, text: row.get(2)? })
            })?
            .collect()
        })
    }

    /// The next assignment counter of a device.
    pub fn next_counter(&self, id: &str) -> Result<u64, Error> {
        self.with("count an assignment", |c| {
            c.query_row(
                "UPDATE devices SET counter = counter + 1 WHERE id = ? RETURNING counter",
                [id],
                |row| row.get(0),
            )
        })
    }

    /// Keeps the body of `desired`, to publish it again should the broker have lost it.
    pub fn set_desired(&self, id: &str, body: &[u8], expires: u64) -> Result<(), Error> {
        self.with("store an assignment", |c| {
            c.execute(
                "UPDATE devices SET desired = ?2, desired_expires = ?3 WHERE id = ?1",
                params![id, body, expires],
            )
            .map(drop)
        })
    }

    /// An assignment is withdrawn.
    pub fn forget_desired(&self, id: &str) -> Result<(), Error> {
        self.with("withdraw an assignment", |c| {
            c.execute("UPDATE devices SET desired = NULL WHERE id = ?1", [id]).map(drop)
        })
    }

    /// Every assignment that has not expired: device, body, expiry.
    pub fn desired(&self, now: u64) -> Result<Vec<(String, Vec<u8>, u64)>, Error> {
        self.with("list assignments", |c| {
            c.prepare(
                "SELECT id, desired, desired_expires FROM devices \
                 WHERE desired NOTNULL AND desired_expires > ? AND revoked IS NULL",
            )?
            .query_map([now], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
        })
    }
}

/// The oldest events of a device make room.
fn insert_event(
    c: &Connection,
    device: &str,
    time: u64,
    kind: &str,
    text: &str,
) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT INTO events (device, time, kind, text) VALUES (?, ?, ?, ?)")?
        .execute(params![device, time, kind, text])?;
    c.prepare_cached(
        "DELETE FROM events WHERE device = ?1 AND id <= (SELECT id FROM events \
         WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![device, EVENTS_PER_DEVICE])
    .map(drop)
}
