//! What an installation does, step by step. Pure: decided from what the machine says of itself, so
//! that every kind of machine is a row of a test.
//!
//! What always holds: whatever is changed is said before; a service that a package would start is
//! neither running nor enabled afterwards, where systemd decides that.

use super::packages::{Need, Probe, QEMU_MAJOR};

/// The only file that we write below `/etc/apt`.
const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/holdfast-backports.sources";
/// Debian release whose own QEMU is too old.
const OLD_DEBIAN: &str = "bookworm";
/// Debian's package with QEMU for ARM.
const QEMU_PACKAGE: &str = "qemu-system-arm";
/// Packages that start a service when they are installed, and the service. The tests and the fleet
/// server start programs of their own.
const SERVICES: &[(&str, &str)] = &[("mosquitto", "mosquitto.service")];
/// Seconds to wait for another process's apt lock.
const LOCK_WAIT: &str = "-oDPkg::Lock::Timeout=300";
/// Downloads are tried again this many times.
const RETRIES: &str = "-oAcquire::Retries=5";

/// What the machine says of itself.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// `/etc/os-release`.
    pub os_release: String,
    /// The apt sources, as they are written.
    pub apt_sources: String,
    /// Whether systemd runs it.
    pub systemd: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A line for the person.
    Say(String),
    /// A file to write as root.
    Write(&'static str, String),
    /// A command to run as root.
    Run(Vec<String>),
}

/// The steps of an installation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order; a step that fails ends it.
    pub steps: Vec<Step>,
    /// Afterwards, also when a step has failed.
    pub afterwards: Vec<Step>,
}

/// Installs what is missing.
pub fn plan(missing: &[&Need], machine: &Machine) -> Plan {
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let mut plan = Plan::default();
    let wants_qemu = missing.iter().any(|need| matches!(need.probe, Probe::Qemu));
    let backports = wants_qemu && codename(&machine.os_release) == Some(OLD_DEBIAN);
    if backports && !names_backports(&machine.apt_sources) {
        plan.say(format!(
            "setup: Debian 12 has no QEMU {QEMU_MAJOR}: adding its backports as {BACKPORTS_FILE}"
        ));
        plan.steps.push(Step::Write(BACKPORTS_FILE, backports_source()));
    }
    plan.say(format!("setup: about to install: {}", packages.join(" ")));
    for (package, unit) in SERVICES.iter().filter(|(package, _)| packages.contains(package)) {
        plan.keep_from_starting(package, unit, machine.systemd);
    }
    plan.steps.push(apt(&["update"]));
    let (qemu, rest): (Vec<&str>, Vec<&str>) =
        packages.into_iter().partition(|p| backports && *p == QEMU_PACKAGE);
    let install = ["install", "--yes", "--no-install-recommends"];
    if !rest.is_empty() {
        plan.steps.push(apt(&[&install[..], &rest].concat()));
    }
    if !qemu.is_empty() {
        let suite = format!("{OLD_DEBIAN}-backports");
        plan.steps.push(apt(&[&install[..], &["--target-release", &suite], &qemu].concat()));
    }
    plan
}

impl Plan {
    fn say(&mut self, text: String) {
        self.steps.push(Step::Say(text));
    }

    /// Masked while apt runs; installed but not enabled afterwards, as somebody would leave it who
    /// wants the program and not the service.
    fn keep_from_starting(&mut self, package: &str, unit: &str, systemd: bool) {
        if !systemd {
            self.say(format!(
                "setup: Debian's {package} comes with a service of that name, which is not needed \
                 here: stop it if this system starts it"
            ));
            return;
        }
        self.say(format!(
            "setup: Debian's {package} would start {unit}, which is not needed here: it is kept \
             from starting, now and at boot (`systemctl enable --now {unit}` starts it)"
        ));
        self.steps.push(run(&["systemctl", "mask", unit]));
        self.afterwards.push(run(&["systemctl", "unmask", unit]));
        self.afterwards.push(run(&["systemctl", "disable", unit]));
    }
}

fn run(words: &[&str]) -> Step {
    Step::Run(words.iter().map(|word| (*word).to_string()).collect())
}

fn apt(arguments: &[&str]) -> Step {
    // env: sudo hands no variables on
    let program = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", LOCK_WAIT, RETRIES];
    run(&[&program[..], arguments].concat())
}

