//! What is asked of a gateway: first what leads up to it, then the one change that is cut.

use super::machine::{Machine, View};
use protocol::change::{Order, Origin, PlugName};

/// A story.
pub struct Story {
    /// Its name.
    pub name: &'static str,
    /// What was asked before, all of which goes well.
    pub before: &'static [Ask],
    /// The change.
    pub ask: Ask,
    /// The code that it fails with when nothing disturbs it; `None`: it is done.
    pub fails: Option<&'static str>,
}

/// An [`Order`] that can stand in a table.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// Files named `NAME-VERSION`.
    Install(&'static [&'static str]),
    /// Back to the revision before.
    Revert(&'static [&'static str]),
    /// Remove, with a snapshot or without.
    Remove(&'static [&'static str], bool),
    /// Enable.
    Enable(&'static str),
    /// Disable.
    Disable(&'static str),
    /// Snapshots of all.
    Save,
    /// Data of a set.
    Restore(u32),
    /// Forget a set.
    Forget(u32),
    /// A set from elsewhere.
    Import,
    /// The configuration `mode` of a snap.
    Set(&'static str, &'static str),
    /// A plug.
    Connect(&'static str, &'static str),
}

use Ask::{Connect, Disable, Enable, Forget, Import, Install, Remove, Restore, Revert, Save, Set};

/// All stories.
pub const ALL: &[Story] = &[
    Story { name: "a first install", before: &[], ask: Install(&["a-1"]), fails: None },
    Story {
        name: "a first install that does not start",
        before: &[],
        ask: Install(&["a-9"]),
        fails: Some("start-failed"),
    },
    Story { name: "a refresh", before: &[Install(&["a-1"])], ask: Install(&["a-2"]), fails: None },
    Story {
        name: "a third revision, for which the first goes",
        before: &[Install(&["a-1"]), Install(&["a-2"])],
        ask: Install(&["a-3"]),
        fails: None,
    },
    Story {
        name: "a third revision that does not start",
        before: &[Install(&["a-1"]), Install(&["a-2"])],
        ask: Install(&["a-9"]),
        fails: Some("start-failed"),
    },
    Story {
        name: "a third revision that starts but once",
        before: &[Install(&["a-1"]), Install(&["a-2"])],
        ask: Install(&["a-8"]),
        fails: None,
    },
    Story {
        name: "a refresh whose copy of the data does not fit",
        before: &[Install(&["c-1"])],
        ask: Install(&["c-2"]),
        fails: Some("no-space"),
    },
    Story {
        name: "a refresh after a revert",
        before: &[Install(&["a-1"]), Install(&["a-2"]), Revert(&["a"])],
        ask: Install(&["a-3"]),
        fails: None,
    },
    Story {
        name: "two snaps at once, one of them new",
        before: &[Install(&["a-1"])],
        ask: Install(&["a-2", "b-1"]),
        fails: None,
    },
    Story {
        name: "two snaps at once, the second of which does not start",
        before: &[Install(&["a-1"]), Install(&["a-2", "b-1"])],
        ask: Install(&["a-3", "b-9"]),
        fails: Some("start-failed"),
    },
    Story {
        name: "a revert",
        before: &[Install(&["a-1"]), Install(&["a-2"])],
        ask: Revert(&["a"]),
        fails: None,
    },
    Story {
        name: "a snap is disabled",
        before: &[Install(&["a-1"])],
        ask: Disable("a"),
        fails: None,
    },
    Story {
        name: "a snap is enabled",
        before: &[Install(&["a-1"]), Disable("a")],
        ask: Enable("a"),
        fails: None,
    },
    Story {
        name: "two snaps are removed",
        before: &[Install(&["a-1", "b-1"]), Install(&["a-2"])],
        ask: Remove(&["a", "b"], true),
        fails: None,
    },
    Story {
        name: "a snap is removed and its data saved",
        before: &[Install(&["a-1"])],
        ask: Remove(&["a"], false),
        fails: None,
    },
    Story { name: "data is saved", before: &[Install(&["a-1", "b-1"])], ask: Save, fails: None },
    Story {
        name: "data is restored",
        before: &[Install(&["a-1", "b-1"]), Import],
        ask: Restore(1),
        fails: None,
    },
    Story {
        name: "a set is forgotten",
        before: &[Install(&["a-1", "b-1"]), Save, Save],
        ask: Forget(1),
        fails: None,
    },
    Story {
        name: "a snap with hooks is installed",
        before: &[],
        ask: Install(&["h-1"]),
        fails: None,
    },
    Story {
        name: "a refresh with hooks",
        before: &[Install(&["h-1"]), Set("h", "one")],
        ask: Install(&["h-2"]),
        fails: None,
    },
    Story {
        name: "a refresh to what says that it is not well",
        before: &[Install(&["h-1"]), Set("h", "one")],
        ask: Install(&["h-6"]),
        fails: Some("hook-failed"),
    },
    Story {
        name: "a revert to another configuration",
        before: &[Install(&["h-1"]), Set("h", "one"), Install(&["h-2"]), Set("h", "two")],
        ask: Revert(&["h"]),
        fails: None,
    },
    Story {
        name: "a snap with hooks and a configuration is removed",
        before: &[Install(&["h-1"]), Set("h", "one")],
        ask: Remove(&["h"], true),
        fails: None,
    },
    Story {
        name: "a configuration is set",
        before: &[Install(&["h-1"])],
        ask: Set("h", "one"),
        fails: None,
    },
    Story {
        name: "a configuration that its hook does not take",
        before: &[Install(&["h-1"]), Set("h", "one")],
        ask: Set("h", "bad"),
        fails: Some("hook-failed"),
    },
    Story {
        name: "a plug is connected",
        before: &[Install(&["a-1"])],
        ask: Connect("a", "led"),
        fails: None,
    },
    Story {
        name: "a set is imported",
        before: &[Install(&["a-1"]), Save],
        ask: Import,
        fails: None,
    },
];

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

impl Ask {
    /// As appd is asked.
    pub fn order(self) -> Order {
        match self {
            Install(files) => {
                let from = files.iter().map(|file| Origin::Path(format!("/boot/{file}.snap")));
                let from = from.collect();
                Order::Install { from, name: None, dangerous: false, refresh: false }
            }
            Revert(list) => Order::Revert { names: names(list), revision: None },
            Remove(list, purge) => Order::Remove { names: names(list), purge },
            Enable(name) => Order::Enable { names: names(&[name]) },
            Disable(name) => Order::Disable { names: names(&[name]) },
            Save => Order::Save { names: Vec::new() },
            Restore(set) => Order::Restore { set, names: Vec::new() },
            Forget(set) => Order::Forget { set, names: Vec::new() },
            Import => Order::Import { path: "/boot/set.snapshots".into() },
            Set(name, mode) => {
                let values = vec![("mode".into(), Some(format!("{mode:?}")))];
                Order::Set { name: name.into(), values }
            }
            Connect(snap, plug) => {
                let plug = PlugName { snap: snap.into(), plug: plug.into() };
                Order::Connect { plug, attributes: vec![("line".into(), "3".into())] }
            }
        }
    }
}

impl Story {
    /// The story of that name.
    pub fn named(name: &str) -> Option<&'static Story> {
        ALL.iter().find(|story| story.name == name)
    }

    /// A gateway that is about to be asked, and what there is on it.
    ///
    /// # Errors
    /// What must not be.
    pub fn begin(&self) -> Result<(Machine, View), String> {
        let machine = Machine::new();
        for ask in self.before {
            machine.ask(&ask.order()).map_err(|failure| format!("{ask:?}: {failure}"))?;
        }
        // The last change of before is over and durable.
        let machine = Machine::boot(machine.card(), false);
        let view = machine.view()?;
        Ok((machine, view))
    }

    /// Asks, undisturbed. What there is afterwards.
    ///
    /// # Errors
    /// What must not be, or did not happen.
    pub fn finish(&self, machine: &Machine, before: &View) -> Result<View, String> {
        let ended = machine.ask(&self.ask.order());
        let after = machine.view()?;
        match (ended, self.fails) {
            (Ok(_), None) if after == *before => Err("done, and nothing is different".into()),
            (Ok(_), None) => Ok(after),
            (Err(failure), Some(code)) if failure.code == code => match after == *before {
                true => Ok(after),
                false => Err(format!("undone, and not as before:\n{before:?}\n{after:?}")),
            },
            (ended, fails) => Err(format!("ends {ended:?}, not {fails:?}")),
        }
    }
}
