//! What the device itself says of when to update: `device.toml`, and over it what a person set by
//! `snapctl`, which is kept beside the updater's notes.

use crate::failure;
use crate::files;
use crate::identity::Site;
use crate::init;
use protocol::control::{Failure, InitRequest};
use protocol::policy::{
    Hold, LocalPolicy, MIN_BANDWIDTH, PolicyChange, Setting, UpdatePolicy, Zone,
};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use updater::policy::Moment;

/// The device's word.
pub struct DevicePolicy {
    path: PathBuf,
    provisioned: UpdatePolicy,
    local: Mutex<LocalPolicy>,
    /// The device's time zone.
    pub zone: Option<Zone>,
}

impl DevicePolicy {
    /// Reads both. What a person set and cannot be understood any more is told as a warning.
    pub fn load(site: &Site) -> Self {
        let path = site.paths.notes().join("policy.json");
        let read = files::read(&path).and_then(|bytes| match bytes {
            None => Ok(LocalPolicy::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| failure("policy", e)),
        });
        let local = read.unwrap_or_else(|failure| {
            let warning = format!("what snapctl set about updates is lost: {failure}");
            init::tell(&site.paths, &InitRequest::Warn(warning));
            LocalPolicy::default()
        });
        let (provisioned, zone) = (site.config.updates.clone(), site.config.time.zone.clone());
        Self { path, provisioned, local: Mutex::new(local), zone }
    }

    /// What it says now.
    pub fn says(&self) -> UpdatePolicy {
        self.local().over(&self.provisioned)
    }

    fn local(&self) -> MutexGuard<'_, LocalPolicy> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person sets something, durably.
    pub fn change(&self, change: PolicyChange, moment: Moment) -> Result<(), Failure> {
        let mut held = self.local();
        let mut local = held.clone();
        match change {
            PolicyChange::Bandwidth(Setting::Is(..MIN_BANDWIDTH)) => {
                let why = format!("at least {MIN_BANDWIDTH} bytes a second");
                return Err(failure("bad-policy", why));
            }
            PolicyChange::Bandwidth(limit) => local.bandwidth = limit,
            PolicyChange::Hold(hold) => local.hold = hold,
            PolicyChange::HoldFor(_) if !moment.set => {
                let why = "no time server has set the clock yet; hold until a date, or `forever`";
                return Err(failure("clock-not-set", why));
            }
            PolicyChange::HoldFor(seconds) => {
                let until = moment.now.saturating_add(seconds);
                local.hold = Setting::Is(Hold::Until(until));
            }
            PolicyChange::Window(window) => local.window = window,
        }
        let bytes = serde_json::to_vec(&local).map_err(|e| failure("policy", e))?;
        files::write(&self.path, &bytes)?;
        *held = local;
        Ok(())
    }
}
