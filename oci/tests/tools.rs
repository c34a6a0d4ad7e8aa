//! Images that other tools made: umoci, skopeo and buildah, from real programs of Debian.

use oci::archive::Archive;
use oci::convert::{Converted, Wish, convert};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a tool, which must succeed.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        // buildah: no kernel features of the machine, and nothing outside of the folder
        .envs([("STORAGE_DRIVER", "vfs"), ("BUILDAH_ISOLATION", "chroot")])
        .env("CONTAINERS_STORAGE_CONF", folder.join("storage.conf"))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// Go's name of this machine's processor: the tools make images for it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// An OCI layout with two layers, the second of which removes a file of the first.
fn layout(folder: &Path) -> PathBuf {
    run(folder, "umoci", &["init", "--layout", "layout"]);
    run(folder, "umoci", &["new", "--image", "layout:1.0"]);
    run(folder, "umoci", &["unpack", "--image", "layout:1.0", "first"]);
    let root = folder.join("first/rootfs");
    for (name, text) in [("etc/removed", "x"), ("srv/text", "one"), ("etc/passwd", PASSWD)] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::copy("/usr/bin/env", root.join("usr/bin/env")).unwrap();
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    fs::hard_link(root.join("srv/text"), root.join("srv/same")).unwrap();
    run(folder, "umoci", &["repack", "--image", "layout:1.0", "first"]);
    run(folder, "umoci", &["unpack", "--image", "layout:1.0", "second"]);
    let root = folder.join("second/rootfs");
    fs::remove_file(root.join("etc/removed")).unwrap();
    fs::write(root.join("srv/added"), "two").unwrap();
    run(folder, "umoci", &["repack", "--image", "layout:1.0", "second"]);
    let set = ["config", "--image", "layout:1.0", "--config.user", "app", "--config.entrypoint"];
    let rest = ["env", "--config.cmd", "A=b c", "--config.exposedports", "8080/tcp"];
    let last = ["--config.volume", "/var/lib/app", "--config.workingdir", "/srv"];
    run(folder, "umoci", &[set.as_slice(), &rest, &last].concat());
    folder.join("layout")
}

const PASSWD: &str = "root:x:0:0::/:/bin/sh\napp:x:1234:1235::/:/bin/false\n";

fn converted(folder: &Path, archive: &str, tag: Option<&str>) -> Converted {
    let mut archive = Archive::open(&folder.join(archive)).unwrap();
    let image = archive.image(architecture(), tag).unwrap();
    let wish = Wish { name: Some("made"), architecture: architecture(), unpacked: 256 << 20 };
    let mut to = fs::File::create(folder.join("image.snap")).unwrap();
    convert(&archive, &image, &wish, folder, &mut to).unwrap()
}

