//! A blocking client of the HTTP API, for programs and tests.
//!
//! ```no_run
//! # fn main() -> Result<(), fleet::client::ClientError> {
//! use fleet::client::Client;
//! use std::{path::Path, time::Duration};
//!
//! let client = Client::from_data_dir(Path::new("data"), Duration::from_secs(30))?;
//! let release = client.upload_release(Path::new("r2.manifest"), Path::new("r2.payload"))?;
//! let rollout = client.deploy_to_all(&release.digest)?;
//! client.wait_for_rollout(rollout.deployment.id, Duration::from_secs(600))?;
//! # Ok(()) }
//! ```

use crate::api::{All, DeviceDetail, Targets, TokenAnswer, Wish};
use crate::config::Ports;
use crate::rollout::{Rollout, Step};
use crate::store::{CommandRecord, Device, Release, Snap};
use protocol::control::{AppRequest, Failure};
use protocol::fleet::{Action, CommandResult};
use protocol::policy::UpdatePolicy;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

/// Between looks at something that is waited for.
const POLL: Duration = Duration::from_millis(200);
/// Largest answer read.
const MAX_ANSWER: u64 = 64 << 20;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused: its code and message.
    #[error("{what}: {failure}")]
    Refused {
        /// Which request.
        what: String,
        /// HTTP status.
        status: u16,
        /// Code and message.
        failure: Failure,
    },
    /// The server could not be asked, or its answer not be read.
    #[error("{what}: {why}")]
    Transport {
        /// Which request.
        what: String,
        /// Why.
        why: String,
    },
    /// A file to upload, or of the server's data directory.
    #[error("read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// What was waited for did not come.
    #[error("{what} did not come within {seconds} s; last seen: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was there instead.
        last: String,
    },
}

impl ClientError {
    /// The server's code, when it refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { failure, .. } => Some(&failure.code),
            _ => None,
        }
    }
}

/// One server and the right to use it.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    token: String,
}

