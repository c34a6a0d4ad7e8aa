//! `snapctl`: the administrator's tool on the device. Every verb is one request to a daemon's
//! control socket; nothing is decided here.
//!
//! | module | what |
//! |---|---|
//! | [`words`] | the words of a command line become a [`words::Command`] |
//! | [`run`] | a command becomes a request, its answer a report |
//! | [`change`] | the words about changes and snapshots |
//! | [`decide`] | the words about configuration, connections and quotas |
//! | [`inside`] | another tool of the same name: what apps and hooks ask of their own snap |
//! | [`policy`] | the words about when to update |
//! | [`system`] | the report on the whole system |
//! | [`show`] | reports as text and as JSON |
//! | [`prompt`] | the same verbs, line by line, on the serial console |
//!
//! Exit codes: 0 done, 1 refused or failed, 2 the command line was wrong, 3 the daemon was not
//! reached.

mod change;
mod decide;
mod inside;
mod policy;
mod prompt;
mod run;
mod show;
mod system;
mod words;

use std::process::ExitCode;

/// First word of an app that administers the device, by the interface `snapctl-control`: the words
/// after it are those of a person, not of a snap.
const ADMINISTER: &str = "--administer";

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let code = match words.as_slice() {
        [first, words @ ..] if first == ADMINISTER => run::line(words),
        words if let Some(cookie) = inside::cookie() => inside::ask(cookie, words),
        [word] if matches!(word.as_str(), "prompt" | "console") => prompt::serve(),
        words => run::line(words),
    };
    ExitCode::from(code)
}
