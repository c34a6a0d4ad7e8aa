//! `cargo xtask tidy`: the house rules that no other tool checks. Every finding says what to do
//! instead. The same check runs as a test of this crate, so that `cargo test` holds the rules too.
//!
//! | module | rules |
//! |---|---|
//! | [`names`] | folders of the design, their dependencies, module names |
//! | [`text`] | left-over marks, machine paths, white space |
//! | [`source`] | length of files, functions and lines; module heads; maps; `unsafe` |
//! | [`promises`] | tests that SPECIFICATION.md names |
//! | [`codes`] | frozen codes of refusals, and their table |

mod codes;
mod names;
mod promises;
mod source;
mod text;

use crate::error::Error;
use crate::{process, tree};
use std::fmt;
use std::fs;

/// Inputs of parsers, which are what they are.
const INPUTS: &[&str] = &["fuzz/corpus/", "fuzz/crashes/"];

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path in the work tree.
    pub path: String,
    /// Line from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, and what to do instead.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// Checks the work tree and prints what it finds.
pub fn run() -> Result<(), Error> {
    let findings = check()?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        process::say("tidy: every rule holds");
        return Ok(());
    }
    Err(Error::Checks(vec![format!("tidy ({} findings)", findings.len())]))
}

fn check() -> Result<Vec<Finding>, Error> {
    let files = tree::files()?;
    let mut findings = names::check(&files);
    findings.extend(codes::check(&files));
    for path in files.iter().filter(|path| !INPUTS.iter().any(|inputs| path.starts_with(inputs))) {
        let bytes = fs::read(tree::root().join(path))
            .map_err(|cause| Error::File { what: format!("read {path}"), cause })?;
        let Ok(content) = String::from_utf8(bytes) else { continue };
        findings.extend(text::check(path, &content));
        findings.extend(promises::check(path, &content));
        if path.ends_with(".rs") {
            findings.extend(source::check(path, &content));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_work_tree_is_tidy() {
        let findings = super::check().expect("the work tree can be read");
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
    }
}
