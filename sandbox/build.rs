//! Turns `profiles/*.toml` into Rust tables. System calls become `libc::SYS_…`, so a name that does
//! not exist on the
//! target does not compile; one that exists on one architecture only says so with `arch`.

use serde::Deserialize;
use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What the profile is for.
    purpose: String,
    /// Profiles whose rules are included.
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    allow: Vec<Allow>,
    #[serde(default)]
    absent: Vec<Absent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    calls: Vec<String>,
    reason: String,
    /// Only on this architecture.
    arch: Option<String>,
    /// All must hold.
    #[serde(default)]
    when: Vec<When>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    argument: u8,
    #[serde(default = "all_bits")]
    mask: u64,
    value: u64,
    /// Must differ instead.
    #[serde(default)]
    negate: bool,
}

fn all_bits() -> u64 {
    u64::from(u32::MAX)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Absent {
    calls: Vec<String>,
    reason: String,
}

fn read(name: &str) -> File {
    let path = Path::new("profiles").join(format!("{name}.toml"));
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(!file.purpose.is_empty(), "{}: no purpose", path.display());
    file
}

/// What is known of a profile: its rules as Rust, the calls that they allow, those that are absent.
#[derive(Default)]
struct Collected {
    rules: String,
    allowed: BTreeSet<String>,
    absent: BTreeSet<String>,
}

impl Collected {
    /// Absent but in what allows them beside: who includes a profile may add to it.
    fn absent(&self) -> String {
        self.absent.difference(&self.allowed).map(|call| format!("libc::SYS_{call}, ")).collect()
    }
}

/// Adds the rules of `name` and of what it includes.
fn collect(name: &str, arch: &str, into: &mut Collected) {
    let file = read(name);
    for other in &file.include {
        collect(other, arch, into);
    }
    for allow in &file.allow {
        assert!(!allow.reason.is_empty(), "{name}: {:?} has no reason", allow.calls);
        if allow.arch.as_deref().is_some_and(|only| only != arch) {
            continue;
        }
        for call in &allow.calls {
            into.allowed.insert(call.clone());
            let mut conditions = String::new();
            for When { argument, mask, value, negate } in &allow.when {
                assert!(*argument < 6, "{name}: {call} has arguments 0 to 5");
                write!(conditions, "Condition {{ argument: {argument}, mask: {mask}, ")
                    .expect("a string takes all");
                write!(conditions, "value: {value}, negate: {negate} }}, ")
                    .expect("a string takes all");
            }
            writeln!(
                into.rules,
                "    Rule {{ name: \"{call}\", number: libc::SYS_{call}, \
                 conditions: &[{conditions}] }},"
            )
            .expect("a string takes all");
        }
    }
    for gone in &file.absent {
        assert!(!gone.reason.is_empty(), "{name}: {:?} has no reason", gone.calls);
        into.absent.extend(gone.calls.iter().cloned());
    }
}

fn main() {
    println!("cargo::rerun-if-changed=profiles");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target");
    let mut names: Vec<String> = fs::read_dir("profiles")
        .expect("profiles/ exists")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut out = String::new();
    for name in &names {
        let mut collected = Collected::default();
        collect(name, &arch, &mut collected);
        let (rules, absent) = (&collected.rules, collected.absent());
        let constant = name.to_uppercase().replace('-', "_");
        writeln!(
            out,
            "/// {}\npub static {constant}: Profile = Profile {{\n    name: \"{name}\",\n    \
             rules: &[\n{rules}],\n    absent: &[{absent}],\n}};",
            read(name).purpose
        )
        .expect("a string takes all");
    }
    let list: Vec<String> =
        names.iter().map(|n| format!("&{}", n.to_uppercase().replace('-', "_"))).collect();
    writeln!(out, "/// Every profile.\npub static ALL: &[&Profile] = &[{}];", list.join(", "))
        .expect("a string takes all");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("profiles.rs");
    fs::write(target, out).expect("writable");
}
