//! DNS servers for apps with a network. netd replaces its resolv.conf by a rename, which a
//! bind mount of the
//! file would not follow; so apps get a copy that is rewritten in place.

use crate::{
    error::{Context, Result},
    paths::Paths,
};
use std::{fs, time::Duration};

/// Between two looks. Leases change rarely, and the copy is made at once at start.
const INTERVAL: Duration = Duration::from_secs(5);

/// Makes the copy follow netd's file once; no file is an empty copy.
pub fn refresh(paths: &Paths) -> Result<()> {
    let (from, to) = (paths.resolver(), paths.app_resolver());
    let content = fs::read(&from).unwrap_or_default();
    if fs::read(&to).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::write(&to, content).at("write", &to)
}

/// Keeps the copy up to date.
pub async fn follow(paths: Paths) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = refresh(&paths) {
            eprintln!("{error}");
        }
    }
}
