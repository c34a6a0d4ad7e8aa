//! Install, refresh and remove.
//!
//! A refresh, step by step, and where a power cut leaves it:
//!
//! | step | after a cut |
//! |---|---|
//! | copy, check, rename the new file | old (the file is swept away) |
//! | stop the old services, copy the data | old |
//! | write the state | new |
//! | start the new services and watch them | new; when they fail: the state is written back, the old ones started |
//! | remove what is older than the old revision | new |

use crate::{
    data, download,
    error::{Context, Error, Result},
    incoming::{self, Incoming},
    manager::{Manager, blocking, unknown},
    meta::support,
    mounting, ring,
    state::{Installed, Revision, State, sync_parent},
};
use std::{fs, path::PathBuf, rc::Rc};

/// Revisions that are kept: the current one and the one before.
pub(crate) const KEPT: usize = 2;

impl Manager {
    /// Installs or refreshes from a file on the device. Returns what to tell.
    pub async fn install(self: &Rc<Self>, path: PathBuf, dangerous: bool) -> Result<String> {
        if !path.is_absolute() {
            let why = format!("{}: not an absolute path", path.display());
            return Err(Error::refused("bad-path", why));
        }
        let _change = self.change.lock().await;
        let (paths, number) = (self.paths.clone(), self.next_incoming());
        let accept = move || incoming::accept(&paths, &path, number, dangerous);
        self.take(blocking(accept).await?).await
    }

    /// Installs or refreshes from an address.
    pub async fn install_url(
        self: &Rc<Self>,
        url: String,
        sha256: Option<[u8; 32]>,
        dangerous: bool,
    ) -> Result<String> {
        let _change = self.change.lock().await;
        let (paths, number) = (self.paths.clone(), self.next_incoming());
        let accept = move || {
            let copy = download::fetch(&paths, &url, sha256, number)?;
            incoming::accept(&paths, &copy, number, dangerous)
        };
        self.take(blocking(accept).await?).await
    }

    async fn take(&self, incoming: Incoming) -> Result<String> {
        let snap = &incoming.snap;
        let name = snap.name.clone();
        // Before anything is stopped: what it asks for must exist.
        for app in snap.apps.values() {
            self.interfaces.grant(&name, &snap.interfaces_of(app))?;
        }
        if let Some(old) = self.snap(&name) {
            snap.epoch.follows(&name, &old.epoch)?;
        }
        let before = self.state.borrow().clone();
        let mut after = before.clone();
        let old = before.snaps.get(&name);
        let uid = match old {
            Some(old) => old.uid,
            None => after.take_uid()?,
        };
        let revision = old.map_or(1, |old| old.last.saturating_add(1));
        let entry = Revision {
            version: snap.version.clone(),
            signed: incoming.checked.signed,
            size: incoming.size,
            image: incoming.checked.image,
        };
        let mut revisions = old.map(|old| old.revisions.clone()).unwrap_or_default();
        revisions.insert(revision, entry);
        after
            .snaps
            .insert(name.clone(), Installed { uid, current: revision, last: revision, revisions });

        if let Err(error) = self.switch(&name, revision, &incoming, &before, after).await {
            self.go_back(&name, revision, before).await;
            return Err(error);
        }
        self.prune(&name)?;
        let done = if old.is_some() { "refreshed to" } else { "installed" };
        let signed = if incoming.checked.signed { "" } else { " (not signed)" };
        let told: Vec<String> =
            support::told(snap).iter().map(|told| format!("\nnot used: {told}")).collect();
        let told = told.concat();
        Ok(format!("{name} {done} {} (revision {revision}){signed}{told}", snap.version))
    }

    /// From the checked copy to running services.
    async fn switch(
        &self,
        name: &str,
        revision: u32,
        incoming: &Incoming,
        before: &State,
        after: State,
    ) -> Result<()> {
        let file = self.paths.file(name, revision);
        fs::rename(&incoming.path, &file).at("rename to", &file)?;
        sync_parent(&file)?;
        let uid = after.snaps.get(name).map_or(0, |snap| snap.uid);
        data::make(&self.paths.common(name), uid)?;
        let new = self.paths.revision_data(name, revision);
        match before.snaps.get(name) {
            Some(old) => {
                self.deactivate(name).await;
                let from = self.paths.revision_data(name, old.current);
                let what = name.to_string();
                blocking(move || data::copy(&what, &from, &new, uid)).await?;
            }
            None => data::make(&new, uid)?,
        }
        self.commit(after)?;
        self.activate(name)?;
        for service in self.services_of(name) {
            service.prove().await?;
        }
        Ok(())
    }

    /// After a failed switch: the state of before, its services, and nothing of the new revision.
    async fn go_back(&self, name: &str, revision: u32, before: State) {
        self.deactivate(name).await;
        let was_there = before.snaps.contains_key(name);
        let undone = self.commit(before).and_then(|()| {
            self.discard(name, revision)?;
            if was_there { self.activate(name) } else { data::remove(&self.paths.data(name)) }
        });
        if let Err(error) = undone {
            eprintln!("{name}: going back: {error}");
        }
        for service in self.services_of(name) {
            service.want();
        }
    }

    /// Writes the state, then holds it as the present one.
    fn commit(&self, state: State) -> Result<()> {
        state.store(&self.paths.state(), &self.paths.state_copy())?;
        *self.state.borrow_mut() = state;
        Ok(())
    }

    /// Removes mount, file and data of one revision.
    fn discard(&self, name: &str, revision: u32) -> Result<()> {
        mounting::unmount(&self.paths.mount(name, revision))?;
        data::remove(&self.paths.file(name, revision))?;
        data::remove(&self.paths.revision_data(name, revision))
    }

    /// Removes revisions that are no longer kept.
    fn prune(&self, name: &str) -> Result<()> {
        let mut state = self.state.borrow().clone();
        let Some(snap) = state.snaps.get_mut(name) else { return Ok(()) };
        let mut gone = Vec::new();
        while snap.revisions.len() > KEPT {
            gone.extend(snap.revisions.pop_first().map(|(revision, _)| revision));
        }
        let current = snap.current;
        let kept: Vec<u32> = snap.revisions.keys().copied().collect();
        if !gone.is_empty() {
            self.commit(state)?;
        }
        gone.into_iter().try_for_each(|revision| self.discard(name, revision))?;
        // Only the current one needs to be mounted.
        kept.into_iter()
            .filter(|revision| *revision != current)
            .try_for_each(|revision| mounting::unmount(&self.paths.mount(name, revision)))
    }

    /// Stops and removes a snap with its data and logs.
    pub async fn remove(&self, name: &str) -> Result<String> {
        let _change = self.change.lock().await;
        let mut state = self.state.borrow().clone();
        let snap = state.snaps.remove(name).ok_or_else(|| unknown(name))?;
        let services: Vec<String> = self.services_of(name).iter().map(|s| s.name.clone()).collect();
        self.deactivate(name).await;
        self.commit(state)?;
        for revision in snap.revisions.keys() {
            self.discard(name, *revision)?;
        }
        let _ = fs::remove_dir(self.paths.mounts().join(name));
        data::remove(&self.paths.data(name))?;
        for service in services {
            ring::remove(&self.paths.log(&service))?;
        }
        Ok(format!("{name} removed"))
    }
}
