//! Crates from the registry, compiled: kept beside the kernel in the cache folder, so that
//! continuous integration, which starts in a new clone each time, compiles them once.
//!
//! What always holds:
//! - Nothing of the workspace itself is kept. Cargo knows a changed file by its time, and takes
//!   what it has for current when the file is older, which it may be in another clone.
//! - Only a target folder in which nothing but this program was built is filled.
//! - Whether something kept is used is cargo's decision, by its own fingerprints. The name of what
//!   is kept, a hash of what decides which crates there are, only keeps it from growing for ever.
//! - What is kept is complete: it is made under another name and renamed. What could not be taken
//!   whole is removed again.

use crate::error::Error;
use crate::process::{self, say};
use crate::setup::TARGET;
use crate::{fuzz, tree};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What decides which crates are compiled, and how.
const DECIDES: &[&str] = &["Cargo.lock", "Cargo.toml", "rust-toolchain.toml"];
/// Begins the names of what is kept.
const NAME: &str = "compiled-";
/// What cargo needs of a profile's folder.
const PARTS: [&str; 3] = [".fingerprint", "build", "deps"];
/// How the device's programs are compiled.
const DEVICE: &str = "device";

/// A workspace, its target folder, and what of it is kept.
#[derive(Debug)]
pub struct Compiled {
    root: PathBuf,
    target: PathBuf,
    kept: PathBuf,
    host: String,
}

impl Compiled {
    /// Of this work tree.
    pub fn of_work_tree() -> Result<Self, Error> {
        Self::at(tree::root(), tree::target(), &tree::cache()?)
    }

    fn at(root: PathBuf, target: PathBuf, cache: &Path) -> Result<Self, Error> {
        let mut hasher = DefaultHasher::new();
        for name in DECIDES {
            let path = root.join(name);
            let failed = |cause| Error::File { what: format!("read {}", path.display()), cause };
            fs::read(&path).map_err(failed)?.hash(&mut hasher);
        }
        let kept = cache.join(format!("{NAME}{:016x}", hasher.finish()));
        Ok(Self { root, target, kept, host: fuzz::host()? })
    }

    /// Folders of profiles, relative to a target folder, each with cargo's words for it and the
    /// target folder that these count from.
    fn profiles(&self) -> [(PathBuf, Vec<&str>, &'static str); 3] {
        let (device, profile) = (TARGET, DEVICE);
        [
            ("debug".into(), vec![], "."),
            (Path::new(device).join(profile), vec!["--profile", profile, "--target", device], "."),
            (
                Path::new(fuzz::FOLDER).join(&self.host).join("release"),
                vec!["--release", "--target", &self.host],
                fuzz::FOLDER,
            ),
        ]
    }

    /// Fills the target folder of a new clone.
    pub fn take(&self) -> Result<(), Error> {
        if !self.kept.is_dir() || !self.is_new() {
            return Ok(());
        }
        say("ci: crates that another clone compiled are taken from the cache");
        let taken = self.profiles().iter().try_for_each(|(folder, ..)| {
            copy(&self.kept.join(folder), &self.target.join(folder), &["-a"])
        });
        if taken.is_err() {
            // A file that was not copied whole would pass for current.
            for part in PARTS {
                remove(&self.target.join("debug").join(part))?;
            }
            for (folder, ..) in &self.profiles()[1..] {
                remove(&self.target.join(folder))?;
            }
        }
        taken
    }

    /// Only this program was built in the target folder, as it is when a clone is new.
    fn is_new(&self) -> bool {
        let known = self.target.join("debug").join(PARTS[0]);
        let own = env!("CARGO_PKG_NAME");
        known.read_dir().is_ok_and(|mut entries| {
            entries
                .all(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with(own)))
        })
    }

    /// Keeps what is compiled, unless that was done before.
    pub fn keep(&self) -> Result<(), Error> {
        if self.kept.exists() {
            return Ok(());
        }
        say("ci: compiled crates are kept for other clones");
        let beside = |ending: &str| {
            let name = self.kept.file_name().unwrap_or_default().to_string_lossy();
            self.kept.with_file_name(format!("{name}.{ending}-{}", std::process::id()))
        };
        // Links cost nothing, and what is the workspace's own is never copied.
        let (links, copies) = (beside("links"), beside("copies"));
        let made = self.link(&links).and_then(|()| copy(&links, &copies, &["-a"]));
        remove(&links)?;
        if made.is_err() || fs::rename(&copies, &self.kept).is_err() {
            // Another clone was quicker, or the disk is full.
            remove(&copies)?;
        }
        made?;
        self.forget_others()
    }

