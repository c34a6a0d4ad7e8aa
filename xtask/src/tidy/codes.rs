//! The frozen codes of refusals and failures: each one that the sources can produce is in the table
//! of docs/reference/refusals.md, and each one in the table can be produced.

use super::Finding;
use crate::tree;
use std::collections::BTreeMap;
use std::fs;

/// The table.
const TABLE: &str = "docs/reference/refusals.md";
/// Where codes are made.
const SOURCES: [&str; 6] =
    ["protocol/src/", "updater/src/", "init/src/", "app-runtime/src/", "fleet/src/", "oci/src/"];
/// What stands before a code.
const BEFORE: [&str; 6] = ["failure(", "failed(", "refused(", "code:", "code =", "_CODE: &str ="];
/// How the codes begin that a verdict gives.
const VERDICT: &str = "\"trial-";

/// Findings in all of the work tree's files.
pub fn check(files: &[String]) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(tree::root().join(path)).unwrap_or_default();
    let mut made = BTreeMap::new();
    let sources = files.iter().filter(|path| {
        path.ends_with(".rs") && SOURCES.iter().any(|folder| path.starts_with(folder))
    });
    for path in sources {
        for code in codes(&read(path)) {
            made.entry(code).or_insert_with(|| path.clone());
        }
    }
    compare(&made, &listed(&read(TABLE)))
}

fn compare(made: &BTreeMap<String, String>, listed: &[String]) -> Vec<Finding> {
    let finding = |path: &str, text: String| Finding { path: path.into(), line: 0, text };
    let missing = made.iter().filter(|(code, _)| !listed.contains(code));
    let missing = missing.map(|(code, path)| {
        finding(path, format!("code `{code}` is not in {TABLE}: say what it means and what to do"))
    });
    let stale = listed.iter().filter(|code| !made.contains_key(*code));
    let stale = stale.map(|code| finding(TABLE, format!("nothing makes the code `{code}`")));
    missing.chain(stale).collect()
}

/// The codes that a source file makes, its unit tests left out.
fn codes(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for before in BEFORE {
        let places = source.match_indices(before);
        found.extend(places.filter_map(|(at, _)| literal(&source[at + before.len()..])));
    }
    // `fn code` of an error type: every literal of its body.
    for (at, _) in source.match_indices("fn code(") {
        let body = source[at..].split("\n    }").next().unwrap_or_default();
        found.extend(body.match_indices('"').filter_map(|(at, _)| literal(&body[at..])));
    }
    found.extend(source.match_indices(VERDICT).filter_map(|(at, _)| literal(&source[at..])));
    found
}

/// A string literal that is a code, at the beginning of a text.
fn literal(text: &str) -> Option<String> {
    let (code, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!code.is_empty() && code.chars().all(kebab)).then(|| code.to_string())
}

/// The codes in the first column of the table.
fn listed(table: &str) -> Vec<String> {
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_row_and_a_row_without_a_code_are_found() {
        let source = "fn code(&self) {\n    match self { A => \"one-a\", B => \"two\" }\n    }\n\
                      failure(\"three\", x); refused(\n  \"four\", y); Failure { code: \"five\" }\n\
                      const EIGHT_CODE: &str = \"eight\";\n\
                      failure(code, \"Not a code\"); (\"trial-six\", z)\n\
                      #[cfg(test)] failure(\"seven\")";
        let mut found = codes(source);
        found.sort();
        assert_eq!(found, ["eight", "five", "four", "one-a", "three", "trial-six", "two"]);
        let made = found.into_iter().map(|code| (code, "a.rs".to_string())).collect();
        let table = "| code | meaning |\n| `one-a` | x |\n| `two` | x |\n| `three` | x |\n\
                     | `four` | x |\n| `five` | x |\n| `eight` | x |\n| `gone` | x |\n";
        let texts: Vec<String> =
            compare(&made, &listed(table)).iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains("trial-six") && texts[1].contains("gone"), "{texts:?}");
    }
}
