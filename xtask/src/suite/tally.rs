//! What was run and how it ended.

use crate::error::Error;
use crate::process::{clock, say};
use std::time::Duration;

/// A job's end.
pub struct Ended {
    /// Name of the job.
    pub name: String,
    /// What it counted.
    pub counts: Counts,
    /// Whether it ended well.
    pub ok: bool,
    /// How long it ran.
    pub took: Duration,
}

/// Every job's end.
#[derive(Default)]
pub struct Summary {
    ended: Vec<Ended>,
}

impl Summary {
    /// Notes a job's end.
    pub fn add(&mut self, ended: Ended) {
        self.ended.push(ended);
    }

    /// Prints it, what failed at its end by name; an error when anything did.
    pub fn close(mut self) -> Result<(), Error> {
        say("test: summary");
        self.ended.sort_by(|a, b| a.name.cmp(&b.name));
        let mut total = Counts::default();
        let mut failed = Vec::new();
        for Ended { name, counts, ok, took } in self.ended {
            let took = clock(took);
            println!("    {name:40} {counts}, in {took}{}", if ok { "" } else { "  FAILED" });
            if !ok && counts.failures.is_empty() {
                failed.push(name.clone());
            }
            failed.extend(counts.failures.iter().map(|test| format!("{name}: {test}")));
            total.passed += counts.passed;
            total.failed += counts.failed;
            total.ignored += counts.ignored;
        }
        println!("    {:40} {total}", "all");
        for name in &failed {
            println!("    FAILED  {name}");
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::Checks(failed)) }
    }
}

/// Figures of a test program's closing lines, `test result: ok. 3 passed; 0 failed; 1 ignored; …`,
/// and the names of `test NAME ... FAILED`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
}

impl Counts {
    /// Reads all that a program printed.
    pub fn of(printed: &str) -> Self {
        let mut counts = Self::default();
        printed.lines().for_each(|line| counts.add(line));
        counts
    }

    fn add(&mut self, line: &str) {
        let failure = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
        self.failures.extend(failure.map(str::to_string));
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
    fn closing_lines_are_added_up_and_failures_named() {
        let counts = Counts::of(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.00s\n\
             test tidy ... ok\ntest cuts::late ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured\n",
        );
        let failures = vec!["cuts::late".to_string()];
        assert_eq!(counts, Counts { passed: 4, failed: 1, ignored: 1, failures });
    }
}
