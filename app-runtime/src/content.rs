//! Files that one snap shares with another: slots and plugs of the interface `content`.
//!
//! | plug | gets the content of |
//! |---|---|
//! | disconnected by a person | nobody |
//! | connected by a person with `provider=NAME` | that snap |
//! | with a `default-provider` | that snap |
//! | else | the one snap that offers it; nobody, when there are several |
//!
//! What always holds: what is shown is opened below the provider's own directories, over no link
//! that leads out of them; a snap that gets other content than before is started anew; whether the
//! files can be read or written is for their permissions, since each snap is a user of its own.

use crate::{
    beneath,
    error::Result,
    layouts,
    meta::{
        Snap,
        places::{Base, OwnPath},
        plug::Content,
    },
    paths::Paths,
    settings::Settings,
};
use sandbox::Mount;
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
};

/// The interface.
pub const INTERFACE: &str = "content";
/// The attribute by which a person says whose it is, and what it is when nobody says it.
const PROVIDER: &str = "provider";
const ANY: &str = "any";

/// What one plug gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The plug.
    pub plug: String,
    /// Whose content it is, and of which revision.
    pub provider: String,
    revision: u32,
    /// What of it, and whether it can be written.
    from: Vec<(OwnPath, bool)>,
    target: OwnPath,
}

/// A snap that is active, and its revision.
pub type Active = (Rc<Snap>, u32);

/// Whether a snap gets any when somebody shares it.
pub fn is_wanted_by(snap: &Snap) -> bool {
    plugs(snap).next().is_some()
}

fn plugs(snap: &Snap) -> impl Iterator<Item = &str> {
    snap.all_plugs().into_iter().filter(|plug| snap.interface_of(plug) == INTERFACE)
}

/// What the plugs of a snap get of those that are active.
pub fn offers(snap: &Snap, settings: &Settings, active: &[Active]) -> Vec<Offer> {
    plugs(snap).filter_map(|plug| offer(snap, plug, settings, active)).collect()
}

fn offer(snap: &Snap, name: &str, settings: &Settings, active: &[Active]) -> Option<Offer> {
    let decision = settings.connections.get(name);
    if decision.is_some_and(|decision| !decision.connected) {
        return None;
    }
    // It was checked when the file was read.
    let plug = snap.plugs.get(name)?.content("plugs", name, false).ok()?;
    let said = decision.and_then(|decision| decision.attributes.get(PROVIDER)?.as_str());
    let named = plug.provider.as_deref().and_then(|provider| provider.split(':').next());
    let wanted = said.filter(|said| *said != ANY).or(named);
    let mut found = active.iter().filter_map(|(provider, revision)| {
        let wanted = wanted.is_none_or(|wanted| wanted == provider.name);
        let content = (wanted && provider.name != snap.name).then(|| slot(provider, &plug))??;
        Some((provider, *revision, content))
    });
    let (provider, revision, slot) = found.next().filter(|_| found.next().is_none())?;
    let paths = |list: &[String], writable| -> Option<Vec<(OwnPath, bool)>> {
        list.iter().map(|path| Some((whole(path)?, writable))).collect()
    };
    Some(Offer {
        plug: name.into(),
        provider: provider.name.clone(),
        revision,
        from: [paths(&slot.read, false)?, paths(&slot.write, true)?].concat(),
        target: OwnPath::parse("plugs", &plug.target?).ok()?,
    })
}

/// The slot of a snap that offers what a plug wants.
fn slot(provider: &Snap, plug: &Content) -> Option<Content> {
    let slots = provider.slots.iter();
    let contents = slots.filter_map(|(name, slot)| slot.content("slots", name, true).ok());
    contents.into_iter().find(|slot| slot.content == plug.content)
}

/// A path without a variable is one of the snap.
fn whole(path: &str) -> Option<OwnPath> {
    let path = match path.starts_with('$') {
        true => path.trim_end_matches('/').to_string(),
        false => format!("$SNAP/{}", path.trim_matches('/')).trim_end_matches('/').to_string(),
    };
    OwnPath::parse("slots", &path).ok()
}

/// Mounts of what is offered, and what must stay open until the app is started. What is not there
/// is told, and not shown.
pub fn mounts(
    paths: &Paths,
    snap: &Snap,
    revision: u32,
    offers: &[Offer],
) -> Result<(Vec<Mount>, Vec<OwnedFd>)> {
    let (mut mounts, mut held) = (Vec::new(), Vec::new());
    for offer in offers {
        let target = layouts::inside(&snap.name, revision, &offer.target);
        for (path, writable) in &offer.from {
            let base = layouts::of_revision(paths, &offer.provider, offer.revision, path.base);
            let fd = match beneath::open(&base, &path.rest) {
                Ok(fd) => fd,
                Err(error) => {
                    eprintln!("{}: content of {}: {error}", snap.name, offer.provider);
                    continue;
                }
            };
            mounts.push(Mount::Bind {
                source: beneath::path(&fd),
                target: place(&target, path, offer.from.len()),
                writable: *writable && path.base != Base::Snap,
                executable: true,
            });
            held.push(fd);
        }
    }
    Ok((mounts, held))
}

/// One path is the target itself, several lie in it by their names.
fn place(target: &Path, path: &OwnPath, count: usize) -> PathBuf {
    let name = path.rest.rsplit('/').next().unwrap_or_default();
    if count == 1 || name.is_empty() { target.into() } else { target.join(name) }
}
