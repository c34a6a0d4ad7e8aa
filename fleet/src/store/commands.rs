//! Commands and their results.

use super::{Store, json};
use crate::error::Error;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// Commands kept per device.
const COMMANDS_PER_DEVICE: u32 = 200;

/// One command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Id.
    pub id: String,
    /// To which device.
    pub device: String,
    /// `protocol::fleet::Action` as JSON.
    pub action: serde_json::Value,
    /// When it was sent.
    pub created: u64,
    /// After this the device refuses it.
    pub expires: u64,
    /// When the result came.
    pub finished: Option<u64>,
    /// `protocol::fleet::CommandResult` as JSON.
    pub result: Option<serde_json::Value>,
}

const COLUMNS: &str = "id, device, action, created, expires, finished, result";

fn record(row: &Row<'_>) -> rusqlite::Result<CommandRecord> {
    Ok(CommandRecord {
        id: row.get(0)?,
        device: row.get(1)?,
        action: json(row.get(2)?).unwrap_or_default(),
        created: row.get(3)?,
        expires: row.get(4)?,
        finished: row.get(5)?,
        result: json(row.get(6)?),
    })
}

impl Store {
    /// Keeps a command before it is sent.
    pub fn add_command(
        &self,
        id: &str,
        device: &str,
        action: &str,
        created: u64,
        expires: u64,
    ) -> Result<(), Error> {
        self.with("store a command", |c| {
            c.execute(
                "INSERT INTO commands (id, device, action, created, expires) \
                 VALUES (?, ?, ?, ?, ?)",
                params![id, device, action, created, expires],
            )?;
            c.execute(
                "DELETE FROM commands WHERE device = ?1 AND id NOT IN (SELECT id FROM commands \
                 WHERE device = ?1 ORDER BY created DESC, rowid DESC LIMIT ?2)",
                params![device, COMMANDS_PER_DEVICE],
            )
            .map(drop)
        })
    }

    /// Keeps the first result of a device's own command; returns whether it was one.
    pub fn finish_command(
        &self,
        id: &str,
        device: &str,
        result: &str,
        time: u64,
    ) -> Result<bool, Error> {
        self.with("store a result", |c| {
            c.execute(
                "UPDATE commands SET finished = ?4, result = ?3 \
                 WHERE id = ?1 AND device = ?2 AND finished IS NULL",
                params![id, device, result, time],
            )
            .map(|changed| changed > 0)
        })
    }

    /// One command.
    pub fn command(&self, id: &str) -> Result<CommandRecord, Error> {
        self.with("read a command", |c| {
            let sql = format!("SELECT {COLUMNS} FROM commands WHERE id = ?");
            c.prepare_cached(&sql)?.query_row([id], record).optional()
        })?
        .ok_or_else(|| Error::not_found("command", id))
    }

    /// A device's newest commands first, at most `limit`.
    pub fn commands(&self, device: &str, limit: u32) -> Result<Vec<CommandRecord>, Error> {
        self.with("list commands", |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM commands WHERE device = ? \
                 ORDER BY created DESC, rowid DESC LIMIT ?"
            );
            c.prepare_cached(&sql)?.query_map(params![device, limit], record)?.collect()
        })
    }
}