    fn link(&self, links: &Path) -> Result<(), Error> {
        for (folder, words, base) in self.profiles() {
            for part in PARTS {
                let from = self.target.join(&folder).join(part);
                if from.is_dir() {
                    // On another file system they are copies.
                    let to = links.join(&folder).join(part);
                    copy(&from, &to, &["-al"]).or_else(|_| copy(&from, &to, &["-a"]))?;
                }
            }
            let mut clean = process::cargo(&["clean", "--quiet", "--workspace"]);
            clean.args(words).arg("--target-dir").arg(links.join(base)).current_dir(&self.root);
            process::output(clean)?;
        }
        Ok(())
    }

    /// Removes what was kept for other crates.
    fn forget_others(&self) -> Result<(), Error> {
        let cache = self.kept.parent().unwrap_or(&self.kept);
        let failed = |cause| Error::File { what: format!("list {}", cache.display()), cause };
        for entry in cache.read_dir().map_err(failed)?.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(NAME);
            if ours && entry.path() != self.kept {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What is in `from` also in `to`, with its times.
fn copy(from: &Path, to: &Path, words: &[&str]) -> Result<(), Error> {
    if !from.is_dir() {
        return Ok(());
    }
    let failed = |cause| Error::File { what: format!("make {}", to.display()), cause };
    fs::create_dir_all(to).map_err(failed)?;
    let mut command = Command::new("cp");
    command.args(words).arg(from.join(".")).arg(to);
    process::output(command).map(drop)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { what: format!("remove {}", path.display()), cause })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with a library, at a path.
    fn package(path: &Path, name: &str, rest: &str) {
        fs::create_dir_all(path.join("src")).unwrap();
        let head =
            format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
        fs::write(path.join("Cargo.toml"), head + rest).unwrap();
        fs::write(path.join("src/lib.rs"), "").unwrap();
    }

    /// What cargo says of a build: which packages it compiled, and which it had.
    fn build(root: &Path, target: &Path) -> String {
        let mut cargo = process::cargo(&["build", "--offline", "--verbose"]);
        cargo.arg("--target-dir").arg(target).current_dir(root);
        let output = cargo.output().expect("cargo runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        text
    }

    #[test]
    fn a_new_clone_gets_what_is_not_the_workspaces_own() {
        let place = tree::target().join(format!("tmp/compiled-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        let cache = place.join("cache");
        package(&place.join("foreign"), "foreign", "");
        let clones = ["one", "two"].map(|name| place.join(name));
        for clone in &clones {
            let path = place.join("foreign");
            let rest = format!(
                "[dependencies]\nforeign = {{ path = {path:?} }}\n\
                 [workspace]\n[profile.device]\ninherits = \"release\"\n"
            );
            package(clone, "own", &rest);
            fs::write(clone.join("rust-toolchain.toml"), "").unwrap();
        }
        let targets = clones.each_ref().map(|clone| clone.join("target"));
        build(&clones[0], &targets[0]);
        let of = |nth: usize| {
            Compiled::at(clones[nth].clone(), targets[nth].clone(), &cache).expect("two clones")
        };
        fs::create_dir_all(cache.join("compiled-of-other-crates")).unwrap();
        of(0).keep().expect("it is kept");
        assert!(!cache.join("compiled-of-other-crates").exists());
        let kept = fs::read_dir(of(0).kept.join("debug/deps")).unwrap().flatten();
        let kept: Vec<String> =
            kept.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(kept.iter().any(|name| name.contains("foreign")), "{kept:?}");
        assert!(!kept.iter().any(|name| name.contains("own")), "{kept:?}");

        fs::copy(clones[0].join("Cargo.lock"), clones[1].join("Cargo.lock")).unwrap();
        fs::create_dir_all(targets[1].join("debug/.fingerprint/xtask-1")).unwrap();
        of(1).take().expect("it is taken");
        let said = build(&clones[1], &targets[1]);
        assert!(said.contains("Fresh foreign"), "{said}");
        assert!(said.contains("Compiling own"), "{said}");
        // Somebody works in this one.
        fs::remove_dir_all(targets[1].join("debug/deps")).unwrap();
        of(1).take().expect("nothing is done");
        assert!(!targets[1].join("debug/deps").exists());
        fs::remove_dir_all(&place).unwrap();
    }
}
