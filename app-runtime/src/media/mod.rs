//! Removable media: what is plugged into USB is mounted while a snap may see it, and taken away
//! when it is pulled out or no snap may any more.
//!
//! | module | what |
//! |---|---|
//! | [`blocks`] | which block devices are on removable media |
//! | [`volume`] | which file system one has, and what it is called |
//! | `fat`, `exfat` | what a volume says of itself |
//! | [`events`] | when the kernel says that a block device came or went |
//!
//! What always holds: no file system of a stranger's is given to the kernel unless a plug of
//! `removable-media` is granted, which only a person does; it is FAT or exFAT, which sticks have,
//! and nothing in it is executed, a device, or runs as its owner; the disk that the device runs
//! from is never taken for one. The mounts are seen by appd and by the apps that may see them, and
//! by nothing else of the device: they are in appd's own mount namespace, and end with it.

pub mod blocks;
pub mod events;
mod exfat;
mod fat;
pub mod volume;

use crate::{
    error::{Context, Result},
    manager::{Manager, blocking},
    mounting,
    paths::Paths,
};
use blocks::Block;
use events::Events;
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    rc::Rc,
    time::Duration,
};
use volume::Volume;

/// Where apps see the media, each in a folder of its own.
pub const INSIDE: &str = "/media";
/// The kernel's events come in bursts: a disk, its partitions.
const BURST: Duration = Duration::from_millis(200);
/// Of the folder with the media: nothing but mount points.
const FOLDER: &std::ffi::CStr = c"mode=755,size=64k,nr_inodes=64";
/// Most media at once; a stick can claim to have many partitions.
const MOST: usize = 16;

/// Makes the folder that apps follow, in which media are mounted; in memory, so that the folders of
/// media end with the mount namespace as their mounts do.
pub fn prepare(paths: &Paths) -> Result<()> {
    let folder = paths.media();
    fs::create_dir_all(&folder).at("make directory", &folder)?;
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    let mounted = rustix::mount::mount("media", &folder, "tmpfs", flags, Some(FOLDER));
    mounted.at("mount", &folder)?;
    rustix::mount::mount_change(&folder, MountPropagationFlags::SHARED).at("share", &folder)
}

/// Mounts and takes away, for as long as appd runs.
pub async fn follow(manager: Rc<Manager>) {
    let mut media = Media::default();
    loop {
        if !manager.wants_media() {
            media = media.taken_away(manager.paths.clone()).await;
            manager.media.notified().await;
            continue;
        }
        // Before the first look: what comes during it is not missed.
        let events = match Events::open() {
            Ok(events) => events,
            Err(error) => {
                eprintln!("media: {error}");
                return;
            }
        };
        while manager.wants_media() {
            media = media.looked(manager.paths.clone()).await;
            tokio::select! {
                () = events.of_block_devices() => tokio::time::sleep(BURST).await,
                () = manager.media.notified() => {}
            }
        }
    }
}

/// What is plugged in, as far as it was seen: mounted under a name, or not.
#[derive(Default)]
struct Media(BTreeMap<Block, Option<String>>);

impl Media {
    /// Looks for what came and went.
    async fn looked(self, paths: Paths) -> Self {
        self.aside(move |media| media.look(&paths)).await
    }

    async fn taken_away(self, paths: Paths) -> Self {
        self.aside(move |media| media.take_all(&paths)).await
    }

    /// On a thread of its own: a medium may be slow.
    async fn aside(mut self, work: impl FnOnce(&mut Self) + Send + 'static) -> Self {
        let done = blocking(move || {
            work(&mut self);
            Ok(self)
        });
        done.await.unwrap_or_else(|error| {
            eprintln!("media: {error}");
            Self::default()
        })
    }

