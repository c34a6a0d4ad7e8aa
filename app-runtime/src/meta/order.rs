//! In which order the services of a snap start: `after` and `before`, then by name.

use super::{app::App, invalid};
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the services that start before `name`.
pub fn earlier<'a>(apps: &'a BTreeMap<String, App>, name: &'a str) -> BTreeSet<&'a str> {
    let after = apps.get(name).into_iter().flat_map(|app| &app.after).map(String::as_str);
    let before = apps.iter().filter(|(_, app)| app.before.iter().any(|other| other == name));
    after.chain(before.map(|(other, _)| other.as_str())).collect()
}

/// All services in the order in which they start; a cycle is an error that names its services.
pub fn services(apps: &BTreeMap<String, App>) -> Result<Vec<String>> {
    let mut left: BTreeSet<&str> = apps
        .iter()
        .filter(|(_, app)| app.daemon.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let free = |name: &&&str| earlier(apps, name).is_disjoint(&left);
        let Some(next) = left.iter().find(free).copied() else {
            let cycle: Vec<&str> = left.into_iter().collect();
            let why = format!("each of {} waits for another of them", cycle.join(", "));
            return Err(invalid("apps: after, before", why));
        };
        left.remove(next);
        order.push(next.to_string());
    }
    Ok(order)
}
