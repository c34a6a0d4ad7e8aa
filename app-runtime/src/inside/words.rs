//! The words of `snapctl` inside a snap: the verbs and options that snapd documents
//! (<https://snapcraft.io/docs/using-snapctl>), as far as they have a meaning here.

use crate::settings::Edit;
use serde_json::Value;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Values of the configuration.
    Get {
        /// Their keys.
        keys: Vec<String>,
        /// `-t`: strings in quotes, null for nothing.
        typed: bool,
        /// `-d`: a document also for one key.
        document: bool,
    },
    /// Changes of the configuration.
    Set(Vec<Edit>),
    /// The state of services; none: all.
    Services(Vec<String>),
    /// Start these; `--enable`: with the snap from here on.
    Start(Vec<String>, bool),
    /// Stop these; `--disable`: and do not start them with the snap.
    Stop(Vec<String>, bool),
    /// Restart these; `--reload`: by their reload-commands.
    Restart(Vec<String>, bool),
    /// How the snap does.
    SetHealth {
        /// `okay`, `waiting`, `blocked` or `error`.
        status: String,
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// The device's clock, Unix seconds; no word of snapd's.
    SetTime(u64),
    /// Whether a plug is connected.
    IsConnected(String),
    /// Names of connected plugs.
    Connected,
}

/// Statuses that a snap may say of itself.
const HEALTH: [&str; 4] = ["okay", "waiting", "blocked", "error"];
/// Longest message in characters, as in snapd.
const MAX_MESSAGE: usize = 70;
/// Code in the form that snapd wants: from 3 to 30 characters.
const CODE_LENGTH: std::ops::RangeInclusive<usize> = 3..=30;

/// Understands the words, or says what is wrong with them.
pub fn parse(words: &[String]) -> Result<Asked, String> {
    let [verb, rest @ ..] = words else { return Err("no command: see the documentation".into()) };
    // Options come first; behind `--` and behind the first other word nothing is one.
    let mut options = Vec::new();
    let mut rest = rest;
    while let [first, behind @ ..] = rest {
        match first.as_str() {
            "--" => {
                rest = behind;
                break;
            }
            option if option.starts_with('-') && option.len() > 1 => {
                options.push(option);
                rest = behind;
            }
            _ => break,
        }
    }
    let has = |names: &[&str]| options.iter().any(|option| names.contains(option));
    let only = |known: &[&str]| match options.iter().find(|option| !known.contains(option)) {
        Some(option) => Err(format!("{verb}: unknown option {option}")),
        None => Ok(()),
    };
    let names = || match rest.is_empty() {
        true => Err(format!("{verb}: at least one name")),
        false => Ok(rest.to_vec()),
    };
    match verb.as_str() {
        "get" => {
            only(&["-t", "-d"])?;
            if rest.iter().any(|key| key.starts_with(':')) {
                return Err("get: connections are made without asking the snap".into());
            }
            Ok(Asked::Get { keys: names()?, typed: has(&["-t"]), document: has(&["-d"]) })
        }
        "set" => {
            only(&["-t", "-s"])?;
            let edit = |word: &String| set(word, has(&["-t"]), has(&["-s"]));
            names()?.iter().map(edit).collect::<Result<_, _>>().map(Asked::Set)
        }
        "unset" => {
            only(&[])?;
            Ok(Asked::Set(names()?.into_iter().map(Edit::Unset).collect()))
        }
        "services" => {
            only(&[])?;
            Ok(Asked::Services(rest.to_vec()))
        }
        "start" => only(&["--enable"]).and(Ok(Asked::Start(names()?, has(&["--enable"])))),
        "stop" => only(&["--disable"]).and(Ok(Asked::Stop(names()?, has(&["--disable"])))),
        "restart" => only(&["--reload"]).and(Ok(Asked::Restart(names()?, has(&["--reload"])))),
        "set-health" => set_health(&options, rest),
        "is-connected" => {
            only(&["--list"])?;
            match rest {
                [] if has(&["--list"]) => Ok(Asked::Connected),
                [plug] if !has(&["--list"]) => Ok(Asked::IsConnected(plug.clone())),
                _ => Err("is-connected: one plug, or --list".into()),
            }
        }
        "set-time" => {
            only(&[])?;
            let [seconds] = rest else { return Err("set-time: seconds of Unix time".into()) };
            let time = seconds.parse().map_err(|_| format!("set-time: {seconds:?}: no number"))?;
            Ok(Asked::SetTime(time))
        }
        other => Err(format!("unknown command {other:?}")),
    }
}

