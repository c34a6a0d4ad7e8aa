//! From a file to a checked snap in appd's own directory. Runs on a thread of its own: it copies
//! and hashes.

use crate::{
    data,
    disk::{Disk, Partition},
    error::{Context, Error, Result},
    layouts,
    meta::{Snap, invalid},
    mounting,
    paths::Paths,
    settings::Config,
    state::Revision,
    verify::{self, Checked},
};
use protocol::keys::to_hex;
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Largest snap; a card has room for little more.
pub const MAX_SNAP: u64 = 1 << 30;

/// A copy that may be installed.
#[derive(Debug)]
pub struct Incoming {
    /// Its snap.yaml.
    pub snap: Snap,
    /// Size in bytes.
    pub size: u64,
    /// What the check found.
    pub checked: Checked,
}

impl Incoming {
    /// As it is noted in the state.
    pub fn revision(&self) -> Revision {
        Revision {
            version: self.snap.version.clone(),
            signed: self.checked.signed,
            size: self.size,
            image: self.checked.image,
            digest: self.checked.digest.map(|digest| to_hex(&digest)),
            config: Config::new(),
            role: self.snap.role(),
        }
    }
}

/// Copies `source`, unless it is a download that already lies at `copy`, checks the copy and reads
/// its snap.yaml.
pub fn accept(paths: &Paths, source: &Path, number: u32, dangerous: bool) -> Result<Incoming> {
    let copy = paths.partial(number);
    let result = accept_copy(paths, source, &copy, number, dangerous);
    if result.is_err() {
        let _ = fs::remove_file(&copy);
    }
    result
}

fn accept_copy(
    paths: &Paths,
    source: &Path,
    copy: &Path,
    number: u32,
    dangerous: bool,
) -> Result<Incoming> {
    let what = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size = verify::glance(&what, source, dangerous)?;
    if size > MAX_SNAP {
        let why = format!("{what}: {size} bytes, at most {MAX_SNAP}");
        return Err(Error::refused("snap-too-large", why));
    }
    if source != copy {
        data::check_space(&what, &paths.files(), size)?;
        copy_synced(source, copy, size)?;
    }
    let mut checked = verify::check(&what, copy, &paths.keys(), dangerous)?;
    let snap = look_inside(paths, &what, copy, number, checked.image)?;
    if checked.name.as_ref().is_some_and(|name| *name != snap.name) {
        let why = format!("{what}: signed for another name than {}", snap.name);
        return Err(Error::refused("snap-signature", why));
    }
    if checked.digest.is_none() {
        let file = File::open(copy).at("open", copy)?;
        checked.digest = Some(verify::digest(&what, &mut io::Read::take(file, checked.image))?);
    }
    // It is noted in a moment that the copy is there.
    Partition.sync_names(&paths.files())?;
    Ok(Incoming { snap, size, checked })
}

fn copy_synced(source: &Path, copy: &Path, size: u64) -> Result<()> {
    let from = File::open(source).at("open", source)?;
    let mut to = File::create(copy).at("create", copy)?;
    let copied = io::copy(&mut io::Read::take(from, size), &mut to).at("copy to", copy)?;
    if copied != size {
        let why = format!("{}: {copied} of {size} bytes could be read", source.display());
        return Err(Error::refused("snap-corrupt", why));
    }
    to.sync_all().at("sync", copy)
}

/// Mounts a checked file for a moment, to read its snap.yaml.
pub(crate) fn look_inside(
    paths: &Paths,
    what: &str,
    copy: &Path,
    number: u32,
    image: u64,
) -> Result<Snap> {
    let mount = paths.incoming_mount(number);
    mounting::mount(what, copy, image, &mount)?;
    let snap = mounting::read_meta(what, &mount).and_then(|snap| {
        programs_exist(&snap, &mount)?;
        layouts::check(&snap, &mount)?;
        Ok(snap)
    });
    mounting::unmount(&mount)?;
    snap
}

/// A command that is not there would only fail at its first start. An image's was looked up when
/// it was converted, over links that are meant for its own root.
fn programs_exist(snap: &Snap, mount: &Path) -> Result<()> {
    if snap.image.is_some() {
        return Ok(());
    }
    for (name, app) in &snap.apps {
        let commands = [
            ("command", Some(&app.command)),
            ("stop-command", app.stop_command.as_ref()),
            ("reload-command", app.reload_command.as_ref()),
            ("post-stop-command", app.post_stop_command.as_ref()),
        ];
        let chain = app.command_chain.iter().map(|program| ("command-chain", Some(program)));
        for (key, command) in commands.into_iter().chain(chain) {
            let Some(program) = command.and_then(|command| command.split(' ').next()) else {
                continue;
            };
            if fs::symlink_metadata(mount.join(program)).is_err() {
                let why = format!("{program} is not in the snap");
                return Err(invalid(format!("apps.{name}.{key}"), why));
            }
        }
    }
    Ok(())
}
