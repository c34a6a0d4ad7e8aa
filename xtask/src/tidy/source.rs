//! Rules for Rust files: lengths, a module head, `lib.rs` and `main.rs` as maps, and `unsafe` only
//! where a system call family is wrapped.

use super::{Finding, text::has_word};

/// Lines of a file.
const FILE_LINES: usize = 600;
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;
/// Characters of a line.
const LINE_LENGTH: usize = 100;
/// Lines of a `lib.rs` or `main.rs`, tests aside.
const MAP_LINES: usize = 150;
/// Stems of files that wrap a family of system calls, besides those that begin with
/// [`SYSCALL_PREFIX`]; `unsafe` lives nowhere else.
const SYSCALL_FILES: &[&str] = &[
    "capabilities",
    "clone",
    "exec",
    "gpio",
    "i2c",
    "ioctl",
    "landlock",
    "loopdev",
    "mount",
    "mount_attr",
    "mounts",
    "namespaces",
    "netdevice",
    "netlink",
    "pidfd",
    "prctl",
    "reboot",
    "rlimit",
    "seccomp",
    "signalfd",
    "signals",
    "socket",
    "spawn",
    "syscalls",
    "watchdog",
];

/// How the name of a file may begin that wraps a family of system calls.
const SYSCALL_PREFIX: &str = "sys_";

/// All findings of this module in one file.
pub fn check(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |line: usize, text: String| {
        findings.push(Finding { path: path.to_string(), line, text });
    };
    let lines: Vec<&str> = content.lines().collect();
    if lines.len() > FILE_LINES {
        let text = format!(
            "{} lines, at most {FILE_LINES}: split it by what changes together",
            lines.len()
        );
        report(0, text);
    }
    if !has_head(&lines) {
        report(
            1,
            "no module head: begin with `//!`, what the module is for and what always holds".into(),
        );
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let body = lines.iter().position(|l| *l == "#[cfg(test)]").unwrap_or(lines.len());
    if matches!(name, "lib.rs" | "main.rs") && body > MAP_LINES {
        let text = format!(
            "{body} lines, at most {MAP_LINES}: a map names rooms; move the furniture to a module"
        );
        report(0, text);
    }
    for (index, line) in lines.iter().enumerate() {
        let length = line.chars().count();
        if length > LINE_LENGTH && !is_unbreakable(line) {
            report(index + 1, format!("{length} columns, at most {LINE_LENGTH}: break the line"));
        }
        if is_unsafe(line) && !wraps_system_calls(name) {
            report(
                index + 1,
                "`unsafe` outside a file named for its system calls: use rustix, or wrap it there"
                    .into(),
            );
        }
    }
    for (start, length) in functions(&lines) {
        if length > FUNCTION_LINES {
            let text =
                format!("function of {length} lines, at most {FUNCTION_LINES}: name its steps");
            report(start + 1, text);
        }
    }
    findings
}

/// Inner attributes and blank lines may stand before the head.
fn has_head(lines: &[&str]) -> bool {
    lines
        .iter()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!["))
        .is_none_or(|line| line.starts_with("//!"))
}

/// A single long word (an address, a digest) cannot be broken, nor can a table row in a comment.
fn is_unbreakable(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!']).trim_start();
    text.starts_with('|') || text.split_whitespace().any(|word| word.chars().count() > 70)
}

fn wraps_system_calls(name: &str) -> bool {
    name.starts_with(SYSCALL_PREFIX) || SYSCALL_FILES.contains(&name.trim_end_matches(".rs"))
}

fn is_unsafe(line: &str) -> bool {
    let code: String = line.split('"').step_by(2).collect();
    let code = code.split("//").next().unwrap_or_default();
    has_word(code, "unsafe") && !code.contains("forbid(") && !code.contains("deny(")
}

/// First line and length of each function. Formatted code is assumed: the closing brace has the
/// indent of `fn`.
fn functions<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (usize, usize)> + 'a {
    lines.iter().enumerate().filter(|(_, line)| opens_function(line)).filter_map(|(start, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = lines[start..].iter().position(|l| {
            l.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}') || rest == ";")
        })?;
        let one_line = line.trim_end().ends_with(['}', ';']);
        (!one_line).then_some((start, end + 1))
    })
}

fn opens_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub")
            || matches!(*word, "async" | "const" | "unsafe" | "extern" | "\"C\"")
    });
    words.next() == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_found_and_a_short_one_is_not() {
        let long = format!("//! Head.\n\npub fn long() {{\n{}}}\n", "    step();\n".repeat(69));
        assert_eq!(check("a/src/a.rs", &long).len(), 1);
        let short = format!("//! Head.\n\npub fn fits() {{\n{}}}\n", "    step();\n".repeat(68));
        assert_eq!(check("a/src/a.rs", &short), []);
    }

    #[test]
    fn a_missing_head_and_a_long_line_are_found() {
        let content = format!("use std::fmt;\n// {}\n", "word ".repeat(25).trim_end());
        let lines: Vec<usize> = check("a/src/a.rs", &content).iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn unsafe_is_for_files_of_system_calls() {
        let content =
            format!("//! Head.\n\nfn a() {{\n    {} {{ b() }}\n}}\n", concat!("un", "safe"));
        assert_eq!(check("sandbox/src/plan.rs", &content).len(), 1);
        assert_eq!(check("sandbox/src/mounts.rs", &content), []);
        let word = concat!("un", "safe");
        assert!(!is_unsafe(&format!("// an {word} thought")));
        assert!(!is_unsafe(&format!("    let text = {word:?};")));
    }

    #[test]
    fn a_room_in_place_of_a_map_is_found() {
        let content = format!("//! Head.\n\n{}", "use a;\n".repeat(MAP_LINES));
        assert_eq!(check("a/src/lib.rs", &content).len(), 1);
        assert_eq!(check("a/src/list.rs", &content), []);
    }
}
