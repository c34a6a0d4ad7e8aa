//! A command becomes one request on a control socket, its answer a report.

use crate::change::Ask;
use crate::decide::Decide;
use crate::show::Report;
use crate::system::System;
use crate::words::{self, Command, Line};
use protocol::change::{Order, Origin, Which};
use protocol::control::{
    APP_SOCKET, AppRequest, AppResponse, Failure, INIT_SOCKET, InitRequest, InitResponse,
    UPDATER_SOCKET, UpdaterRequest, UpdaterResponse, call,
};
use protocol::release::BuildInfo;
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Done.
pub const DONE: u8 = 0;
/// Refused or failed.
pub const FAILED: u8 = 1;
/// The command line was wrong.
pub const USAGE: u8 = 2;
/// The daemon was not reached.
pub const UNREACHABLE: u8 = 3;
/// Longest wait for an answer: an installation from a slow network takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often a change is looked at that is watched.
const WATCH: Duration = Duration::from_millis(200);
/// How an address begins; everything else is a path.
const SCHEMES: [&str; 4] = ["http", "https", "oci", "oci+http"];
/// What the running system is.
const RELEASE: &str = "etc/holdfast/release.json";

/// Why there is no report.
enum Problem {
    /// The daemon refused or failed.
    Failed(Failure),
    /// The daemon was not reached.
    Unreachable(String),
}

/// Runs one command line; prints; returns the exit code.
pub fn line(words: &[String]) -> u8 {
    let line = match words::parse(words) {
        Ok(line) => line,
        Err(error) => {
            eprintln!("error: {error}");
            return USAGE;
        }
    };
    match report(&line) {
        Ok(report) => {
            report.print(line.json);
            DONE
        }
        Err(Problem::Failed(failure)) => {
            complain(&failure, line.json);
            FAILED
        }
        Err(Problem::Unreachable(message)) => {
            complain(&Failure { code: "unreachable".into(), message }, line.json);
            UNREACHABLE
        }
    }
}

fn complain(failure: &Failure, json: bool) {
    if json {
        println!("{}", serde_json::json!({ "error": failure }));
    } else {
        eprintln!("error: {} ({})", failure.message, failure.code);
    }
}

fn report(line: &Line) -> Result<Report, Problem> {
    let root = line.root.as_path();
    let init = |request| ask_init(root, &request);
    let app = |request| ask_app(root, &request);
    match line.command.clone() {
        Command::Help => Ok(Report::Text(words::HELP.trim_end().into())),
        Command::Version => version(root),
        Command::Change { ask, wait } => change(root, ask, wait, line.json),
        Command::Decide { decide, wait } => match decide {
            Decide::Order(order) => app(AppRequest::Transact { order, wait }),
            Decide::Get(name, keys) => app(AppRequest::Get { name, keys }),
            Decide::Connections(name) => app(AppRequest::Connections(name)),
            Decide::Interfaces(name) => app(AppRequest::Interfaces(name)),
            Decide::Quotas(name) => app(AppRequest::Quotas(name)),
            Decide::Startup(name, on) => app(AppRequest::Startup { name, on }),
        },
        Command::List => app(AppRequest::List),
        Command::Info(name) => app(AppRequest::Info(name)),
        Command::Start(name) => app(AppRequest::Start(name)),
        Command::Stop(name) => app(AppRequest::Stop(name)),
        Command::Restart(name) => app(AppRequest::Restart(name)),
        Command::Reload(name) => app(AppRequest::Reload(name)),
        Command::Services(name) => app(AppRequest::Services(name)),
        Command::Logs(name, lines) => app(AppRequest::Logs { name, lines }),
        Command::Status => status(root),
        Command::Boots => init(InitRequest::Boots),
        Command::SystemLogs(service, lines) => init(InitRequest::Log { service, lines }),
        Command::Reboot(reason) => init(InitRequest::Reboot { reason }),
        Command::Rollback => rollback(root),
        Command::PowerOff => init(InitRequest::PowerOff),
        Command::UpdateStatus => ask_updater(root, &UpdaterRequest::Status),
        Command::SetPolicy(change) => ask_updater(root, &UpdaterRequest::SetPolicy(change)),
        Command::UpdateRetry => ask_updater(root, &UpdaterRequest::Retry),
    }
}