impl Client {
    /// For a server's base address and admin token.
    pub fn new(api_url: &str, token: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).build();
        Self {
            agent: Agent::new_with_config(config),
            base: format!("{}/api/v1", api_url.trim_end_matches('/')),
            token: token.to_owned(),
        }
    }

    /// For a server on this machine: waits until its `ports.json` is there.
    pub fn from_data_dir(data: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let ports = wait_for_ports(data, timeout)?;
        let path = data.join("admin.token");
        let token = fs::read_to_string(&path).map_err(file(&path))?;
        Ok(Self::new(&ports.api_url, token.trim()))
    }

    /// Makes an enrolment token; `host`: the name by which the device reaches the server.
    pub fn enrollment_token(
        &self,
        ttl: Option<u64>,
        host: Option<&str>,
    ) -> Result<TokenAnswer, ClientError> {
        self.post("/tokens", &json!({ "ttl": ttl, "host": host }))
    }

    /// All devices.
    pub fn devices(&self) -> Result<Vec<Device>, ClientError> {
        self.get("/devices")
    }

    /// One device with its history.
    pub fn device(&self, id: &str) -> Result<DeviceDetail, ClientError> {
        self.get(&format!("/devices/{id}"))
    }

    /// Waits until a device of any id is as wished.
    pub fn wait_for_any_device(
        &self,
        what: &str,
        timeout: Duration,
        wish: impl Fn(&Device) -> bool,
    ) -> Result<Device, ClientError> {
        wait(what, timeout, || {
            let devices = self.devices()?;
            let last = serde_json::to_string(&devices).unwrap_or_default();
            Ok(devices.into_iter().find(|device| wish(device)).ok_or(last))
        })
    }

    /// Waits until a device is as wished.
    pub fn wait_for_device(
        &self,
        id: &str,
        what: &str,
        timeout: Duration,
        wish: impl Fn(&Device) -> bool,
    ) -> Result<Device, ClientError> {
        wait(what, timeout, || {
            let device = self.device(id)?.device;
            let last = serde_json::to_string(&device).unwrap_or_default();
            Ok(if wish(&device) { Ok(device) } else { Err(last) })
        })
    }

    /// Takes the right to connect from a device.
    pub fn revoke(&self, id: &str) -> Result<Device, ClientError> {
        self.post(&format!("/devices/{id}/revoke"), &json!({}))
    }

    /// Sets when a device may update.
    pub fn set_policy(&self, id: &str, policy: &UpdatePolicy) -> Result<Device, ClientError> {
        self.set_policy_json(id, &serde_json::to_value(policy).unwrap_or_default())
    }

    /// The same as JSON, checked by the server alone.
    pub fn set_policy_json(&self, id: &str, policy: &Value) -> Result<Device, ClientError> {
        let path = format!("/devices/{id}/policy");
        let answer = self
            .agent
            .put(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .send_json(policy);
        read(format!("PUT {path}"), answer)
    }

    /// Uploads a signed manifest and its payload.
    pub fn upload_release(&self, manifest: &Path, payload: &Path) -> Result<Release, ClientError> {
        let release: Release = self.upload("POST", "/releases", manifest)?;
        if release.ready {
            return Ok(release);
        }
        self.upload("PUT", &format!("/releases/{}/payload", release.digest), payload)
    }

    /// All releases, newest first.
    pub fn releases(&self) -> Result<Vec<Release>, ClientError> {
        self.get("/releases")
    }

    /// Deploys a release to devices.
    pub fn deploy(&self, release: &str, devices: &[&str]) -> Result<Rollout, ClientError> {
        let devices = devices.iter().map(|id| (*id).to_owned()).collect();
        self.deploy_wish(&Wish {
            release: release.to_owned(),
            devices: Targets::Listed(devices),
            ttl: None,
        })
    }

    /// Deploys a release to every device that it fits.
    pub fn deploy_to_all(&self, release: &str) -> Result<Rollout, ClientError> {
        self.deploy_wish(&Wish {
            release: release.to_owned(),
            devices: Targets::Word(All::All),
            ttl: None,
        })
    }

    /// Deploys as wished.
    pub fn deploy_wish(&self, wish: &Wish) -> Result<Rollout, ClientError> {
        self.post("/deployments", &serde_json::to_value(wish).unwrap_or_default())
    }

    /// A deployment and how far its devices are.
    pub fn deployment(&self, id: i64) -> Result<Rollout, ClientError> {
        self.get(&format!("/deployments/{id}"))
    }

    /// Waits until every device of a deployment has come to an end: confirmed, fell back, refused
    /// or superseded. Says which in the answer.
    pub fn wait_for_rollout(&self, id: i64, timeout: Duration) -> Result<Rollout, ClientError> {
        wait("the end of the deployment", timeout, || {
            let rollout = self.deployment(id)?;
            let ended = rollout.devices.iter().all(|device| {
                matches!(
                    device.step,
                    Step::Confirmed | Step::FellBack | Step::Refused | Step::Superseded
                )
            });
            let last = format!("{:?}", rollout.devices);
            Ok(if ended { Ok(rollout) } else { Err(last) })
        })
    }

    /// Sends a command; returns its id.
    pub fn command(&self, device: &str, action: &Action) -> Result<String, ClientError> {
        let body = serde_json::to_value(action).unwrap_or_default();
        self.send_command(device, &body)
    }

    /// Sends a command and waits for its result.
    pub fn run(
        &self,
        device: &str,
        action: &Action,
        timeout: Duration,
    ) -> Result<CommandResult, ClientError> {
        let id = self.command(device, action)?;
        self.wait_for_command(&id, timeout)
    }

    /// Asks a device's appd and waits for the answer.
    pub fn app(
        &self,
        device: &str,
        request: AppRequest,
        timeout: Duration,
    ) -> Result<CommandResult, ClientError> {
        self.run(device, &Action::App(request), timeout)
    }

    /// Waits for the result of a command.
    pub fn wait_for_command(
        &self,
        id: &str,
        timeout: Duration,
    ) -> Result<CommandResult, ClientError> {
        wait(&format!("the result of command {id}"), timeout, || {
            let record: CommandRecord = self.get(&format!("/commands/{id}"))?;
            let last = record.action.to_string();
            let result = record.result.and_then(|value| serde_json::from_value(value).ok());
            Ok(result.ok_or(last))
        })
    }

    /// Uploads a snap.
    pub fn upload_snap(&self, snap: &Path) -> Result<Snap, ClientError> {
        let name = snap.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name: String =
            name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
        self.upload("POST", &format!("/snaps?name={name}"), snap)
    }

    /// Installs an uploaded snap on a device and waits for the result.
    pub fn install(
        &self,
        device: &str,
        sha256: &str,
        dangerous: bool,
        timeout: Duration,
    ) -> Result<CommandResult, ClientError> {
        let body = json!({ "install-snap": { "sha256": sha256, "dangerous": dangerous } });
        let id = self.send_command(device, &body)?;
        self.wait_for_command(&id, timeout)
    }

    fn send_command(&self, device: &str, body: &Value) -> Result<String, ClientError> {
        let sent: Value = self.post(&format!("/devices/{device}/commands"), body)?;
        Ok(sent["id"].as_str().unwrap_or_default().to_owned())
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let what = format!("GET {path}");
        let answer = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .call();
        read(what, answer)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ClientError> {
        let what = format!("POST {path}");
        let answer = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .send_json(body);
        read(what, answer)
    }

    fn upload<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        from: &Path,
    ) -> Result<T, ClientError> {
        let what = format!("{method} {path}");
        let url = format!("{}{path}", self.base);
        let request = if method == "PUT" { self.agent.put(url) } else { self.agent.post(url) };
        let answer = request
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/octet-stream")
            .send(SendBody::from_owned_reader(File::open(from).map_err(file(from))?));
        read(what, answer)
    }
}

/// Waits for a server's `ports.json`.
pub fn wait_for_ports(data: &Path, timeout: Duration) -> Result<Ports, ClientError> {
    let path = data.join("ports.json");
    wait(&format!("{}", path.display()), timeout, || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        Ok(serde_json::from_str(&text).map_err(|_| "no such file".to_owned()))
    })
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ClientError {
    let path = path.display().to_string();
    move |source| ClientError::File { path, source }
}

fn read<T: DeserializeOwned>(
    what: String,
    answer: Result<Response<Body>, ureq::Error>,
) -> Result<T, ClientError> {
    let failed = |what: &str, why: String| ClientError::Transport { what: what.to_owned(), why };
    let mut answer = answer.map_err(|e| failed(&what, e.to_string()))?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_string()
        .map_err(|e| failed(&what, e.to_string()))?;
    if status.is_success() {
        return serde_json::from_str(&text).map_err(|e| failed(&what, format!("{e} in {text}")));
    }
    let failure = serde_json::from_str(&text)
        .unwrap_or(Failure { code: format!("http-{}", status.as_u16()), message: text });
    Err(ClientError::Refused { what, status: status.as_u16(), failure })
}

/// Looks again and again until `look` finds it; what it says instead is kept for the error.
fn wait<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Result<T, String>, ClientError>,
) -> Result<T, ClientError> {
    let deadline = Instant::now() + timeout;
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(last) if Instant::now() >= deadline => {
                return Err(ClientError::TimedOut {
                    what: what.to_owned(),
                    seconds: timeout.as_secs(),
                    last,
                });
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
