//! What each system service lacks: its manifest's confinement, applied for real by init's own
//! launch, with a program in its place that tries. Needs root, loop devices and Debian's
//! busybox-static.
//!
//! The device's folders are made in an overlay over this machine's root, in a mount namespace of
//! the test's own: nothing of it stays.

use init::{disk::Disk, launch, manifest};
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

/// Makes the overlay and runs the rest of its arguments in it. What is on the loop device stands
/// for the card that the device runs from, each partition of it, and a stick.
const SETTING: &str = r#"set -e
folder=$1; loop=$2; shift 2
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
for name in proc sys; do mount --rbind /$name "$folder/root/$name"; done
dev=$folder/root/dev
mount -t tmpfs -o mode=755 tmpfs "$dev"
while read name number; do mknod -m 666 "$dev/$name" c 1 $number; done <<END
null 3
zero 5
full 7
random 8
urandom 9
END
mknod -m 666 "$dev/tty" c 5 0
for name in card card1 card2 card3 card4 dm-0 stick; do mknod "$dev/$name" b 7 "$loop"; done
mount -t tmpfs tmpfs "$folder/root/sys/block"
for number in 1 2 3 4; do
  mkdir -p "$folder/root/sys/block/card/card$number"
  echo $number > "$folder/root/sys/block/card/card$number/partition"
done
# The build folder may be on another file system than the root.
mount --bind "$CARGO_MANIFEST_DIR/.." "$folder/root$CARGO_MANIFEST_DIR/.."
for path in data/system/identity data/system/updater data/system/timed data/log data/snaps; do
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
const TRIES: [(&str, &str, &[&str]); 27] = [
    ("read the card", "grep -q secret /dev/card", &[]),
    ("read the data partition", "grep -q secret /dev/card4", &[]),
    ("read the boot partition's device", "grep -q secret /dev/card1", &[]),
    ("read a slot", "grep -q secret /dev/card3", &["updaterd"]),
    ("read what is mapped from a slot", "grep -q secret /dev/dm-0", &[]),
    ("read a stick", "grep -q secret /dev/stick", &["appd"]),
    ("read the identity", "cat /data/system/identity/file", &["updaterd"]),
    ("read the updater's state", "cat /data/system/updater/file", &["appd", "updaterd"]),
    ("read apps", "cat /data/snaps/file", &["appd", "updaterd"]),
    ("read the boot partition", "cat /boot/file", &["appd"]),
    ("write the configuration", "sh -c 'echo x > /data/system/device.toml'", &["updaterd"]),
    ("write the clock's floor", "sh -c 'echo x > /data/system/timed/file'", &["timed", "updaterd"]),
    (
        "write to its sockets' folder",
        "sh -c 'echo x > /run/holdfast/file'",
        &["appd", "netd", "timed", "updaterd"],
    ),
    ("write to logs", "sh -c 'echo x > /data/log/file'", &[]),
    ("write to the system", "sh -c 'echo x > /etc/written'", &[]),
    ("write to apps", "sh -c 'echo x > /data/snaps/file'", &["appd", "updaterd"]),
    (
        "write a setting of the kernel",
        "sh -c 'read now < /proc/sys/kernel/panic; echo $now > /proc/sys/kernel/panic'",
        &[],
    ),
    (
        "write a setting of the network",
        "sh -c 'cd /proc/sys/net/ipv4; read now < ip_forward; echo $now > ip_forward'",
        &["appd"],
    ),
    ("mount", "mount -t tmpfs tmpfs /run", &["appd"]),
    // Its own, of which it has a copy.
    ("rename the machine", "hostname other", &["appd"]),
    ("give a file away", "chown 1000 /data/system/device.toml", &[]),
    ("change its root", "chroot / /bin/busybox true", &[]),
    ("make a device", "mknod /run/device c 1 3", &[]),
    ("read the kernel's log", "dmesg", &[]),
    // appd has no Landlock, for its apps' sake.
    ("signal what another service runs", "sh -c 'kill -0 1'", &["appd"]),
    // init, as far as this test goes.
    ("look into what another service runs", "dd if=/proc/$PPID/mem of=/dev/null count=0", &[]),
    ("reach files by what another service runs", "ls /proc/$PPID/root/", &[]),
];

/// Capabilities of each, by their numbers in linux/capability.h, as `CapEff` shows them.
const CAPABILITIES: [(&str, &[u32]); 4] = [
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service,
    // net_admin, sys_chroot, sys_admin, sys_time
    ("appd", &[0, 1, 3, 4, 5, 6, 7, 10, 12, 18, 21, 25]),
    // net_bind_service, net_admin, net_raw
    ("netd", &[10, 12, 13]),
    // sys_time
    ("timed", &[25]),
    ("updaterd", &[]),
];

#[test]
fn each_service_lacks_what_it_does_not_need() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    assert!(rustix::process::geteuid().is_root(), "this test needs root: it mounts");
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--propagation", "private", "sh", "-c", SETTING, "sh"]);
    command.arg(folder.path()).arg(card.number()).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "each_service_lacks_what_it_does_not_need", "--nocapture"]);
    command.env(INSIDE, "1").env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// A loop device, which is block device 7:N, of a file that is not to be read.
struct Card {
    _file: tempfile::NamedTempFile,
    device: String,
}

impl Card {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [&b"secret\n"[..], &[b'.'; 4089]].concat()).unwrap();
        let made = Command::new("losetup").args(["--find", "--show"]).arg(file.path()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let device = String::from_utf8(made.stdout).unwrap().trim().to_string();
        Self { _file: file, device }
    }

    fn number(&self) -> &str {
        self.device.strip_prefix("/dev/loop").unwrap()
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}

fn inside() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("services");
    let loaded = manifest::load(&folder);
    for (name, capabilities) in CAPABILITIES {
        let found = loaded.services.iter().find(|service| service.name == name);
        let said = tried(found.unwrap_or_else(|| panic!("no manifest of {name}")));
        let capabilities: u64 = capabilities.iter().map(|number| 1 << number).sum();
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
    let name = rustix::system::uname().nodename().to_owned();
    assert_ne!(name.to_bytes(), b"other", "a service named the machine");
    // What is not confined gets through everywhere: it is not for want of trying.
    let mut free = loaded.services.into_iter().find(|service| service.name == "appd").unwrap();
    free.confinement = None;
    let said = tried(&free);
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
    let disk = Disk { name: "card".into() };
    let mut launched =
        launch::launch(&probe, Some(&disk)).unwrap_or_else(|e| panic!("{}: {e}", service.name));
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