fn set(word: &str, typed: bool, text: bool) -> Result<Edit, String> {
    if let Some(key) = word.strip_suffix('!').filter(|key| !key.contains('=')) {
        return Ok(Edit::Unset(key.into()));
    }
    let (key, value) =
        word.split_once('=').ok_or_else(|| format!("set: {word:?}: not KEY=VALUE"))?;
    let value = match (text, serde_json::from_str(value)) {
        (true, _) => Value::String(value.into()),
        (false, Ok(value)) => value,
        (false, Err(error)) if typed => return Err(format!("set: {key}: not JSON: {error}")),
        (false, Err(_)) => Value::String(value.into()),
    };
    Ok(Edit::Set(key.into(), value))
}

fn set_health(options: &[&str], rest: &[String]) -> Result<Asked, String> {
    let mut code = String::new();
    for option in options {
        let value = option.strip_prefix("--code=");
        code = value.ok_or_else(|| format!("set-health: unknown option {option}"))?.into();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !CODE_LENGTH.contains(&code.len()) || !code.bytes().all(plain) {
            let why = "3 to 30 lower-case letters, digits and hyphens";
            return Err(format!("set-health: code {code:?}: not {why}"));
        }
    }
    let (status, message) = match rest {
        [status] => (status, String::new()),
        [status, message] => (status, message.clone()),
        _ => return Err("set-health: a status, and a message unless it is okay".into()),
    };
    if !HEALTH.contains(&status.as_str()) {
        return Err(format!("set-health: {status:?}: not {}", HEALTH.join(", ")));
    }
    if status == "okay" && !(message.is_empty() && code.is_empty()) {
        return Err("set-health: okay has no message and no code".into());
    }
    if status != "okay" && message.is_empty() {
        return Err(format!("set-health: {status} needs a message"));
    }
    let message = message.chars().take(MAX_MESSAGE).collect();
    Ok(Asked::SetHealth { status: status.clone(), code, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_that_are_understood() {
        let get = |keys, typed, document| Asked::Get { keys, typed, document };
        let set = |key: &str, value| Asked::Set(vec![Edit::Set(key.into(), value)]);
        let table = [
            ("get a", get(keys(&["a"]), false, false)),
            ("get -t -d a b.c", get(keys(&["a", "b.c"]), true, true)),
            ("set a=1", set("a", json!(1))),
            ("set a=x", set("a", json!("x"))),
            ("set a=", set("a", json!(""))),
            ("set -s a=1", set("a", json!("1"))),
            ("set -t a={\"b\":[1]}", set("a", json!({"b": [1]}))),
            ("set a=b=c", set("a", json!("b=c"))),
            ("set a!", Asked::Set(vec![Edit::Unset("a".into())])),
            ("unset a b", Asked::Set(vec![Edit::Unset("a".into()), Edit::Unset("b".into())])),
            ("services", Asked::Services(vec![])),
            ("services x.y", Asked::Services(keys(&["x.y"]))),
            ("start x", Asked::Start(keys(&["x"]), false)),
            ("stop --disable x.y", Asked::Stop(keys(&["x.y"]), true)),
            ("restart --reload x", Asked::Restart(keys(&["x"]), true)),
            ("is-connected led", Asked::IsConnected("led".into())),
            ("is-connected --list", Asked::Connected),
        ];
        for (line, asked) in table {
            assert_eq!(parsed(line), Ok(asked), "{line}");
        }
        let health = parse(&keys(&["set-health", "--code=no-net", "waiting", "for the network"]));
        let (status, code, message) = ("waiting".into(), "no-net".into(), "for the network".into());
        assert_eq!(health, Ok(Asked::SetHealth { status, code, message }));
    }

    #[test]
    fn lines_that_are_refused_and_why() {
        for (line, why) in [
            ("", "no command"),
            ("frobnicate", "unknown command"),
            ("get", "at least one name"),
            ("get -x a", "unknown option -x"),
            ("get :plug a", "without asking"),
            ("set a", "not KEY=VALUE"),
            ("set -t a=x", "not JSON"),
            ("set-health unknown", "not okay, waiting"),
            ("set-health error", "needs a message"),
            ("set-health okay fine", "no message"),
            ("set-health --code=X error broken", "code \"X\""),
            ("is-connected", "one plug"),
            ("install x", "unknown command"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
