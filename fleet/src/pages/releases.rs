//! Releases: upload, deploy, watch.

use super::layout::{bar, bytes, dot, pill, since};
use crate::core::Fleet;
use crate::deltas::{Pair, Standing};
use crate::error::Error;
use crate::rollout::{Progress, Rollout, Step, rollout};
use crate::store::{Device, Release};
use maud::{Markup, html};

/// Deployments shown.
const DEPLOYMENTS_SHOWN: u32 = 12;
/// Hexadecimal digits of a digest that are shown.
const DIGEST_SHOWN: usize = 12;

/// The page.
pub(super) fn body(fleet: &Fleet) -> Result<Markup, Error> {
    let releases = fleet.store.releases()?;
    let devices = fleet.store.devices()?;
    let rollouts: Vec<Rollout> = fleet
        .store
        .deployments(DEPLOYMENTS_SHOWN)?
        .into_iter()
        .map(|deployment| rollout(fleet, deployment))
        .collect::<Result<_, _>>()?;
    Ok(html! {
        div.head {
            div {
                h1 { "Releases" }
                p.soft { "Signed offline by the release key; deployed from here." }
            }
        }
        div.columns {
            div.stack {
                section.panel #releases data-live { (release_list(fleet, &releases, &devices)) }
                section.panel { (upload()) }
            }
            section.panel #deployments data-live { (deployment_list(&rollouts)) }
        }
    })
}

fn release_list(fleet: &Fleet, releases: &[Release], devices: &[Device]) -> Markup {
    html! {
        header { h2 { "Uploaded" } }
        @if releases.is_empty() {
            p.none {
                "No release yet. " code { "holdfast image build" }
                " writes a manifest and a payload: upload both below."
            }
        }
        ul.rows {
            @for release in releases {
                li {
                    (release_item(release, devices))
                    @for from in releases { (delta(fleet, from, release)) }
                }
            }
        }
    }
}

/// What there is to say of a delta.
fn delta(fleet: &Fleet, from: &Release, to: &Release) -> Markup {
    let pair = Pair { from: from.digest.clone(), to: to.digest.clone() };
    let text = match fleet.deltas.standing(&pair) {
        Standing::None => return html! {},
        Standing::Making { total: 0, .. } => "waits to be made".into(),
        Standing::Making { done, total } => format!("being made, {done} of {total} chunks"),
        Standing::Ready { size, .. } => {
            let share = size * 100 / to.payload_size.max(1);
            format!("{}, {share} % of the whole", bytes(size))
        }
    };
    html! { p.soft.small { "Delta from " (from.version) ": " (text) } }
}

fn release_item(release: &Release, devices: &[Device]) -> Markup {
    let digest = release.digest.get(..DIGEST_SHOWN).unwrap_or_default();
    html! {
        div.item {
            div {
                strong { (release.version) }
                " " span.soft.small { "sequence " (release.sequence) ", floor " (release.floor) }
                p.soft.small {
                    (release.boards.join(", ")) " · " (bytes(release.payload_size)) " · "
                    span.mono title=(release.digest) { (digest) } " · "
                    (since(Some(release.uploaded)))
                }
                @if !release.notes.is_empty() { p.small { (release.notes) } }
            }
            @if release.ready {
                (pill("good", "ready"))
                div.full { (deploy(release, devices)) }
            } @else {
                (pill("wait", "payload missing"))
            }
        }
    }
}

fn deploy(release: &Release, devices: &[Device]) -> Markup {
    let fitting: Vec<&Device> = devices
        .iter()
        .filter(|device| device.revoked.is_none())
        .filter(|device| release.boards.contains(board(device)))
        .collect();
    html! {
        details id={ "deploy-" (release.digest) } {
            summary { span.button { "Deploy…" } }
            @if fitting.is_empty() {
                p.soft.small { "No enrolled gateway is a " (release.boards.join(" or ")) "." }
            } @else {
                form.stack data-do="deploy" data-release=(release.digest) {
                    div {
                        @for device in &fitting {
                            label.tick {
                                input type="checkbox" name="device" value=(device.id)
                                    id={ "t-" (release.sequence) "-" (device.id) };
                                (dot(device.online)) (device.name)
                                span.soft.small { (version(device)) }
                            }
                        }
                    }
                    div.acts { button.main { "Deploy " (release.version) } }
                }
            }
        }
    }
}

fn board(device: &Device) -> &String {
    device.state.as_ref().map_or(&device.board, |state| &state.system.board)
}

fn version(device: &Device) -> &str {
    device.state.as_ref().map_or("not reported", |state| &state.system.version)
}

fn upload() -> Markup {
    html! {
        header { h2 { "Upload a release" } }
        div.body {
            form.form data-do="release" {
                label.grow {
                    "Manifest"
                    input type="file" name="manifest" accept=".manifest" required;
                }
                label.grow {
                    "Payload"
                    input type="file" name="payload" accept=".payload" required;
                }
                button.main { "Upload" }
                progress hidden {}
            }
        }
    }
}

fn deployment_list(rollouts: &[Rollout]) -> Markup {
    html! {
        header { h2 { "Deployments" } }
        @if rollouts.is_empty() { p.none { "Nothing was deployed yet." } }
        ul.rows {
            @for rollout in rollouts {
                li {
                    div.item {
                        div {
                            strong { (rollout.version) } " "
                            span.soft.small { (since(Some(rollout.deployment.created))) }
                        }
                        (summary(rollout))
                        @for device in &rollout.devices { div.full { (progress(device)) } }
                    }
                }
            }
        }
    }
}

fn summary(rollout: &Rollout) -> Markup {
    let total = rollout.devices.len();
    let confirmed = rollout.devices.iter().filter(|d| d.step == Step::Confirmed).count();
    let colour = if confirmed == total { "good" } else { "" };
    pill(colour, &format!("{confirmed} of {total} confirmed"))
}

fn progress(device: &Progress) -> Markup {
    let (colour, word) = step_text(device.step);
    let reading = matches!(device.step, Step::Downloading | Step::Verifying);
    html! {
        div.small {
            a href={ "/devices/" (device.device) } { (device.name) } " " (pill(colour, word))
            @if device.bytes_fetched > 0 {
                span.soft { " " (bytes(device.bytes_fetched)) " fetched" }
            }
            @if let Some(failure) = &device.failure { p.soft { (failure.message) } }
            @if reading && device.chunks_total > 0 {
                (bar(device.chunks_done, device.chunks_total))
            }
        }
    }
}

fn step_text(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Pending => ("", "waiting"),
        Step::Downloading => ("wait", "downloading"),
        Step::Verifying => ("wait", "verifying"),
        Step::Waiting => ("wait", "on hold"),
        Step::Staged => ("wait", "restarting"),
        Step::Trial => ("wait", "on trial"),
        Step::Confirmed => ("good", "confirmed"),
        Step::FellBack => ("bad", "fell back"),
        Step::Refused => ("bad", "refused"),
        Step::Failed => ("bad", "failed, tries again"),
        Step::Superseded => ("", "superseded"),
    }
}
