//! When a gateway may update: what is in force, and the form to change the fleet's word.

use super::layout::json;
use crate::store::Device;
use maud::{Markup, html};
use protocol::policy::{Day, Download, MIN_BANDWIDTH};

/// What device and fleet say, as the gateway reports it; the fleet's word may be under way.
pub(super) fn in_force(device: &Device) -> Markup {
    let reported = device.state.as_ref().map(|state| &state.policy);
    let waiting = device.update().and_then(|update| update.waiting.as_ref());
    html! {
        header { h2 { "When it may update" } }
        ul.rows {
            @if let Some(waiting) = waiting { li { div.item { strong { (waiting) } } } }
            li { div.item { span { "This fleet says" } span.soft { (device.policy) } } }
            @if let Some(reported) = reported {
                @if reported.fleet != device.policy {
                    li { div.item {
                        span { "In force there" } span.soft { (reported.fleet) }
                        span.full.soft.small { "A change comes with its next assignment." }
                    } }
                }
                li { div.item { span { "The gateway says" } span.soft { (reported.device) } } }
                li { div.item {
                    span { "Its time zone" }
                    span.soft { @match &reported.zone { Some(zone) => (zone), None => "UTC" } }
                } }
            }
        }
    }
}

/// The form; not live, so that what is typed stays.
pub(super) fn form(device: &Device) -> Markup {
    let policy = &device.policy;
    let window = policy.window.as_ref();
    let zone = window.and_then(|window| window.zone.as_ref()).map(|zone| zone.name());
    let chosen = |day: Day| window.is_some_and(|window| window.days.contains(&day));
    let strict = window.is_some_and(|window| window.download == Download::Window);
    html! {
        header { h2 { "Change it" } }
        div.body {
            form.form data-do="policy" data-policy=(json(policy)) {
                label.grow {
                    "Hold until"
                    input name="hold" placeholder="forever, or 2026-12-24T06:00Z"
                        value=[policy.hold.map(|hold| hold.to_string())];
                }
                label {
                    "Window opens at"
                    input type="time" name="start"
                        value=[window.map(|window| window.start.to_string())];
                }
                label {
                    "for minutes"
                    input type="number" name="minutes" min="1" max="1440"
                        value=(window.map_or(60, |window| window.minutes));
                }
                label.grow {
                    "in the time zone"
                    input name="zone" placeholder="the gateway's own" value=[zone];
                }
                @for day in Day::ALL {
                    label { (day.name()) input type="checkbox" name="day" value=(day.name())
                        checked[chosen(day)]; }
                }
                label { "download in it, too"
                    input type="checkbox" name="strict" checked[strict]; }
                label {
                    "Bytes per second"
                    input type="number" name="bandwidth" min=(MIN_BANDWIDTH)
                        placeholder="no limit" value=[policy.bandwidth];
                }
                button { "Set" }
            }
            p.soft.small {
                "Empty fields set nothing; no day chosen is every day. Of the gateway's word and "
                "this the stricter one wins."
            }
        }
    }
}
