//! A folder that stands for a device, and the appd that runs on it.

use app_runtime::confine;
use protocol::keychain::KeyChain;
use protocol::keys::{KeySet, PrivateKey};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sandbox::{Mount, Process, Stdio};
use serde_json::Value;
use std::{
    cell::OnceCell,
    fs,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

/// Far longer than anything takes; only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(180);
static NEXT: AtomicU32 = AtomicU32::new(0);
/// The machine's network, which the tests are in before each gets one of its own.
static MACHINE: OnceLock<fs::File> = OnceLock::new();

thread_local! {
    /// Each test is a thread.
    static ALONE: OnceCell<()> = const { OnceCell::new() };
}

/// Gives the test a network of its own, with a loopback interface: two devices on one network would
/// have the same addresses.
fn own_network() {
    machine();
    ALONE.with(|alone| {
        alone.get_or_init(|| {
            #[expect(deprecated, reason = "the safe form exists only in a newer rustix")]
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
            run(Command::new("ip").args(["link", "set", "lo", "up"]));
        });
    });
}

fn machine() -> &'static fs::File {
    MACHINE.get_or_init(|| fs::File::open("/proc/thread-self/ns/net").unwrap())
}

/// A shell's script, in the machine's network.
pub fn online(script: &str) -> Command {
    let network = format!("--net=/proc/{}/fd/{}", std::process::id(), machine().as_raw_fd());
    let mut command = Command::new("nsenter");
    command.arg(network).args(["sh", "-c", script]);
    command
}

/// What init is told of appd.
fn manifest() -> &'static init::manifest::Manifest {
    static MANIFEST: OnceLock<init::manifest::Manifest> = OnceLock::new();
    MANIFEST.get_or_init(|| {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../init/services");
        let loaded = init::manifest::load(&services);
        loaded.services.into_iter().find(|service| service.name == "appd").unwrap()
    })
}

/// The key that the device trusts for apps.
pub fn app_key() -> PrivateKey {
    PrivateKey::from_seed(&[7; 32])
}

/// One device.
pub struct Bench {
    pub dir: PathBuf,
    cgroup: PathBuf,
    appd: Option<Pid>,
    tmpfs: bool,
}

impl Bench {
    /// A device with appd running.
    pub fn new() -> Self {
        let mut bench = Self::prepare();
        bench.boot();
        bench
    }

