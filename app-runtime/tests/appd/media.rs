//! Removable media, as far as they need no hardware: what is mounted is seen where it may be. That
//! a stick is mounted when it is plugged in is seen on a booted gateway.

use crate::{bench::Bench, snap::Snap};

const WATCHES: &str = "#!/bin/sh
busybox test -d /media && echo media || echo none
until busybox test -f /media/STICK/file; do busybox sleep 0.05; done
busybox cat /media/STICK/file
echo kept > /media/STICK/log && echo written
busybox test -x /media/STICK/program && /media/STICK/program 2>/dev/null || echo 'not executed'
while busybox test -d /media/STICK; do busybox sleep 0.05; done
echo pulled
while true; do busybox sleep 0.1; done
";

#[test]
fn a_running_app_sees_media_come_and_go_once_a_person_says_so() {
    let bench = Bench::new();
    for name in ["watcher", "other"] {
        let mut snap = Snap::new(name, "1", WATCHES);
        snap.yaml += "    plugs: [removable-media]\n";
        bench.install(&snap.signed(&bench.dir));
    }
    bench.until("it looked", |b| b.output("watcher") == ["none"]);
    bench.ask(&["connect", "watcher:removable-media"]);
    bench.until("it looked again", |b| b.output("watcher") == ["none", "media"]);

    // As appd mounts what is plugged in.
    let stick = bench.dir.join("run/media/STICK");
    let stick = stick.display();
    bench.among_its_mounts(&format!(
        "mkdir {stick} && mount -t tmpfs -o noexec,nosuid,nodev,mode=777 stick {stick} &&
         echo '#!/bin/sh' > {stick}/program && chmod 755 {stick}/program &&
         echo stick > {stick}/new && chmod 666 {stick}/new && mv {stick}/new {stick}/file"
    ));
    let seen = ["none", "media", "stick", "written", "not executed"];
    bench.until("it saw the stick", |b| b.output("watcher") == seen);
    bench.among_its_mounts(&format!("umount -l {stick} && rmdir {stick}"));
    bench.until("it saw it go", |b| b.output("watcher").last().is_some_and(|l| l == "pulled"));
    assert_eq!(bench.output("other"), ["none"]);
}
