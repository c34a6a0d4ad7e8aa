//! Enrolment: a token and the `device.toml` to go with it.

use super::layout::{pill, since};
use crate::clock::{now, text};
use crate::core::Fleet;
use crate::error::Error;
use crate::store::Token;
use maud::{Markup, html};

const LIFETIMES: [(u64, &str); 4] =
    [(3600, "an hour"), (86_400, "a day"), (7 * 86_400, "a week"), (90 * 86_400, "90 days")];
/// The lifetime that is chosen at first.
const USUAL: u64 = 86_400;

/// The page.
pub(super) fn body(fleet: &Fleet) -> Result<Markup, Error> {
    let tokens = fleet.store.tokens(now())?;
    Ok(html! {
        div.head {
            div {
                h1 { "Enrol a gateway" }
                p.soft {
                    "A token is good once. The gateway makes its own key; only its certificate "
                    "comes from here."
                }
            }
        }
        div.columns {
            div.stack {
                section.panel {
                    header { h2 { "New token" } }
                    div.body {
                        form.form data-do="token" {
                            label.grow {
                                "The gateway reaches this server as"
                                select name="host" {
                                    @for host in &fleet.config.hosts { option { (host) } }
                                }
                            }
                            label {
                                "Good for"
                                select name="ttl" {
                                    @for (seconds, name) in LIFETIMES {
                                        option value=(seconds) selected[seconds == USUAL] { (name) }
                                    }
                                }
                            }
                            button.main { "Make a token" }
                        }
                    }
                }
                section.panel #made hidden {
                    header {
                        h2 { "For " code { "device.toml" } }
                        button type="button" data-copy="snippet" { "Copy" }
                    }
                    div.body.stack {
                        pre #snippet {}
                        p.soft.small {
                            "Add it to " code { "device.toml" } " on the first partition of the "
                            "card. It is shown this once; the gateway removes the token after it "
                            "has enrolled."
                        }
                    }
                }
            }
            section.panel #tokens data-live { (token_list(&tokens)) }
        }
    })
}

fn token_list(tokens: &[Token]) -> Markup {
    html! {
        header { h2 { "Tokens" } }
        @if tokens.is_empty() { p.none { "None is open, none was used." } }
        ul.rows {
            @for token in tokens {
                li { div.item {
                    div {
                        "Made " (since(Some(token.created)))
                        p.soft.small {
                            @if let Some(device) = &token.device {
                                "used by " a.mono href={ "/devices/" (device) } { (device) }
                            } @else {
                                "good until " (text(token.expires))
                            }
                        }
                    }
                    @if token.used.is_some() {
                        (pill("good", "used"))
                    } @else {
                        (pill("wait", "open"))
                    }
                } }
            }
        }
    }
}
