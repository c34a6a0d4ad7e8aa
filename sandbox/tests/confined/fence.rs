//! Landlock: each attempt is made twice, with everything else that would stop it out of the way.

use crate::scene::{Scene, executable, perl, sh, wait};
use sandbox::{
    CapabilitySet, Confinement, Identity, Landlock, Mount, Ports, Process, Stdio, fence, spawn,
};
use std::{
    fs,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    process::Command,
};

/// The machine that runs the tests must have what the device's kernel has.
#[test]
fn this_machine_has_landlock_so_that_the_tests_here_mean_something() {
    assert!(fence::version() >= 6, "Landlock version {} is too old", fence::version());
    let scene = Scene::new();
    let spawned = spawn(&scene.app(), &Process::new("/bin/busybox")).unwrap();
    wait(&spawned);
    let report = spawned.landlock.unwrap();
    assert_eq!((report.version, report.missing.len()), (fence::version(), 0), "{report}");
    let spawned = spawn(&unfenced(&scene), &Process::new("/bin/busybox")).unwrap();
    wait(&spawned);
    assert_eq!(spawned.landlock, None);
}

/// User 0 of the machine with all its rights, without a filter.
fn unfenced(scene: &Scene) -> Confinement {
    let mut confinement = scene.app_with_programs();
    confinement.namespaces.user = None;
    confinement.identity = Identity { uid: 0, gid: 0 };
    confinement.capabilities = CapabilitySet::all();
    confinement.seccomp = None;
    confinement.landlock = None;
    confinement
}

/// Runs `script` with this descriptor as 3.
fn with_descriptor(confinement: &Confinement, script: &str, fd: BorrowedFd<'_>) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut process = Process::new("/bin/busybox");
    process.args = ["sh", "-c", script].map(Into::into).to_vec();
    process.env = vec![("PATH".into(), "/bin".into())];
    process.stdout = Stdio::Fd(writer.as_fd());
    process.stderr = Stdio::Fd(writer.as_fd());
    process.descriptors = vec![fd];
    let spawned = spawn(confinement, &process).unwrap();
    drop(process);
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    wait(&spawned);
    text
}

#[test]
fn all_rights_and_a_directory_descriptor_still_reach_nothing_beyond_the_mounts() {
    let scene = Scene::new();
    let outside = scene.dir.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "of the machine\n").unwrap();
    // By another process, so that no fork of another test keeps it open for writing.
    let copied = Command::new("cp").arg("/bin/busybox").arg(&outside).status().unwrap();
    assert!(copied.success());
    let directory = fs::File::open(&outside).unwrap();
    let free = unfenced(&scene);
    let mut fenced = free.clone();
    fenced.landlock = Some(Landlock::default());
    for (script, free_says, fenced_says) in [
        ("busybox cat /proc/self/fd/3/file", "of the machine", "Permission denied"),
        ("echo x > /proc/self/fd/3/new && echo wrote", "wrote", "Permission denied"),
        (
            "cd /proc/self/fd/3; busybox mv file f && busybox mv f file && echo renamed",
            "renamed",
            "Permission denied",
        ),
        ("/proc/self/fd/3/busybox echo ran", "ran", "Permission denied"),
        ("busybox mount -t tmpfs none /tmp && echo mounted", "mounted", "ermi"),
        ("busybox umount /dev/shm && echo unmounted", "unmounted", "ermi"),
        ("busybox mknod /tmp/n c 1 3 && echo made", "made", "Permission denied"),
        ("busybox mount -o remount,rw /dev && echo x > /dev/x && echo made", "made", "ermi"),
    ] {
        let text = with_descriptor(&free, script, directory.as_fd());
        assert!(text.contains(free_says), "{script} without: {text}");
        let text = with_descriptor(&fenced, script, directory.as_fd());
        assert!(text.contains(fenced_says) && !text.contains(free_says), "{script} with: {text}");
    }
}

