//! What each system service lacks: its manifest's confinement, applied for real by init's own
//! launch, with a program in its place that tries. Needs root and Debian's busybox-static.
//!
//! The device's folders are made in an overlay over this machine's root, in a mount namespace of
//! the test's own: nothing of it stays.

use init::{launch, manifest};
use std::{
    fs,
    io::Read,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Tells the inner run that it is inside.
const INSIDE: &str = "HOLDFAST_LACKS_INSIDE";
const BUSYBOX: &str = "/bin/busybox";
/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the overlay and runs the rest of its arguments in it.
const SETTING: &str = r#"set -e
folder=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
for name in proc dev sys; do mount --rbind /$name "$folder/root/$name"; done
# The build folder may be on another file system than the root.
mount --bind "$CARGO_MANIFEST_DIR/.." "$folder/root$CARGO_MANIFEST_DIR/.."
for path in data/system/identity data/system/updater data/system/timed data/snaps; do
  mkdir -p "$folder/root/$path"
  echo secret > "$folder/root/$path/file"
done
for path in run/holdfast boot; do
  mkdir -p "$folder/root/$path"
  echo secret > "$folder/root/$path/file"
done
echo config > "$folder/root/data/system/device.toml"
exec chroot "$folder/root" "$@"
"#;

/// What is tried: a name, a command, and which of the services get through.
const TRIES: [(&str, &str, &[&str]); 15] = [
    ("read the identity", "cat /data/system/identity/file", &["updaterd"]),
    ("read the updater's state", "cat /data/system/updater/file", &["updaterd"]),
    ("read apps", "cat /data/snaps/file", &["updaterd"]),
    ("read the boot partition", "cat /boot/file", &[]),
    ("write the configuration", "sh -c 'echo x > /data/system/device.toml'", &["updaterd"]),
    ("write the clock's floor", "sh -c 'echo x > /data/system/timed/file'", &["timed", "updaterd"]),
    (
        "write to its sockets' folder",
        "sh -c 'echo x > /run/holdfast/file'",
        &["netd", "timed", "updaterd"],
    ),
    ("write to the system", "sh -c 'echo x > /etc/written'", &[]),
    ("write to apps", "sh -c 'echo x > /data/snaps/file'", &["updaterd"]),
    (
        "write a setting of the kernel",
        "sh -c 'read now < /proc/sys/kernel/panic; echo $now > /proc/sys/kernel/panic'",
        &[],
    ),
    ("mount", "mount -t tmpfs tmpfs /run", &[]),
    ("rename the machine", "hostname other", &[]),
    ("give a file away", "chown 1000 /data/system/device.toml", &[]),
    ("change its root", "chroot / /bin/busybox true", &[]),
    ("signal what another service runs", "sh -c 'kill -0 1'", &[]),
];

/// Capabilities of each, as `CapEff` shows them: net_bind_service, net_admin and net_raw; sys_time;
/// none.
const CAPABILITIES: [(&str, u64); 3] =
    [("netd", 1 << 10 | 1 << 12 | 1 << 13), ("timed", 1 << 25), ("updaterd", 0)];

#[test]
fn each_service_lacks_what_it_does_not_need() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    assert!(rustix::process::geteuid().is_root(), "this test needs root: it mounts");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--propagation", "private", "sh", "-c", SETTING, "sh"]);
    command.arg(folder.path()).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "each_service_lacks_what_it_does_not_need", "--nocapture"]);
    command.env(INSIDE, "1").env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

fn inside() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
    let loaded = manifest::load(&folder);
    for (name, capabilities) in CAPABILITIES {
        let found = loaded.services.iter().find(|service| service.name == name);
        let said = tried(found.unwrap_or_else(|| panic!("no manifest of {name}")));
        for (what, _, who) in TRIES {
            let through = said.contains(&format!("{what}: through\n"));
            let refused = said.contains(&format!("{what}: refused\n"));
            assert!(through != refused, "{name}: {what}: {said}");
            assert_eq!(through, who.contains(&name), "{name}: {what}: {said}");
        }
        for line in [
            format!("CapEff:\t{capabilities:016x}"),
            format!("CapBnd:\t{capabilities:016x}"),
            "NoNewPrivs:\t1".into(),
            "Seccomp:\t2".into(),
        ] {
            assert!(said.lines().any(|said| said == line), "{name}: no {line:?} in {said}");
        }
    }
    // What is not confined gets through everywhere: it is not for want of trying.
    let free = loaded.services.iter().find(|service| service.confinement.is_none());
    let said = tried(free.expect("appd runs what it confines"));
    for (what, _, _) in TRIES {
        assert!(said.contains(&format!("{what}: through\n")), "unconfined: {what}: {said}");
    }
}

/// What a program says that is run in place of a service's.
fn tried(service: &manifest::Manifest) -> String {
    let tries: String = TRIES
        .iter()
        .map(|(what, command, _)| {
            let attempt = format!("busybox {command} >/dev/null 2>&1");
            let say = |end: &str| format!("echo \"{what}: {end}\"");
            format!("if {attempt}; then {}; else {}; fi\n", say("through"), say("refused"))
        })
        .collect();
    let mut probe = service.clone();
    probe.command = BUSYBOX.into();
    probe.args = ["sh", "-c", &format!("cd /; {tries} busybox cat /proc/self/status; echo end")]
        .map(String::from)
        .into();
    let mut launched = launch::launch(&probe).unwrap_or_else(|e| panic!("{}: {e}", service.name));
    let mut output = launched.output.take().expect("a log");
    let (mut said, began) = (Vec::new(), Instant::now());
    while !said.ends_with(b"end\n") {
        let mut block = [0; 4096];
        match output.read(&mut block) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&block[..count]),
            // The pipe does not block.
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
        let text = String::from_utf8_lossy(&said);
        assert!(began.elapsed() < PATIENCE, "{}: {text}", service.name);
    }
    // What was written is as it was for the next one.
    for path in ["data/system/device.toml", "data/snaps/file", "data/system/timed/file"] {
        fs::write(Path::new("/").join(path), "secret\n").unwrap();
    }
    String::from_utf8_lossy(&said).into_owned()
}