fn codename(os_release: &str) -> Option<&str> {
    let line = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(line.trim().trim_matches('"'))
}

/// Whether some apt source already names the backports suite.
fn names_backports(sources: &str) -> bool {
    let suite = format!("{OLD_DEBIAN}-backports");
    sources.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(&suite))
}

fn backports_source() -> String {
    format!(
        "# Written by Holdfast's `cargo xtask setup`: QEMU {QEMU_MAJOR}.\n\
         Types: deb\nURIs: http://deb.debian.org/debian\nSuites: {OLD_DEBIAN}-backports\n\
         Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::packages::NEEDS;

    const DEBIAN_12: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n\
                             VERSION_CODENAME=bookworm\nID=debian\n";
    const DEBIAN_13: &str = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\n\
                             VERSION_CODENAME=trixie\nID=debian\n";
    const APT: &str = "env DEBIAN_FRONTEND=noninteractive apt-get -q -oDPkg::Lock::Timeout=300 \
                       -oAcquire::Retries=5";

    fn needs(packages: &[&str]) -> Vec<&'static Need> {
        NEEDS.iter().filter(|need| packages.contains(&need.package)).collect()
    }

    /// Everything but the lines for the person, in order.
    fn actions(plan: &Plan) -> Vec<String> {
        let action = |step: &Step| match step {
            Step::Say(_) => None,
            Step::Write(path, text) => Some(format!("{path}: {}", text.replace('\n', " "))),
            Step::Run(words) => Some(words.join(" ").replace(APT, "apt-get")),
        };
        plan.steps.iter().chain(&plan.afterwards).filter_map(action).collect()
    }

    fn said(plan: &Plan) -> String {
        let text = |step: &Step| match step {
            Step::Say(text) => Some(format!("{text}\n")),
            _ => None,
        };
        plan.steps.iter().filter_map(text).collect()
    }

    #[test]
    fn only_debian_12_takes_qemu_from_its_backports_which_are_added_once() {
        let missing = needs(&["qemu-system-arm", "bc"]);
        let machine = |os_release: &str, apt_sources: &str| Machine {
            os_release: os_release.into(),
            apt_sources: apt_sources.into(),
            systemd: false,
        };
        let install = "apt-get install --yes --no-install-recommends";
        let backports = format!("{install} --target-release bookworm-backports qemu-system-arm");
        let old = plan(&missing, &machine(DEBIAN_12, "# deb x bookworm-backports main\n"));
        let [file, rest @ ..] = &actions(&old)[..] else { panic!("{old:?}") };
        assert!(file.starts_with(BACKPORTS_FILE) && file.contains("bookworm-backports"), "{file}");
        assert!(said(&old).contains(BACKPORTS_FILE), "it is said before it is written");
        assert_eq!(rest, ["apt-get update", &format!("{install} bc"), &backports]);

        let known = plan(&missing, &machine(DEBIAN_12, "deb x bookworm-backports main\n"));
        assert_eq!(actions(&known), rest);

        let new = plan(&missing, &machine(DEBIAN_13, ""));
        assert_eq!(actions(&new), ["apt-get update", &format!("{install} bc qemu-system-arm")]);

        let no_qemu = plan(&needs(&["bc"]), &machine(DEBIAN_12, ""));
        assert_eq!(actions(&no_qemu), ["apt-get update", &format!("{install} bc")]);
    }

    #[test]
    fn debians_broker_is_named_and_kept_from_starting_where_systemd_decides() {
        let missing = needs(&["mosquitto"]);
        let install = "apt-get install --yes --no-install-recommends mosquitto";
        let with = plan(&missing, &Machine { systemd: true, ..Machine::default() });
        let expected = [
            "systemctl mask mosquitto.service",
            "apt-get update",
            install,
            "systemctl unmask mosquitto.service",
            "systemctl disable mosquitto.service",
        ];
        assert_eq!(actions(&with), expected);
        assert_eq!(with.afterwards.len(), 2, "undone also when apt fails");
        assert!(said(&with).contains("would start mosquitto.service"), "{}", said(&with));

        let without = plan(&missing, &Machine::default());
        assert_eq!(actions(&without), ["apt-get update", install]);
        assert!(said(&without).contains("comes with a service"), "{}", said(&without));

        let other = plan(&needs(&["bc"]), &Machine { systemd: true, ..Machine::default() });
        assert!(!said(&other).contains("mosquitto"));
    }
}
