//! The test programs of the workspace: built by one call of cargo, so that every package is
//! compiled with the same features, and then run by us.
//!
//! Format: cargo's messages, a JSON object in each line
//! (<https://doc.rust-lang.org/cargo/reference/external-tools.html>). Of these, two strings are
//! taken, which needs no parser of JSON: this crate has no dependencies.

use crate::error::Error;
use crate::process;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program with tests.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Package, and the target in it when that is a file of `tests`: `updater/agent`.
    pub name: String,
    /// Folder of the package, in which its tests run.
    folder: PathBuf,
    executable: PathBuf,
    story: bool,
}

impl Program {
    /// The tests of this program boot a gateway.
    pub fn is_story(&self) -> bool {
        self.story
    }

    /// Runs all its tests.
    pub fn command(&self) -> Command {
        let mut command = process::without_package(Command::new(&self.executable));
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }

    /// Names of its tests.
    pub fn tests(&self) -> Result<Vec<String>, Error> {
        let mut command = self.command();
        command.args(["--list", "--format", "terse"]);
        let printed = process::output(command)?;
        let names = printed.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(str::to_string).collect())
    }
}

/// Builds all test programs, or those of the named stories, which are files of `stories`' tests;
/// and the program `images` of that package.
pub fn build(
    names: &[&str],
    stories: &str,
    images: &str,
) -> Result<(Program, Vec<Program>), Error> {
    let mut arguments = vec!["test", "--no-run", "--message-format", "json-render-diagnostics"];
    if names.is_empty() {
        arguments.push("--workspace");
    } else {
        arguments.extend(["--package", stories]);
        arguments.extend(names.iter().flat_map(|name| ["--test", name]));
    }
    let printed = process::output(process::cargo(&arguments))?;
    let (tests, others): (Vec<Built>, Vec<Built>) =
        printed.lines().filter_map(parse).partition(|built| built.tests);
    let program = |built: Built| built.program(stories);
    let images = others
        .into_iter()
        .find(|built| built.package == stories && built.target == images)
        .ok_or_else(|| Error::Missing(format!("cargo built no program {images} of {stories}")))?;
    Ok((program(images), tests.into_iter().map(program).collect()))
}

/// A program that cargo announces.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    package: String,
    kind: String,
    target: String,
    folder: PathBuf,
    executable: PathBuf,
    tests: bool,
}

impl Built {
    fn program(self, stories: &str) -> Program {
        let Self { package, target, folder, executable, .. } = self;
        let name = match self.kind.as_str() {
            "test" => format!("{package}/{target}"),
            "bin" if target != package => format!("{package}, bin {target}"),
            _ => package.clone(),
        };
        Program { story: self.kind == "test" && package == stories, name, folder, executable }
    }
}

fn parse(message: &str) -> Option<Built> {
    if !message.contains("\"reason\":\"compiler-artifact\"") {
        return None;
    }
    let executable = PathBuf::from(string(message, "executable")?);
    let folder = Path::new(string(message, "manifest_path")?).parent()?.to_path_buf();
    Some(Built {
        package: folder.file_name()?.to_str()?.to_string(),
        kind: message.split("\"kind\":[\"").nth(1)?.split('"').next()?.to_string(),
        // `target` is the one object of an artifact that has a name.
        target: string(message, "name")?.to_string(),
        folder,
        executable,
        // The profile, which says so of a build, is followed by the features.
        tests: message.contains("\"test\":true},\"features\""),
    })
}

/// The string of this name; none of ours holds an escaped character.
fn string<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(&format!("\"{name}\":\"")).nth(1)?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/updater#0.1.0","manifest_path":"/w/updater/Cargo.toml","target":{"kind":["test"],"crate_types":["bin"],"name":"agent","src_path":"/w/updater/tests/agent.rs","edition":"2024","doc":false,"doctest":false,"test":true},"profile":{"opt_level":"1","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":true},"features":[],"filenames":["/w/target/debug/deps/agent-10"],"executable":"/w/target/debug/deps/agent-10","fresh":true}"#;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let built = parse(AGENT).unwrap();
        assert!(built.tests);
        let program = built.program("hil-tests");
        assert_eq!(program.name, "updater/agent");
        assert_eq!(program.folder, Path::new("/w/updater"));
        assert_eq!(program.executable, Path::new("/w/target/debug/deps/agent-10"));
        assert!(!program.is_story());
        assert!(parse(AGENT).unwrap().program("updater").is_story());
        let plain = AGENT.replace("\"test\":true},\"features\"", "\"test\":false},\"features\"");
        assert!(!parse(&plain).unwrap().tests);
    }

    #[test]
    fn libraries_and_other_messages_are_passed_over() {
        let executable = "\"executable\":\"/w/target/debug/deps/agent-10\"";
        assert_eq!(parse(&AGENT.replace(executable, "\"executable\":null")), None);
        assert_eq!(parse(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
