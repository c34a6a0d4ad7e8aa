//! The fleet server beside the gateways: the real program with its broker, on free ports of the
//! loopback interface, which guests reach as 10.0.2.2. It keeps its ports when it is started again,
//! as a server does, because the devices remember them.

use crate::child::Process;
use crate::error::{Error, Result, ensure, file};
use crate::releases::Release;
use crate::{limits, paths, provision};
use fleet::client::Client;
use fleet::config::Ports;
use fleet::store::Device;
use protocol::control::Health;
use protocol::device::{DeviceConfig, FleetConfig, TimeConfig};
use protocol::fleet::{DeviceState, UpdatePhase, UpdateStatus};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The host, as guests of QEMU's user network see it.
pub const HOST: &str = "10.0.2.2";
/// The server's program.
const PROGRAM: &str = "holdfast-fleet";

/// A running server, or one that was stopped.
pub struct FleetServer {
    data: PathBuf,
    keys: PathBuf,
    log: PathBuf,
    ports: Ports,
    process: Option<Process>,
    client: Client,
}

impl FleetServer {
    /// A new server that knows no device yet.
    pub fn start(name: &str, keys: &Path) -> Result<Self> {
        let folder = paths::hil()?;
        let data = folder.join(format!("{name}.fleet"));
        let _ = fs::remove_dir_all(&data);
        Self::open(&data, keys, &folder.join(format!("{name}.fleet.log")))
    }

    /// A server with its data in `data`, which may be there already.
    pub fn open(data: &Path, keys: &Path, log: &Path) -> Result<Self> {
        let remembered = fs::read_to_string(data.join("ports.json")).ok();
        let remembered = remembered.and_then(|text| serde_json::from_str::<Ports>(&text).ok());
        let (process, ports) = launch(data, keys, log, remembered.as_ref())?;
        let client = Client::from_data_dir(data, limits::SERVER_START)?;
        Ok(Self {
            data: data.to_path_buf(),
            keys: keys.to_path_buf(),
            log: log.to_path_buf(),
            ports,
            process: Some(process),
            client,
        })
    }

    /// The client of its HTTP API.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The address that signs a browser in.
    pub fn login_url(&self) -> Result<String> {
        let path = self.data.join("admin.token");
        let token = fs::read_to_string(&path).map_err(file("read", &path))?;
        Ok(format!("{}/login?token={}", self.ports.api_url, token.trim()))
    }

    /// What it listens on.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Ends the server and its broker without a farewell.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same ports.
    pub fn start_again(&mut self) -> Result {
        self.start_with(&self.keys.clone())
    }

    /// Starts it again as a thief would who has its data and its online key, and a release key of
    /// his own.
    pub fn start_with(&mut self, keys: &Path) -> Result {
        self.stop();
        let (process, ports) = launch(&self.data, keys, &self.log, Some(&self.ports))?;
        self.client = Client::from_data_dir(&self.data, limits::SERVER_START)?;
        (self.process, self.ports) = (Some(process), ports);
        Ok(())
    }

    /// `device.toml` with a fresh enrolment token.
    pub fn device_toml(&self, name: &str) -> Result<DeviceConfig> {
        let token = self.client.enrollment_token(None, Some(HOST))?;
        let sntp = self.ports.sntp.map(|port| format!("{HOST}:{port}"));
        Ok(DeviceConfig {
            fleet: Some(FleetConfig {
                url: token.url,
                token: Some(token.token),
                ca: token.ca,
                required: true,
            }),
            time: TimeConfig { servers: sntp.into_iter().collect(), zone: None },
            ..provision::stand_alone(name)
        })
    }

    /// Waits until a device of that name has enrolled and reported; returns its id.
    pub fn wait_enrolled(&self, name: &str) -> Result<String> {
        let what = format!("{name}: its first report");
        let wish = |device: &Device| device.name == name && device.online && device.state.is_some();
        let device = self.client.wait_for_any_device(&what, limits::BOOT, wish);
        Ok(device?.id)
    }

    /// Waits until a device is connected.
    pub fn wait_online(&self, device: &str) -> Result<Device> {
        Ok(self.client.wait_for_device(device, "online", limits::BOOT, |d| d.online)?)
    }

    /// Waits until a device says that it is healthy on `release`.
    pub fn wait_healthy(&self, device: &str, release: &Release) -> Result {
        let what = format!("{device}: healthy on {}", release.version);
        let healthy = |state: &DeviceState| {
            state.system.sequence == release.sequence && state.system.health == Health::Healthy
        };
        let wish = |d: &Device| d.online && d.state.as_ref().is_some_and(healthy);
        self.client.wait_for_device(device, &what, limits::BOOT, wish)?;
        Ok(())
    }

