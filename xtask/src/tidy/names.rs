//! Rules about names and folders: the folders of the design are there, depend only on what the
//! table in ARCHITECTURE.md allows, and no module has a name that fits everything.

use super::Finding;
use crate::tree;
use std::fs;

/// Folder, and which of ours it may depend on. The same table as in ARCHITECTURE.md.
const FOLDERS: &[(&str, &[&str])] = &[
    ("bootloader-config", &[]),
    ("protocol", &[]),
    ("sandbox", &[]),
    ("board-support", &[]),
    ("init", &["bootloader-config", "protocol", "sandbox", "board-support"]),
    ("updater", &["bootloader-config", "protocol"]),
    ("app-runtime", &["sandbox", "board-support", "protocol"]),
    ("apps/blinker", &[]),
    ("apps/hardware", &[]),
    ("apps/hello", &[]),
    ("apps/hostile", &[]),
    ("image-builder", &["bootloader-config", "protocol", "board-support"]),
    ("fleet", &["protocol"]),
    ("fuzz", &["app-runtime", "bootloader-config", "init", "protocol"]),
    ("hil-tests", EVERYTHING),
    ("xtask", &["hil-tests", "image-builder", "fleet"]),
];

const EVERYTHING: &[&str] = &[
    "bootloader-config",
    "protocol",
    "sandbox",
    "board-support",
    "init",
    "updater",
    "app-runtime",
    "image-builder",
    "fleet",
];

/// Files that the root of the work tree must have.
const ROOT_FILES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs/glossary.md",
    "deny.toml",
    "rust-toolchain.toml",
    ".ci/run",
];

/// Module names that fit everything and therefore say nothing.
const VAGUE: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "lib_common"];

/// All findings of this module.
pub fn check(files: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |path: &str, text: String| {
        findings.push(Finding { path: path.to_string(), line: 0, text });
    };
    for file in ROOT_FILES.iter().filter(|file| !files.iter().any(|f| f == *file)) {
        report(file, "missing; every work tree of Holdfast has it".into());
    }
    for (folder, allowed) in FOLDERS {
        let manifest = tree::root().join(folder).join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            report(folder, "missing; ARCHITECTURE.md says what lives there".into());
            continue;
        };
        for name in dependencies(&text).filter(|name| !allowed.contains(name)) {
            report(
                &format!("{folder}/Cargo.toml"),
                format!("may not depend on {name}; move what is shared to where both may look"),
            );
        }
    }
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        if let Some(name) = path.trim_end_matches(".rs").split('/').find(|p| VAGUE.contains(p)) {
            report(path, format!("`{name}` fits everything; name the module after what it does"));
        }
    }
    findings
}

/// Those of ours that a manifest depends on outside tests.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = line.contains("dependencies") && !line.contains("dev-dependencies");
            return None;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        (inside && FOLDERS.iter().any(|(folder, _)| *folder == name)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_tests_do_not_count() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nprotocol.workspace = true\n\
                        [dev-dependencies]\nfleet.workspace = true\n";
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["protocol"]);
    }

    #[test]
    fn a_vague_module_name_is_found() {
        let files = ["init/src/helpers/clock.rs".to_string(), "init/src/clock.rs".to_string()];
        let found: Vec<_> = check(&files).into_iter().filter(|f| f.path.ends_with(".rs")).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, files[0]);
    }
}
