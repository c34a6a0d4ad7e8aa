//! Files that people write, and the JSON that devices send.

use app_runtime::meta;
use protocol::control::SnapInfo;
use protocol::device::DeviceConfig;
use protocol::fleet::{CommandResult, DeviceState, EnrollRequest, EnrollResponse, UpdateStatus};
use protocol::release::BuildInfo;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use std::path::Path;

/// `device.toml`, as init reads it, and as init stores it afterwards.
pub fn device_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(config) = init::provision::parse(text, Path::new("device.toml")) else { return };
    let stored = toml::to_string(&config).expect("a configuration is TOML");
    let again: DeviceConfig = toml::from_str(&stored).expect("what was written");
    assert_eq!(again, config);
}

/// `snap.yaml`, with what is asked of it.
pub fn snap_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(snap) = meta::parse(text) else { return };
    for (name, app, _) in snap.services() {
        assert!(!name.contains('/'), "a service is the name of a folder: {name:?}");
        let interfaces = snap.interfaces_of(app);
        assert!(interfaces.is_sorted(), "each interface once, in order");
    }
    assert!(!snap.name.contains('/') && !snap.version.contains('/'), "names of files");
}

/// Bodies of `state`, `progress`, `apps` and `cmd/{id}/result`, of enrolment, and of the file that
/// says what a root file system is.
pub fn device_messages(data: &[u8]) {
    comes_back::<DeviceState>(data);
    comes_back::<UpdateStatus>(data);
    comes_back::<Vec<SnapInfo>>(data);
    comes_back::<EnrollRequest>(data);
    comes_back::<EnrollResponse>(data);
    comes_back::<BuildInfo>(data);
    // Its output may be any number, and text of a number is read to the nearest but one.
    let _ = serde_json::from_slice::<CommandResult>(data);
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(data) else { return };
    let bytes = serde_json::to_vec(&message).expect("wire types encode");
    let again: T = serde_json::from_slice(&bytes).expect("what was encoded");
    assert_eq!(again, message);
}
