//! Everything the server knows, in one SQLite file (WAL).
//!
//! Invariants:
//! - the schema's version is `user_version`; a file from a newer server is refused, an older one is
//!   brought up step by step, each step in one transaction;
//! - one connection behind a mutex: statements are short, and no lock is held across an `await`;
//! - tokens and sessions are kept as SHA-256 only.
//!
//! | file | tables |
//! |---|---|
//! | `devices` | `devices`, `events` |
//! | `releases` | `releases`, `deployments`, `deployment_devices`, `snaps` |
//! | `access` | `tokens`, `sessions`, `audit` |
//! | `commands` | `commands` |

mod access;
mod commands;
mod devices;
mod releases;

pub use access::{AuditEntry, Enrolled, Token};
pub use commands::CommandRecord;
pub use devices::{Device, Event, NewDevice};
pub use releases::{Deployment, DeploymentDevice, Release, Snap};

use crate::error::Error;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Schema steps; the file's `user_version` says how many were made.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The database.
pub struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens or makes the file and brings its schema up.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Database { action: "open", source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            )
            .map_err(failed)?;
        migrate(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Runs `work` with the connection; `action` names it in errors.
    fn with<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        // A panic while the lock was held left no transaction behind: it was rolled back.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|source| Error::Database { action, source })
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let failed = |source| Error::Database { action: "migrate", source };
    let found: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(Error::DatabaseTooNew { found, known });
    }
    for (index, step) in MIGRATIONS.iter().enumerate().skip(found.max(0) as usize) {
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// JSON text of a column, or null for what is not JSON.
fn json(text: Option<String>) -> Option<serde_json::Value> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_file_is_refused_and_an_old_one_opened_again() {
        let dir = std::env::temp_dir().join(format!("fleet-store-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("directory");
        let path = dir.join("fleet.db");
        drop(Store::open(&path).expect("first"));
        drop(Store::open(&path).expect("again"));
        let connection = Connection::open(&path).expect("raw");
        connection.pragma_update(None, "user_version", 99).expect("set version");
        drop(connection);
        assert_eq!(Store::open(&path).err().map(|e| e.code()), Some("database"));
        std::fs::remove_dir_all(&dir).expect("remove");
    }
}
