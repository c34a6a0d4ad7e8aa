//! A gateway: a card in a machine that boots through U-Boot, as the real one does. The harness
//! plays the board's firmware: it takes `u-boot.bin` from the card's boot partition and, on a Pi,
//! passes a device tree.

use crate::card::Card;
use crate::checks;
use crate::console::Console;
use crate::device_tree;
use crate::error::{Error, Result, ensure, file};
use crate::limits;
use crate::paths;
use crate::qemu::{MachineSpec, Network, Qemu};
use crate::releases::Release;
use bootloader_config::layout::slot_partition;
use bootloader_config::slots::SlotState;
use protocol::control::{AppServiceStatus, BootRecord, Health, SystemStatus};
use protocol::device::DeviceConfig;
use protocol::fleet::UpdateStatus;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How the boot loader's first line begins.
const BOOT_LOADER: &str = "U-Boot 20";
/// What the console's prompt looks like, and how it ends a command's output.
const PROMPT: &str = "holdfast> ";
const EXIT: &str = "[exit ";
/// A kernel message may come in the middle of JSON that quotes the kernel: asked again.
const JSON_ATTEMPTS: usize = 5;

/// What a command on the console answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Exit code of `snapctl`.
    pub code: i32,
    /// What it printed, without the kernel's messages between.
    pub text: String,
    /// The same with them: text that quotes the kernel looks like one.
    pub with_kernel: String,
}

/// A card and the machine that it is in.
pub struct Gateway {
    name: String,
    card: Card,
    spec: MachineSpec,
    machine: Option<Qemu>,
}

impl Gateway {
    /// A gateway that is switched off: a new card with a release's image and `device.toml`.
    pub fn new(name: &str, release: &Release, config: &DeviceConfig) -> Result<Self> {
        let text = toml::to_string(config).map_err(|e| Error::Story(e.to_string()))?;
        Self::with_device_toml(name, release, &text)
    }

    /// The same with a `device.toml` that need not be right.
    pub fn with_device_toml(name: &str, release: &Release, text: &str) -> Result<Self> {
        let version = &release.version;
        let image = release.image.as_ref();
        let image = image.ok_or_else(|| Error::Story(format!("{version} has no SD image")))?;
        let folder = paths::hil()?;
        for ending in ["log", "img"] {
            let _ = std::fs::remove_file(folder.join(format!("{name}.{ending}")));
        }
        let card = Card::new(image, &folder.join(format!("{name}.img")), crate::card::USUAL_SIZE)?;
        card.put("device.toml", text.as_bytes())?;
        let u_boot = folder.join(format!("{name}.u-boot.bin"));
        std::fs::write(&u_boot, card.get("u-boot.bin")?).map_err(file("write", &u_boot))?;
        let edited = folder.join(format!("{name}.dtb"));
        if let Some(tree) = &release.device_tree {
            device_tree::for_qemu(release.board, tree, &edited)?;
        }
        let spec = MachineSpec {
            name: name.into(),
            machine: release.board.machine(),
            boots: u_boot,
            device_tree: release.device_tree.as_ref().map(|_| edited),
            card: Some(card.path().to_path_buf()),
            ..MachineSpec::default()
        };
        Ok(Self { name: name.into(), card, spec, machine: None })
    }

    /// Plugs the network otherwise, from the next power on.
    pub fn network(mut self, network: Network) -> Self {
        self.spec.network = network;
        self
    }

    /// Plugs something in, by arguments of QEMU, from the next power on.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.spec.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// The card; an error while the machine runs, because two must not write on one card.
    pub fn card(&self) -> Result<&Card> {
        ensure(self.machine.is_none(), || format!("{} is on: hands off its card", self.name))?;
        Ok(&self.card)
    }

    /// Puts in a card with the content of another one, in the place of its own.
    pub fn change_card(&mut self, content: &Path) -> Result<&Card> {
        let path = self.card()?.path().to_path_buf();
        self.card = Card::new(content, &path, crate::card::USUAL_SIZE)?;
        Ok(&self.card)
    }

    /// Logs each write to the card, from the next power on; with `None`, no more.
    pub fn log_writes(&mut self, log: Option<PathBuf>) -> Result {
        if let Some(path) = &log {
            std::fs::write(path, b"").map_err(file("make", path))?;
        }
        self.spec.write_log = log;
        Ok(())
    }

    /// Puts a release into the slot that is not confirmed and stages it as a trial, as the updater
    /// would: no download stands before what the story is about.
    pub fn stage(&self, release: &Release, attempts: u8) -> Result {
        let card = self.card()?;
        let failed = |what| Error::Story(format!("{}: stage by hand: {what}", self.name));
        let state = SlotState::read(&checks::environment(card)?);
        let slot = state.writable_slot().ok_or_else(|| failed(format!("{state:?}")))?;
        let image = std::fs::read(&release.slot_image);
        let image = image.map_err(file("read", &release.slot_image))?;
        card.write(slot_partition(slot).offset, &image)?;
        let staged = state.stage_trial(slot, attempts).map_err(|e| failed(e.to_string()))?;
        checks::set_slots(card, &staged)
    }

