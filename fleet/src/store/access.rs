//! Enrolment tokens, sessions of the dashboard, and the audit log.

use super::{NewDevice, Store};
use crate::error::Error;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

/// Entries kept in the audit log.
const AUDIT_ENTRIES: u32 = 10_000;

/// An enrolment token; its value is not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// When it was made.
    pub created: u64,
    /// Until when it is good.
    pub expires: u64,
    /// When it was used.
    pub used: Option<u64>,
    /// By which device.
    pub device: Option<String>,
}

/// What an enrolment request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolled {
    /// The token was good and is used now; the device is stored.
    New,
    /// The same key asked again with the same token: its answer had been lost.
    Again {
        /// Its id.
        device: String,
        /// Its certificate.
        certificate: String,
    },
    /// Unknown, expired, or used by another.
    Refused,
}

/// One line of the audit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub time: u64,
    /// Who: `admin` or a device id.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub detail: String,
}

impl Store {
    /// Keeps a new token by its hash.
    pub fn add_token(&self, hash: &str, created: u64, expires: u64) -> Result<(), Error> {
        self.with("store a token", |c| {
            c.execute(
                "INSERT INTO tokens (hash, created, expires) VALUES (?, ?, ?)",
                params![hash, created, expires],
            )
            .map(drop)
        })
    }

    /// Tokens that are good or were used, newest first.
    pub fn tokens(&self, now: u64) -> Result<Vec<Token>, Error> {
        self.with("list tokens", |c| {
            c.prepare(
                "SELECT created, expires, used, device FROM tokens \
                 WHERE used NOTNULL OR expires > ? ORDER BY created DESC LIMIT 50",
            )?
            .query_map([now], |row| {
                Ok(Token {
                    created: row.get(0)?,
                    expires: row.get(1)?,
                    used: row.get(2)?,
                    device: row.get(3)?,
                })
            })?
            .collect()
        })
    }

    /// Uses a token for a device with the key `key`, in one transaction.
    ///
    /// A device that lost power before it stored the answer asks again: until it expires, the same
    /// token is good again for the same key.
    pub fn enroll(
        &self,
        token: &str,
        key: &str,
        new: &NewDevice,
        now: u64,
    ) -> Result<Enrolled, Error> {
        self.with("enrol a device", |c| {
            let transaction = c.transaction()?;
            let found: Option<(Option<String>, Option<String>)> = transaction
                .query_row(
                    "SELECT device, key FROM tokens WHERE hash = ?1 AND expires > ?2",
                    params![token, now],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let outcome = match found {
                None => Enrolled::Refused,
                Some((Some(device), Some(used_by))) if used_by == key => {
                    let certificate: Option<String> = transaction
                        .query_row(
                            "SELECT certificate FROM devices WHERE id = ? AND revoked IS NULL",
                            [&device],
                            |row| row.get(0),
                        )
                        .optional()?;
                    match certificate {
                        Some(certificate) => Enrolled::Again { device, certificate },
                        None => Enrolled::Refused,
                    }
                }
                Some((Some(_), _)) => Enrolled::Refused,
                Some((None, _)) => {
                    transaction.execute(
                        "INSERT INTO devices (id, name, board, serial, enrolled, certificate, \
                         cert_serial, fingerprint, base_url) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        params![
                            new.id,
                            new.name,
                            new.board,
                            new.serial,
                            now,
                            new.certificate,
                            new.cert_serial,
                            new.fingerprint,
                            new.base_url
                        ],
                    )?;
                    transaction.execute(
                        "UPDATE tokens SET used = ?2, device = ?3, key = ?4 WHERE hash = ?1",
                        params![token, now, new.id, key],
                    )?;
                    Enrolled::New
                }
            };
            transaction.commit()?;
            Ok(outcome)
        })
    }

    /// Keeps a session by its cookie's hash.
    pub fn add_session(
        &self,
        hash: &str,
        guard: &str,
        now: u64,
        expires: u64,
    ) -> Result<(), Error> {
        self.with("store a session", |c| {
            c.execute("DELETE FROM sessions WHERE expires <= ?", [now])?;
            c.execute(
                "INSERT INTO sessions (hash, guard, expires) VALUES (?, ?, ?)",
                params![hash, guard, expires],
            )
            .map(drop)
        })
    }

    /// The page token of a session that is good.
    pub fn session(&self, hash: &str, now: u64) -> Result<Option<String>, Error> {
        self.with("read a session", |c| {
            c.prepare_cached("SELECT guard FROM sessions WHERE hash = ? AND expires > ?")?
                .query_row(params![hash, now], |row| row.get(0))
                .optional()
        })
    }

    /// Ends a session.
    pub fn end_session(&self, hash: &str) -> Result<(), Error> {
        self.with("end a session", |c| {
            c.execute("DELETE FROM sessions WHERE hash = ?", [hash]).map(drop)
        })
    }

    /// Adds to the audit log, which is bounded.
    pub fn audit(&self, time: u64, actor: &str, action: &str, detail: &str) -> Result<(), Error> {
        self.with("write the audit log", |c| {
            c.execute(
                "INSERT INTO audit (time, actor, action, detail) VALUES (?, ?, ?, ?)",
                params![time, actor, action, detail],
            )?;
            c.execute(
                "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?",
                [AUDIT_ENTRIES],
            )
            .map(drop)
        })
    }

    /// The newest entries of the audit log.
    pub fn audit_entries(&self, limit: u32) -> Result<Vec<AuditEntry>, Error> {
        self.with("read the audit log", |c| {
            c.prepare("SELECT time, actor, action, detail FROM audit ORDER BY id DESC LIMIT ?")?
                .query_map([limit], |row| {
                    Ok(AuditEntry {
                        time: row.get(0)?,
                        actor: row.get(1)?,
                        action: row.get(2)?,
                        detail: row.get(3)?,
                    })
                })?
                .collect()
        })
    }
}
