//! Fetching through apt, with lists, state, cache and sources of its own.
//!
//! What always holds: the machine's apt sources, lists and package state are not read and not
//! written (its proxy settings still apply); apt checks every file against Debian's signature
//! before we check it against the lock file; nothing is installed.

use super::cache::digest_of;
use super::failed;
use super::lock::{LockFile, Locked, Part};
use super::step::Steps;
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's keys; the package `debian-archive-keyring` of Debian 12 has those of 13 too.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The suite that the sources come from, whatever the machine itself runs.
const SUITE: &str = "trixie";
/// Upstream version that the U-Boot recipe is written for: a replacement stays within it.
const U_BOOT_SERIES: &str = "2025.01";

/// Where packages come from, and whose signatures count.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Address and suite of each archive, as in apt's list of sources.
    pub archives: Vec<(String, String)>,
    /// Public keys, one of which has to have signed an archive.
    pub keyring: PathBuf,
}

impl Mirror {
    /// Debian's own.
    pub fn debian() -> Mirror {
        let archive =
            |name: &str, suite: &str| (format!("http://deb.debian.org/{name}"), suite.to_owned());
        let security = format!("{SUITE}-security");
        Mirror {
            archives: vec![archive("debian", SUITE), archive("debian-security", &security)],
            keyring: KEYRING.into(),
        }
    }

    /// apt's list of sources.
    fn list(&self) -> String {
        let mut text = String::new();
        for kind in ["deb", "deb-src"] {
            for (address, suite) in &self.archives {
                let keyring = self.keyring.display();
                text += &format!(
                    "{kind} [signed-by={keyring}] {address} {suite} main non-free-firmware\n"
                );
            }
        }
        text
    }
}

/// A private apt.
#[derive(Debug)]
pub struct Apt {
    root: PathBuf,
    lock: LockFile,
    /// Debian's name of the architecture that packages are for; the machine's own when absent.
    architecture: Option<&'static str>,
}

impl Apt {
    /// Prepares the folders below `root`; replacements are written to `lock`.
    pub fn new(
        root: PathBuf,
        mirror: &Mirror,
        lock: LockFile,
        architecture: Option<&'static str>,
    ) -> Result<Apt> {
        if !mirror.keyring.exists() {
            return Err(failed(format!(
                "{} is missing (Debian package debian-archive-keyring); without it no source can \
                 be checked",
                mirror.keyring.display()
            )));
        }
        for folder in ["lists/partial", "state", "cache/archives/partial"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        }
        let list = root.join("sources.list");
        fs::write(&list, mirror.list()).map_err(Error::file("write", &list))?;
        let status = root.join("status");
        fs::write(&status, "").map_err(Error::file("write", &status))?;
        Ok(Apt { root, lock, architecture })
    }

    /// Fetches a locked file into `folder`, or, when that version has left the mirror, the newest
    /// of its series: then the lock file changes, and says so loudly.
    pub fn fetch(&self, part: Part, entry: &Locked, folder: &Path) -> Result<PathBuf> {
        let steps = Steps::new(&entry.package, self.root.join("fetch.log"));
        steps.run("reading the package lists", self.command("apt-get").args(["-q", "update"]))?;
        let versions = self.versions(part, &entry.package)?;
        if versions.contains(&entry.version) {
            let file = self.download(part, &entry.package, &entry.version, folder, &steps)?;
            let got = digest_of(&file)?;
            if got == entry.sha256 {
                return Ok(file);
            }
            let (version, want) = (&entry.version, &entry.sha256);
            let moved = folder.join(format!("refused-{}", entry.file));
            fs::rename(&file, &moved).map_err(Error::file("rename", &file))?;
            return Err(failed(format!(
                "{} {version}: apt's file has SHA-256 {got}, the lock file says {want}; kept as {}",
                entry.package,
                moved.display()
            )));
        }
        let newest = versions.first().ok_or_else(|| {
            failed(format!(
                "{} {} has left the mirror, which has no version of its series either",
                entry.package, entry.version
            ))
        })?;
        let file = self.download(part, &entry.package, newest, folder, &steps)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let replacement = Locked {
            package: entry.package.clone(),
            version: newest.clone(),
            file: name,
            sha256: digest_of(&file)?,
        };
        self.lock.replace(part, replacement.clone())?;
        self.announce(entry, &replacement);
        Ok(file)
    }

