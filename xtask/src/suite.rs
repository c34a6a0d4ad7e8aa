//! `cargo xtask test`: every test. First those that need no booted image, then the stories of
//! `hil-tests`, one file after the other with few QEMUs at once.

use crate::error::Error;
use crate::process::{self, say};
use crate::{setup, tree};

/// QEMUs at once: each keeps one core busy while it boots.
const PARALLEL_BOOTS: &str = "2";
/// Cargo profile and package of the stories.
const STORIES: &str = "hil-tests";

/// Runs every test, or only the named files of `hil-tests`.
pub fn run(names: &[&str]) -> Result<(), Error> {
    setup::everything()?;
    let mut summary = Summary::default();
    if names.is_empty() {
        let arguments = ["test", "--workspace", "--exclude", STORIES, "--no-fail-fast"];
        summary.step("tests without a boot", &arguments);
        summary.step("harness", &["test", "--package", STORIES, "--lib"]);
    }
    summary.step("releases for the stories", &["run", "--package", STORIES, "--bin", "fixtures"]);
    for name in stories()?.iter().filter(|n| names.is_empty() || names.contains(&n.as_str())) {
        let threads = format!("--test-threads={PARALLEL_BOOTS}");
        let arguments =
            ["test", "--package", STORIES, "--test", name, "--no-fail-fast", "--", &threads];
        summary.step(name, &arguments);
    }
    summary.close()
}

/// Names of the files below `hil-tests/tests`.
fn stories() -> Result<Vec<String>, Error> {
    let folder = tree::root().join(STORIES).join("tests");
    let failed = |cause| Error::File { what: format!("list {}", folder.display()), cause };
    let mut names: Vec<String> = folder
        .read_dir()
        .map_err(failed)?
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_string()))
        .collect();
    names.sort();
    Ok(names)
}

/// What was run and how it ended.
#[derive(Default)]
struct Summary {
    steps: Vec<(String, Counts, bool)>,
}

impl Summary {
    fn step(&mut self, name: &str, arguments: &[&str]) {
        say(&format!("test: {name}"));
        let mut counts = Counts::default();
        let result = process::run_seen(process::cargo(arguments), |line| counts.add(line));
        if let Err(error) = &result {
            say(&format!("test: {name}: {error}"));
        }
        self.steps.push((name.to_string(), counts, result.is_ok()));
    }

    fn close(self) -> Result<(), Error> {
        say("test: summary");
        let mut failed = Vec::new();
        let mut total = Counts::default();
        for (name, counts, ok) in self.steps {
            println!("    {name:24} {counts}{}", if ok { "" } else { "  FAILED" });
            total.passed += counts.passed;
            total.failed += counts.failed;
            total.ignored += counts.ignored;
            if !ok {
                failed.push(name);
            }
        }
        println!("    {:24} {total}", "all");
        if failed.is_empty() { Ok(()) } else { Err(Error::Checks(failed)) }
    }
}

/// Figures of cargo's closing lines, `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Counts {
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(kind)) =
                (words.next().map(str::parse::<u32>), words.next())
            else {
                continue;
            };
            match kind {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::default() {
            return f.write_str("done, no tests in it");
        }
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.00s");
        counts.add("test tidy ... ok");
        counts.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        assert_eq!(counts, Counts { passed: 4, failed: 2, ignored: 1 });
    }
}
