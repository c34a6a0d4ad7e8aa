//! The sample app of the work tree, packed for the stories: signed, unsigned, and cut short.

use crate::error::{Result, ensure, file};
use crate::paths;
use crate::releases::Releases;
use std::path::PathBuf;

/// Unix seconds of all files of a packed snap: any constant serves.
const TIME: u64 = 1_700_000_000;
/// What is left of the truncated snap: enough for its header, not for its content.
const TORN_AT: usize = 8192;

/// The sample app, signed with the `app` key of the releases' key set.
pub fn signed(releases: &Releases) -> Result<Vec<u8>> {
    let key = image_builder::keys::private(releases.keys(), "app")?;
    packed("signed.snap", Some(&key))
}

/// The sample app without a signature.
pub fn unsigned(_releases: &Releases) -> Result<Vec<u8>> {
    packed("unsigned.snap", None)
}

/// The signed sample app without its end.
pub fn truncated(releases: &Releases) -> Result<Vec<u8>> {
    let mut bytes = signed(releases)?;
    bytes.truncate(TORN_AT);
    Ok(bytes)
}

fn packed(name: &str, key: Option<&protocol::keys::PrivateKey>) -> Result<Vec<u8>> {
    let snap = paths::hil()?.join(name);
    image_builder::app::pack(&folder()?, key, &snap, TIME)?;
    std::fs::read(&snap).map_err(file("read", snap))
}

/// Folder of the sample app.
fn folder() -> Result<PathBuf> {
    let folder = paths::work_tree().join("app-runtime/samples/hello");
    ensure(folder.is_dir(), || format!("no sample app in {}", folder.display()))?;
    Ok(folder)
}

/// The app's own report of what it could see holds nothing of the host.
pub fn saw_nothing_of_the_host(log: &str) -> Result {
    ensure(log.contains("probe:"), || format!("the app did not report: {log}"))?;
    let bad: Vec<&str> =
        log.lines().filter(|l| l.contains("VISIBLE") || l.contains("ALLOWED")).collect();
    ensure(bad.is_empty(), || format!("the app got through: {bad:?}"))
}
