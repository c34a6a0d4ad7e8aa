//! The app daemon. `appd [--root DIR] [--cgroup DIR]`: both for tests; a device uses `/` and
//! `/sys/fs/cgroup/apps`.

use app_runtime::{Error, Result, manager::Manager, media, notify, paths::Paths, resolver, server};
use protocol::control::APPS_CGROUP;
use std::{process::ExitCode, rc::Rc};
use tokio::{runtime, task::LocalSet};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("appd: {}: {error}", error.code());
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> std::result::Result<Paths, lexopt::Error> {
    let (mut root, mut cgroup) = ("/".into(), APPS_CGROUP.into());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("root") => root = parser.value()?,
            lexopt::Arg::Long("cgroup") => cgroup = parser.value()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Paths::new(root, cgroup))
}

fn run() -> Result<()> {
    let paths = arguments().map_err(|e| Error::refused("usage", e))?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_stack_size(512 * 1024)
        .build()
        .map_err(|e| Error::Io { operation: "start", object: "runtime".into(), source: e })?;
    LocalSet::new().block_on(&runtime, serve(paths))
}

async fn serve(paths: Paths) -> Result<()> {
    let manager = Rc::new(Manager::open(paths.clone())?);
    resolver::refresh(&paths)?;
    let listener = server::bind(&paths.socket())?;
    tokio::task::spawn_local(server::serve(listener, manager.clone()));
    tokio::task::spawn_local(resolver::follow(paths.clone()));
    tokio::task::spawn_local(manager.clone().expire());
    tokio::task::spawn_local(media::follow(manager.clone()));
    // init's health gate waits for appd, not for every app.
    let socket = paths.init_socket();
    let warnings = manager.warnings.clone();
    warnings.iter().for_each(|warning| eprintln!("{warning}"));
    tokio::task::spawn_blocking(move || {
        let told = notify::ready(&socket)
            .and_then(|()| warnings.iter().try_for_each(|text| notify::warn(&socket, text)));
        if let Err(error) = told {
            eprintln!("telling init: {error}");
        }
    });
    manager.start_all().await;
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|e| Error::Io { operation: "watch", object: "SIGTERM".into(), source: e })?;
    terminate.recv().await;
    manager.stop_all().await;
    Ok(())
}