    /// The machine's description, for other ways to start it.
    pub fn spec(&self) -> &MachineSpec {
        &self.spec
    }

    /// Switches the power on.
    pub fn power_on(&mut self) -> Result {
        ensure(self.machine.is_none(), || format!("{} is on already", self.name))?;
        self.machine = Some(Qemu::start(&self.spec)?);
        Ok(())
    }

    /// Cuts the power, in the middle of whatever happens.
    pub fn power_cut(&mut self) {
        if let Some(machine) = self.machine.take() {
            machine.kill();
        }
    }

    /// Cuts the power and gives it back.
    pub fn power_cycle(&mut self) -> Result {
        self.power_cut();
        self.power_on()
    }

    /// Orderly power-off, to the end of QEMU.
    pub fn power_off(&mut self) -> Result {
        self.prompt()?.write("poweroff\n")?;
        self.wait_off()
    }

    /// Waits until the machine has switched itself off.
    pub fn wait_off(&mut self) -> Result {
        let machine = self.machine.take().ok_or_else(|| self.off())?;
        let status = machine.wait_off(limits::SHUTDOWN)?;
        ensure(status.success(), || format!("{}: QEMU ended: {status}", self.name))
    }

    /// Orderly reboot; the story goes on at the boot loader.
    pub fn reboot(&mut self) -> Result {
        self.restart("reboot")
    }

    /// Back to the other slot's release, on trial; the story goes on at the boot loader.
    pub fn roll_back(&mut self) -> Result {
        self.restart("system rollback")
    }

    /// Waits until the device has rebooted by itself; the story goes on at the boot loader.
    pub fn wait_restart(&mut self) -> Result {
        self.wait_boot_loader(limits::BOOT)
    }

    /// A command that ends in a reboot. The prompt may have come back before the system went down:
    /// it is none to type at.
    fn restart(&mut self, line: &str) -> Result {
        let console = self.prompt()?;
        console.skip_all();
        console.write(&format!("{line}\n"))?;
        self.wait_boot_loader(limits::SHUTDOWN)
    }

    fn wait_boot_loader(&mut self, limit: Duration) -> Result {
        self.expect(BOOT_LOADER, limit)?;
        self.machine()?.console.skip_to_last(BOOT_LOADER);
        Ok(())
    }

    /// Waits for health after reboots that the device made by itself, and that others saw.
    pub fn wait_healthy_again(&mut self) -> Result<SystemStatus> {
        self.machine()?.console.skip_to_last(BOOT_LOADER);
        self.wait_healthy()
    }

    /// The running machine.
    pub fn machine(&mut self) -> Result<&mut Qemu> {
        let off = self.off();
        self.machine.as_mut().ok_or(off)
    }

    fn off(&self) -> Error {
        Error::Story(format!("{} is off", self.name))
    }

    /// Waits for a text on the console; returns its line.
    pub fn expect(&mut self, text: &str, limit: Duration) -> Result<String> {
        self.machine()?.console.expect(text, limit)
    }

    /// Waits until a command can be typed. Nothing is typed before, the boot loader might listen.
    fn prompt(&mut self) -> Result<&mut Console> {
        let console = &mut self.machine()?.console;
        console.session(PROMPT, limits::BOOT)?;
        Ok(console)
    }

    /// Types a command at the prompt and waits for its end.
    pub fn command(&mut self, line: &str) -> Result<Answer> {
        let console = self.prompt()?;
        let before = console.printed();
        console.write(&format!("{line}\n"))?;
        let printed = console.session(EXIT, limits::COMMAND)?;
        let code = console.session("]", limits::COMMAND)?;
        answer(line, &printed, &code, &console.since(before))
            .ok_or_else(|| Error::Story(format!("{}: no exit code in {code:?}", self.name)))
    }

    /// A command that must succeed; returns what it printed.
    pub fn ok(&mut self, line: &str) -> Result<String> {
        let answer = self.command(line)?;
        ensure(answer.code == 0, || {
            format!("{}: `{line}` ended with {}: {}", self.name, answer.code, answer.text)
        })?;
        Ok(answer.text)
    }

    /// A command that must fail with `code` in what it prints.
    pub fn refused(&mut self, line: &str, code: &str) -> Result<String> {
        let answer = self.command(line)?;
        ensure(answer.code != 0 && answer.text.contains(code), || {
            format!("{}: `{line}` was to fail with {code}: {answer:?}", self.name)
        })?;
        Ok(answer.text)
    }

