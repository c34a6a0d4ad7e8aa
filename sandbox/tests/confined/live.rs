//! What the caller mounts and unmounts while the process runs.

use crate::scene::{Scene, wait};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
    thread::UnshareFlags,
};
use sandbox::{Mount, Process, Stdio, spawn};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::fd::AsFd,
};

const SCRIPT: &str = r#"cd /media
echo x 2>/dev/null > /media/beside || echo "nothing beside"
ls /media/first
until test -f second/file; do busybox sleep 0.02; done
cat second/file; echo new > second/file && cat second/file
second/program 2>/dev/null || echo "not executed"
busybox umount /media/second 2>/dev/null || echo "not unmounted"
echo shown
while test -d second; do busybox sleep 0.02; done
echo gone
"#;

fn tmpfs(at: &std::path::Path, file: &str) {
    fs::create_dir(at).unwrap();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", at, "tmpfs", flags, Some(c"mode=777")).unwrap();
    fs::write(at.join(file), "old\n").unwrap();
}

#[test]
fn what_is_mounted_and_unmounted_later_comes_and_goes_where_it_is_live() {
    let scene = Scene::new();
    // Of this thread alone, and of what it starts.
    #[allow(deprecated, reason = "the safe form exists only in a newer rustix")]
    rustix::thread::unshare(UnshareFlags::NEWNS).unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).unwrap();
    let live = scene.dir.join("live");
    fs::create_dir(&live).unwrap();
    rustix::mount::mount_bind(&live, &live).unwrap();
    rustix::mount::mount_change(&live, MountPropagationFlags::SHARED).unwrap();
    tmpfs(&live.join("first"), "there");

    let mut confinement = scene.app();
    confinement.mounts.push(Mount::Live { source: live.clone(), target: "/media".into() });
    let (reader, writer) = std::io::pipe().unwrap();
    let mut process = Process::new("/bin/busybox");
    process.args = ["sh", "-c", SCRIPT].map(Into::into).to_vec();
    process.env = vec![("PATH".into(), "/bin".into())];
    process.stdout = Stdio::Fd(writer.as_fd());
    process.stderr = Stdio::Fd(writer.as_fd());
    let spawned = spawn(&confinement, &process).unwrap();
    drop(writer);
    let mut said = BufReader::new(reader);
    let mut line = || {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    };
    assert_eq!([line(), line()], ["nothing beside", "there"]);

    let second = live.join("second");
    tmpfs(&second, "program");
    fs::set_permissions(second.join("program"), mode(0o755)).unwrap();
    fs::write(second.join("new"), "old\n").unwrap();
    fs::set_permissions(second.join("new"), mode(0o666)).unwrap();
    fs::rename(second.join("new"), second.join("file")).unwrap();
    assert_eq!([line(), line()], ["old", "new"]);
    assert_eq!([line(), line(), line()], ["not executed", "not unmounted", "shown"]);

    rustix::mount::unmount(&second, UnmountFlags::DETACH).unwrap();
    fs::remove_dir(&second).unwrap();
    assert_eq!(line(), "gone");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), wait(&spawned)), ("", 0));
}

fn mode(bits: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}
