//! Requests that change what was decided about a snap.
//!
//! | request | steps |
//! |---|---|
//! | set | settle, the configure hook |
//! | connect, disconnect | stop, settle, start: what an app sees is made when it starts |
//! | set-quota | settle; the bounds of running groups follow when it is done. Where the snap gets or loses a bound that each service has without one: as connect |

use super::{Facts, Plan, Step};
use crate::{
    error::{Error, Result},
    settings::{Connection, Edit, Settings},
    state::{Installed, State},
};
use protocol::{change::PlugName, quota::Quota};
use serde_json::Value;
use std::collections::BTreeMap;

fn installed<'a>(state: &'a State, name: &str) -> Result<&'a Installed> {
    state.snaps.get(name).ok_or_else(|| Error::not_installed(name))
}

fn settle(name: &str, before: Settings, after: Settings) -> Step {
    Step::Settle { name: name.into(), before, after }
}

fn json(what: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|error| Error::refused("bad-request", format!("{what}: not JSON: {error}")))
}

pub(super) fn set(
    state: &State,
    name: &str,
    values: &[(String, Option<String>)],
    facts: &Facts,
) -> Result<Plan> {
    let disabled = installed(state, name)?.disabled;
    let edits: Vec<Edit> = values
        .iter()
        .map(|(key, value)| match value {
            Some(text) => json(key, text).map(|value| Edit::Set(key.clone(), value)),
            None => Ok(Edit::Unset(key.clone())),
        })
        .collect::<Result<_>>()?;
    if edits.is_empty() {
        return Err(Error::refused("bad-request", "no key to set"));
    }
    let before = state.settings_of(name);
    let mut after = before.clone();
    after.apply(&edits)?;
    let mut steps = vec![settle(name, before, after)];
    // One that is disabled hears of it when it is enabled and asks.
    steps.extend(facts.hook(name, "configure").filter(|_| !disabled));
    Ok(Plan {
        summary: format!("Change configuration of {name:?} snap"),
        steps,
        told: Vec::new(),
        needed: 0,
    })
}

pub(super) fn connect(
    state: &State,
    plug: &PlugName,
    attributes: &[(String, String)],
) -> Result<Plan> {
    let attributes = given(attributes)?;
    decide(state, plug, Connection { connected: true, attributes }, "Connect")
}

/// Attributes as a request gives them.
pub(crate) fn given(attributes: &[(String, String)]) -> Result<BTreeMap<String, Value>> {
    attributes.iter().map(|(key, text)| Ok((key.clone(), json(key, text)?))).collect()
}

pub(super) fn disconnect(state: &State, plug: &PlugName) -> Result<Plan> {
    decide(state, plug, Connection::default(), "Disconnect")
}

fn decide(state: &State, plug: &PlugName, connection: Connection, verb: &str) -> Result<Plan> {
    let name = &plug.snap;
    let disabled = installed(state, name)?.disabled;
    let before = state.settings_of(name);
    let mut after = before.clone();
    after.connections.insert(plug.plug.clone(), connection);
    let mut steps = vec![Step::Stop { name: name.clone() }, settle(name, before, after)];
    if !disabled {
        steps.push(Step::Start { name: name.clone() });
    }
    let told = vec![format!("{plug} {}ed", verb.to_lowercase())];
    Ok(Plan { summary: format!("{verb} {plug}"), steps, told, needed: 0 })
}

pub(super) fn quota(state: &State, name: &str, quota: &Quota) -> Result<Plan> {
    let disabled = installed(state, name)?.disabled;
    let before = state.settings_of(name);
    let after = Settings { quota: quota.clone(), ..before.clone() };
    let of_services = |quota: &Quota| (quota.memory.is_some(), quota.threads.is_some());
    let restarts = of_services(&before.quota) != of_services(quota) && !disabled;
    let mut steps = vec![settle(name, before, after)];
    if restarts {
        steps.insert(0, Step::Stop { name: name.into() });
        steps.push(Step::Start { name: name.into() });
    }
    let told = match quota.is_none() {
        true => format!("{name} has no quota any more"),
        false => format!("quota of {name} set"),
    };
    Ok(Plan { summary: format!("Set quota of {name:?} snap"), steps, told: vec![told], needed: 0 })
}
