//! Our hash tree against veritysetup's, at the sizes where the number of levels changes.

mod support;

use image_builder::verity::{BLOCK, tree};
use protocol::keys::to_hex;
use std::fs;
use support::{accepted, text};

#[test]
fn our_tree_is_the_tree_of_veritysetup() {
    let salt = [0x5a; 32];
    for blocks in [2, 3, 127, 128, 129, 1000, 128 * 128, 128 * 128 + 1] {
        let dir = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..blocks * BLOCK).map(|i| (i / 7 % 251) as u8).collect();
        let ours = tree(&data, &salt);
        let (data_path, hash_path) = (dir.path().join("data"), dir.path().join("hash"));
        fs::write(&data_path, &data).unwrap();
        fs::write(&hash_path, []).unwrap();
        let salt = format!("--salt={}", to_hex(&salt));
        let files = [text(&data_path), text(&hash_path)];
        let options = ["format", "--no-superblock", &salt];
        let said = accepted("veritysetup", &[&options[..], &files].concat());
        assert!(said.contains(&to_hex(&ours.root)), "{blocks} blocks: another root\n{said}");
        assert!(fs::read(&hash_path).unwrap() == ours.bytes, "{blocks} blocks: another tree");
    }
}
