//! One gateway: what it says, what runs on it, what it was told.

use super::layout::{NBSP, bytes, dot, duration, health_pill, json, pill, since, update_line};
use super::policy;
use crate::clock::now;
use crate::core::Fleet;
use crate::error::Error;
use crate::ingest::{boot_text, health_text, reason_text, slot_text};
use crate::store::{CommandRecord, Device, Event, Snap};
use maud::{Markup, html};
use protocol::control::{
    AppRequest, AppServiceStatus, Health, ServiceStatus, SnapInfo, SystemStatus,
};
use protocol::fleet::{Action, CommandResult};

/// Commands shown.
const COMMANDS_SHOWN: u32 = 12;
/// Hexadecimal digits of a fingerprint that are shown.
const FINGERPRINT_SHOWN: usize = 16;

/// The page.
pub(super) fn body(fleet: &Fleet, device: &Device) -> Result<Markup, Error> {
    let events = fleet.store.events(&device.id)?;
    let commands = fleet.store.commands(&device.id, COMMANDS_SHOWN)?;
    let snaps = fleet.store.snaps()?;
    let system = device.state.as_ref().map(|state| &state.system);
    let services = system.map(|system| system.services.as_slice()).unwrap_or_default();
    Ok(html! {
        (head(device))
        section #state data-live { (state(device)) }
        div.columns {
            div.stack {
                section.panel #apps data-live { (apps(device)) }
                section.panel { (install(&snaps)) }
                section.panel #services data-live { (services_list(services)) }
                section.panel { (log_form(services)) }
            }
            div.stack {
                section.panel #policy data-live { (policy::in_force(device)) }
                section.panel { (policy::form(device)) }
                section.panel #commands data-live { (command_list(&commands)) }
                section.panel #history data-live { (history(&events)) }
            }
        }
    })
}

fn head(device: &Device) -> Markup {
    html! {
        div.head {
            div #who data-live {
                div.title { (dot(device.online)) h1 { (device.name) } }
                p.soft.small {
                    @if device.online { "online" } @else { "last heard " (since(device.last_seen)) }
                    " · " span.mono { (device.id) }
                    @if let Some(serial) = &device.serial { " · serial " (serial) }
                    " · certificate " span.mono title=(device.fingerprint) {
                        (device.fingerprint.get(..FINGERPRINT_SHOWN).unwrap_or_default()) "…"
                    }
                }
            }
            div.acts {
                (button("Reboot", &Action::Reboot, Some("Reboot this gateway?")))
                (button("Try update again", &Action::RetryUpdate, None))
                (button(
                    "Roll back",
                    &Action::Rollback,
                    Some("Make the previous slot the confirmed one and reboot into it?"),
                ))
                @if device.revoked.is_none() {
                    button.danger type="button" data-revoke=(device.id)
                        data-confirm="Revoke its certificate? It can never connect again \
                                      without being enrolled anew." { "Revoke" }
                }
            }
        }
    }
}

fn button(label: &str, action: &Action, confirm: Option<&str>) -> Markup {
    html! {
        button type="button" data-command=(json(action)) data-confirm=[confirm] { (label) }
    }
}

fn state(device: &Device) -> Markup {
    let Some(state) = &device.state else {
        return html! {
            div.panel { div.hero {
                h1 { "Waiting for the first report" }
                p {
                    "Enrolled as a " (device.board) ". The gateway reports as soon as it has "
                    "connected to the broker."
                }
            } }
        };
    };
    let system = &state.system;
    html! {
        div.stack {
            @if device.revoked.is_some() {
                div.warn { "This gateway's certificate is revoked: it cannot connect." }
            }
            (warnings(device, system))
            div.panel { dl.tiles {
                (tile("Release", html! {
                    (system.version)
                    small {
                        "slot " (slot_text(system.slot)) ", sequence " (system.sequence)
                        @if let Some(trial) = system.trial { ", trial " (slot_text(trial)) }
                        @if system.confirmed.is_none() { ", environment not readable" }
                        @if state.keys.version > 0 { ", key set " (state.keys.version) }
                    }
                }))
                (tile("Health", html! {
                    (health_pill(&system.health))
                    @if system.health != Health::Healthy {
                        small { (health_text(&system.health)) }
                    }
                }))
                (tile("Update", html! {
                    (update_line(device.update()))
                    @if let Some(waiting) = device.update().and_then(|u| u.waiting.as_ref()) {
                        small { (waiting) }
                    }
                    (fetched(device))
                }))
                (tile("Up", html! {
                    (duration(system.uptime_s))
                    small { (boot_text(system.boot_kind)) ", " (reason_text(&system.boot_reason)) }
                }))
                (tile("Board", html! { (system.board) small { (system.hostname) } }))
                (tile("Temperature", html! {
                    @match system.temperature_mc {
                        Some(mc) => { (format!("{:.1}", f64::from(mc) / 1000.0)) (NBSP) "°C" },
                        None => { span.soft { "—" } },
                    }
                }))
            } }
        }
    }
}