    fn look(&mut self, paths: &Paths) {
        // Where that cannot be told, everything might be the disk that the device runs from.
        let own = match sandbox::cgroup::disk_below(&paths.snaps()) {
            Ok(own) => own,
            Err(error) => return eprintln!("media: none are mounted: {error}"),
        };
        let found = blocks::removable(&paths.blocks(), own);
        let gone: Vec<Block> = self.0.keys().filter(|b| !found.contains(b)).cloned().collect();
        for block in gone {
            self.take(paths, &block);
        }
        for block in found {
            if self.0.contains_key(&block) {
                continue;
            }
            let name = match self.mount(paths, &block) {
                Ok(name) => name,
                // Tried again with the next event.
                Err(error) => {
                    eprintln!("media: {}: {error}", block.name);
                    continue;
                }
            };
            match &name {
                Some(name) => eprintln!("media: {} is {INSIDE}/{name}", block.name),
                None => eprintln!("media: {} is left alone", block.name),
            }
            self.0.insert(block, name);
        }
    }

    /// Mounts it under its name; `None`: it is neither FAT nor exFAT, or one too many.
    fn mount(&self, paths: &Paths, block: &Block) -> Result<Option<String>> {
        let device = Path::new("/dev").join(&block.name);
        let file = File::open(&device).at("open", &device)?;
        let found = volume::find(&|at, into| file.read_exact_at(into, at)).at("read", &device)?;
        drop(file);
        let Some(Volume { kind, name }) = found else { return Ok(None) };
        let Some(name) = self.free_name(name, block) else { return Ok(None) };
        let target = paths.media().join(&name);
        fs::create_dir_all(&target).at("make directory", &target)?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
        let flags = flags | MountFlags::NOATIME;
        let options = Some(kind.options());
        let mounted = rustix::mount::mount(&device, &target, kind.type_name(), flags, options);
        if let Err(error) = mounted {
            let _ = fs::remove_dir(&target);
            return Err(error).at("mount", &device);
        }
        Ok(Some(name))
    }

    /// The name that it gets beside those that are mounted; `None`: it is one too many.
    fn free_name(&self, mut name: String, block: &Block) -> Option<String> {
        let taken: Vec<&String> = self.0.values().flatten().collect();
        if taken.len() >= MOST {
            return None;
        }
        while taken.contains(&&name) {
            name = format!("{name}-{}", block.name);
        }
        Some(name)
    }

    fn take_all(&mut self, paths: &Paths) {
        let all: Vec<Block> = self.0.keys().cloned().collect();
        for block in all {
            self.take(paths, &block);
        }
    }

    /// Forgets it, and takes its mount away: an app that has a file open there keeps nothing back.
    fn take(&mut self, paths: &Paths, block: &Block) {
        let Some(Some(name)) = self.0.remove(block) else { return };
        match mounting::unmount(&paths.media().join(&name)) {
            Ok(()) => eprintln!("media: {INSIDE}/{name} is gone"),
            Err(error) => eprintln!("media: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, MOST, Media};

    #[test]
    fn each_medium_has_a_name_of_its_own_and_there_are_only_so_many() {
        let mut media = Media::default();
        let next = |media: &mut Media, number: usize, name: &str| {
            let block = Block { name: format!("sd{number}"), sequence: number.to_string() };
            let name = media.free_name(name.into(), &block);
            media.0.insert(block, name.clone());
            name
        };
        assert_eq!(next(&mut media, 0, "LOGS").as_deref(), Some("LOGS"));
        assert_eq!(next(&mut media, 1, "LOGS").as_deref(), Some("LOGS-sd1"));
        assert_eq!(next(&mut media, 2, "LOGS-sd1").as_deref(), Some("LOGS-sd1-sd2"));
        for number in 3..MOST {
            assert!(next(&mut media, number, "STICK").is_some());
        }
        assert_eq!(next(&mut media, MOST, "LAST"), None);
        // What is left alone takes no place.
        let first = media.0.keys().next().unwrap().clone();
        media.0.remove(&first);
        assert_eq!(next(&mut media, MOST + 1, "LAST").as_deref(), Some("LAST"));
    }
}