    /// Files of packages and of everything that these depend on, whatever their versions are now:
    /// for tests, and in no image.
    pub fn closure(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let steps = Steps::new("packages", self.root.join("fetch.log"));
        let install = |option: &str| {
            let mut command = self.command("apt-get");
            command.args(["-q", "install", option, "--yes", "--no-install-recommends"]);
            command.args(packages);
            command
        };
        let what = format!("fetching {}", packages.join(", "));
        let get = || steps.run(&what, &mut install("--download-only"));
        // The lists may be older than what is on the mirror, or not there yet.
        if get().is_err() {
            steps
                .run("reading the package lists", self.command("apt-get").args(["-q", "update"]))?;
            get()?;
        }
        let mut uris = install("--print-uris");
        // What is there already is not listed: as if nothing were.
        uris.args(["-q", "-o", "Dir::Cache::archives=/nonexistent"]);
        let output = uris.output().map_err(Error::file("start", "apt-get"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let archives = self.root.join("cache/archives");
        let lines = text.lines().filter(|line| line.starts_with('\''));
        let names = lines.filter_map(|line| line.split(' ').nth(1));
        let files: Vec<PathBuf> = names.map(|name| archives.join(name)).collect();
        match output.status.success() && !files.is_empty() {
            true => Ok(files),
            false => Err(failed(format!("{what}: apt-get lists no files: {}", output.status))),
        }
    }

    /// Versions of the same series on the mirror, newest first.
    fn versions(&self, part: Part, package: &str) -> Result<Vec<String>> {
        let query = if part == Part::UBoot { "showsrc" } else { "show" };
        let mut command = self.command("apt-cache");
        // --only-source: the source package of that name, not those of equally named binaries
        command.arg(query).args((part == Part::UBoot).then_some("--only-source")).arg(package);
        let output = command.output().map_err(Error::file("start", "apt-cache"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(failed(format!("{package}: apt-cache {query}: {}", text.trim())));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut versions: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("Version: "))
            .filter(|version| part != Part::UBoot || version.starts_with(U_BOOT_SERIES))
            .map(str::to_owned)
            .collect();
        newest_first(&mut versions);
        Ok(versions)
    }

    fn download(
        &self,
        part: Part,
        package: &str,
        version: &str,
        folder: &Path,
        steps: &Steps,
    ) -> Result<PathBuf> {
        let fresh = folder.join("incoming");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(Error::file("remove", &fresh))?;
        }
        fs::create_dir(&fresh).map_err(Error::file("create", &fresh))?;
        let mut command = self.command("apt-get");
        command.arg("-q").current_dir(&fresh);
        match part {
            Part::UBoot => command.args(["source", "--download-only", "--tar-only"]),
            Part::Kernel | Part::Firmware | Part::E2fsck | Part::Busybox => command.arg("download"),
        };
        command.arg(format!("{package}={version}"));
        steps.run(&format!("fetching version {version}"), &mut command)?;
        let wanted = |name: &str| match part {
            Part::UBoot => name.contains(".orig.tar.") && !name.ends_with(".asc"),
            Part::Kernel | Part::Firmware | Part::E2fsck | Part::Busybox => name.ends_with(".deb"),
        };
        for entry in fs::read_dir(&fresh).map_err(Error::file("list", &fresh))? {
            let entry = entry.map_err(Error::file("list", &fresh))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if wanted(&name) {
                // apt writes an epoch's colon and a version's tilde escaped
                let file = folder.join(name.replace('%', "_"));
                fs::rename(entry.path(), &file).map_err(Error::file("rename", &file))?;
                fs::remove_dir_all(&fresh).map_err(Error::file("remove", &fresh))?;
                return Ok(file);
            }
        }
        Err(failed(format!("{package} {version}: apt-get fetched no such file")))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        let path = |name: &str| self.root.join(name).display().to_string();
        for option in [
            format!("Dir::Etc::SourceList={}", path("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::State={}", path("state")),
            format!("Dir::State::Lists={}", path("lists")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
            // the cache may lie where apt's own user cannot write; files are checked anyway
            "APT::Sandbox::User=".into(),
        ] {
            command.arg("-o").arg(option);
        }
        if let Some(name) = self.architecture {
            command.args(["-o", &format!("APT::Architecture={name}")]);
            command.args(["-o", &format!("APT::Architectures={name}")]);
        }
        command
    }

    fn announce(&self, old: &Locked, new: &Locked) {
        eprintln!("*********************************************************************");
        eprintln!("{} {} has left the mirror.", old.package, old.version);
        eprintln!("Using {} instead, SHA-256 {}.", new.version, new.sha256);
        eprintln!("{} was changed: look at it, and commit it.", self.lock.path().display());
        eprintln!("*********************************************************************");
    }
}

/// Sorts by Debian's rules, through dpkg; equal versions once.
fn newest_first(versions: &mut Vec<String>) {
    let newer = |one: &str, two: &str| {
        let status = Command::new("dpkg").args(["--compare-versions", one, "gt", two]).status();
        status.is_ok_and(|status| status.success())
    };
    versions.sort();
    versions.dedup();
    versions.sort_by(|one, two| match (newer(one, two), newer(two, one)) {
        (true, _) => std::cmp::Ordering::Less,
        (_, true) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
}

#[cfg(test)]
mod tests {
    use super::newest_first;

    #[test]
    fn versions_are_ordered_as_debian_orders_them() {
        let mut versions =
            ["6.12.9-1", "6.12.117-1", "6.12.117-1~bpo1", "6.12.9-1"].map(String::from).to_vec();
        newest_first(&mut versions);
        assert_eq!(versions, ["6.12.117-1", "6.12.117-1~bpo1", "6.12.9-1"]);
    }
}