#[test]
fn what_is_mounted_can_be_used_as_it_was_mounted() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    confinement.mounts.push(executable("/bin/busybox", "/tools/busybox"));
    confinement.mounts.push(Mount::Tmpfs {
        target: "/big".into(),
        size: 8 << 20,
        mode: 0o1777,
        owner: confinement.identity,
    });
    let script = "/tools/busybox echo ran; busybox ls /dev/pts >/dev/null && echo listed
        echo x > /dev/null && echo 100 > /proc/self/oom_score_adj && echo wrote
        busybox mkdir /tmp/a /tmp/b && echo 1 > /tmp/a/f
        busybox mv /tmp/a/f /tmp/b/g && echo moved
        busybox cp /bin/busybox /big && /big/busybox echo from memory
        echo x > /dev/shm/x && busybox rm /dev/shm/x && echo shared
        busybox mkfifo /tmp/fifo && busybox ln -s x /tmp/link && busybox ls -A /";
    let (text, _) = sh(&confinement, script);
    assert_eq!(
        text,
        "ran\nlisted\nwrote\nmoved\nfrom memory\nshared\nbig\nbin\ndev\netc\nproc\ntmp\ntools\n"
    );
}

#[test]
fn tcp_ports_are_those_that_were_granted() {
    let scene = Scene::new();
    let mut confinement = scene.app_with_programs();
    let script = "use Socket; for (80, 9090, 0) {
        socket(my $s, AF_INET, SOCK_STREAM, 0);
        print bind($s, sockaddr_in($_, INADDR_LOOPBACK)) ? \"bound\\n\" : \"$!\\n\";
        socket($s, AF_INET, SOCK_STREAM, 0);
        print connect($s, sockaddr_in($_, INADDR_LOOPBACK)) ? \"connected\\n\" : \"$!\\n\";
    }";
    let (denied, refused) = ("Permission denied", "Connection refused");
    let mut says = |bind_tcp, connect_tcp| {
        confinement.landlock = Some(Landlock { bind_tcp, connect_tcp, ..Landlock::default() });
        perl(&confinement, script).lines().map(String::from).collect::<Vec<_>>()
    };
    let only = |list: &[u16]| Ports::Only(list.to_vec());
    // Port 80 is below the first that a user may bind at all.
    assert_eq!(
        says(Ports::All, Ports::All),
        [denied, refused, "bound", refused, "bound", refused],
        "without a list"
    );
    assert_eq!(
        says(only(&[9090]), only(&[80])),
        [denied, refused, "bound", denied, denied, denied]
    );
    assert_eq!(says(only(&[0]), only(&[])), [denied, denied, denied, denied, "bound", denied]);
}

#[test]
fn abstract_sockets_and_processes_outside_are_out_of_reach_though_namespaces_are_shared() {
    let scene = Scene::new();
    let mut free = unfenced(&scene);
    (free.namespaces.net, free.namespaces.pid, free.reaper) = (false, false, false);
    free.mounts.retain(|mount| *mount != Mount::Proc);
    let mut fenced = free.clone();
    fenced.landlock = Some(Landlock::default());

    let name = format!("sandbox-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let mut other = Command::new("/bin/busybox").args(["sleep", "1000"]).spawn().unwrap();

    let script = format!(
        "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
         print connect($s, pack_sockaddr_un(\"\\0{name}\")) ? \"reached\\n\" : \"$!\\n\"; \
         print kill(0, {}) ? \"reached\\n\" : \"$!\\n\";",
        other.id()
    );
    let (without, with) = (perl(&free, &script), perl(&fenced, &script));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(without, "reached\nreached\n");
    assert_eq!(with, "Operation not permitted\nOperation not permitted\n");
}

#[test]
fn the_program_cannot_signal_the_reaper() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    let script = "busybox kill -0 1 2>&1 && echo reached";
    assert_eq!(sh(&confinement, script).0, "kill: can't kill pid 1: Operation not permitted\n");
    confinement.landlock = None;
    assert_eq!(sh(&confinement, script).0, "reached\n");
}

#[test]
fn a_service_signals_nothing_but_what_is_its_own() {
    let _scene = Scene::new();
    let mut service = Confinement::service(&sandbox::profile::SERVICE);
    let script = "busybox sleep 9 & busybox kill $! && echo own; \
                  busybox kill -0 1 2>&1 && echo another";
    let refused = "kill: can't kill pid 1: Operation not permitted\n";
    assert_eq!(sh(&service, script).0, format!("own\n{refused}"));
    service.landlock = None;
    assert_eq!(sh(&service, script).0, "own\nanother\n");
}

#[test]
fn too_old_a_kernel_is_refused() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    confinement.landlock = Some(Landlock { least_version: 1000, ..Landlock::default() });
    let error = spawn(&confinement, &Process::new("/bin/busybox")).unwrap_err().to_string();
    let version = fence::version();
    assert_eq!(
        error,
        format!("landlock: the kernel has version {version}, at least 1000 is asked for")
    );
}
