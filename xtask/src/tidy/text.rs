//! Rules for every text file: no left-over marks, no paths of one machine, no white space at the
//! end of lines.

use super::Finding;

/// Marks that say that something is not done; the parts are joined here so that this file does not
/// find itself.
const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
/// Beginnings of paths that exist on one person's machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/.")];
/// Endings of files that are made by tools, or are another project's text.
const FOREIGN: &[&str] = &["Cargo.lock", "LICENSE-APACHE", ".svg", ".patch", ".diff"];

/// All findings of this module in one file.
pub fn check(path: &str, content: &str) -> Vec<Finding> {
    if FOREIGN.iter().any(|end| path.ends_with(end)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in content.lines().enumerate() {
        let mut report = |text: String| {
            findings.push(Finding { path: path.to_string(), line: index + 1, text });
        };
        for mark in MARKS.iter().filter(|mark| has_word(line, mark)) {
            report(format!("`{mark}`: do it now, or write an issue and say here what holds today"));
        }
        for start in MACHINE_PATHS.iter().filter(|start| line.contains(**start)) {
            report(format!(
                "`{start}…` is a path of one machine: use one relative to the work tree"
            ));
        }
        if line.ends_with([' ', '\t']) && !(path.ends_with(".md") && line.ends_with("  ")) {
            report("white space at the end: remove it".into());
        }
    }
    if !content.is_empty() && !content.ends_with('\n') {
        let text = "no newline at the end: add one".to_string();
        findings.push(Finding { path: path.to_string(), line: 0, text });
    }
    findings
}

/// Whether `word` stands in `line` with no letter, digit or underscore beside it.
pub fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_paths_and_white_space_are_found_with_their_line() {
        let content = format!("fine\n// {}: later\n{}me/data\nend \n", MARKS[0], MACHINE_PATHS[0]);
        let lines: Vec<usize> = check("a.rs", &content).iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3, 4]);
    }

    #[test]
    fn a_mark_inside_a_word_is_none() {
        assert!(check("a.sh", &format!("mktemp /tmp/a.{}{}\n", MARKS[2], MARKS[2])).is_empty());
    }
}
