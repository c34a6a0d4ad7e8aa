//! The list of what is needed outside Rust, each with the probe that tells whether it is there, the
//! Debian package that brings it, and the reason.

use crate::process;
use std::path::Path;

/// Oldest QEMU with all machines that the tests boot.
pub const QEMU_MAJOR: u32 = 10;

/// What something is needed for; tests need everything that a build needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Building and booting an image.
    Build,
    /// Running the tests.
    Test,
}

/// How to see whether something is there.
#[derive(Debug)]
pub enum Probe {
    /// A program.
    Command(&'static str),
    /// A program at any of these paths or names, for packages whose program is called differently
    /// over time.
    AnyCommand(&'static [&'static str]),
    /// A header below `/usr/include` or `/usr/include/TRIPLET`.
    Header(&'static str),
    /// A file.
    File(&'static str),
    /// `qemu-system-aarch64` of at least [`QEMU_MAJOR`].
    Qemu,
}

/// One thing that is needed.
#[derive(Debug)]
pub struct Need {
    /// Name for people.
    pub what: &'static str,
    /// How to see whether it is there.
    pub probe: Probe,
    /// Debian package.
    pub package: &'static str,
    /// What for.
    pub purpose: Purpose,
    /// Why, for people.
    pub reason: &'static str,
}

const fn build(what: &'static str, package: &'static str, reason: &'static str) -> Need {
    Need { what, probe: Probe::Command(what), package, purpose: Purpose::Build, reason }
}

const fn test(what: &'static str, package: &'static str, reason: &'static str) -> Need {
    Need { what, probe: Probe::Command(what), package, purpose: Purpose::Test, reason }
}

const fn probed(need: Need, probe: Probe) -> Need {
    Need {
        what: need.what,
        probe,
        package: need.package,
        purpose: need.purpose,
        reason: need.reason,
    }
}

/// Everything.
pub const NEEDS: &[Need] = &[
    probed(build("QEMU 10 for ARM", "qemu-system-arm", "boots the images"), Probe::Qemu),
    build("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "compiles kernel, U-Boot, C parts"),
    probed(
        build("C headers for aarch64", "libc6-dev-arm64-cross", "C parts of Rust crates"),
        Probe::File("/usr/aarch64-linux-gnu/include/stdint.h"),
    ),
    build("make", "make", "builds kernel and U-Boot"),
    build("flex", "flex", "kernel configuration"),
    build("bison", "bison", "kernel configuration"),
    build("bc", "bc", "kernel build"),
    build("perl", "perl-base", "kernel build"),
    build("python3", "python3", "U-Boot build"),
    probed(
        build("OpenSSL headers", "libssl-dev", "host tools of kernel and U-Boot"),
        Probe::Header("openssl/ssl.h"),
    ),
    build("dtc", "device-tree-compiler", "device trees of images, tests and U-Boot"),
    build("xz", "xz-utils", "unpacks the kernel's source"),
    build("bzip2", "bzip2", "unpacks U-Boot's source"),
    build("xxd", "xxd", "puts the boot script into U-Boot"),
    build("mkfs.erofs", "erofs-utils", "root file system"),
    build("mksquashfs", "squashfs-tools", "snaps"),
    build("mke2fs", "e2fsprogs", "data partition"),
    build("mkimage", "u-boot-tools", "kernel image with hashes"),
    build("mosquitto", "mosquitto", "the fleet server's broker"),
    test("veritysetup", "cryptsetup-bin", "checks the hash tree"),
    test("fsck.fat", "dosfstools", "checks the boot partition"),
    test("mdir", "mtools", "reads the boot partition"),
    test("mkfs.exfat", "exfatprogs", "USB sticks of a kind that gateways are given"),
    test("sfdisk", "fdisk", "checks the partition table"),
    test("bmaptool", "bmap-tools", "checks the block map"),
    probed(
        test("fw_printenv", "libubootenv-tool", "reads the boot environment"),
        Probe::AnyCommand(&["fw_printenv", "fw_setenv"]),
    ),
    test("qemu-aarch64-static", "qemu-user-static", "runs device binaries on the host"),
    test("ip", "iproute2", "network namespaces, in which services meet real servers"),
    // The program alone: the package `dnsmasq` would start it as a service.
    test("dnsmasq", "dnsmasq-base", "a DHCP server"),
    test("g++", "g++", "compiles libFuzzer, for the fuzz targets"),
    test("strace", "strace", "keeps the time service's test from setting this machine's clock"),
    test("mosquitto_pub", "mosquitto-clients", "a second MQTT client"),
    test("apt-ftparchive", "apt-utils", "an archive of the test's own, for fetching sources"),
    test("gpg", "gpg", "signs that archive"),
    test("gpg-agent", "gpg-agent", "signs that archive"),
    test("zstd", "zstd", "checks compressed images"),
    // Not the command: the other package of that name is linked dynamically.
    probed(
        test("static busybox", "busybox-static", "what runs confined in tests, and a DHCP server"),
        Probe::File("/var/lib/dpkg/info/busybox-static.list"),
    ),
    test("umoci", "umoci", "makes OCI images"),
    test("skopeo", "skopeo", "makes docker-archives of them"),
    test("buildah", "buildah", "makes OCI images, too"),
    test("chromium", "chromium", "looks at the dashboard"),
];

impl Need {
    /// Whether it is there now.
    pub fn is_there(&self) -> bool {
        match &self.probe {
            Probe::Command(name) => process::find(name).is_some(),
            Probe::AnyCommand(names) => names.iter().any(|name| process::find(name).is_some()),
            Probe::File(path) => Path::new(path).exists(),
            Probe::Header(name) => header(name),
            Probe::Qemu => qemu_major().is_some_and(|major| major >= QEMU_MAJOR),
        }
    }
}

fn header(name: &str) -> bool {
    let include = Path::new("/usr/include");
    if include.join(name).exists() {
        return true;
    }
    let Ok(entries) = include.read_dir() else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_string_lossy().contains("-linux-") && entry.path().join(name).exists()
    })
}

fn qemu_major() -> Option<u32> {
    major(&process::read("qemu-system-aarch64", &["--version"])?)
}

fn major(version: &str) -> Option<u32> {
    version.split("version ").nth(1)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_qemu_prints() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)\nCopyright";
        assert_eq!(major(text), Some(10));
        assert_eq!(major("QEMU emulator version 7.2.17"), Some(7));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn every_need_has_one_entry() {
        for (index, need) in NEEDS.iter().enumerate() {
            assert!(!NEEDS[..index].iter().any(|n| n.what == need.what), "{} twice", need.what);
        }
    }
}
