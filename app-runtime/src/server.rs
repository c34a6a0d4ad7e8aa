//! The control socket: one request, one response, as often as the client likes.

use crate::{
    error::{Context, Result},
    manager::Manager,
    service,
};
use protocol::change::{Order, Origin};
use protocol::control::{AppRequest, AppResponse, MAX_FRAME, read_frame, write_frame};
use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

/// Clients at a time; more wait.
const MAX_CLIENTS: usize = 16;
/// A client that says nothing for so long is sent away.
const IDLE: Duration = Duration::from_secs(300);

/// Makes the socket, for root only.
pub fn bind(path: &Path) -> Result<UnixListener> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).at("make directory", parent)?;
    }
    crate::data::remove(path)?;
    let listener = UnixListener::bind(path).at("bind", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).at("set mode of", path)?;
    Ok(listener)
}

/// Serves for ever.
pub async fn serve(listener: UnixListener, manager: Rc<Manager>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let manager = manager.clone();
                tokio::task::spawn_local(async move {
                    let _ = converse(stream, &manager).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, manager: &Rc<Manager>) -> io::Result<()> {
    loop {
        let mut frame = vec![0; 4];
        timeout(IDLE, stream.read_exact(&mut frame)).await??;
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        if length > MAX_FRAME {
            return Ok(());
        }
        frame.resize(4 + length, 0);
        timeout(IDLE, stream.read_exact(&mut frame[4..])).await??;
        let request: AppRequest = read_frame(&mut frame.as_slice())?;
        let response = answer(request, manager).await;
        let mut frame = Vec::new();
        write_frame(&mut frame, &response)?;
        timeout(IDLE, stream.write_all(&frame)).await??;
    }
}

async fn answer(request: AppRequest, manager: &Rc<Manager>) -> AppResponse {
    match respond(request, manager).await {
        Ok(response) => response,
        Err(error) => AppResponse::Failed(error.failure()),
    }
}

async fn respond(request: AppRequest, manager: &Rc<Manager>) -> Result<AppResponse> {
    Ok(match request {
        AppRequest::Ping => AppResponse::Ok(format!("appd {}", env!("CARGO_PKG_VERSION"))),
        AppRequest::Install { path, dangerous } => {
            let from = vec![Origin::Path(path)];
            let order = Order::Install { from, name: None, dangerous, refresh: false };
            manager.transact(order, true).await?
        }
        AppRequest::InstallUrl { url, sha256, dangerous } => {
            let from = vec![Origin::Url { url, sha256 }];
            let order = Order::Install { from, name: None, dangerous, refresh: false };
            manager.transact(order, true).await?
        }
        AppRequest::List => AppResponse::Snaps(manager.list()),
        AppRequest::Info(name) => AppResponse::Snap(Box::new(manager.info(&name)?)),
        AppRequest::Start(name) => {
            service::start(&manager.find(&name)?).await?;
            AppResponse::Ok(format!("{name} started"))
        }
        AppRequest::Stop(name) => {
            service::stop(&manager.find(&name)?).await;
            AppResponse::Ok(format!("{name} stopped"))
        }
        AppRequest::Restart(name) => {
            service::restart(&manager.find(&name)?).await?;
            AppResponse::Ok(format!("{name} restarted"))
        }
        AppRequest::Reload(name) => {
            for service in manager.find(&name)? {
                service.reload().await?;
            }
            AppResponse::Ok(format!("{name} reloaded"))
        }
        AppRequest::Services(name) => AppResponse::Services(manager.services(name.as_deref())?),
        AppRequest::Logs { name, lines } => AppResponse::Log(manager.logs(&name, lines)?),
        AppRequest::Remove(name) => {
            manager.transact(Order::Remove { names: vec![name], purge: false }, true).await?
        }
        AppRequest::Transact { order, wait } => manager.transact(order, wait).await?,
        AppRequest::Changes => AppResponse::Changes(manager.changes()),
        AppRequest::Change(which) => AppResponse::Change(Box::new(manager.change(&which)?)),
        AppRequest::Abort(which) => AppResponse::Ok(manager.abort(&which)?),
        AppRequest::Saved(set) => AppResponse::Snapshots(manager.saved(set)?),
        AppRequest::Export { set, path } => {
            AppResponse::Ok(manager.export(set, path.into()).await?)
        }
        AppRequest::Get { name, keys } => manager.get(&name, &keys)?,
        AppRequest::Connections(name) => {
            AppResponse::Connections(manager.connections(name.as_deref())?)
        }
        AppRequest::Interfaces(name) => {
            AppResponse::Interfaces(manager.describe_interfaces(name.as_deref())?)
        }
        AppRequest::Quotas(name) => AppResponse::Quotas(manager.quotas(name.as_deref())?),
        AppRequest::Startup { name, on } => manager.startup(&name, on).await?,
    })
}
