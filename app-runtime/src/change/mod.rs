//! Changes: what is asked of appd, as a list of tasks that are done in order, or undone in reverse.
//!
//! | module | what |
//! |---|---|
//! | [`transition`] | the table: what becomes of a task, and which one is next |
//! | [`plan`] | a request becomes tasks, against what is installed |
//! | [`work`] | what a task does to files, and how that is taken back |
//! | [`keep`] | which files belong to somebody; the rest is swept away |
//! | [`run`] | one change from its first task to its last write, and again after a power cut |
//!
//! What always holds:
//! - A change and what is installed are stored in one file, by one rename: there is no moment at
//!   which the two disagree. At most one change is under way.
//! - Each task may be done twice, be undone half done, and be undone without having been begun:
//!   after a power cut nobody knows how far it got.
//! - A task that cannot be taken back only deletes what the stored state no longer names. It comes
//!   after all tasks that can fail, and only once it is stored that they are done: from there the
//!   change goes forward only.
//! - A data directory that a revision has written to is never written to by another one: going
//!   back is switching, not restoring.
//! - A change that the power ended too often is undone: what a new revision does to the machine
//!   must not keep the gateway from coming up.

pub mod keep;
pub mod plan;
pub mod run;
pub mod transition;
pub mod work;

use crate::mutant::{self, Mutant};
use crate::settings::Settings;
use crate::state::{Installed, Snapshot};
use protocol::{change::Origin, control::Failure};
use serde::{Deserialize, Serialize};

/// Most lines that a task keeps.
const LOG_LINES: usize = 10;
/// Longest line that a task keeps, in characters.
const LOG_LENGTH: usize = 300;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What was asked for, as the verb of `snapctl`.
    pub kind: String,
    /// For people.
    pub summary: String,
    /// Unix time in seconds when it was made.
    pub made: u64,
    /// Unix time in seconds when its last task ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// How often it was taken up again after appd had ended under it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resumed: u8,
    /// In the order in which they are done.
    pub tasks: Vec<Task>,
    /// What to tell when all is done, a line for each snap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Why it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One task of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// For people.
    pub summary: String,
    /// Where it stands.
    pub status: Status,
    /// What is done; forgotten when the change has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What went wrong, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// Where a task stands. The table of how it gets there is in [`transition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// To be done.
    Do,
    /// Begun; after a power cut: perhaps begun.
    Doing,
    /// Done.
    Done,
    /// To be undone.
    Undo,
    /// Undoing has begun.
    Undoing,
    /// Undone.
    Undone,
    /// Could not be done, or not be undone.
    Error,
    /// Will not be done, because one before it failed.
    Hold,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 8] = [
        Status::Do,
        Status::Doing,
        Status::Done,
        Status::Undo,
        Status::Undoing,
        Status::Undone,
        Status::Error,
        Status::Hold,
    ];

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Status::Do => "Do",
            Status::Doing => "Doing",
            Status::Done => "Done",
            Status::Undo => "Undo",
            Status::Undoing => "Undoing",
            Status::Undone => "Undone",
            Status::Error => "Error",
            Status::Hold => "Hold",
        }
    }
}