fn tile(name: &str, value: Markup) -> Markup {
    html! { div.tile { dt { (name) } dd { (value) } } }
}

fn fetched(device: &Device) -> Markup {
    match device.update() {
        Some(update) if update.bytes_fetched > 0 => {
            html! { small { (bytes(update.bytes_fetched)) " fetched" } }
        }
        _ => html! {},
    }
}

fn warnings(device: &Device, system: &SystemStatus) -> Markup {
    let failure = device.update().and_then(|update| update.failure.as_ref());
    let keys = device.state.as_ref().and_then(|state| state.keys.refused.as_ref());
    if system.warnings.is_empty() && failure.is_none() && keys.is_none() {
        return html! {};
    }
    html! {
        div.warn role="alert" {
            strong { "Needs attention" }
            ul {
                @if let Some(failure) = failure { li { "Update: " (failure.message) } }
                @if let Some(failure) = keys { li { "Key sets refused: " (failure) } }
                @for warning in &system.warnings { li { (warning) } }
            }
        }
    }
}

fn apps(device: &Device) -> Markup {
    let apps = device.apps.as_deref().unwrap_or_default();
    html! {
        header { h2 { "Apps" } span.soft.small { (apps.len()) " installed" } }
        @if apps.is_empty() {
            p.none { "No app is installed. Upload a snap below and install it." }
        }
        ul.rows { @for app in apps { li { (app_item(app)) } } }
    }
}

fn app_item(app: &SnapInfo) -> Markup {
    let ask = |request| Action::App(request);
    let remove = format!("Remove {} and its data?", app.name);
    html! {
        div.item {
            div {
                strong { (app.name) } " " span.soft { (app.version) " · revision " (app.revision) }
                " " @if !app.signed { (pill("wait", "not signed")) }
                p.soft.small { (app.summary) }
            }
            div.acts {
                (button("Start", &ask(AppRequest::Start(app.name.clone())), None))
                (button("Stop", &ask(AppRequest::Stop(app.name.clone())), None))
                (button("Restart", &ask(AppRequest::Restart(app.name.clone())), None))
                button.danger type="button"
                    data-command=(json(&ask(AppRequest::Remove(app.name.clone()))))
                    data-confirm=(remove) { "Remove" }
            }
            @for service in &app.services { (app_service(service)) }
            p.full.soft.small {
                (bytes(app.size))
                @if !app.connections.is_empty() { " · may use " (app.connections.join(", ")) }
            }
        }
    }
}

fn app_service(service: &AppServiceStatus) -> Markup {
    let logs = Action::App(AppRequest::Logs { name: service.name.clone(), lines: 200 });
    html! {
        div.full.small {
            (pill(service_colour(&service.state), &service.state)) " "
            span.mono { (service.name) }
            span.soft {
                @if let Some(memory) = service.memory { " · " (bytes(memory)) }
                @if service.restarts > 0 { " · " (restarts(service.restarts)) }
            }
            button.plain type="button" data-command=(json(&logs)) { "log" }
        }
    }
}

fn restarts(count: u32) -> String {
    format!("{count} {}", if count == 1 { "restart" } else { "restarts" })
}

fn service_colour(state: &str) -> &'static str {
    match state {
        "active" | "ready" => "good",
        "failed" => "bad",
        "backoff" | "starting" | "waiting" => "wait",
        _ => "",
    }
}

fn install(snaps: &[Snap]) -> Markup {
    html! {
        header { h2 { "Install an app" } }
        div.body.stack {
            @if !snaps.is_empty() {
                form.form data-do="install" {
                    label.grow {
                        "Uploaded snap"
                        select name="snap" {
                            @for snap in snaps {
                                option value=(snap.sha256) {
                                    (snap.name) " · " (bytes(snap.size)) " · "
                                    (if snap.signed { "signed" } else { "not signed" })
                                }
                            }
                        }
                    }
                    button.main { "Install" }
                }
            }
            form.form data-do="snap" {
                label.grow { "Upload a snap" input type="file" name="file" required; }
                button { "Upload" }
                progress hidden {}
            }
        }
    }
}

fn services_list(services: &[ServiceStatus]) -> Markup {
    html! {
        header { h2 { "Services" } }
        @if services.is_empty() { p.none { "Nothing reported yet." } }
        ul.rows {
            @for service in services {
                li { div.item {
                    div {
                        span.mono { (service.name) }
                        span.soft.small {
                            @if let Some(pid) = service.pid { " · pid " (pid) }
                            @if service.restarts > 0 { " · " (restarts(service.restarts)) }
                            @if let Some(exit) = &service.last_exit { " · " (exit) }
                        }
                    }
                    (pill(service_colour(&service.state), &service.state))
                } }
            }
        }
    }
}

