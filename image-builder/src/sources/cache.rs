//! The cache of built parts, outside the work tree.
//!
//! What always holds: a folder `PART-HASH` is complete (built under another name, synced, renamed);
//! the hash covers every input of the recipe; a lock file keeps a second builder waiting.

use super::apt::{Apt, Mirror};
use super::lock::{LockFile, Part};
use super::step::Steps;
use super::{failed, firmware, kernel, program, uboot};
use crate::board::UBoot;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Hexadecimal digits of the hash in a folder's name.
const NAME_DIGITS: usize = 16;

/// Folder of the private apt for packages of the device's processor, and Debian's name of that.
const DEVICE_PACKAGES: (&str, &str) = ("apt-arm64", "arm64");

/// The cache, and what it is filled from.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    lock: LockFile,
    mirror: Mirror,
}

/// What a recipe works with.
#[derive(Debug)]
pub struct Workshop<'a> {
    /// Where to build; removed afterwards.
    pub work: &'a Path,
    /// Where to put what is kept.
    pub out: &'a Path,
    /// Runs programs.
    pub steps: &'a Steps,
}

impl Cache {
    /// `$HOLDFAST_CACHE`, or `holdfast` in `$XDG_CACHE_HOME`, or in `~/.cache`.
    pub fn open() -> Result<Cache> {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = folder("HOLDFAST_CACHE")
            .map(PathBuf::from)
            .or_else(|| folder("XDG_CACHE_HOME").map(|base| Path::new(&base).join("holdfast")))
            .or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache/holdfast")))
            .ok_or_else(|| failed("no place for the cache: set HOLDFAST_CACHE"))?;
        Cache::at(root)
    }

    /// A cache in a folder of the caller's choice, with the work tree's lock file and Debian's
    /// mirror.
    pub fn at(root: impl Into<PathBuf>) -> Result<Cache> {
        Cache::filled_from(root, LockFile::of_work_tree(), Mirror::debian())
    }

    /// A cache with everything of the caller's choice.
    pub fn filled_from(root: impl Into<PathBuf>, lock: LockFile, mirror: Mirror) -> Result<Cache> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(Error::file("create", &root))?;
        let root = root.canonicalize().map_err(Error::file("find", &root))?;
        Ok(Cache { root, lock, mirror })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The kernel and its device trees.
    pub fn kernel(&self) -> Result<kernel::KernelArtifacts> {
        kernel::build(self)
    }

    /// `u-boot.bin`, with the boot script in it.
    pub fn uboot(&self, which: UBoot) -> Result<PathBuf> {
        uboot::build(self, which)
    }

    /// A folder with the files of Pi firmware.
    pub fn firmware(&self) -> Result<PathBuf> {
        firmware::unpack(self)
    }

    /// A static busybox for the device, what benchmarks compare with; in no image.
    pub fn busybox(&self) -> Result<PathBuf> {
        program::unpack(self, &program::BUSYBOX)
    }

    /// A static e2fsck for the device, with the file of its licences beside it.
    pub fn e2fsck(&self) -> Result<PathBuf> {
        program::unpack(self, &program::E2FSCK)
    }

    /// Files of Debian's packages for the device's processor and of what they depend on: for tests,
    /// and in no image. Not locked: whatever Debian has and signed.
    pub fn packages(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let _lock = self.exclusive("downloads")?;
        let (folder, architecture) = DEVICE_PACKAGES;
        let root = self.root.join(folder);
        Apt::new(root, &self.mirror, self.lock.clone(), Some(architecture))?.closure(names)
    }

    /// The locked file of a part, fetched if it is not there yet, its digest checked.
    ///
    /// # Errors
    /// When the mirror has neither the locked version nor another of its series; when its signature
    /// or the file's digest is wrong.
    pub fn source(&self, part: Part) -> Result<PathBuf> {
        let folder = self.root.join("downloads");
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let _lock = self.exclusive("downloads")?;
        let entry = self.lock.load()?.get(part).clone();
        let file = folder.join(&entry.file);
        if !file.exists() {
            let (name, architecture) = match part {
                Part::Busybox | Part::E2fsck => (DEVICE_PACKAGES.0, Some(DEVICE_PACKAGES.1)),
                Part::Kernel | Part::UBoot | Part::Firmware => ("apt", None),
            };
            let root = self.root.join(name);
            let apt = Apt::new(root, &self.mirror, self.lock.clone(), architecture)?;
            return apt.fetch(part, &entry, &folder);
        }
        let got = digest_of(&file)?;
        if got == entry.sha256 {
            return Ok(file);
        }
        let (path, want) = (file.display(), &entry.sha256);
        Err(failed(format!("{path} has SHA-256 {got}, the lock file says {want}; remove it")))
    }