/// What one task does. The same few compose every change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// A file or an address becomes a checked copy. Which snap it is, and so which tasks follow, is
    /// known afterwards.
    Fetch {
        /// Where it is.
        from: Origin,
        /// What the snap is called that an image becomes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Accept it without a valid signature.
        dangerous: bool,
        /// Only what is installed already, and was not reverted from.
        refresh: bool,
        /// Number of the copy within the change.
        copy: u32,
    },
    /// The checked copy becomes the file of a revision.
    TakeFile {
        /// Number of the copy.
        copy: u32,
        /// Snap.
        name: String,
        /// Its new revision.
        revision: u32,
    },
    /// The services end, so that the data rests.
    Stop {
        /// Snap.
        name: String,
    },
    /// The new revision gets data of its own: a copy of the old one's, or none yet.
    CopyData {
        /// Snap.
        name: String,
        /// Owner.
        uid: u32,
        /// Revision whose data is copied; absent: a first install.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u32>,
        /// Revision that gets it.
        to: u32,
        /// Bytes that the copy needs.
        size: u64,
    },
    /// What is installed under a name is another from here on: the state's own rename.
    Link {
        /// Snap.
        name: String,
        /// What it was; absent: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Installed>,
        /// What it is; absent: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Installed>,
    },
    /// The services start, and must stay up for their first moments.
    Start {
        /// Snap.
        name: String,
    },
    /// What was decided about a snap is something else from here on.
    Settle {
        /// Snap.
        name: String,
        /// What it was.
        before: Settings,
        /// What it is.
        after: Settings,
    },
    /// A program of the snap is run; what it decides holds once it ended well.
    Hook {
        /// Snap.
        name: String,
        /// Which one.
        hook: String,
        /// What had been decided before; known once it has run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Settings>,
    },
    /// The data becomes a snapshot.
    Pack {
        /// Set that the snapshot belongs to.
        set: u32,
        /// Snap.
        name: String,
        /// What is known of it before it is written.
        snapshot: Snapshot,
    },
    /// A file that was exported becomes a set of snapshots.
    Import {
        /// Absolute path.
        path: String,
        /// The new set.
        set: u32,
    },
    /// A snapshot is laid out beside the data.
    Unpack {
        /// Set.
        set: u32,
        /// Snap.
        name: String,
        /// Revision that gets the data.
        revision: u32,
        /// Owner.
        uid: u32,
    },
    /// What was laid out takes the place of the data.
    Swap {
        /// Snap.
        name: String,
        /// Revision that gets the data.
        revision: u32,
    },
    /// The state no longer names a snapshot.
    Forget {
        /// Set.
        set: u32,
        /// Snap.
        name: String,
        /// What it was.
        snapshot: Snapshot,
    },
    /// File and data of a revision that is no longer kept are deleted.
    DropRevision {
        /// Snap.
        name: String,
        /// Its old revision.
        revision: u32,
    },
    /// Data and logs of a snap that is gone are deleted.
    DropSnap {
        /// Snap.
        name: String,
    },
    /// Data that a snapshot has replaced is deleted.
    DropReplaced {
        /// Snap.
        name: String,
    },
    /// The file of a snapshot that was forgotten is deleted.
    DropSnapshot {
        /// Set.
        set: u32,
        /// Snap.
        name: String,
    },
}

impl Step {
    /// As it is shown to people.
    pub fn summary(&self) -> String {
        match self {
            Step::Fetch { from: Origin::Path(path), .. } => format!("Copy and check {path}"),
            Step::Fetch { from: Origin::Url { url, .. }, .. } => format!("Fetch and check {url}"),
            Step::TakeFile { name, revision, .. } => format!("Take file of {name} ({revision})"),
            Step::Stop { name } => format!("Stop services of {name}"),
            Step::CopyData { name, from: Some(from), to, .. } => {
                format!("Copy data of {name} ({from}) for ({to})")
            }
            Step::CopyData { name, to, .. } => format!("Make data of {name} ({to})"),
            Step::Link { name, after: Some(after), .. } => {
                format!("Make {name} ({}) the current one", after.current)
            }
            Step::Link { name, .. } => format!("Make {name} unavailable"),
            Step::Start { name } => format!("Start services of {name}"),
            Step::Settle { name, .. } => format!("Change settings of {name}"),
            Step::Hook { name, hook, .. } => format!("Run {hook} hook of {name}"),
            Step::Pack { set, name, .. } => format!("Save data of {name} in snapshot set #{set}"),
            Step::Import { path, set } => format!("Import {path} as snapshot set #{set}"),
            Step::Unpack { set, name, .. } => format!("Unpack data of {name} from set #{set}"),
            Step::Swap { name, .. } => format!("Put the unpacked data of {name} in place"),
            Step::Forget { set, name, .. } => format!("Forget {name} of snapshot set #{set}"),
            Step::DropRevision { name, revision } => format!("Remove {name} ({revision})"),
            Step::DropSnap { name } => format!("Remove data and logs of {name}"),
            Step::DropReplaced { name } => format!("Remove replaced data of {name}"),
            Step::DropSnapshot { set, name } => format!("Remove {name} of snapshot set #{set}"),
        }
    }