/// The snap holds what the layers add up to, as a tool that is not ours reads it.
fn check(folder: &Path, done: &Converted) {
    let unpacked = folder.join("unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    run(folder, "unsquashfs", &["-quiet", "-dest", "unpacked", "image.snap"]);
    let read = |name: &str| fs::read_to_string(unpacked.join(name)).unwrap();
    assert_eq!(
        (read("srv/text"), read("srv/same"), read("srv/added")),
        ("one".into(), "one".into(), "two".into())
    );
    assert!(!unpacked.join("etc/removed").exists());
    assert_eq!(fs::read(unpacked.join("bin/env")).unwrap(), fs::read("/usr/bin/env").unwrap());
    assert!(unpacked.join("var/lib/app").is_dir());
    let process = &done.process;
    assert_eq!(process.program, "/usr/local/bin/env".replace("/local", ""));
    assert_eq!(process.args, ["env", "A=b c"]);
    assert_eq!((process.uid, process.gid, process.cwd.as_str()), (1234, 1235, "/srv"));
    assert_eq!((process.ports[0].number, process.volumes[0].as_str()), (8080, "/var/lib/app"));
    let yaml = read("meta/snap.yaml");
    assert!(yaml.contains("name: made\n") && yaml.contains("network-bind"), "{yaml}");
}

#[test]
fn layouts_and_docker_archives_of_umoci_and_skopeo_become_the_same_snap() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    layout(folder);
    run(folder, "tar", &["-C", "layout", "-cf", "layout.tar", "."]);
    let copy = |to: &str| {
        run(folder, "skopeo", &["--insecure-policy", "copy", "--quiet", "oci:layout:1.0", to])
    };
    copy("oci-archive:oci.tar:1.0");
    copy("docker-archive:docker.tar:example.org/made/app:2.5");
    for (archive, tag) in [
        ("layout.tar", Some("1.0")),
        ("layout.tar", None),
        ("oci.tar", None),
        ("docker.tar", None),
        ("docker.tar", Some("example.org/made/app:2.5")),
    ] {
        let done = converted(folder, archive, tag);
        check(folder, &done);
        if archive == "docker.tar" {
            assert_eq!(done.naming.version, "2.5", "{archive}");
        }
    }
    let mut archive = Archive::open(&folder.join("oci.tar")).unwrap();
    let error = archive.image("riscv64", None).err();
    let error = error.or_else(|| {
        let image = archive.image(architecture(), None).unwrap();
        let wish = Wish { name: None, architecture: "riscv64", unpacked: 1 << 20 };
        let mut to = fs::File::create(folder.join("image.snap")).unwrap();
        convert(&archive, &image, &wish, folder, &mut to).err()
    });
    assert_eq!(error.unwrap().code(), "image-architecture");
    let error = archive.image(architecture(), Some("9")).err().unwrap().to_string();
    assert!(error.contains("no image"), "{error}");
}

#[test]
fn an_image_of_buildah_becomes_a_snap() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/graph\"\n",
        folder.display()
    );
    fs::write(folder.join("storage.conf"), storage).unwrap();
    let from = run(folder, "buildah", &["from", "scratch"]);
    run(folder, "buildah", &["copy", "--quiet", &from, "/usr/bin/env", "/usr/bin/env"]);
    let entrypoint = "[\"/usr/bin/env\", \"-i\"]";
    let config = ["config", "--entrypoint", entrypoint, "--label"];
    let label = ["org.opencontainers.image.version=7.1", "--stop-signal", "SIGQUIT", &from];
    run(folder, "buildah", &[config.as_slice(), &label].concat());
    run(folder, "buildah", &["commit", "--quiet", &from, "oci-archive:buildah.tar:latest"]);
    let done = converted(folder, "buildah.tar", None);
    assert_eq!((done.naming.version.as_str(), done.process.stop_signal), ("7.1", 3));
    assert_eq!(done.process.args, ["/usr/bin/env", "-i"]);
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("file"), "text").unwrap();
    run(folder, "tar", &["-cf", "other.tar", "file"]);
    let mut other = Archive::open(&folder.join("other.tar")).unwrap();
    let error = other.image(architecture(), None).unwrap_err().to_string();
    assert_eq!(error, "archive: neither oci-layout nor manifest.json: not an image");

    layout(folder);
    run(folder, "tar", &["-C", "layout", "-cf", "whole.tar", "."]);
    run(folder, "gzip", &["--keep", "whole.tar"]);
    let error = Archive::open(&folder.join("whole.tar.gz")).err().unwrap().to_string();
    assert!(error.contains("unpack it first"), "{error}");

    // Cut at some places: an error, or what is missing was not needed.
    converted(folder, "whole.tar", None);
    let snap = fs::read(folder.join("image.snap")).unwrap();
    let whole = fs::read(folder.join("whole.tar")).unwrap();
    for part in 1..16 {
        let cut = &whole[..whole.len() * part / 17];
        fs::write(folder.join("cut.tar"), cut).unwrap();
        let image = Archive::open(&folder.join("cut.tar")).and_then(|mut archive| {
            archive.image(architecture(), None).map(|image| (archive, image))
        });
        let Ok((archive, image)) = image else { continue };
        let wish = Wish { name: Some("made"), architecture: architecture(), unpacked: 256 << 20 };
        let mut to = fs::File::create(folder.join("cut.snap")).unwrap();
        if convert(&archive, &image, &wish, folder, &mut to).is_ok() {
            assert!(fs::read(folder.join("cut.snap")).unwrap() == snap, "{part} of 17");
        }
    }
}