/// Of several daemons; of those that do not answer nothing is shown, but init must.
fn status(root: &Path) -> Result<Report, Problem> {
    let init = |request| exchange(root, INIT_SOCKET, "init", &request);
    let system = match init(InitRequest::Status)? {
        InitResponse::Status(status) => *status,
        InitResponse::Failed(failure) => return Err(Problem::Failed(failure)),
        other => return Err(Problem::Unreachable(format!("init answers {other:?}"))),
    };
    let boots = match init(InitRequest::Boots) {
        Ok(InitResponse::Boots(boots)) => boots,
        _ => Vec::new(),
    };
    let updater = match exchange(root, UPDATER_SOCKET, "updaterd", &UpdaterRequest::Status) {
        Ok(UpdaterResponse::Status(status)) => Some(*status),
        _ => None,
    };
    Ok(Report::System(Box::new(System::new(system, updater, boots))))
}

/// The previous release is tried at the next boot, so that boot follows at once.
fn rollback(root: &Path) -> Result<Report, Problem> {
    ask_init(root, &InitRequest::Rollback)?;
    ask_init(root, &InitRequest::Reboot { reason: "rollback".into() })
}

fn change(root: &Path, ask: Ask, wait: bool, json: bool) -> Result<Report, Problem> {
    let app = |request| ask_app(root, &request);
    let transact = |order| app(AppRequest::Transact { order, wait });
    match ask {
        Ask::Order(order) => transact(order),
        Ask::Install { from, name, dangerous, refresh } => {
            let from = from.into_iter().map(origin).collect::<Result<_, _>>()?;
            transact(Order::Install { from, name, dangerous, refresh })
        }
        Ask::Import(path) => transact(Order::Import { path: absolute(&path)? }),
        Ask::Export(set, path) => {
            let path = std::path::absolute(&path).map_err(|error| unreadable(&path, &error))?;
            app(AppRequest::Export { set, path: path.to_string_lossy().into_owned() })
        }
        Ask::Changes => app(AppRequest::Changes),
        Ask::Tasks(which) => app(AppRequest::Change(which)),
        Ask::Watch(which) => watch(root, which, json),
        Ask::Abort(which) => app(AppRequest::Abort(which)),
        Ask::Saved(set) => app(AppRequest::Saved(set)),
    }
}

/// Tells what each task comes to, until the change has come to its end.
fn watch(root: &Path, which: Which, json: bool) -> Result<Report, Problem> {
    let mut told: Vec<String> = Vec::new();
    let mut which = which;
    loop {
        let change = match exchange(root, APP_SOCKET, "appd", &AppRequest::Change(which))? {
            AppResponse::Change(change) => *change,
            AppResponse::Failed(failure) => return Err(Problem::Failed(failure)),
            other => return Err(Problem::Unreachable(format!("appd answers {other:?}"))),
        };
        // the newest of a kind may be another one in a moment
        which = Which::Id(change.id);
        let lines: Vec<String> =
            change.tasks.iter().map(|task| format!("{}  {}", task.status, task.summary)).collect();
        for line in lines.iter().filter(|line| !told.contains(line) && !json) {
            if !line.starts_with("Do  ") {
                println!("{line}");
            }
        }
        told = lines;
        match (change.ready, change.failure) {
            (None, _) => std::thread::sleep(WATCH),
            (Some(_), Some(failure)) => return Err(Problem::Failed(failure)),
            (Some(_), None) => return Ok(Report::Text(change.told.join("\n"))),
        }
    }
}

