//! Installing through apt: carries out a [`plan`], as root or through sudo.

use super::packages::Need;
use super::plan::{Machine, Step, plan};
use crate::error::Error;
use crate::process::{self, say};
use crate::tree;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Installs what is missing, after saying so; an error that names everything where that cannot be
/// done.
pub fn install(missing: &[&'static Need]) -> Result<(), Error> {
    if process::find("apt-get").is_none() {
        return Err(Error::Missing(by_hand(
            "this system has no apt-get; install by hand",
            missing,
        )));
    }
    let Some(root) = Root::find() else {
        return Err(Error::Missing(by_hand("neither root nor sudo; install by hand", missing)));
    };
    let plan = plan(missing, &machine());
    let done = plan.steps.iter().try_for_each(|step| root.perform(step));
    let tidied = plan.afterwards.iter().map(|step| root.perform(step));
    // each of them is tried, whatever became of the others
    let tidied = tidied.collect::<Vec<_>>().into_iter().collect::<Result<(), Error>>();
    done.and(tidied)
}

/// A message that names each missing thing with the package that Debian has it in.
pub fn by_hand(head: &str, missing: &[&Need]) -> String {
    let mut text = format!("{head}:\n");
    for need in missing {
        let line = format!("  {} (Debian: {}): {}\n", need.what, need.package, need.reason);
        text.push_str(&line);
    }
    text
}

fn machine() -> Machine {
    let folder = Path::new("/etc/apt/sources.list.d").read_dir();
    let files = folder.into_iter().flatten().flatten().map(|entry| entry.path());
    let sources = std::iter::once("/etc/apt/sources.list".into()).chain(files);
    Machine {
        os_release: fs::read_to_string("/etc/os-release").unwrap_or_default(),
        apt_sources: sources.filter_map(|path| fs::read_to_string(path).ok()).collect(),
        // what sd_booted(3) looks at
        systemd: Path::new("/run/systemd/system").is_dir(),
    }
}

/// How commands are run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// We are.
    Already,
    /// Through sudo, which may ask for a password on the terminal.
    Sudo,
}

impl Root {
    fn find() -> Option<Self> {
        let id = process::read("id", &["-u"])?;
        let sudo = process::find("sudo").is_some();
        let silent = || process::read("sudo", &["-n", "true"]).is_some();
        let terminal = || std::io::IsTerminal::is_terminal(&std::io::stdin());
        Self::of(id.trim(), sudo, || silent() || terminal())
    }

    /// `answered`: whether sudo needs no password, or there is somebody to ask for it.
    fn of(id: &str, sudo: bool, answered: impl FnOnce() -> bool) -> Option<Self> {
        match id {
            "0" => Some(Self::Already),
            _ => (sudo && answered()).then_some(Self::Sudo),
        }
    }

    fn command(self, words: &[String]) -> Command {
        let sudo = (self == Self::Sudo).then(|| "sudo".to_string());
        let mut words = sudo.iter().chain(words);
        let mut command = Command::new(words.next().map_or("true", String::as_str));
        command.args(words);
        command
    }

    fn perform(self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Say(text) => say(text),
            Step::Write(path, text) => self.write(path, text)?,
            Step::Run(words) => process::run(self.command(words))?,
        }
        Ok(())
    }

    /// By way of a file in the work tree, where nobody else can put a link in its place.
    fn write(self, path: &str, text: &str) -> Result<(), Error> {
        let folder = tree::root().join("target");
        let part = folder.join("setup.part");
        let failed = |cause| Error::File { what: format!("write {}", part.display()), cause };
        fs::create_dir_all(&folder).and_then(|()| fs::write(&part, text)).map_err(failed)?;
        let words = ["install", "-m", "0644", &part.to_string_lossy(), path].map(String::from);
        process::run(self.command(&words))?;
        let _ = fs::remove_file(&part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_runs_commands_itself_and_others_through_sudo_where_it_can_answer() {
        let rows = [
            ("0", false, false, Some(Root::Already)),
            ("1000", true, true, Some(Root::Sudo)),
            ("1000", true, false, None),
            ("1000", false, true, None),
        ];
        for (id, sudo, answered, root) in rows {
            assert_eq!(Root::of(id, sudo, || answered), root, "{id} {sudo} {answered}");
        }
        let words = ["env", "A=b", "apt-get", "update"].map(String::from);
        let line = |root: Root| process::line(&root.command(&words));
        assert_eq!(line(Root::Already), "env A=b apt-get update");
        assert_eq!(line(Root::Sudo), "sudo env A=b apt-get update");
    }
}
