//! Releases, deployments and snaps.

use super::{Store, json};
use crate::error::Error;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// One uploaded release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Release {
    /// SHA-256 of the manifest's envelope: its id.
    pub digest: String,
    /// Version for people.
    pub version: String,
    /// Decides what is newer.
    pub sequence: u64,
    /// Lowest sequence that may run afterwards.
    pub floor: u64,
    /// Boards that it runs on.
    pub boards: Vec<String>,
    /// SHA-256 of the payload container.
    pub payload_digest: String,
    /// Size of the payload container in bytes.
    pub payload_size: u64,
    /// Notes for people.
    pub notes: String,
    /// Whether the payload is here.
    pub ready: bool,
    /// When the manifest came.
    pub uploaded: u64,
}

impl Release {
    /// Whether a device whose build has this name runs it, see [`protocol::delta::build_name`].
    pub fn is_build(&self, name: &str) -> bool {
        let named = |board| protocol::delta::build_name(board, &self.version, self.sequence);
        self.boards.iter().any(|board| named(board) == name)
    }
}

/// One deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// Id.
    pub id: i64,
    /// Digest of the release.
    pub release: String,
    /// When it was made.
    pub created: u64,
    /// When its assignments expire.
    pub expires: u64,
}

/// One device of a deployment.
#[derive(Debug, Clone)]
pub struct DeploymentDevice {
    /// Device id.
    pub device: String,
    /// Counter of the assignment.
    pub counter: u64,
}

/// One uploaded snap.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snap {
    /// SHA-256 of the file: its id.
    pub sha256: String,
    /// File name at upload, or the signed name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// What the signature says, for people.
    pub signature: String,
    /// Whether the signature is good.
    pub signed: bool,
    /// When it was uploaded.
    pub uploaded: u64,
}

const RELEASE: &str = "digest, version, sequence, floor, boards, payload_digest, payload_size, \
                       notes, ready, uploaded";

fn release(row: &Row<'_>) -> rusqlite::Result<Release> {
    Ok(Release {
        digest: row.get(0)?,
        version: row.get(1)?,
        sequence: row.get(2)?,
        floor: row.get(3)?,
        boards: json(row.get(4)?)
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default(),
        payload_digest: row.get(5)?,
        payload_size: row.get(6)?,
        notes: row.get(7)?,
        ready: row.get(8)?,
        uploaded: row.get(9)?,
    })
}

fn deployment(row: &Row<'_>) -> rusqlite::Result<Deployment> {
    Ok(Deployment {
        id: row.get(0)?,
        release: row.get(1)?,
        created: row.get(2)?,
        expires: row.get(3)?,
    })
}

fn snap(row: &Row<'_>) -> rusqlite::Result<Snap> {
    Ok(Snap {
        sha256: row.get(0)?,
        name: row.get(1)?,
        size: row.get(2)?,
        signature: row.get(3)?,
        signed: row.get(4)?,
        uploaded: row.get(5)?,
    })
}

const SNAP: &str = "sha256, name, size, signature, signed, uploaded";

