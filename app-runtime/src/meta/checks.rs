//! What the fields must hold together. A refusal names the field and the reason.

use super::{ARCHITECTURE, app::App, hook, invalid, layout, names, order, snap::Snap, support};
use crate::error::{Error, Result};
use protocol::naming;
use std::collections::{BTreeMap, BTreeSet};

/// Most apps in one snap.
const MAX_APPS: usize = 64;
/// Most of anything else that a map or a list of a snap names.
const MAX_ENTRIES: usize = 256;
/// snapd's limits for what is for people, in characters.
const TEXTS: [(&str, usize); 3] =
    [("title", 40), ("summary", naming::MAX_SUMMARY), ("description", naming::MAX_DESCRIPTION)];
/// Kinds of snaps that make up an Ubuntu Core system.
const SYSTEM_KINDS: [&str; 4] = ["os", "kernel", "gadget", "snapd"];

pub(super) fn check(snap: &Snap) -> Result<()> {
    names::check_name("name", &snap.name)?;
    naming::check_version(&snap.version).map_err(|why| invalid("version", why))?;
    for ((field, most), text) in TEXTS.iter().zip([&snap.title, &snap.summary, &snap.description]) {
        if text.chars().count() > *most {
            return Err(invalid(field, format!("more than {most} characters")));
        }
    }
    if SYSTEM_KINDS.contains(&snap.kind.as_str()) {
        let why = "the system comes as a signed release, not as snaps";
        return Err(invalid("type", format!("{:?} is not supported here: {why}", snap.kind)));
    }
    only("type", &snap.kind, &["app", "base"])?;
    only("confinement", &snap.confinement, &["strict"])?;
    only("grade", &snap.grade, &["stable", "devel"])?;
    base(snap)?;
    snap.epoch.check()?;
    if !snap.architectures.iter().any(|a| a == "all" || a == ARCHITECTURE) {
        let why = format!("made for {}, this is {ARCHITECTURE}", snap.architectures.join(", "));
        return Err(Error::refused("snap-architecture", format!("{}: {why}", snap.name)));
    }
    support::check(snap)?;
    names::check_environment("environment", &snap.environment)?;
    plugs_and_slots(snap)?;
    for (name, hook) in &snap.hooks {
        let field = format!("hooks.{name}");
        hook::check_name(name)?;
        names::check_environment(&format!("{field}.environment"), &hook.environment)?;
        hook.command_chain.iter().try_for_each(|program| {
            names::check_chain(&format!("{field}.command-chain"), program)
        })?;
    }
    if snap.hooks.contains_key("default-configure") && !snap.hooks.contains_key("configure") {
        return Err(invalid("hooks.default-configure", "there is no hook configure beside it"));
    }
    layout::check(&snap.name, &snap.layout, snap.image.is_some())?;
    image(snap)?;
    apps(snap)
}

/// An image is one process, and its snap.yaml says which.
fn image(snap: &Snap) -> Result<()> {
    let Some(process) = &snap.image else { return Ok(()) };
    let program = process.program.trim_start_matches('/');
    match snap.apps.values().next() {
        Some(app) if snap.apps.len() == 1 && app.command == program => Ok(()),
        _ => Err(invalid("apps", format!("not {program} alone, which the snap's image runs"))),
    }
}

fn only(field: &str, value: &str, allowed: &[&str]) -> Result<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(invalid(field, format!("{value:?} is not supported here (only {})", allowed.join(", "))))
}

fn base(snap: &Snap) -> Result<()> {
    match snap.base.as_deref() {
        None => Ok(()),
        Some("none") if snap.apps.is_empty() && snap.hooks.is_empty() => Ok(()),
        Some("none") => Err(invalid("base", "\"none\" is for snaps without apps and hooks")),
        Some(_) if snap.kind == "base" => Err(invalid("base", "a base has none")),
        Some(base) => names::check_name("base", base),
    }
}

fn plugs_and_slots(snap: &Snap) -> Result<()> {
    for (kind, map) in [("plugs", &snap.plugs), ("slots", &snap.slots)] {
        if map.len() > MAX_ENTRIES {
            return Err(invalid(kind, format!("more than {MAX_ENTRIES}")));
        }
        for (name, plug) in map {
            let field = format!("{kind}.{name}");
            names::check_interface(&field, name)?;
            let interface = plug.interface.as_deref().unwrap_or(name);
            names::check_interface(&format!("{field}.interface"), interface)?;
            match (interface, kind) {
                ("content", _) => drop(plug.content(&field, name, kind == "slots")?),
                // Which attributes an interface knows, it tells itself.
                (_, "plugs") => {}
                (other, _) => {
                    let why = format!("apps offer nothing but content here, not {other:?}");
                    return Err(invalid(field, why));
                }
            }
        }
    }
    if let Some(name) = snap.plugs.keys().find(|name| snap.slots.contains_key(*name)) {
        return Err(invalid(format!("slots.{name}"), "a plug has the same name"));
    }
    let apps = snap.apps.iter().map(|(name, app)| (format!("apps.{name}"), &app.plugs, &app.slots));
    let hooks = snap.hooks.iter().map(|(name, h)| (format!("hooks.{name}"), &h.plugs, &h.slots));
    for (field, plugs, slots) in apps.chain(hooks) {
        for plug in plugs {
            names::check_interface(&format!("{field}.plugs"), plug)?;
        }
        if let Some(slot) = slots.iter().find(|slot| !snap.slots.contains_key(*slot)) {
            let why = format!("{slot:?} is not one of the snap's slots");
            return Err(invalid(format!("{field}.slots"), why));
        }
    }
    Ok(())
}

