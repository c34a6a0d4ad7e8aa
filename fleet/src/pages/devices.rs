//! All gateways at a glance.

use super::layout::{dot, health_pill, pill, since, update_line};
use crate::ingest::slot_text;
use crate::store::Device;
use maud::{Markup, html};
use protocol::control::Health;
use protocol::fleet::UpdatePhase;

/// The page.
pub(super) fn body(devices: &[Device]) -> Markup {
    html! {
        section #devices data-live {
            @if devices.is_empty() { (empty()) } @else { (list(devices)) }
        }
    }
}

fn empty() -> Markup {
    html! {
        div.panel {
            div.hero {
                img src="/assets/icon.svg" alt="";
                h1 { "No gateway yet" }
                p {
                    "Make an enrolment token, put it into " code { "device.toml" }
                    " on the card's boot partition, and power the gateway on. It appears here by "
                    "itself."
                }
                a.button.main href="/enroll" { "Enrol the first gateway" }
            }
        }
    }
}

fn list(devices: &[Device]) -> Markup {
    let online = devices.iter().filter(|device| device.online).count();
    let attention = devices.iter().filter(|device| needs_attention(device)).count();
    html! {
        div.stack {
            div.head {
                div {
                    h1 { "Gateways" }
                    p.soft {
                        (devices.len()) " enrolled · " (online) " online"
                        @if attention > 0 {
                            " · " (attention)
                            @if attention == 1 { " needs" } @else { " need" }
                            " attention"
                        }
                    }
                }
                a.button href="/enroll" { "Enrol a gateway" }
            }
            div.panel {
                ul.rows {
                    @for device in devices { li { (row(device)) } }
                }
            }
        }
    }
}

/// Something that a person should look at.
pub(super) fn needs_attention(device: &Device) -> bool {
    if device.revoked.is_some() {
        return false;
    }
    let state = device.state.as_ref().map(|state| &state.system);
    let failed = device.update().is_some_and(|update| {
        matches!(update.phase, UpdatePhase::FellBack | UpdatePhase::Refused | UpdatePhase::Failed)
    });
    failed
        || state.is_some_and(|system| {
            !system.warnings.is_empty() || matches!(system.health, Health::Unhealthy(_))
        })
}

fn row(device: &Device) -> Markup {
    let system = device.state.as_ref().map(|state| &state.system);
    html! {
        a.device href={ "/devices/" (device.id) } {
            (dot(device.online))
            div {
                p.name { (device.name) }
                p.soft.small { (device.id) }
            }
            div {
                @if let Some(system) = system {
                    p { (system.version) }
                    p.soft.small { (system.board) " · slot " (slot_text(system.slot)) }
                } @else {
                    p.soft { "not reported" }
                    p.soft.small { (device.board) }
                }
            }
            div {
                @if device.revoked.is_some() {
                    (pill("", "revoked"))
                } @else if let Some(system) = system {
                    (health_pill(&system.health))
                    @if !system.warnings.is_empty() {
                        " " (pill("wait", "warning"))
                    }
                } @else {
                    (pill("", "unknown"))
                }
            }
            div { (update_line(device.update())) }
            div.seen.soft.small {
                @if device.online { "now" } @else { (since(device.last_seen)) }
            }
        }
    }
}
