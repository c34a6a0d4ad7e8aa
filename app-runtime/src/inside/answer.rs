//! What comes of a question from inside a snap.

use super::{Pen, WRITING, words::Asked};
use crate::{
    change::run::World,
    clock,
    error::{Error, Result},
    hooks::Action,
    manager::Manager,
    service::Service,
    settings::{self, Config, Edit},
};
use protocol::control::{HealthInfo, InsideResponse};
use serde_json::Value;
use std::rc::Rc;
use tokio::time::sleep;

/// The interface for setting the clock.
const TIME_CONTROL: &str = "time-control";
/// Not done, or not so.
const NO: u8 = 1;

/// Who asks.
struct Asker<'a> {
    manager: &'a Rc<Manager>,
    snap: &'a str,
    /// Of the hook, when it is one.
    cookie: &'a str,
    pen: &'a Pen,
}

/// Does what is asked, and says what `snapctl` prints.
pub async fn answer(
    manager: &Rc<Manager>,
    snap: &str,
    cookie: &str,
    pen: &Pen,
    asked: Asked,
) -> InsideResponse {
    let asker = Asker { manager, snap, cookie, pen };
    match asker.carry_out(asked).await {
        Ok(response) => response,
        Err(error) => {
            InsideResponse { code: NO, out: String::new(), err: format!("error: {error}\n") }
        }
    }
}

fn printed(out: String) -> InsideResponse {
    InsideResponse { out, ..InsideResponse::default() }
}

fn done() -> InsideResponse {
    InsideResponse::default()
}

impl Asker<'_> {
    async fn carry_out(&self, asked: Asked) -> Result<InsideResponse> {
        match asked {
            Asked::Get { keys, typed, document } => self.get(&keys, typed, document),
            Asked::Set(edits) => self.decide(edits).await.map(|()| done()),
            Asked::Services(names) => self.services(&names),
            Asked::Start(names, enable) => {
                if enable {
                    self.startup(&names, true).await?;
                }
                self.act(&names, Action::Start).await
            }
            Asked::Stop(names, disable) => {
                if disable {
                    self.startup(&names, false).await?;
                }
                self.act(&names, Action::Stop).await
            }
            Asked::Restart(names, false) => self.act(&names, Action::Restart).await,
            Asked::Restart(names, true) => {
                for service in self.find(&names)? {
                    service.reload().await?;
                }
                Ok(done())
            }
            Asked::SetHealth { status, code, message } => {
                let time = self.manager.now();
                let revision = self.manager.place(self.snap)?.revision;
                let health = HealthInfo { status, message, code, revision, time };
                self.manager.hooks.set_health(self.snap, health);
                Ok(done())
            }
            Asked::SetTime(time) => {
                let settings = self.manager.state.borrow().settings_of(self.snap);
                let granted = self.manager.snap(self.snap).map(|snap| {
                    let plugs = snap.all_plugs();
                    self.manager.interfaces.grant(&snap, plugs, &settings)
                });
                let granted = granted.transpose()?.unwrap_or_default();
                if !granted.iter().any(|granted| granted.interface.name == TIME_CONTROL) {
                    let why = format!("{}: no plug of {TIME_CONTROL} is connected", self.snap);
                    return Err(Error::refused("not-connected", why));
                }
                clock::set(&self.manager.paths, self.snap, time).map(|()| done())
            }
            Asked::IsConnected(plug) => {
                let found = self.connections().into_iter().find(|(name, _)| *name == plug);
                let Some((_, connected)) = found else {
                    let why = format!("{} has no plug {plug:?}", self.snap);
                    return Err(Error::refused("no-plug", why));
                };
                Ok(InsideResponse { code: u8::from(!connected), ..done() })
            }
            Asked::Connected => {
                let connected = self.connections().into_iter().filter(|(_, connected)| *connected);
                Ok(printed(connected.map(|(plug, _)| format!("{plug}\n")).collect()))
            }
        }
    }

    fn connections(&self) -> Vec<(String, bool)> {
        let connections = self.manager.connections(Some(self.snap)).unwrap_or_default();
        connections.into_iter().map(|found| (found.plug.plug, found.connected)).collect()
    }

    /// The configuration as the asker sees it: a hook's own changes are in it.
    fn config(&self) -> Result<Config> {
        let mut settings = self.manager.state.borrow().settings_of(self.snap);
        let edits = self.manager.hooks.with(self.snap, self.cookie, |hook| hook.edits.clone());
        settings.apply(&edits.unwrap_or_default())?;
        Ok(settings.config)
    }

    fn get(&self, keys: &[String], typed: bool, document: bool) -> Result<InsideResponse> {
        let config = self.config()?;
        if let ([key], false) = (keys, document) {
            return Ok(printed(match settings::get(&config, key)? {
                Some(Value::String(text)) if !typed => format!("{text}\n"),
                Some(value) => format!("{value:#}\n"),
                None if typed => "null\n".into(),
                None => "\n".into(),
            }));
        }
        Ok(printed(format!("{:#}\n", settings::document(&config, keys)?)))
    }

    /// A hook's decisions wait for its end; a service's hold at once.
    async fn decide(&self, edits: Vec<Edit>) -> Result<()> {
        let mut settings = self.manager.state.borrow().settings_of(self.snap);
        let of_hook = self.manager.hooks.with(self.snap, self.cookie, |hook| {
            let all = [hook.edits.clone(), edits.clone()].concat();
            // What cannot be is told now, not at its end.
            settings.apply(&all).map(|()| hook.edits = all)
        });
        match of_hook {
            Some(decided) => decided,
            None => {
                let _writes = self.pen.lock().await;
                let decided = self.manager.decide(self.snap, &edits);
                sleep(WRITING).await;
                decided
            }
        }
    }

    async fn startup(&self, names: &[String], on: bool) -> Result<()> {
        let services = self.find(names)?;
        let edits = services.iter().map(|service| Edit::Startup(service.app().into(), on));
        self.decide(edits.collect()).await
    }

    /// Services of the asker's own snap.
    fn find(&self, names: &[String]) -> Result<Vec<Rc<Service>>> {
        let mut found = Vec::new();
        for name in names {
            if name.split('.').next() != Some(self.snap) {
                let why = format!("{name}: not a service of {}", self.snap);
                return Err(Error::refused("no-service", why));
            }
            found.extend(self.manager.find(name)?);
        }
        Ok(found)
    }

    fn services(&self, names: &[String]) -> Result<InsideResponse> {
        let own = [self.snap.to_string()];
        let found = self.find(if names.is_empty() { &own } else { names })?;
        let settings = self.manager.state.borrow().settings_of(self.snap);
        let mut rows = vec![["Service", "Startup", "Current", "Notes"].map(String::from)];
        rows.extend(found.iter().map(|service| {
            let startup =
                if settings.idle.contains(service.app()) { "disabled" } else { "enabled" };
            let current = if service.is_up() { "active" } else { "inactive" };
            [service.name.as_str(), startup, current, "-"].map(String::from)
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        let line = |row: &[String; 4]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        Ok(printed(rows.iter().map(line).collect()))
    }

    /// What a hook asks for is done when it has ended.
    async fn act(&self, names: &[String], action: Action) -> Result<InsideResponse> {
        let services = self.find(names)?;
        let queued = self.manager.hooks.with(self.snap, self.cookie, |hook| {
            hook.queued.extend(names.iter().map(|name| (action, name.clone())));
        });
        if queued.is_some() {
            return Ok(done());
        }
        action.perform(&services).await?;
        Ok(done())
    }
}