fn apps(snap: &Snap) -> Result<()> {
    if snap.apps.len() > MAX_APPS {
        return Err(invalid("apps", format!("more than {MAX_APPS}")));
    }
    let (mut aliases, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for (name, app) in &snap.apps {
        let field = format!("apps.{name}");
        names::check_app_name(&field, name)?;
        names::check_environment(&format!("{field}.environment"), &app.environment)?;
        // What an image runs is told by itself, and `image` says that it is this.
        if snap.image.is_none() {
            names::check_command(&format!("{field}.command"), &app.command)?;
        }
        commands(&field, app)?;
        for alias in &app.aliases {
            names::check_alias(&format!("{field}.aliases"), alias)?;
            if let Some(other) = aliases.insert(alias, name) {
                let why = format!("{alias:?} is an alias of {other} as well");
                return Err(invalid(format!("{field}.aliases"), why));
            }
        }
        if let Some(other) = app.common_id.as_ref().and_then(|id| ids.insert(id, name)) {
            return Err(invalid(format!("{field}.common-id"), format!("it is that of {other}")));
        }
        if app.daemon.is_none() {
            services_only(&field, app)?;
        }
        sockets(snap, &field, app)?;
        order(snap, &field, app)?;
    }
    order::services(&snap.apps).map(drop)
}

/// Those beside the one that it runs.
fn commands(field: &str, app: &App) -> Result<()> {
    for (key, command) in [
        ("stop-command", &app.stop_command),
        ("reload-command", &app.reload_command),
        ("post-stop-command", &app.post_stop_command),
    ] {
        if let Some(command) = command {
            names::check_command(&format!("{field}.{key}"), command)?;
        }
    }
    app.command_chain
        .iter()
        .try_for_each(|program| names::check_chain(&format!("{field}.command-chain"), program))
}

/// What has no meaning for a command that nothing supervises.
fn services_only(field: &str, app: &App) -> Result<()> {
    let given = [
        ("daemon-scope", app.daemon_scope.is_some()),
        ("stop-command", app.stop_command.is_some()),
        ("reload-command", app.reload_command.is_some()),
        ("post-stop-command", app.post_stop_command.is_some()),
        ("start-timeout", app.start_timeout.is_some()),
        ("stop-timeout", app.stop_timeout.is_some()),
        ("watchdog-timeout", app.watchdog_timeout.is_some()),
        ("restart-condition", app.restart_condition.is_some()),
        ("restart-delay", app.restart_delay.is_some()),
        ("success-exit-status", !app.success_exit_status.is_empty()),
        ("stop-mode", app.stop_mode.is_some()),
        ("install-mode", app.install_mode.is_some()),
        ("sockets", !app.sockets.is_empty()),
        ("after", !app.after.is_empty()),
        ("before", !app.before.is_empty()),
        ("timer", app.timer.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((key, _)) => {
            Err(invalid(format!("{field}.{key}"), "only for services: there is no `daemon`"))
        }
        None => Ok(()),
    }
}

fn sockets(snap: &Snap, field: &str, app: &App) -> Result<()> {
    if app.sockets.is_empty() {
        return Ok(());
    }
    if app.sockets.len() > MAX_ENTRIES {
        return Err(invalid(format!("{field}.sockets"), format!("more than {MAX_ENTRIES}")));
    }
    if !snap.interfaces_of(app).iter().any(|interface| interface == "network-bind") {
        return Err(invalid(format!("{field}.sockets"), "they need the plug network-bind"));
    }
    let mut taken = BTreeSet::new();
    for (name, socket) in &app.sockets {
        let field = format!("{field}.sockets.{name}");
        names::check_socket(&field, name)?;
        socket.listen(&field, &snap.name)?;
        if !taken.insert(&socket.listen_stream) {
            return Err(invalid(field, format!("{} is there twice", socket.listen_stream)));
        }
    }
    Ok(())
}

fn order(snap: &Snap, field: &str, app: &App) -> Result<()> {
    for (key, list) in [("after", &app.after), ("before", &app.before)] {
        let is_service = |name: &str| snap.apps.get(name).is_some_and(|app| app.daemon.is_some());
        if let Some(other) = list.iter().find(|name| !is_service(name)) {
            let why = format!("{other:?} is not a service of this snap");
            return Err(invalid(format!("{field}.{key}"), why));
        }
    }
    Ok(())
}