fn log_form(services: &[ServiceStatus]) -> Markup {
    html! {
        header { h2 { "Log of a service" } }
        div.body {
            form.form data-do="log" {
                label.grow {
                    "Service"
                    select name="service" {
                        @for service in services { option { (service.name) } }
                    }
                }
                button disabled[services.is_empty()] { "Fetch" }
            }
        }
    }
}

fn command_list(commands: &[CommandRecord]) -> Markup {
    html! {
        header { h2 { "Commands" } }
        @if commands.is_empty() { p.none { "None were given." } }
        ul.rows { @for command in commands { li { (command_item(command)) } } }
    }
}

fn command_item(command: &CommandRecord) -> Markup {
    let result: Option<CommandResult> =
        command.result.clone().and_then(|value| serde_json::from_value(value).ok());
    let (colour, word) = match &result {
        Some(result) if result.ok => ("good", "done"),
        Some(_) => ("bad", "failed"),
        None if command.expires < now() => ("", "no answer"),
        None => ("wait", "sent"),
    };
    html! {
        details id={ "command-" (command.id) } {
            summary.item {
                div {
                    (action_text(&command.action)) " "
                    span.soft.small { (since(Some(command.created))) }
                }
                (pill(colour, word))
            }
            div.body {
                @match &result {
                    Some(result) => pre { (output(result)) },
                    None => p.soft { "The gateway has not answered yet." },
                }
            }
        }
    }
}

fn action_text(action: &serde_json::Value) -> String {
    let Ok(action) = serde_json::from_value::<Action>(action.clone()) else {
        return action.to_string();
    };
    match action {
        Action::Reboot => "Reboot".into(),
        Action::Rollback => "Roll back".into(),
        Action::RetryUpdate => "Try update again".into(),
        Action::Log { service, .. } => format!("Log of {service}"),
        Action::App(request) => match request {
            AppRequest::InstallUrl { .. } => "Install a snap".into(),
            AppRequest::Install { path, .. } => format!("Install {path}"),
            AppRequest::Start(name) => format!("Start {name}"),
            AppRequest::Stop(name) => format!("Stop {name}"),
            AppRequest::Restart(name) => format!("Restart {name}"),
            AppRequest::Reload(name) => format!("Reload {name}"),
            AppRequest::Remove(name) => format!("Remove {name}"),
            AppRequest::Info(name) => format!("About {name}"),
            AppRequest::Logs { name, .. } => format!("Log of {name}"),
            AppRequest::List => "List apps".into(),
            AppRequest::Services(_) => "List services".into(),
            AppRequest::Ping => "Ping appd".into(),
            AppRequest::Transact { order, .. } => format!("Change of apps: {}", order.kind()),
            AppRequest::Changes => "List changes of apps".into(),
            AppRequest::Change(_) => "About a change of apps".into(),
            AppRequest::Abort(_) => "Abort a change of apps".into(),
            AppRequest::Saved(_) => "List snapshots".into(),
            AppRequest::Export { .. } => "Export snapshots".into(),
            AppRequest::Get { name, .. } => format!("Configuration of {name}"),
            AppRequest::Connections(_) => "List plugs".into(),
            AppRequest::Interfaces(_) => "List interfaces".into(),
            AppRequest::Quotas(_) => "List quotas".into(),
            AppRequest::Startup { name, on: true } => format!("Start {name} from now on"),
            AppRequest::Startup { name, on: false } => format!("Stop {name} from now on"),
        },
    }
}

/// Text of a result: lines as lines, the rest as JSON.
fn output(result: &CommandResult) -> String {
    if let Some(failure) = &result.failure {
        return format!("{}\n{}", failure.message, failure.code);
    }
    lines(&result.output)
        .unwrap_or_else(|| serde_json::to_string_pretty(&result.output).unwrap_or_default())
}

fn lines(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => Some("done".into()),
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.as_str()).collect();
            texts.map(|texts| texts.join("\n"))
        }
        // `{"Ok": "…"}`, `{"Log": ["…"]}`: a response of init or appd.
        serde_json::Value::Object(map) if map.len() == 1 => map.values().next().and_then(lines),
        _ => None,
    }
}

fn history(events: &[Event]) -> Markup {
    html! {
        header { h2 { "History" } }
        @if events.is_empty() { p.none { "Nothing happened yet." } }
        ul.rows.history {
            @for event in events {
                li {
                    span.soft { (since(Some(event.time))) }
                    p {
                        span class={ "tag " (event_colour(&event.kind)) } { (event.kind) } " "
                        (event.text)
                    }
                }
            }
        }
    }
}

fn event_colour(kind: &str) -> &'static str {
    match kind {
        "error" | "warning" | "revoked" => "bad",
        "online" | "enrolled" => "good",
        _ => "",
    }
}
