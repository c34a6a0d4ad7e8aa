//! Installing through apt: with retries and a wait for another apt's lock, as root or through sudo.
//! On Debian 12, whose own QEMU is too old, the backports suite is added as one file of its own.

use super::packages::{Need, Probe, QEMU_MAJOR};
use crate::error::Error;
use crate::process::{self, say};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The only file that we write below `/etc/apt`.
const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/holdfast-backports.sources";
/// Debian release whose own QEMU is too old.
const OLD_DEBIAN: &str = "bookworm";
/// Seconds to wait for another process's apt lock.
const LOCK_WAIT: &str = "-oDPkg::Lock::Timeout=300";
/// Downloads are tried again this many times.
const RETRIES: &str = "-oAcquire::Retries=5";

/// Installs what is missing, after saying so; an error that names everything where that cannot be
/// done.
pub fn install(missing: &[&'static Need]) -> Result<(), Error> {
    if process::find("apt-get").is_none() {
        return Err(Error::Missing(by_hand(
            "this system has no apt-get; install by hand",
            missing,
        )));
    }
    let Some(root) = Root::find() else {
        return Err(Error::Missing(by_hand("neither root nor sudo; install by hand", missing)));
    };
    let wants_qemu = missing.iter().any(|need| matches!(need.probe, Probe::Qemu));
    let backports = wants_qemu && codename().as_deref() == Some(OLD_DEBIAN);
    if backports && !backports_known() {
        say(&format!(
            "setup: Debian 12 has no QEMU {QEMU_MAJOR}: adding its backports as {BACKPORTS_FILE}"
        ));
        root.write(BACKPORTS_FILE, &backports_source())?;
    }
    root.apt(&["update"])?;
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    say(&format!("setup: about to install: {}", packages.join(" ")));
    let (qemu, rest): (Vec<&str>, Vec<&str>) =
        packages.into_iter().partition(|p| backports && *p == "qemu-system-arm");
    if !rest.is_empty() {
        root.apt(&[&["install", "--yes", "--no-install-recommends"], rest.as_slice()].concat())?;
    }
    if !qemu.is_empty() {
        let suite = format!("{OLD_DEBIAN}-backports");
        let options = ["install", "--yes", "--no-install-recommends", "--target-release", &suite];
        root.apt(&[options.as_slice(), qemu.as_slice()].concat())?;
    }
    Ok(())
}

/// A message that names each missing thing with the package that Debian has it in.
pub fn by_hand(head: &str, missing: &[&Need]) -> String {
    let mut text = format!("{head}:\n");
    for need in missing {
        let line = format!("  {} (Debian: {}): {}\n", need.what, need.package, need.reason);
        text.push_str(&line);
    }
    text
}

/// How commands are run as root.
enum Root {
    /// We are.
    Already,
    /// Through sudo, which may ask for a password on the terminal.
    Sudo,
}

impl Root {
    fn find() -> Option<Self> {
        let id = process::read("id", &["-u"])?;
        if id.trim() == "0" {
            return Some(Self::Already);
        }
        let sudo = process::find("sudo").is_some();
        let silent = process::read("sudo", &["-n", "true"]).is_some();
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
        (sudo && (silent || terminal)).then_some(Self::Sudo)
    }

    fn command(&self, program: &str) -> Command {
        match self {
            Self::Already => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg(program);
                command
            }
        }
    }

    fn apt(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut command = self.command("env");
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", LOCK_WAIT, RETRIES]);
        process::run({
            command.args(arguments);
            command
        })
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        let part = std::env::temp_dir().join("holdfast-backports.sources");
        let failed = |cause| Error::File { what: format!("write {}", part.display()), cause };
        fs::write(&part, text).map_err(failed)?;
        let mut command = self.command("install");
        command.args(["-m", "0644"]).arg(&part).arg(path);
        process::run(command)?;
        let _ = fs::remove_file(&part);
        Ok(())
    }
}

fn codename() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VERSION_CODENAME="))?;
    Some(line.trim_matches('"').to_string())
}

/// Whether some apt source already names the backports suite.
fn backports_known() -> bool {
    let suite = format!("{OLD_DEBIAN}-backports");
    let folder = Path::new("/etc/apt/sources.list.d").read_dir();
    let files = folder.into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once("/etc/apt/sources.list".into())
        .chain(files)
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|text| text.lines().any(|l| !l.trim_start().starts_with('#') && l.contains(&suite)))
}

fn backports_source() -> String {
    format!(
        "# Written by Holdfast's `cargo xtask setup`: QEMU {QEMU_MAJOR}.\n\
         Types: deb\nURIs: http://deb.debian.org/debian\nSuites: {OLD_DEBIAN}-backports\n\
         Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
}