    /// A device whose data partition has so many bytes.
    pub fn with_data_of(bytes: u64) -> Self {
        let mut bench = Self::prepare();
        let data = bench.dir.join("data");
        fs::create_dir_all(&data).unwrap();
        let size = format!("size={bytes}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&data));
        bench.tmpfs = true;
        bench.boot();
        bench
    }

    fn prepare() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests need root: they mount");
        own_network();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("appd-test-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(dir.join("etc/holdfast")).unwrap();
        let keys = [1, 2, 3].map(|seed| PrivateKey::from_seed(&[seed; 32]));
        let [root, release, fleet] = keys.each_ref().map(PrivateKey::public);
        let set = KeySet::simple(1, &root, &release, &fleet, &app_key().public());
        fs::write(dir.join("etc/holdfast/keys.cbor"), set.sign(&[&keys[0]]).unwrap()).unwrap();
        let interfaces = dir.join("etc/holdfast/interfaces");
        fs::create_dir(&interfaces).unwrap();
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("interfaces");
        for entry in fs::read_dir(all).unwrap().flatten() {
            // The device's data are in the folder, where an app sees them is not.
            let text = fs::read_to_string(entry.path()).unwrap();
            let place = format!("path = \"{}/data/snaps/log\", at = ", dir.display());
            let text = text.replace("{ path = \"/data", &format!("{{ {place}\"/data"));
            fs::write(interfaces.join(entry.file_name()), text).unwrap();
        }
        fs::create_dir_all(dir.join("usr/bin")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_snapctl"), dir.join("usr/bin/snapctl")).unwrap();
        for folder in ["run/holdfast", "run/snaps", "run/media", "data/snaps", "data/system"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        fs::write(dir.join("run/holdfast/resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
        Self { dir, cgroup: hierarchy().join(name).join("apps"), appd: None, tmpfs: false }
    }

    /// Where the groups of apps are.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Whether groups of apps can be bounded by a controller here.
    pub fn has_controller(&self, name: &str) -> bool {
        let text = fs::read_to_string(self.cgroup.join("cgroup.controllers")).unwrap();
        text.split_whitespace().any(|controller| controller == name)
    }

    /// What updaterd stores when the app key is replaced.
    pub fn rotate_app_key(&self, new: &PrivateKey) {
        let keys = [1, 2, 3].map(|seed| PrivateKey::from_seed(&[seed; 32]));
        let [root, release, fleet] = keys.each_ref().map(PrivateKey::public);
        let set = KeySet::simple(2, &root, &release, &fleet, &new.public());
        let chain = KeyChain::default().extended(&set.sign(&[&keys[0]]).unwrap());
        fs::create_dir_all(self.dir.join("data/system/updater")).unwrap();
        fs::write(self.dir.join("data/system/updater/keys.chain"), chain.encode()).unwrap();
    }

    /// Starts appd as init does, with the rights that its manifest gives it and no others, and
    /// waits until it answers.
    pub fn boot(&mut self) {
        let log =
            fs::File::options().create(true).append(true).open(self.dir.join("appd.log")).unwrap();
        let parent = self.cgroup.parent().unwrap();
        sandbox::cgroup::enable_controllers(parent, &confine::CONTROLLERS).unwrap();
        fs::create_dir_all(&self.cgroup).unwrap();
        let mut confinement = init::launch::confinement(manifest(), None).unwrap();
        // What is the root of a device is a folder here.
        for mount in &mut confinement.mounts {
            if let Mount::Writable(path) | Mount::ReadOnly(path) | Mount::Hide(path) = mount
                && !path.starts_with("/proc")
            {
                *path = self.dir.join(path.strip_prefix("/").unwrap());
            }
        }
        // Where the sandbox puts views together is nobody's to choose.
        let others = ["/run".into(), self.cgroup.clone()];
        confinement.mounts.extend(others.map(Mount::Writable));
        let mut process = Process::new(env!("CARGO_BIN_EXE_appd"));
        let arguments = ["--root".as_ref(), self.dir.as_os_str(), "--cgroup".as_ref()];
        process.args =
            arguments.into_iter().chain([self.cgroup.as_os_str()]).map(Into::into).collect();
        process.stderr = Stdio::Fd(log.as_fd());
        self.appd = Some(sandbox::spawn(&confinement, &process).unwrap().pid);
        self.until("appd answers", |bench| bench.snapctl(&["list"]).0 == 0);
    }

    /// As a power cut, as far as appd can tell.
    pub fn kill(&mut self) {
        if let Some(appd) = self.appd.take() {
            kill_process(appd, Signal::KILL).unwrap();
            waitpid(Some(appd), WaitOptions::empty()).unwrap();
        }
    }

    /// A shell's script, in the mount namespace of appd.
    pub fn among_its_mounts(&self, script: &str) {
        let pid = self.appd.unwrap().as_raw_nonzero().to_string();
        run(Command::new("nsenter").args(["--mount", "--target", &pid, "sh", "-c", script]));
    }

    /// Runs snapctl with `--json`; returns its exit code and what it printed.
    pub fn snapctl(&self, words: &[&str]) -> (i32, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_snapctl"))
            .arg("--root")
            .arg(&self.dir)
            .arg("--json")
            .args(words)
            .output()
            .unwrap();
        let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap(), value)
    }

    /// Runs snapctl, which must succeed.
    pub fn ask(&self, words: &[&str]) -> Value {
        let (code, value) = self.snapctl(words);
        assert_eq!(code, 0, "snapctl {words:?}: {value}\n{}", self.log());
        value
    }

    /// Installs a file, which must succeed.
    pub fn install(&self, snap: &Path) -> Value {
        self.ask(&["install", snap.to_str().unwrap()])
    }

    /// Runs snapctl, which must be refused; returns code and message.
    pub fn refused(&self, words: &[&str]) -> (String, String) {
        let (code, value) = self.snapctl(words);
        assert_eq!(code, 1, "snapctl {words:?}: {value}");
        let text = |field: &str| value["error"][field].as_str().unwrap_or_default().to_string();
        (text("code"), text("message"))
    }

    /// One service's status.
    pub fn service(&self, name: &str) -> Value {
        self.ask(&["services", name])[0].clone()
    }

    /// What a service printed, without times.
    pub fn output(&self, service: &str) -> Vec<String> {
        texts(&self.ask(&["logs", service]))
    }

    /// The same while appd is starting: nothing as long as the service is not there.
    pub fn output_so_far(&self, service: &str) -> Vec<String> {
        match self.snapctl(&["logs", service]) {
            (0, lines) => texts(&lines),
            _ => Vec::new(),
        }
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "never: {what}\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Names in a folder of `data/snaps`.
    pub fn kept(&self, folder: &str) -> Vec<String> {
        let Ok(list) = fs::read_dir(self.dir.join("data/snaps").join(folder)) else {
            return Vec::new();
        };
        let mut names: Vec<String> =
            list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("appd.log")).unwrap_or_default()
    }
}

/// Lines of a log without their times.
fn texts(lines: &Value) -> Vec<String> {
    let text = |line: &Value| line.as_str()?.split_once(' ').map(|(_, text)| text.to_string());
    lines.as_array().unwrap().iter().filter_map(text).collect()
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kill();
        if self.tmpfs {
            let _ = Command::new("umount").arg("-l").arg(self.dir.join("data")).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
        // Apps die with appd; their groups are empty a moment later.
        let parent = self.cgroup.parent().unwrap();
        let _ = fs::write(parent.join("cgroup.kill"), "1");
        let below = |group: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(group).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        };
        for snap in below(&self.cgroup) {
            for group in below(&snap).into_iter().chain([snap]) {
                let began = Instant::now();
                while fs::remove_dir(&group).is_err()
                    && group.is_dir()
                    && began.elapsed() < Duration::from_secs(5)
                {
                    sleep(Duration::from_millis(5));
                }
            }
        }
        let _ = fs::remove_dir(&self.cgroup);
        let _ = fs::remove_dir(parent);
    }
}

/// Where the version 2 hierarchy is.
fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields[2] == "cgroup2")
        .map(|fields| PathBuf::from(fields[1]))
        .expect("these tests need the cgroup2 file system mounted somewhere")
}

/// Runs a tool, which must succeed.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