    /// The folder `PART-HASH` of a part whose recipe begins with a locked file. The file's digest
    /// comes second among the inputs; it is that of the file that the recipe gets, also when
    /// fetching has replaced the lock's entry.
    pub(super) fn part_of(
        &self,
        source: Part,
        part: &str,
        inputs: &[&[u8]],
        recipe: impl FnOnce(&Workshop<'_>, &Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let digest = self.digest(source)?;
        let done = self.folder_of(part, &with_digest(inputs, &digest));
        if done.is_dir() {
            return Ok(done);
        }
        let file = self.source(source)?;
        let digest = self.digest(source)?;
        self.part(part, &with_digest(inputs, &digest), |shop| recipe(shop, &file))
    }

    /// The digest that the lock file has for a part's source.
    fn digest(&self, source: Part) -> Result<String> {
        Ok(self.lock.load()?.get(source).sha256.clone())
    }

    fn folder_of(&self, part: &str, inputs: &[&[u8]]) -> PathBuf {
        self.root.join(format!("{part}-{}", &hash_inputs(inputs)[..NAME_DIGITS]))
    }

    /// The folder `PART-HASH`, built by `recipe` when it is not there. `inputs` is everything that
    /// decides the outcome.
    pub(super) fn part(
        &self,
        part: &str,
        inputs: &[&[u8]],
        recipe: impl FnOnce(&Workshop<'_>) -> Result<()>,
    ) -> Result<PathBuf> {
        let done = self.folder_of(part, inputs);
        if done.is_dir() {
            return Ok(done);
        }
        let _lock = self.exclusive(part)?;
        if done.is_dir() {
            return Ok(done);
        }
        let building = done.with_extension("building");
        remove(&building)?;
        let (work, out) = (building.join("work"), building.join("out"));
        fs::create_dir_all(&work).map_err(Error::file("create", &work))?;
        fs::create_dir_all(&out).map_err(Error::file("create", &out))?;
        let steps = Steps::new(part, self.root.join(format!("{part}.log")));
        remove(&self.root.join(format!("{part}.log")))?;
        recipe(&Workshop { work: &work, out: &out, steps: &steps })?;
        sync_tree(&out)?;
        fs::rename(&out, &done).map_err(Error::file("publish", &done))?;
        remove(&building)?;
        steps.say(&format!("done: {}", done.display()));
        Ok(done)
    }

    /// Waits until no other builder works on `what`; held until dropped.
    fn exclusive(&self, what: &str) -> Result<File> {
        let path = self.root.join(format!("{what}.lock"));
        let file = File::create(&path).map_err(Error::file("create", &path))?;
        if file.try_lock().is_err() {
            eprintln!("{what}: another build is at it, waiting");
            file.lock().map_err(Error::file("lock", &path))?;
        }
        Ok(file)
    }
}

/// SHA-256 of a file, in hexadecimal.
pub fn digest_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::file("open", path))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(Error::file("read", path))? {
            0 => return Ok(hex(&sum.finalize())),
            length => sum.update(&buffer[..length]),
        }
    }
}

/// The inputs with a source's digest after the first, which is the recipe.
fn with_digest<'a>(inputs: &[&'a [u8]], digest: &'a str) -> Vec<&'a [u8]> {
    let (recipe, rest) = inputs.split_at(inputs.len().min(1));
    [recipe, &[digest.as_bytes()], rest].concat()
}

/// SHA-256 over all inputs, each preceded by its length so that no two lists have the same bytes.
fn hash_inputs(inputs: &[&[u8]]) -> String {
    let mut sum = Sha256::new();
    for input in inputs {
        sum.update((input.len() as u64).to_le_bytes());
        sum.update(input);
    }
    hex(&sum.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Syncs every file below `folder`: a rename must not outlive what it publishes.
fn sync_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file("list", folder))? {
        let path = entry.map_err(Error::file("list", folder))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(Error::file("sync", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cache = Cache::at(folder.path()).expect("cache");
        (folder, cache)
    }

    #[test]
    fn a_part_is_built_once_per_set_of_inputs() {
        let (_folder, cache) = cache();
        let build = |inputs: &[&[u8]]| {
            cache.part("p", inputs, |shop| {
                fs::write(shop.out.join("f"), b"x").map_err(Error::file("write", shop.out))
            })
        };
        let first = build(&[b"ab", b"c"]).expect("built");
        let again = cache.part("p", &[b"ab", b"c"], |_| panic!("built twice")).expect("cached");
        assert_eq!(first, again);
        assert_ne!(first, build(&[b"a", b"bc"]).expect("other inputs, other folder"));
    }

    #[test]
    fn a_failed_build_leaves_nothing_under_the_final_name_and_can_be_repeated() {
        let (_folder, cache) = cache();
        let broken = cache.part("p", &[b"1"], |shop| {
            fs::write(shop.out.join("half"), b"x").map_err(Error::file("write", shop.out))?;
            Err(failed("broke"))
        });
        assert!(broken.is_err());
        let done = cache.part("p", &[b"1"], |_| Ok(())).expect("second try");
        assert!(!done.join("half").exists());
    }
}
