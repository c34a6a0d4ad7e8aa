//! What `cargo xtask demo` does, step by step, each with the time that it took.

use crate::board::Board;
use crate::error::{Result, ensure, file};
use crate::fleet_server::FleetServer;
use crate::gateway::Gateway;
use crate::releases::{Release, Releases};
use crate::{limits, paths, samples};
use fleet::store::Device;
use protocol::fleet::UpdatePhase;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Name of the gateway.
const NAME: &str = "demo";

/// A running demo.
pub struct Demo {
    story: Story,
    second: Release,
    snap: PathBuf,
    fleet: FleetServer,
    gateway: Gateway,
    device: String,
}

impl Demo {
    /// Builds two releases, starts the fleet server, boots a gateway that enrols itself.
    pub fn start() -> Result<Self> {
        let mut story = Story::begin();
        let folder = paths::work_tree().join("out").join(NAME);
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        let releases = Releases::prepare(Board::Rpi3, &folder.join("keys"))?;
        story.tell("kernel, boot loader and programs are built");
        let (first, second) = (releases.first()?, releases.second()?);
        let snap = folder.join("hello.snap");
        fs::write(&snap, samples::signed(&releases)?).map_err(file("write", &snap))?;
        story.tell(&format!(
            "releases {} and {} are built and signed",
            first.version, second.version
        ));

        let data = folder.join("fleet");
        let _ = fs::remove_dir_all(&data);
        let fleet = FleetServer::open(&data, releases.keys(), &folder.join("fleet.log"))?;
        story.tell(&format!("the fleet server runs, dashboard: {}", fleet.login_url()?));

        let mut gateway = Gateway::new(NAME, &first, &fleet.device_toml(NAME)?)?;
        gateway.power_on()?;
        story.tell("a Raspberry Pi 3 is switched on in QEMU");
        fleet.upload(&first)?;
        let device = fleet.wait_enrolled(NAME)?;
        fleet.wait_healthy(&device, &first)?;
        story.tell(&format!("{device} has enrolled itself and is healthy on {}", first.version));
        Ok(Self { story, second, snap, fleet, gateway, device })
    }

    /// Leaves the gateway to the person, until it is switched off or Ctrl-C is pressed.
    pub fn stay(mut self) -> Result {
        self.fleet.client().upload_release(&self.second.manifest, &self.second.payload)?;
        self.fleet.client().upload_snap(&self.snap)?;
        println!();
        println!("  Dashboard   {}", self.fleet.login_url()?);
        println!("  Console     {}", paths::hil()?.join(format!("{NAME}.log")).display());
        println!(
            "  Release {} and the app `hello` are uploaded: deploy them there.",
            self.second.version
        );
        println!("  Ctrl-C ends the demo.");
        while self.gateway.machine()?.is_running() {
            std::thread::sleep(Duration::from_secs(1));
        }
        self.story.tell("the gateway has switched itself off");
        Ok(())
    }

    /// Update, app, power-off.
    pub fn once(mut self) -> Result {
        self.fleet.deploy(&self.second, &self.device)?;
        self.story.tell(&format!("release {} is uploaded and deployed", self.second.version));
        self.fleet.wait_downloading(&self.device, &self.second)?;
        self.story.tell("the gateway downloads it");
        let state = self.fleet.wait_update(&self.device, &self.second, UpdatePhase::Confirmed)?;
        self.fleet.wait_healthy(&self.device, &self.second)?;
        let fetched = state.update.bytes_fetched;
        self.story.tell(&format!(
            "the gateway runs {} from slot {:?} and has confirmed it ({fetched} bytes fetched)",
            state.system.version, state.system.slot
        ));

        let client = self.fleet.client();
        let snap = client.upload_snap(&self.snap)?;
        let result = client.install(&self.device, &snap.sha256, false, limits::COMMAND)?;
        ensure(result.ok, || format!("the app was not installed: {:?}", result.failure))?;
        let active = |device: &Device| {
            let apps = device.apps.iter().flatten();
            apps.flat_map(|app| &app.services).any(|service| service.state == "active")
        };
        client.wait_for_device(&self.device, "a running app", limits::COMMAND, active)?;
        self.story.tell("the app `hello` is installed from the fleet server and runs, confined");

        self.gateway.power_off()?;
        self.story.tell("the gateway was switched off in order");
        self.story.end();
        Ok(())
    }
}

/// What happened, and when.
struct Story {
    start: Instant,
    last: Instant,
    lines: Vec<String>,
}

impl Story {
    fn begin() -> Self {
        Self { start: Instant::now(), last: Instant::now(), lines: Vec::new() }
    }

    fn tell(&mut self, text: &str) {
        let now = Instant::now();
        let (total, step) = (now - self.start, now - self.last);
        let line =
            format!("{:7.1} s  (+{:5.1} s)  {text}", total.as_secs_f64(), step.as_secs_f64());
        println!("{line}");
        self.last = now;
        self.lines.push(line);
    }

    fn end(&self) {
        println!("\nWhat happened:");
        for line in &self.lines {
            println!("  {line}");
        }
    }
}
