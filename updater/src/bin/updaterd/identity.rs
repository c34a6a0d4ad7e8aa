//! Who this device is, and what the image says of itself.

use crate::clock::Clock;
use crate::failure;
use crate::files;
use crate::keyring::Keyring;
use crate::paths::Paths;
use protocol::control::Failure;
use protocol::device::DeviceConfig;
use protocol::fleet::{EnrollResponse, is_id};
use protocol::release::BuildInfo;
use std::sync::Arc;
use updater::accept::Device;

/// What is fixed while the daemon runs.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where everything is.
    pub paths: Paths,
    /// `device.toml`.
    pub config: Arc<DeviceConfig>,
    /// What this root file system is.
    pub build: BuildInfo,
    /// What is known of the time.
    pub clock: Clock,
    /// Root of trust.
    pub keys: Arc<Keyring>,
}

impl Site {
    /// Reads the image's files and the provisioning. A broken `device.toml` is no reason to end:
    /// the device stays up, stand-alone, and says so.
    pub fn load(paths: Paths) -> Result<Self, Failure> {
        let build: BuildInfo = serde_json::from_slice(&files::read_needed(&paths.release_json())?)
            .map_err(|e| failure("bad-build-info", e))?;
        let keys = Keyring::open(&paths)?;
        let config = match files::read_text(&paths.device_toml())? {
            None => DeviceConfig::default(),
            Some(text) => toml::from_str(&text).unwrap_or_else(|error| {
                eprintln!("device.toml is not followed: {error}");
                DeviceConfig::default()
            }),
        };
        let clock = Clock::open(&paths, build.build_time);
        Ok(Self { paths, config: Arc::new(config), build, clock, keys: Arc::new(keys) })
    }

    /// What the updater decides by.
    pub fn device(&self, identity: Option<&Identity>) -> Device {
        Device {
            fleet: identity.map(|i| i.fleet.clone()).unwrap_or_default(),
            device: identity.map(|i| i.device.clone()).unwrap_or_default(),
            board: self.build.board.clone(),
            build: self.build.clone(),
        }
    }
}

/// The identity that enrolment gave.
#[derive(Clone)]
pub struct Identity {
    /// Device id.
    pub device: String,
    /// Fleet id.
    pub fleet: String,
    /// Host of the broker.
    pub broker: (String, u16),
    /// PEM.
    pub ca: String,
    /// PEM.
    pub certificate: String,
    /// PEM; never leaves the device.
    pub key: String,
}

impl Identity {
    /// The stored identity; `None` when it is not (completely) there.
    pub fn load(paths: &Paths) -> Result<Option<Self>, Failure> {
        let dir = paths.identity();
        let text = |name: &str| files::read_text(&dir.join(name));
        let (Some(answer), Some(ca), Some(certificate), Some(key)) =
            (text("identity.json")?, text("ca.crt")?, text("device.crt")?, text("device.key")?)
        else {
            return Ok(None);
        };
        let answer: EnrollResponse =
            serde_json::from_str(&answer).map_err(|e| failure("bad-identity", e))?;
        Self::new(answer, ca, certificate, key).map(Some)
    }

    /// From a stored or received answer.
    pub fn new(
        answer: EnrollResponse,
        ca: String,
        certificate: String,
        key: String,
    ) -> Result<Self, Failure> {
        let bad = |why: &str| failure("bad-identity", why);
        if !is_id(&answer.device) || !is_id(&answer.fleet) {
            return Err(bad("device or fleet is not an id"));
        }
        let (host, port) = answer.broker.rsplit_once(':').ok_or_else(|| bad("broker"))?;
        let port = port.parse().map_err(|_| bad("port of the broker"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let EnrollResponse { device, fleet, .. } = answer;
        Ok(Self { device, fleet, broker: (host, port), ca, certificate, key })
    }
}
