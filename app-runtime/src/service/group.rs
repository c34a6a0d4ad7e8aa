//! The services of one snap, which know of each other in what order they start and stop.

use super::{Bounds, Service, Shared};
use crate::{
    confine::Place,
    error::Result,
    interface::Interfaces,
    meta::{Snap, order},
    paths::Paths,
    settings::Settings,
};
use std::{collections::BTreeMap, rc::Rc};

/// All services of a snap, in the order in which they start; none runs yet.
pub fn of(
    snap: &Rc<Snap>,
    place: &Place,
    paths: &Paths,
    interfaces: &Interfaces,
    settings: &Settings,
) -> Result<Vec<Rc<Service>>> {
    let shared: BTreeMap<&str, Rc<Shared>> = snap
        .apps
        .iter()
        .filter_map(|(name, app)| Some((name.as_str(), Rc::new(Shared::new(app.daemon?)))))
        .collect();
    let mut services = Vec::new();
    for (service, app, daemon) in snap.services() {
        let name = service.rsplit('.').next().unwrap_or_default();
        let granted = interfaces.grant(snap, snap.plugs_of(&app.plugs), settings)?;
        let others = |wanted: &dyn Fn(&str) -> bool| -> Vec<Rc<Shared>> {
            shared.iter().filter(|(other, _)| wanted(other)).map(|(_, s)| s.clone()).collect()
        };
        let before = order::earlier(&snap.apps, name);
        let bounds =
            Bounds { snap: snap.clone(), place: place.clone(), paths: paths.clone(), granted };
        services.push(Rc::new(Service {
            daemon,
            app: app.clone(),
            bounds,
            earlier: others(&|other| before.contains(other)),
            later: others(&|other| order::earlier(&snap.apps, other).contains(name)),
            shared: shared.get(name).cloned().unwrap_or_else(|| Rc::new(Shared::new(daemon))),
            running: std::cell::Cell::default(),
            app_name: name.to_string(),
            name: service,
        }));
    }
    Ok(services)
}

/// Starts services one after the other, in the order in which they are given.
pub async fn start(services: &[Rc<Service>]) -> Result<()> {
    for service in services {
        service.start().await?;
    }
    Ok(())
}

/// Stops and starts services.
pub async fn restart(services: &[Rc<Service>]) -> Result<()> {
    stop(services).await;
    start(services).await
}

/// Stops services together: those of one snap in the reverse order of their start.
pub async fn stop(services: &[Rc<Service>]) {
    // All are told before any has to wait for another.
    for service in services {
        service.shared.wanted.send_replace(false);
    }
    for service in services {
        service.stop().await;
    }
}