    /// Repeats a command that must succeed until what it prints is as it should be; returns that.
    pub fn until(
        &mut self,
        line: &str,
        limit: Duration,
        holds: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let end = Instant::now() + limit;
        loop {
            let text = self.ok(line)?;
            if holds(&text) {
                return Ok(text);
            }
            ensure(Instant::now() < end, || {
                format!("{}: `{line}` never printed what was waited for: {text}", self.name)
            })?;
            thread::sleep(limits::POLL);
        }
    }

    fn json<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        let mut text = String::new();
        for _ in 0..JSON_ATTEMPTS {
            let answer = self.command(&format!("{line} --json"))?;
            ensure(answer.code == 0, || format!("{}: `{line}` ended with {answer:?}", self.name))?;
            for printed in [&answer.text, &answer.with_kernel] {
                let start = printed.find(['{', '[']).unwrap_or(0);
                let value = serde_json::from_str(printed[start..].trim());
                if let Ok(value) = value {
                    return Ok(value);
                }
            }
            text = answer.with_kernel;
        }
        Err(Error::Story(format!("{}: `{line} --json` is not what was wished: {text}", self.name)))
    }

    /// What init knows.
    pub fn status(&mut self) -> Result<SystemStatus> {
        self.json("status")
    }

    /// The recorded boots, newest last.
    pub fn boots(&mut self) -> Result<Vec<BootRecord>> {
        self.json("boots")
    }

    /// What the updater says.
    pub fn update(&mut self) -> Result<UpdateStatus> {
        self.json("update")
    }

    /// Waits until the health gate has decided that the system is healthy.
    pub fn wait_healthy(&mut self) -> Result<SystemStatus> {
        let status = self.wait_decided()?;
        ensure(status.health == Health::Healthy, || {
            format!("{}: unhealthy: {:?}", self.name, status.health)
        })?;
        Ok(status)
    }

    /// Waits until it is healthy, also when it first said that it is not: a gate that is short for
    /// a story is shorter than a boot on a busy machine.
    pub fn wait_healthy_at_last(&mut self) -> Result<SystemStatus> {
        let end = Instant::now() + limits::BOOT;
        loop {
            let status = self.status()?;
            if status.health == Health::Healthy {
                return Ok(status);
            }
            ensure(Instant::now() < end, || format!("{}: {:?}", self.name, status.health))?;
            thread::sleep(limits::POLL);
        }
    }

    /// Waits until a service of an app is in a state.
    pub fn wait_service(&mut self, service: &str, state: &str) -> Result<AppServiceStatus> {
        let end = Instant::now() + limits::COMMAND;
        loop {
            let services: Vec<AppServiceStatus> = self.json("services")?;
            let found = services.iter().find(|s| s.name == service && s.state == state);
            if let Some(found) = found {
                return Ok(found.clone());
            }
            ensure(Instant::now() < end, || {
                format!("{}: {service} is not {state}: {services:?}", self.name)
            })?;
            thread::sleep(limits::POLL);
        }
    }

    /// Waits until the health gate has decided.
    pub fn wait_decided(&mut self) -> Result<SystemStatus> {
        let end = Instant::now() + limits::BOOT;
        loop {
            let status = self.status()?;
            if !matches!(status.health, Health::Starting(_)) {
                return Ok(status);
            }
            ensure(Instant::now() < end, || {
                format!("{}: still {:?} after {:?}", self.name, status.health, limits::BOOT)
            })?;
            thread::sleep(limits::POLL);
        }
    }

    /// Everything that the console printed since power on.
    pub fn log(&mut self) -> Result<String> {
        Ok(self.machine()?.console.text())
    }

    /// Path of the card's file.
    pub fn card_file(&self) -> PathBuf {
        self.card.path().to_path_buf()
    }
}

/// Takes a command's output out of what came after the prompt: behind the echo, before the exit
/// code.
fn answer(line: &str, printed: &str, code: &str, with_kernel: &str) -> Option<Answer> {
    let code = code.strip_suffix(']')?.trim().parse().ok()?;
    let body = |text: &str| {
        let text = text.split_once(line).map_or(text, |(_, rest)| rest);
        let text = text.rsplit_once(EXIT).map_or(text, |(body, _)| body);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim().to_string()
    };
    Some(Answer { code, text: body(printed), with_kernel: body(with_kernel) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_the_command_printed() {
        let printed = "list\r\nhello 1.0\r\nother 2\r\n[exit ";
        let found = answer("list", printed, "3]", "list\nhello 1.0\nother 2\n[exit 3]");
        let text = "hello 1.0\nother 2".to_string();
        assert_eq!(found, Some(Answer { code: 3, with_kernel: text.clone(), text }));
    }

    #[test]
    fn an_answer_without_output_is_empty() {
        let found = answer("start", "start\r\n[exit ", "0]", "start\r\n[exit 0]");
        let text = String::new();
        assert_eq!(found, Some(Answer { code: 0, with_kernel: text.clone(), text }));
    }
}
