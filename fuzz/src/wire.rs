//! Frames of the control sockets, answers of servers on the network, and what init reads of a disk.

use init::ext4::{LENGTH, Superblock};
use init::net::dhcp;
use init::time::sntp;
use protocol::control::{
    AppRequest, AppResponse, InitRequest, InitResponse, MAX_FRAME, UpdaterRequest, UpdaterResponse,
    read_frame, write_frame,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Frames of requests and of responses.
pub fn control(data: &[u8]) {
    comes_back::<InitRequest>(data);
    comes_back::<UpdaterRequest>(data);
    comes_back::<AppRequest>(data);
    comes_back::<InitResponse>(data);
    comes_back::<UpdaterResponse>(data);
    comes_back::<AppResponse>(data);
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    // As a frame, and as what is in one.
    let frame = [&(data.len().min(MAX_FRAME) as u32).to_le_bytes(), data].concat();
    for bytes in [data, &frame] {
        let Ok(message) = read_frame::<T>(&mut { bytes }) else { continue };
        let mut written = Vec::new();
        write_frame(&mut written, &message).expect("what was read fits a frame");
        let again: T = read_frame(&mut written.as_slice()).expect("what was written");
        assert_eq!(again, message);
    }
}

/// Datagrams of DHCP and time servers; a superblock, which has the same shape: fixed fields.
pub fn datagrams(data: &[u8]) {
    if let Some(lease) = dhcp::Incoming::parse(data) {
        assert!(lease.prefix.is_none_or(|prefix| prefix <= 32), "a prefix of an IPv4 address");
    }
    let nonce = data
        .get(24..32)
        .map_or(0, |bytes| bytes.iter().fold(0, |nonce, byte| nonce << 8 | u64::from(*byte)));
    let _ = sntp::answer(data, nonce, 1_800_000_000_000_000_000, 1_800_000_001_000_000_000);
    let mut block = [0; LENGTH];
    let length = data.len().min(LENGTH);
    block[..length].copy_from_slice(&data[..length]);
    if let Some(superblock) = Superblock::parse(&block) {
        assert!(superblock.block_size.is_power_of_two() && superblock.block_size <= 1 << 16);
    }
}
