//! One machine in QEMU. Dropping it cuts its power: SIGKILL, nothing is flushed that the guest did
//! not have acknowledged.

use crate::child::Process;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::qmp::Qmp;
use crate::{limits, paths};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The machine that QEMU plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Machine {
    /// Raspberry Pi 3 model B, 1 GiB.
    #[default]
    Raspi3b,
    /// Raspberry Pi 4 model B.
    Raspi4b,
    /// QEMU's own board.
    Virt,
}

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Self::Raspi3b => "raspi3b",
            Self::Raspi4b => "raspi4b",
            Self::Virt => "virt",
        }
    }

    /// How U-Boot is given to it: on `virt` it finds the device tree only as firmware.
    fn boot_option(self) -> &'static str {
        match self {
            Self::Raspi3b | Self::Raspi4b => "-kernel",
            Self::Virt => "-bios",
        }
    }

    /// Where the card's file is plugged.
    fn card_interface(self) -> &'static str {
        match self {
            Self::Raspi3b | Self::Raspi4b => "if=sd",
            Self::Virt => "if=none,id=card",
        }
    }

    /// The adapter of the network.
    fn network_adapter(self) -> &'static str {
        match self {
            Self::Raspi3b | Self::Raspi4b => "usb-net",
            Self::Virt => "virtio-net-pci,romfile=",
        }
    }

    /// What the board has besides; on `virt` everything is optional: processors, memory, the SD
    /// card's reader, and the watchdog.
    fn devices(self) -> &'static [&'static str] {
        match self {
            Self::Raspi3b | Self::Raspi4b => &[],
            Self::Virt => &[
                "-cpu",
                "cortex-a53",
                "-smp",
                "4",
                "-m",
                "1024",
                "-device",
                "sdhci-pci",
                "-device",
                "sd-card,drive=card",
                "-device",
                "i6300esb",
            ],
        }
    }
}

/// How the machine's network is plugged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// An Ethernet adapter (on a Pi one on USB), the host at 10.0.2.2.
    #[default]
    Plugged,
    /// The same, with these ports of the device reachable at ports of the host: (host, device).
    Forwarded(Vec<(u16, u16)>),
    /// No adapter at all.
    None,
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct MachineSpec {
    /// Name of the log file and of the machine in messages.
    pub name: String,
    /// The machine.
    pub machine: Machine,
    /// The `u-boot.bin` that the machine starts with.
    pub boots: PathBuf,
    /// Device tree.
    pub device_tree: Option<PathBuf>,
    /// Card; its size must be a power of two.
    pub card: Option<PathBuf>,
    /// Where each write to the card is logged, see [`crate::write_log`].
    pub write_log: Option<PathBuf>,
    /// Network.
    pub network: Network,
    /// Instructions are counted and time is virtual: the same figures on every run.
    pub virtual_time: bool,
    /// More arguments for QEMU.
    pub arguments: Vec<String>,
}

/// A running machine.
pub struct Qemu {
    /// Its serial line.
    pub console: Console,
    process: Process,
    control: PathBuf,
    _permit: Permit,
}

impl Qemu {
    /// Starts a machine; waits while too many run.
    pub fn start(spec: &MachineSpec) -> Result<Self> {
        let permit = Permit::take();
        let folder = paths::hil()?;
        // Unix socket paths are short: the folder of the system, not ours.
        let control = std::env::temp_dir().join(format!("hil-{}.qmp", unique()));
        let arguments = arguments(spec, &control);
        let mut process = Process::start("qemu-system-aarch64", move |command| {
            command.args(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        })?;
        let pipes = (process.child().stdout.take(), process.child().stdin.take());
        let (Some(output), Some(input)) = pipes else {
            return Err(Error::Story("QEMU has no pipes".into()));
        };
        let log = folder.join(format!("{}.log", spec.name));
        let console = Console::new(&spec.name, output, input, &log)?;
        Ok(Self { console, process, control, _permit: permit })
    }

    /// Connects to the control socket.
    pub fn control(&mut self) -> Result<Qmp> {
        let end = Instant::now() + limits::QMP;
        while !self.control.exists() && Instant::now() < end {
            thread::sleep(limits::POLL);
        }
        Qmp::connect(&self.control)
    }

    /// Cuts the power.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Waits until the machine powered itself off.
    pub fn wait_off(mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit)
    }

    /// Whether QEMU still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_file(&self.control);
    }
}

fn arguments(spec: &MachineSpec, control: &Path) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| list.extend(words.iter().map(ToString::to_string));
    add(&["-machine", spec.machine.name()]);
    // Several threads spin on the idle cores of the raspi machines and starve the busy one.
    add(&["-accel", "tcg,thread=single", "-display", "none", "-monitor", "none"]);
    let boots = spec.boots.display().to_string();
    add(&["-serial", "stdio", spec.machine.boot_option(), &boots]);
    add(&["-qmp", &format!("unix:{},server=on,wait=off", control.display())]);
    if let Some(tree) = &spec.device_tree {
        add(&["-dtb", &tree.display().to_string()]);
    }
    if let Some(card) = &spec.card {
        let interface = spec.machine.card_interface();
        add(&["-drive", &format!("{interface},{}", drive(card, spec.write_log.as_deref()))]);
    }
    add(spec.machine.devices());
    if spec.virtual_time {
        add(&["-icount", "shift=1,sleep=off"]);
    }
    match netdev(&spec.network) {
        Some(netdev) => {
            let device = format!("{},netdev=n0", spec.machine.network_adapter());
            add(&["-netdev", &netdev, "-device", &device]);
        }
        None => add(&["-nic", "none"]),
    }
    list.extend(spec.arguments.iter().cloned());
    list
}

/// The card's file, behind a log of its writes where one is wished. The log's superblock is written
/// with each entry, so that the log is whole whenever QEMU is killed.
fn drive(card: &Path, write_log: Option<&Path>) -> String {
    let Some(log) = write_log else { return format!("format=raw,file={}", card.display()) };
    format!(
        "driver=blklogwrites,log-super-update-interval=1,\
         file.driver=file,file.filename={},log.driver=file,log.filename={}",
        card.display(),
        log.display()
    )
}

fn netdev(network: &Network) -> Option<String> {
    let forwards: &[(u16, u16)] = match network {
        Network::None => return None,
        Network::Plugged => &[],
        Network::Forwarded(ports) => ports,
    };
    let mut text = "user,id=n0".to_string();
    for (host, device) in forwards {
        text.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{device}"));
    }
    Some(text)
}

/// A name that no other machine of this or another process has.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The right to run one machine.
struct Permit;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Permit {
    fn take() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while *running >= limits::MACHINES {
            running = ENDED.wait(running).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        *running += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= 1;
        ENDED.notify_one();
    }
}