impl Store {
    /// Stores a verified manifest; a known one stays as it is.
    pub fn add_release(&self, new: &Release, manifest: &[u8]) -> Result<(), Error> {
        let boards = serde_json::to_string(&new.boards).unwrap_or_default();
        self.with("store a release", |c| {
            c.execute(
                "INSERT INTO releases (digest, manifest, version, sequence, floor, boards, \
                 payload_digest, payload_size, notes, ready, uploaded) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![
                    new.digest,
                    manifest,
                    new.version,
                    new.sequence,
                    new.floor,
                    boards,
                    new.payload_digest,
                    new.payload_size,
                    new.notes,
                    new.ready,
                    new.uploaded
                ],
            )
            .map(drop)
        })
    }

    /// All releases, newest sequence first.
    pub fn releases(&self) -> Result<Vec<Release>, Error> {
        self.with("list releases", |c| {
            let sql =
                format!("SELECT {RELEASE} FROM releases ORDER BY sequence DESC, uploaded DESC");
            c.prepare_cached(&sql)?.query_map([], release)?.collect()
        })
    }

    /// One release.
    pub fn release(&self, digest: &str) -> Result<Release, Error> {
        self.with("read a release", |c| {
            let sql = format!("SELECT {RELEASE} FROM releases WHERE digest = ?");
            c.prepare_cached(&sql)?.query_row([digest], release).optional()
        })?
        .ok_or_else(|| Error::not_found("release", digest))
    }

    /// The manifest's envelope.
    pub fn manifest(&self, digest: &str) -> Result<Vec<u8>, Error> {
        self.with("read a manifest", |c| {
            c.query_row("SELECT manifest FROM releases WHERE digest = ?", [digest], |r| r.get(0))
                .optional()
        })?
        .ok_or_else(|| Error::not_found("release", digest))
    }

    /// The payload with this digest has arrived.
    pub fn payload_arrived(&self, payload_digest: &str) -> Result<(), Error> {
        self.with("complete a release", |c| {
            c.execute("UPDATE releases SET ready = 1 WHERE payload_digest = ?", [payload_digest])
                .map(drop)
        })
    }

    /// Makes a deployment.
    pub fn add_deployment(
        &self,
        release: &str,
        created: u64,
        expires: u64,
    ) -> Result<Deployment, Error> {
        self.with("store a deployment", |c| {
            c.query_row(
                "INSERT INTO deployments (release, created, expires) VALUES (?, ?, ?) \
                 RETURNING id, release, created, expires",
                params![release, created, expires],
                deployment,
            )
        })
    }

    /// Whether a release was ever deployed.
    pub fn is_deployed(&self, release: &str) -> Result<bool, Error> {
        self.with("look for a release's deployments", |c| {
            let sql = "SELECT EXISTS (SELECT 1 FROM deployments WHERE release = ?)";
            c.prepare_cached(sql)?.query_row([release], |row| row.get(0))
        })
    }

    /// Adds a device to a deployment.
    pub fn add_to_deployment(&self, id: i64, device: &str, counter: u64) -> Result<(), Error> {
        self.with("store a deployment's device", |c| {
            c.execute(
                "INSERT INTO deployment_devices (deployment, device, counter) VALUES (?, ?, ?)",
                params![id, device, counter],
            )
            .map(drop)
        })
    }

    /// An assignment was signed anew under another counter.
    pub fn renumber_assignment(&self, device: &str, old: u64, new: u64) -> Result<(), Error> {
        self.with("renumber an assignment", |c| {
            c.execute(
                "UPDATE deployment_devices SET counter = ?3 WHERE device = ?1 AND counter = ?2",
                params![device, old, new],
            )
            .map(drop)
        })
    }

    /// The newest deployments first, at most `limit`.
    pub fn deployments(&self, limit: u32) -> Result<Vec<Deployment>, Error> {
        self.with("list deployments", |c| {
            c.prepare_cached(
                "SELECT id, release, created, expires FROM deployments ORDER BY id DESC LIMIT ?",
            )?
            .query_map([limit], deployment)?
            .collect()
        })
    }

    /// One deployment.
    pub fn deployment(&self, id: i64) -> Result<Deployment, Error> {
        self.with("read a deployment", |c| {
            c.query_row(
                "SELECT id, release, created, expires FROM deployments WHERE id = ?",
                [id],
                deployment,
            )
            .optional()
        })?
        .ok_or_else(|| Error::not_found("deployment", &id.to_string()))
    }

    /// Devices of a deployment.
    pub fn deployment_devices(&self, id: i64) -> Result<Vec<DeploymentDevice>, Error> {
        self.with("list a deployment's devices", |c| {
            c.prepare_cached(
                "SELECT device, counter FROM deployment_devices WHERE deployment = ? \
                 ORDER BY device",
            )?
            .query_map([id], |row| {
                Ok(DeploymentDevice { device: row.get(0)?, counter: row.get(1)? })
            })?
            .collect()
        })
    }

    /// Stores an uploaded snap; a known one is named anew.
    pub fn add_snap(&self, new: &Snap) -> Result<(), Error> {
        self.with("store a snap", |c| {
            c.execute(
                "INSERT INTO snaps (sha256, name, size, signature, signed, uploaded) \
                 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (sha256) DO UPDATE SET \
                 name = excluded.name, signature = excluded.signature, signed = excluded.signed",
                params![new.sha256, new.name, new.size, new.signature, new.signed, new.uploaded],
            )
            .map(drop)
        })
    }

    /// All snaps, newest first.
    pub fn snaps(&self) -> Result<Vec<Snap>, Error> {
        self.with("list snaps", |c| {
            let sql = format!("SELECT {SNAP} FROM snaps ORDER BY uploaded DESC, name");
            c.prepare_cached(&sql)?.query_map([], snap)?.collect()
        })
    }

    /// One snap.
    pub fn snap(&self, sha256: &str) -> Result<Snap, Error> {
        self.with("read a snap", |c| {
            let sql = format!("SELECT {SNAP} FROM snaps WHERE sha256 = ?");
            c.prepare_cached(&sql)?.query_row([sha256], snap).optional()
        })?
        .ok_or_else(|| Error::not_found("snap", sha256))
    }
}
