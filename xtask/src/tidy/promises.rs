//! SPECIFICATION.md names the test that holds each promise; a test that was renamed or removed
//! would leave a promise that nobody keeps. Form: `` `path/file.rs` `name_of_the_test` ``.

use super::Finding;
use crate::tree;
use std::fs;

/// The file that is checked.
const SPECIFICATION: &str = "SPECIFICATION.md";

/// Findings in the specification: a named test that is not there.
pub fn check(path: &str, content: &str) -> Vec<Finding> {
    if path != SPECIFICATION {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in content.lines().enumerate() {
        for (file, test) in named(line) {
            let source = fs::read_to_string(tree::root().join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {test}(")) {
                let text = format!("no test {test} in {file}: name the one that holds the promise");
                findings.push(Finding { path: path.into(), line: number + 1, text });
            }
        }
    }
    findings
}

/// Pairs of a Rust file and the name behind it.
fn named(line: &str) -> Vec<(&str, &str)> {
    let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    quoted.windows(2).filter(|pair| pair[0].ends_with(".rs")).map(|p| (p[0], p[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_without_its_test_is_found() {
        let here = "xtask/src/tidy/promises.rs";
        let kept = format!("| x | `{here}` `a_promise_without_its_test_is_found` |\n");
        let broken = format!("| y | `{here}` `nobody_wrote_this` |\n");
        assert!(check(SPECIFICATION, &kept).is_empty());
        assert_eq!(check(SPECIFICATION, &(kept + &broken)).len(), 1);
        assert!(check("README.md", &broken).is_empty());
    }
}
