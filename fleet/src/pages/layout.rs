//! What all pages share, and the small pieces they are made of.

use crate::clock::{ago, now, text};
use crate::ingest::{health_word, phase_text};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use protocol::control::Health;
use protocol::fleet::{UpdatePhase, UpdateStatus};

/// One page of the dashboard.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    /// Which entry of the navigation is this one's.
    pub(super) here: &'a str,
    pub(super) guard: &'a str,
    /// The device that the page is about.
    pub(super) subject: Option<&'a str>,
}

const NAVIGATION: [(&str, &str); 3] =
    [("/", "Gateways"), ("/releases", "Releases"), ("/enroll", "Enrol")];

impl Page<'_> {
    pub(super) fn render(&self, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                (head(self.title, html! {
                    meta name="page-token" content=(self.guard);
                    script src="/assets/app.js" defer {}
                }))
                body data-subject=(self.subject.unwrap_or_default()) {
                    header.bar {
                        a.brand href="/" { img src="/assets/icon.svg" alt=""; span { "Holdfast" } }
                        nav {
                            @for (path, name) in NAVIGATION {
                                a href=(path) aria-current=[(path == self.here).then_some("page")] {
                                    (name)
                                }
                            }
                        }
                        div.link { span.dot {} span.word { "connecting" } }
                        form method="post" action="/logout" {
                            button.plain type="submit" { "Sign out" }
                        }
                    }
                    main { (body) }
                    div.toasts aria-live="polite" {}
                }
            }
        }
    }
}

/// A page for who is not signed in, or lost.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, html! {}))
            body {
                main.gate {
                    div.panel { div.body {
                        div.hero { img src="/assets/icon.svg" alt=""; h1 { (title) } }
                        (body)
                    } }
                }
            }
        }
    }
}

fn head(title: &str, more: Markup) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Holdfast" }
            link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
            link rel="stylesheet" href="/assets/style.css";
            (more)
        }
    }
}

/// Green when connected.
pub(super) fn dot(online: bool) -> Markup {
    let word = if online { "online" } else { "offline" };
    html! { span.dot.on[online] role="img" aria-label=(word) title=(word) {} }
}

/// A word in a colour: `good`, `wait`, `bad` or none.
pub(super) fn pill(colour: &str, word: &str) -> Markup {
    html! { span class={ "pill " (colour) } { (word) } }
}

pub(super) fn health_pill(health: &Health) -> Markup {
    let colour = match health {
        Health::Healthy => "good",
        Health::Starting(_) => "wait",
        Health::Unhealthy(_) => "bad",
    };
    pill(colour, health_word(health))
}

/// Colour of an update's phase.
pub(super) fn phase_colour(phase: UpdatePhase) -> &'static str {
    match phase {
        UpdatePhase::Idle => "",
        UpdatePhase::Confirmed => "good",
        UpdatePhase::Downloading
        | UpdatePhase::Verifying
        | UpdatePhase::Waiting
        | UpdatePhase::Staged
        | UpdatePhase::Trial => "wait",
        UpdatePhase::FellBack | UpdatePhase::Refused | UpdatePhase::Failed => "bad",
    }
}

/// Phase, version, and a bar while chunks come.
pub(super) fn update_line(update: Option<&UpdateStatus>) -> Markup {
    let Some(update) = update else { return html! { span.soft { "—" } } };
    let version = update.version.as_deref().unwrap_or_default();
    let reading =
        update.phase == UpdatePhase::Downloading || update.phase == UpdatePhase::Verifying;
    html! {
        @if update.phase == UpdatePhase::Idle {
            span.soft { "up to date" }
        } @else {
            span { (pill(phase_colour(update.phase), phase_text(update.phase))) " " (version) }
        }
        @if reading && update.chunks_total > 0 {
            (bar(update.chunks_done, update.chunks_total))
        }
    }
}

/// A progress bar.
pub(super) fn bar(done: u32, total: u32) -> Markup {
    html! {
        progress value=(done) max=(total) title={ (done) " of " (total) " MiB" }
            aria-label={ (done) " of " (total) " MiB in place" } {}
    }
}

/// `5 min ago`, with the exact time on hover.
pub(super) fn since(time: Option<u64>) -> Markup {
    match time {
        Some(time) => html! { time.nowrap title=(text(time)) { (ago(time, now())) } },
        None => html! { span.soft { "never" } },
    }
}

/// `12.3 MB`, decimal as file managers show it.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// `3 d 4 h`, `2 h 5 min`, `50 s`
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// JSON for a `data-` attribute; maud escapes it there.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A space that does not break.
pub(super) const NBSP: PreEscaped<&str> = PreEscaped("&nbsp;");