    /// Steps of a smaller phase come first: what looks, what changes and can be taken back, what
    /// deletes.
    pub fn phase(&self) -> u8 {
        match self {
            Step::Fetch { .. } => 0,
            Step::DropRevision { .. } if mutant::is(Mutant::DeletesBeforeProof) => 1,
            Step::TakeFile { .. }
            | Step::Stop { .. }
            | Step::CopyData { .. }
            | Step::Link { .. }
            | Step::Start { .. }
            | Step::Settle { .. }
            | Step::Hook { .. }
            | Step::Pack { .. }
            | Step::Import { .. }
            | Step::Unpack { .. }
            | Step::Swap { .. }
            | Step::Forget { .. } => 1,
            Step::DropRevision { .. }
            | Step::DropSnap { .. }
            | Step::DropReplaced { .. }
            | Step::DropSnapshot { .. } => 2,
        }
    }

    /// Whether it deletes, and so cannot be taken back.
    pub fn deletes(&self) -> bool {
        self.phase() == 2
    }

    /// Whether it is stored that it is done or undone: because the state says something else then,
    /// or because it must not be done again once the next step has begun. Of the others nothing is
    /// stored, they are done again after a power cut.
    pub fn is_stored(&self) -> bool {
        matches!(
            self,
            Step::Fetch { .. }
                | Step::Link { .. }
                | Step::Settle { .. }
                | Step::Hook { .. }
                | Step::Pack { .. }
                | Step::Import { .. }
                | Step::Unpack { .. }
                | Step::Forget { .. }
        )
    }

    /// The snap that it is about.
    pub fn snap(&self) -> Option<&str> {
        match self {
            Step::Fetch { .. } | Step::Import { .. } => None,
            Step::TakeFile { name, .. }
            | Step::Stop { name }
            | Step::CopyData { name, .. }
            | Step::Link { name, .. }
            | Step::Start { name }
            | Step::Settle { name, .. }
            | Step::Hook { name, .. }
            | Step::Pack { name, .. }
            | Step::Unpack { name, .. }
            | Step::Swap { name, .. }
            | Step::Forget { name, .. }
            | Step::DropRevision { name, .. }
            | Step::DropSnap { name }
            | Step::DropReplaced { name }
            | Step::DropSnapshot { name, .. } => Some(name),
        }
    }
}

impl Task {
    /// A task that is to be done.
    pub fn new(step: Step) -> Self {
        Self { summary: step.summary(), status: Status::Do, step: Some(step), log: Vec::new() }
    }

    /// Keeps a line, the newest ones.
    pub fn note(&mut self, line: &str) {
        if self.log.len() == LOG_LINES {
            self.log.remove(0);
        }
        self.log.push(line.chars().take(LOG_LENGTH).collect());
    }

    fn deletes(&self) -> bool {
        self.step.as_ref().is_some_and(Step::deletes)
    }
}

impl Change {
    /// A change none of whose tasks has begun.
    pub fn new(kind: &str, summary: String, made: u64, steps: Vec<Step>) -> Self {
        let mut change = Self {
            kind: kind.into(),
            summary,
            made,
            ended: None,
            resumed: 0,
            tasks: Vec::new(),
            told: Vec::new(),
            failure: None,
        };
        change.extend(steps);
        change
    }

    /// More steps, each behind those of its own and of smaller phases.
    pub fn extend(&mut self, steps: Vec<Step>) {
        for step in steps {
            let phase = |task: &Task| task.step.as_ref().map_or(0, Step::phase);
            let at = self.tasks.iter().rposition(|task| phase(task) <= step.phase());
            self.tasks.insert(at.map_or(0, |at| at + 1), Task::new(step));
        }
    }

    /// Steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.tasks.iter().filter_map(|task| task.step.as_ref())
    }

    /// Whether it is about this snap.
    pub fn is_about(&self, name: &str) -> bool {
        self.steps().any(|step| step.snap() == Some(name))
    }

    /// As it is shown.
    pub fn status(&self) -> &'static str {
        let any = |statuses: &[Status]| self.tasks.iter().any(|t| statuses.contains(&t.status));
        match (&self.failure, self.ended) {
            (Some(_), None) if any(&[Status::Undo, Status::Undoing]) => "Undoing",
            (Some(failure), Some(_)) if failure.code == transition::ABORTED_CODE => "Undone",
            (Some(_), Some(_)) => "Error",
            (None, Some(_)) => "Done",
            (_, None) if any(&[Status::Doing, Status::Done]) => "Doing",
            (_, None) => "Do",
        }
    }
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}