/// appd gets an absolute path, because its working directory is another one.
fn origin(from: String) -> Result<Origin, Problem> {
    if from.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme)) {
        return Ok(Origin::Url { url: from, sha256: None });
    }
    absolute(&from).map(Origin::Path)
}

fn absolute(path: &str) -> Result<String, Problem> {
    let found = std::fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
    Ok(found.to_string_lossy().into_owned())
}

fn unreadable(path: &str, error: &io::Error) -> Problem {
    let message = format!("read {path}: {error}");
    Problem::Failed(Failure { code: "file-not-readable".into(), message })
}

fn version(root: &Path) -> Result<Report, Problem> {
    let path = root.join(RELEASE);
    let text = std::fs::read_to_string(&path).map_err(|error| (path.display(), error.to_string()));
    let info = text.and_then(|text| {
        serde_json::from_str::<BuildInfo>(&text).map_err(|e| (path.display(), e.to_string()))
    });
    info.map(|info| Report::Version(Box::new(info))).map_err(|(path, error)| {
        let message = format!("read {path}: {error}");
        Problem::Failed(Failure { code: "file-not-readable".into(), message })
    })
}

fn ask_init(root: &Path, request: &InitRequest) -> Result<Report, Problem> {
    match exchange(root, INIT_SOCKET, "init", request)? {
        InitResponse::Ok => Ok(Report::Text("done".into())),
        InitResponse::Status(status) => {
            Ok(Report::System(Box::new(System::new(*status, None, Vec::new()))))
        }
        InitResponse::Boots(boots) => Ok(Report::Boots(boots)),
        InitResponse::Log(lines) => Ok(Report::Log(lines)),
        InitResponse::Failed(failure) => Err(Problem::Failed(failure)),
    }
}

fn ask_app(root: &Path, request: &AppRequest) -> Result<Report, Problem> {
    match exchange(root, APP_SOCKET, "appd", request)? {
        AppResponse::Ok(text) => Ok(Report::Text(text)),
        AppResponse::Snaps(snaps) => Ok(Report::Snaps(snaps)),
        AppResponse::Snap(snap) => Ok(Report::Snap(snap)),
        AppResponse::Services(services) => Ok(Report::Services(services)),
        AppResponse::Log(lines) => Ok(Report::Log(lines)),
        AppResponse::Failed(failure) => Err(Problem::Failed(failure)),
        AppResponse::Began(id) => Ok(Report::Began(id)),
        AppResponse::Changes(changes) => Ok(Report::Changes(changes)),
        AppResponse::Change(change) => Ok(Report::Change(change)),
        AppResponse::Snapshots(snapshots) => Ok(Report::Snapshots(snapshots)),
        AppResponse::Config(text) => Ok(Report::Config(text)),
        AppResponse::Connections(connections) => Ok(Report::Connections(connections)),
        AppResponse::Interfaces(interfaces) => Ok(Report::Interfaces(interfaces)),
        AppResponse::Quotas(quotas) => Ok(Report::Quotas(quotas)),
    }
}

fn ask_updater(root: &Path, request: &UpdaterRequest) -> Result<Report, Problem> {
    match exchange(root, UPDATER_SOCKET, "updaterd", request)? {
        UpdaterResponse::Ok => Ok(Report::Text("done".into())),
        UpdaterResponse::Status(status) => Ok(Report::Update(Box::new(status.update))),
        UpdaterResponse::Failed(failure) => Err(Problem::Failed(failure)),
    }
}

fn exchange<Q: Serialize, R: DeserializeOwned>(
    root: &Path,
    socket: &str,
    daemon: &str,
    request: &Q,
) -> Result<R, Problem> {
    let path = root.join(socket.trim_start_matches('/'));
    let talk = || -> io::Result<R> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        call(&mut stream, request)
    };
    talk().map_err(|error| {
        Problem::Unreachable(format!("{daemon} does not answer on {}: {error}", path.display()))
    })
}
