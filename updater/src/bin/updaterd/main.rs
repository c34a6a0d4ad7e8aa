//! `updaterd`: gives the updater a card, a network and a broker.
//!
//! | module | what | runs on |
//! |---|---|---|
//! | [`agent`] | MQTT: what arrives and what is published | the tokio thread (main) |
//! | [`worker`] | owns the updater, does its steps, pauses after failures | a thread |
//! | [`desk`] | asks init and appd, makes reports | a thread |
//! | [`commands`] | verifies and executes commands, one after the other | a thread |
//! | [`socket`] | the control socket | a thread |
//! | [`enroll`], [`identity`] | who this device is, asked for once | before the agent |
//! | [`slots`], [`fetch`], [`init`], [`files`] | the updater's ports | in the worker |
//! | [`figures`] | how long the parts of an installation took | around storage and transport |
//! | [`session`] | how the MQTT session is resumed after a restart | the tokio thread |
//! | [`keyring`] | the key set in force | shared |
//! | [`policy`], [`pace`] | when the device itself wants to update; how fast | in the worker |
//! | [`paths`], [`clock`], [`backoff`] | where, how, when | |
//!
//! Invariants: nothing is parsed before its length is bounded; nothing that a server says is
//! believed without a signature; the daemon never ends because of what the network does.

mod agent;
mod backoff;
mod clock;
mod commands;
mod desk;
mod enroll;
mod fetch;
mod figures;
mod files;
mod identity;
mod init;
mod keyring;
mod pace;
mod paths;
mod policy;
mod session;
mod slots;
mod socket;
mod worker;

use crate::backoff::Backoff;
use crate::identity::{Identity, Site};
use crate::paths::Paths;
use protocol::control::{Failure, InitRequest};
use protocol::device::DeviceConfig;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc as async_mpsc;

/// Pauses between attempts to enrol.
const ENROLL_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let root = match (arguments.next(), arguments.next()) {
        (None, _) => "/".into(),
        (Some(option), Some(root)) if option == "--root" => root,
        _ => {
            eprintln!("usage: updaterd [--root DIR]");
            return ExitCode::from(2);
        }
    };
    match run(Paths::below(root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("updaterd: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A refusal or failure with its frozen code.
fn failure(code: &str, message: impl std::fmt::Display) -> Failure {
    Failure { code: code.into(), message: message.to_string() }
}

fn run(paths: Paths) -> Result<(), Failure> {
    // The device's key is in its memory: no other service of user 0 looks into it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| failure("internal", format!("keep memory to itself: {error}")))?;
    // The only provider that is linked; a second call would be an error that does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let site = Site::load(paths)?;
    let (to_worker, worker_inbox) = mpsc::channel();
    let (out, published) = async_mpsc::unbounded_channel();
    let board = worker::Board::new(out.clone());
    let listener = socket::bind(&site.paths)?;
    let policy = Arc::new(policy::DevicePolicy::load(&site));
    let (clock, worker) = (site.clock.clone(), to_worker.clone());
    let socket = socket::Socket { board: board.clone(), worker, policy: policy.clone(), clock };
    thread::spawn(move || socket.serve(&listener));
    init::tell(&site.paths, &InitRequest::Ready);

    let config = DeviceConfig::clone(&site.config);
    let Some(fleet) = config.fleet else {
        println!("stand-alone: device.toml has no [fleet]");
        worker::Worker::new(site, None, board, policy).run(&worker_inbox);
        return Ok(());
    };
    let identity = enrolled(&site, &fleet)?;
    println!("device {} of fleet {}", identity.device, identity.fleet);
    let worker = worker::Worker::new(site.clone(), Some(identity.clone()), board.clone(), policy);
    thread::spawn(move || worker.run(&worker_inbox));
    clock::wait(&site);
    agent::run(site, identity, board, to_worker, out, published)
}

/// The identity that is there, or the one that the fleet gives.
fn enrolled(site: &Site, fleet: &protocol::device::FleetConfig) -> Result<Identity, Failure> {
    if let Some(identity) = Identity::load(&site.paths)? {
        return Ok(identity);
    }
    clock::wait(site);
    let mut backoff = Backoff::new(ENROLL_PAUSE.0, ENROLL_PAUSE.1);
    loop {
        match enroll::enroll(site, fleet) {
            Ok(identity) => return Ok(identity),
            Err(failure) => {
                let pause = backoff.next();
                eprintln!("enrolment: {failure}; again in {} s", pause.as_secs());
                init::tell_check(&site.paths, false, &failure.to_string());
                thread::sleep(pause);
            }
        }
    }
}
