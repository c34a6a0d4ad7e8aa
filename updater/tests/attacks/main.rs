//! Attacks, each mounted for real: `updaterd` itself against a real broker that delivers what the
//! attacker wants, and mirrors that serve what the attacker wants. Each ends with the refusal's
//! frozen name, and with slots that nothing unsigned was written to.
//!
//! | attack (TUF's name, or a bug of the field) | test |
//! |---|---|
//! | arbitrary software; stolen fleet key | [`releases`] `arbitrary_software_…` |
//! | unsigned apps by a stolen fleet key | [`keys`] `a_stolen_fleet_key_…` |
//! | rollback; wiped data partition | [`releases`] `rollback_…`, `a_wiped_data_partition_…` |
//! | freeze; replayed assignment; clock not set | [`releases`] `freeze_…`, `a_clock_that_…` |
//! | mix and match | [`releases`] `mix_and_match_…` |
//! | wrong product; another device's assignment | [`releases`] `wrong_software_…` |
//! | endless data | [`transport`] `endless_data_…`, `an_oversized_message_…` |
//! | slow retrieval | [`transport`] `slow_retrieval_…` |
//! | extraneous dependencies | [`transport`] `extraneous_chunks_…` |
//! | malicious mirror | [`transport`] `a_malicious_mirror_…` |
//! | key compromise: release key below its threshold | [`releases`] `a_stolen_release_key_…` |
//! | key compromise: revoked keys | [`keys`] `rotated_keys_…`, `a_revoked_release_key_…` |
//! | key set by a thief, with a version skipped, a key twice | [`keys`] `hostile_key_sets_…` |
//! | a threshold that counts one key twice | [`releases`] `a_stolen_release_key_…` |
//! | a signature that covers the first bytes only | [`releases`] `every_received_byte_…` |
//! | time of check to time of use | [`transport`] `what_changes_between_check_and_use_…` |
//! | path traversal in names | [`transport`] `names_that_climb_…` |
//!
//! A release has no dependencies: it is one image. What comes nearest to an extraneous one is a
//! container with more in it than the manifest signs.

#[path = "../device/mod.rs"]
mod device;
#[path = "../fleet/mod.rs"]
mod fleet;
mod keys;
mod mirror;
mod releases;
mod scene;
mod transport;