    /// Uploads a release, so that deltas can be made from it.
    pub fn upload(&self, release: &Release) -> Result<fleet::store::Release> {
        Ok(self.client.upload_release(&release.manifest, &release.payload)?)
    }

    /// Uploads a release and deploys it to a device.
    pub fn deploy(&self, release: &Release, device: &str) -> Result {
        let uploaded = self.upload(release)?;
        self.client.deploy(&uploaded.digest, &[device])?;
        Ok(())
    }

    /// Waits until the device has reported the end of an update to `release`, which must be
    /// `phase`.
    pub fn wait_update(
        &self,
        device: &str,
        release: &Release,
        phase: UpdatePhase,
    ) -> Result<DeviceState> {
        let what = format!("{device}: {phase:?} of {}", release.version);
        let ended = |update: &UpdateStatus| {
            use UpdatePhase::{Confirmed, FellBack, Refused};
            update.sequence == Some(release.sequence)
                && matches!(update.phase, Confirmed | FellBack | Refused)
        };
        let wish = |d: &Device| d.online && d.state.as_ref().is_some_and(|s| ended(&s.update));
        let found = self.client.wait_for_device(device, &what, limits::UPDATE, wish);
        let state = found?.state;
        let state = state.ok_or_else(|| Error::Story(format!("{what}: no state")))?;
        ensure(state.update.phase == phase, || format!("{what}, but {:?}", state.update))?;
        Ok(state)
    }

    /// Deploys a release that the device must refuse, for the reason `code`. A device that does not
    /// trust a manifest does not read it either, so its report names the reason and no release.
    pub fn refused(&self, release: &Release, device: &str, code: &str) -> Result {
        self.deploy(release, device)?;
        let what = format!("{device}: {} refused as {code}", release.version);
        let refused = |update: &UpdateStatus| {
            let reason = update.failure.as_ref().map(|failure| failure.code.as_str());
            update.phase == UpdatePhase::Refused && reason == Some(code)
        };
        let wish = |d: &Device| d.online && d.update().is_some_and(refused);
        self.client.wait_for_device(device, &what, limits::REFUSAL, wish)?;
        Ok(())
    }

    /// Waits until the device says that it is downloading `release`.
    pub fn wait_downloading(&self, device: &str, release: &Release) -> Result {
        self.wait_phase(device, release, UpdatePhase::Downloading)
    }

    /// Waits until the device says that a hold or a window keeps it from `release`.
    pub fn wait_held(&self, device: &str, release: &Release) -> Result {
        self.wait_phase(device, release, UpdatePhase::Waiting)
    }

    fn wait_phase(&self, device: &str, release: &Release, phase: UpdatePhase) -> Result {
        let what = format!("{device}: {phase:?} of {}", release.version);
        let runs = |update: &UpdateStatus| {
            update.sequence == Some(release.sequence) && update.phase == phase
        };
        let wish = |d: &Device| d.online && d.update().is_some_and(runs);
        self.client.wait_for_device(device, &what, limits::UPDATE, wish)?;
        Ok(())
    }
}

fn launch(data: &Path, keys: &Path, log: &Path, ports: Option<&Ports>) -> Result<(Process, Ports)> {
    let program = program()?;
    let _ = fs::remove_file(data.join("ports.json"));
    let open = File::options().create(true).append(true).open(log);
    let output = open.map_err(file("open", log))?;
    let errors = output.try_clone().map_err(file("open", log))?;
    let port = |pick: fn(&Ports) -> u16| ports.map_or(0, pick);
    let sntp = ports.and_then(|ports| ports.sntp).unwrap_or(0);
    let loopback = |port: u16| format!("127.0.0.1:{port}");
    let arguments = [
        "serve".to_string(),
        format!("--data={}", data.display()),
        format!("--keys={}", keys.display()),
        format!("--listen={}", loopback(port(|p| p.api))),
        format!("--device-listen={}", loopback(port(|p| p.device))),
        format!("--mqtt-port={}", port(|p| p.mqtt)),
        format!("--sntp={}", loopback(sntp)),
    ];
    let mut process = Process::start(&program.display().to_string(), move |command| {
        command.args(arguments).stdout(output).stderr(errors);
    })?;
    let ports = fleet::client::wait_for_ports(data, limits::SERVER_START).map_err(|error| {
        let ended = process.ended().map(|status| format!(" (it ended: {status})"));
        let printed = fs::read_to_string(log).unwrap_or_default();
        Error::Story(format!("{error}{}: {}", ended.unwrap_or_default(), printed.trim()))
    })?;
    Ok((process, ports))
}

/// The program, built when it is not current.
fn program() -> Result<&'static Path> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = BUILT.get() {
        return Ok(path);
    }
    let path = image_builder::binaries::of_this_machine("fleet", "bin", PROGRAM)?;
    Ok(BUILT.get_or_init(|| path))
}
