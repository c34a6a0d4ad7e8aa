//! The words about changes and snapshots, and how both are shown.

use crate::show::{size, table};
use protocol::calendar::utc_text;
use protocol::change::{ChangeInfo, Order, SnapshotInfo, Which};
use std::time::{SystemTime, UNIX_EPOCH};

/// Options that belong to some of the verbs.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Accept snaps without a signature.
    pub dangerous: bool,
    /// What the snap is called that an image becomes.
    pub name: Option<String>,
    /// Do not wait for the end of the change.
    pub no_wait: bool,
    /// Remove without a snapshot.
    pub purge: bool,
    /// Revision to go back to.
    pub revision: Option<u32>,
    /// Kind of the change that is meant.
    pub last: Option<String>,
    /// Set of snapshots.
    pub id: Option<u32>,
}

/// What is to be asked of appd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A change that reads no file of the caller.
    Order(Order),
    /// Install or refresh; paths are still as they were typed.
    Install {
        /// Paths and addresses.
        from: Vec<String>,
        /// What the snap is called that an image becomes.
        name: Option<String>,
        /// Accept snaps without a signature.
        dangerous: bool,
        /// Refresh only.
        refresh: bool,
    },
    /// A file of snapshots.
    Import(String),
    /// A set, and the file to write.
    Export(u32, String),
    /// All changes.
    Changes,
    /// The tasks of one.
    Tasks(Which),
    /// One, until it has come to its end.
    Watch(Which),
    /// One is to be undone.
    Abort(Which),
    /// Snapshots.
    Saved(Option<u32>),
}

/// A positive number, or what is wrong with it.
pub fn number(what: &str, word: &str) -> Result<u32, String> {
    match word.trim_start_matches('#').parse() {
        Ok(0) | Err(_) => Err(format!("{what} {word}: not a number from 1 on")),
        Ok(number) => Ok(number),
    }
}

fn which(verb: &str, rest: &[&str], options: &Options) -> Result<Which, String> {
    match (rest, &options.last) {
        ([], Some(kind)) => Ok(Which::Last(kind.clone())),
        ([id], None) => number("change", id).map(Which::Id),
        _ => Err(format!("{verb}: the number of a change, or --last=KIND")),
    }
}

fn some(verb: &str, rest: &[&str], what: &str) -> Result<Vec<String>, String> {
    match rest {
        [] => Err(format!("{verb}: at least one {what}")),
        names => Ok(all(names)),
    }
}

