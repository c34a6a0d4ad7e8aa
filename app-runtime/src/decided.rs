//! What was decided about snaps, as it is asked for and shown: configuration, connections, quotas,
//! which services start.

use crate::{
    change::plan,
    content,
    error::{Error, Result},
    manager::Manager,
    meta::Snap,
    quota, service,
    settings::{self, Edit, Settings},
};
use protocol::{
    change::{ConnectionInfo, InterfaceInfo, Order, QuotaInfo},
    control::AppResponse,
};
use sandbox::cgroup;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

impl Manager {
    /// Refuses what the snap, its interfaces or the machine cannot honour, before it is stored.
    pub(crate) fn check_decision(&self, order: &Order) -> Result<()> {
        match order {
            Order::Connect { plug, attributes } => {
                let snap = self.readable(&plug.snap)?;
                let given = plan::settings::given(attributes)?;
                self.interfaces.check_connection(&snap, &plug.plug, &given)
            }
            Order::Disconnect { plug } => {
                let snap = self.readable(&plug.snap)?;
                match snap.all_plugs().contains(plug.plug.as_str()) {
                    true => Ok(()),
                    false => Err(Error::refused("no-plug", format!("{plug}: no such plug"))),
                }
            }
            Order::SetQuota { quota, .. } => quota::check(&self.paths, quota, &self.missing),
            _ => Ok(()),
        }
    }

    /// The snap.yaml of one that is active.
    fn readable(&self, name: &str) -> Result<Rc<Snap>> {
        self.snap(name).ok_or_else(|| match self.state.borrow().snaps.get(name) {
            None => Error::not_installed(name),
            Some(snap) if snap.disabled => {
                Error::refused("snap-disabled", format!("{name} is disabled"))
            }
            Some(_) => Error::refused("snap-corrupt", format!("{name} cannot be read")),
        })
    }

    /// Hooks of all snaps that are active.
    pub(crate) fn all_hooks(&self) -> BTreeMap<String, BTreeSet<String>> {
        let names: Vec<String> = self.state.borrow().snaps.keys().cloned().collect();
        let hooks = |name: String| {
            let snap = self.snap(&name)?;
            Some((name, snap.hooks.keys().cloned().collect()))
        };
        names.into_iter().filter_map(hooks).collect()
    }

    /// Values of a configuration, or all of it, as JSON.
    pub fn get(&self, name: &str, keys: &[String]) -> Result<AppResponse> {
        if !self.state.borrow().snaps.contains_key(name) {
            return Err(Error::not_installed(name));
        }
        let config = self.state.borrow().settings_of(name).config;
        let value = match keys {
            [] => serde_json::to_value(&config).map_err(|error| Error::refused("state", error))?,
            [key] => settings::get(&config, key)?.cloned().ok_or_else(|| {
                Error::refused("no-option", format!("snap {name:?} has no {key:?} configuration"))
            })?,
            keys => settings::document(&config, keys)?,
        };
        Ok(AppResponse::Config(value.to_string()))
    }

    /// What became of each plug of a snap that is active.
    pub(crate) fn plugs(&self, snap: &Snap, settings: &Settings) -> Vec<ConnectionInfo> {
        let mut all = self.interfaces.connections(snap, settings);
        let offers = self.offers(snap, settings);
        for found in all.iter_mut().filter(|found| found.interface == content::INTERFACE) {
            let offer = offers.iter().find(|offer| offer.plug == found.plug.plug);
            found.connected = offer.is_some();
            let whose = offer.map(|offer| format!("provider={}", offer.provider));
            found.attributes = whose.into_iter().collect();
        }
        all
    }

    /// Plugs of all snaps that are active, or of one.
    pub fn connections(&self, name: Option<&str>) -> Result<Vec<ConnectionInfo>> {
        let names: Vec<String> = match name {
            Some(name) => vec![self.readable(name)?.name.clone()],
            None => self.state.borrow().snaps.keys().cloned().collect(),
        };
        let state = self.state.borrow();
        let of = |name: &String| {
            let snap = self.snap(name)?;
            Some(self.plugs(&snap, &state.settings_of(name)))
        };
        Ok(names.iter().filter_map(of).flatten().collect())
    }

    /// All interfaces, or one.
    pub fn describe_interfaces(&self, name: Option<&str>) -> Result<Vec<InterfaceInfo>> {
        let names: Vec<String> = self.state.borrow().snaps.keys().cloned().collect();
        let snaps: Vec<Rc<Snap>> = names.iter().filter_map(|name| self.snap(name)).collect();
        let snaps: Vec<&Snap> = snaps.iter().map(Rc::as_ref).collect();
        self.interfaces.describe(name, &snaps)
    }

    /// Quotas of all snaps that have one, or of one snap.
    pub fn quotas(&self, name: Option<&str>) -> Result<Vec<QuotaInfo>> {
        let state = self.state.borrow();
        if let Some(name) = name.filter(|name| !state.snaps.contains_key(*name)) {
            return Err(Error::not_installed(name));
        }
        let names = state.snaps.keys().filter(|snap| name.is_none_or(|name| name == *snap));
        let all = names.map(|snap| {
            let used = cgroup::usage(&self.paths.snap_cgroup(snap));
            let settings = state.settings_of(snap);
            let quota = match self.snap(snap) {
                Some(snap) => settings.quota_of(&snap),
                // What a snap says itself is not known while it is not there.
                None => settings.quota,
            };
            QuotaInfo { snap: snap.clone(), quota, memory: used.memory, threads: used.pids }
        });
        Ok(all.filter(|info| name.is_some() || !info.quota.is_none()).collect())
    }

    /// Services start with their snap or do not, and are started or stopped now.
    pub async fn startup(&self, name: &str, on: bool) -> Result<AppResponse> {
        let services = self.find(name)?;
        let snap = name.split('.').next().unwrap_or_default();
        let edits: Vec<Edit> = services.iter().map(|s| Edit::Startup(s.app().into(), on)).collect();
        self.decide(snap, &edits)?;
        match on {
            true => service::start(&services).await?,
            false => service::stop(&services).await,
        }
        let done = if on { "started and enabled" } else { "stopped and disabled" };
        Ok(AppResponse::Ok(format!("{name} {done}")))
    }
}