fn all(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What a verb and its words ask for; `None`: not a verb of these.
pub fn parse(verb: &str, rest: &[&str], options: &Options) -> Option<Result<Ask, String>> {
    let snaps = |order: fn(Vec<String>) -> Order| {
        some(verb, rest, "snap").map(|names| Ask::Order(order(names)))
    };
    let set = |make: fn(u32, Vec<String>) -> Order| match rest {
        [set, names @ ..] => number("set", set).map(|set| Ask::Order(make(set, all(names)))),
        [] => Err(format!("{verb}: the number of a set; `snapctl saved` shows them")),
    };
    let revision = options.revision;
    Some(match verb {
        "install" | "refresh" => some(verb, rest, "file or address").map(|from| Ask::Install {
            from,
            name: options.name.clone(),
            dangerous: options.dangerous,
            refresh: verb == "refresh",
        }),
        "revert" => {
            some(verb, rest, "snap").map(|names| Ask::Order(Order::Revert { names, revision }))
        }
        "remove" => some(verb, rest, "snap")
            .map(|names| Ask::Order(Order::Remove { names, purge: options.purge })),
        "enable" => snaps(|names| Order::Enable { names }),
        "disable" => snaps(|names| Order::Disable { names }),
        "save" => Ok(Ask::Order(Order::Save { names: all(rest) })),
        "restore" => set(|set, names| Order::Restore { set, names }),
        "forget" => set(|set, names| Order::Forget { set, names }),
        "changes" if rest.is_empty() => Ok(Ask::Changes),
        "tasks" | "change" => which(verb, rest, options).map(Ask::Tasks),
        "watch" => which(verb, rest, options).map(Ask::Watch),
        "abort" => which(verb, rest, options).map(Ask::Abort),
        "saved" if rest.is_empty() => Ok(Ask::Saved(options.id)),
        "export-snapshot" => match rest {
            [set, file] => number("set", set).map(|set| Ask::Export(set, (*file).into())),
            _ => Err(format!("{verb}: the number of a set, and a file")),
        },
        "import-snapshot" => match rest {
            [file] => Ok(Ask::Import((*file).into())),
            _ => Err(format!("{verb}: one file")),
        },
        _ => return None,
    })
}

/// Options that a verb does not know.
pub fn misplaced(verb: &str, options: &Options) -> Option<String> {
    let belongs = |given: bool, option: &str, verbs: &[&str]| {
        let misplaced = given && !verbs.contains(&verb);
        misplaced.then(|| format!("{option} belongs to {}", verbs.join(", ")))
    };
    let changing = [
        "install",
        "refresh",
        "revert",
        "remove",
        "enable",
        "disable",
        "save",
        "restore",
        "forget",
        "import-snapshot",
        "set",
        "unset",
        "connect",
        "disconnect",
        "set-quota",
        "remove-quota",
    ];
    belongs(options.dangerous, "--dangerous", &["install", "refresh"])
        .or_else(|| belongs(options.name.is_some(), "--name", &["install", "refresh"]))
        .or_else(|| belongs(options.purge, "--purge", &["remove"]))
        .or_else(|| belongs(options.revision.is_some(), "--revision", &["revert"]))
        .or_else(|| belongs(options.id.is_some(), "--id", &["saved"]))
        .or_else(|| belongs(options.no_wait, "--no-wait", &changing))
        .or_else(|| {
            let verbs = ["tasks", "change", "watch", "abort"];
            belongs(options.last.is_some(), "--last", &verbs)
        })
}

/// Changes, one line each.
pub fn changes_text(changes: &[ChangeInfo]) -> String {
    if changes.is_empty() {
        return "no changes are remembered".into();
    }
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            let ready = change.ready.map_or_else(|| "-".into(), utc_text);
            let (id, spawn) = (change.id.to_string(), utc_text(change.spawn));
            vec![id, change.status.clone(), spawn, ready, change.summary.clone()]
        })
        .collect();
    table(&["ID", "Status", "Spawn", "Ready", "Summary"], &rows)
}

/// The tasks of one change, and what went wrong.
pub fn tasks_text(change: &ChangeInfo) -> String {
    let rows: Vec<Vec<String>> =
        change.tasks.iter().map(|t| vec![t.status.clone(), t.summary.clone()]).collect();
    let mut text = table(&["Status", "Summary"], &rows);
    for task in change.tasks.iter().filter(|task| !task.log.is_empty()) {
        text.push_str(&format!("\n{}:\n  {}\n", task.summary, task.log.join("\n  ")));
    }
    if let Some(failure) = &change.failure {
        text.push_str(&format!("\nerror: {} ({})\n", failure.message, failure.code));
    }
    text
}

/// Snapshots, one line each.
pub fn saved_text(snapshots: &[SnapshotInfo]) -> String {
    if snapshots.is_empty() {
        return "no snapshots are kept".into();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let rows: Vec<Vec<String>> = snapshots
        .iter()
        .map(|s| {
            vec![
                s.set.to_string(),
                s.snap.clone(),
                age(now.saturating_sub(s.time)),
                s.version.clone(),
                s.revision.to_string(),
                size(s.size),
                if s.auto { "auto".into() } else { "-".into() },
            ]
        })
        .collect();
    table(&["Set", "Snap", "Age", "Version", "Rev", "Size", "Notes"], &rows)
}

/// As snapd shows it: the largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_in_the_largest_unit() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86_399, "23h"), (864_000, "10d")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
