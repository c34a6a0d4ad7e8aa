//! Attacks on what is signed: who signed it, for whom, when, and which bytes.

use crate::device::{RUNNING, Release, now};
use crate::scene::{Scene, app_key, fleet_key, key_set, release, release_key, root, thief};
use protocol::control::RollbackMarks;
use protocol::envelope::{decode, to_cbor};
use protocol::fleet::{Assignment, Desired, UpdatePhase};
use protocol::keys::{KeyId, PrivateKey, Role};

#[test]
fn arbitrary_software_is_refused_even_from_a_stolen_fleet_server() {
    let scene = Scene::new("arbitrary");
    let _daemon = scene.start();
    let evil = Release::new(9, 0x66);
    scene.gateway.publish_payload(&evil);
    for (counter, (who, by)) in (1..).zip([
        ("the thief's own key", thief()),
        ("the stolen fleet key", fleet_key()),
        ("an app key", app_key()),
        ("a root key, which signs key sets only", root()),
    ]) {
        let body = evil.signed_by(&by).assigned(&fleet_key(), |a| a.counter = counter);
        scene.refused(who, body, "unknown-key");
    }
    let body = release(9).assigned(&thief(), |_| ());
    scene.refused("an assignment of the thief's", body, "unknown-key");
    let body = release(9).assigned(&release_key(), |_| ());
    scene.refused("an assignment by the release key", body, "unknown-key");
    scene.recovers(9);
}

#[test]
fn rollback_to_an_older_signed_release_is_refused() {
    let scene = Scene::new("rollback");
    let _daemon = scene.start();
    for sequence in [1, RUNNING - 1] {
        let body = release(sequence).assigned(&fleet_key(), |a| a.counter = sequence);
        scene.refused("an older release", body, "sequence-too-low");
    }
    let old = release(RUNNING + 1).changed(|m| (m.sequence, m.floor) = (0, 0));
    let old = old.signed_by(&release_key()).assigned(&fleet_key(), |a| a.counter = 7);
    scene.refused("a sequence that no release has", old, "bad-manifest");
    scene.recovers(9);
}

#[test]
fn a_wiped_data_partition_lowers_no_bar() {
    let scene = Scene::new("wiped");
    // Release 9 was confirmed once, release 3 runs after a rollback by a person; no notes are left.
    let marks = RollbackMarks { sequence: Some(9), floor: Some(6), unreadable: false };
    scene.gateway.remember(marks);
    let daemon = scene.start();
    let body = release(8).assigned(&fleet_key(), |a| a.counter = 1);
    scene.refused("below what was confirmed", body, "sequence-too-low");
    let body = release(5).assigned(&fleet_key(), |a| a.counter = 2);
    scene.refused("below the floor", body, "below-floor");
    drop(daemon);
    // The environment cannot be understood either.
    std::fs::remove_dir_all(scene.gateway.at("/data/system/updater")).unwrap();
    scene.gateway.remember(RollbackMarks { unreadable: true, ..RollbackMarks::default() });
    let _daemon = scene.start();
    let body = release(8).assigned(&fleet_key(), |a| a.counter = 3);
    scene.ends("nothing is known", body, UpdatePhase::Failed, "rollback-marks-unreadable");
}

#[test]
fn freeze_and_replay_are_refused() {
    let scene = Scene::new("freeze");
    let _daemon = scene.start();
    let expired = release(4).assigned(&fleet_key(), |a| (a.counter, a.expires) = (5, now() - 60));
    scene.refused("an assignment whose time is over", expired, "assignment-expired");
    let newer = release(2).assigned(&fleet_key(), |a| a.counter = 8);
    scene.refused("another newer one", newer, "sequence-too-low");
    let old = release(4).assigned(&fleet_key(), |a| a.counter = 7);
    scene.refused("the broker delivers an older one again", old, "assignment-replayed");
    let same = release(5).assigned(&fleet_key(), |a| a.counter = 8);
    scene.refused("another with the same counter", same, "assignment-replayed");
    scene.recovers(9);
}

#[test]
fn a_clock_that_was_not_set_accepts_nothing_expired_and_refuses_nothing_valid() {
    let scene = Scene::new("clock");
    std::fs::remove_file(scene.gateway.at("/run/holdfast/time-synced")).unwrap();
    // The floor says that it is a year ago at least; this machine's clock is beyond that.
    let floor = now() - 365 * 86_400;
    scene.gateway.write("data/system/timed/clock", format!("{floor}\n").as_bytes());
    let _daemon = scene.start();
    let body = release(4).assigned(&fleet_key(), |a| (a.counter, a.expires) = (1, floor - 1));
    scene.refused("expired by the floor", body, "assignment-expired");
    // Expired by a clock that nobody set: not known to be, so it is followed.
    let honest = release(5);
    scene.gateway.publish_payload(&honest);
    let mark = scene.server.mark();
    let expires = floor + 7 * 86_400;
    let body = honest.assigned(&fleet_key(), |a| (a.counter, a.expires) = (2, expires));
    scene.server.publish("desired", body, true);
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
}

#[test]
fn mix_and_match_of_good_parts_is_refused() {
    let scene = Scene::new("mix");
    let _daemon = scene.start();
    let (four, five) = (release(4), Release::new(5, 0x55).signed_by(&release_key()));
    let body = four.assigned(&fleet_key(), |a| a.counter = 1);
    let desired: Desired = decode(&body, "desired").unwrap();
    let mixed = Desired { manifest: five.manifest.clone().into(), ..desired };
    scene.refused("the manifest of another release", to_cbor(&mixed), "release-mismatch");
    scene.gateway.publish_payload(&four);
    let body = five.assigned(&fleet_key(), |a| a.counter = 2);
    scene.refused("the payload of another release", body, "chunk-mismatch");
    scene.recovers(9);
}

#[test]
fn wrong_software_and_other_devices_assignments_are_refused() {
    let scene = Scene::new("wrong");
    let _daemon = scene.start();
    let changed = |change: fn(&mut protocol::release::ReleaseManifest)| {
        release(4).changed(change).signed_by(&release_key())
    };
    let body = changed(|m| m.product = "toaster".into()).assigned(&fleet_key(), |a| a.counter = 1);
    scene.refused("another product", body, "wrong-product");
    let body =
        changed(|m| m.boards = vec!["rpi4".into()]).assigned(&fleet_key(), |a| a.counter = 2);
    scene.refused("another board", body, "wrong-board");
    let body = release(4).assigned(&fleet_key(), |a| (a.counter, a.device) = (3, "gw-2".into()));
    scene.refused("another device's assignment", body, "wrong-device");
    let body = release(4).assigned(&fleet_key(), |a| (a.counter, a.fleet) = (4, "work".into()));
    scene.refused("another fleet's assignment", body, "wrong-device");
    scene.recovers(9);
}

#[test]
fn a_stolen_release_key_below_the_threshold_is_not_enough_however_often_it_signs() {
    let second = PrivateKey::from_seed(&[0x33; 32]);
    let mut set = key_set();
    set.keys.insert(second.id(), second.public().to_vec().into());
    let keys: Vec<KeyId> = vec![release_key().id(), second.id()];
    set.roles.release = Role { threshold: 2, keys };
    let scene = Scene::trusting("threshold", &set, &[&root()]);
    let _daemon = scene.start();
    let stolen = release_key();
    let cases: [(&str, &[&PrivateKey]); 4] = [
        ("once", &[&stolen]),
        ("twice with the same key", &[&stolen, &stolen]),
        ("with a key of the thief's", &[&stolen, &thief()]),
        ("with a key of another role", &[&stolen, &fleet_key()]),
    ];
    for (counter, (how, keys)) in (1..).zip(cases) {
        let release = Release::new(4, 0x22).signed_by_all(keys);
        let body = release.assigned(&fleet_key(), |a| a.counter = counter);
        scene.refused(how, body, "threshold-not-met");
    }
    let honest = Release::new(4, 0x22).signed_by_all(&[&stolen, &second]);
    scene.gateway.publish_payload(&honest);
    let mark = scene.server.mark();
    scene.server.publish("desired", honest.assigned(&fleet_key(), |a| a.counter = 9), true);
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
}

#[test]
fn every_received_byte_is_covered_by_the_signature() {
    let scene = Scene::new("bytes");
    let _daemon = scene.start();
    let good = release(4);
    let resigned = |manifest: Vec<u8>, counter: u64| {
        let mut release = good.clone();
        release.manifest = manifest;
        release.assigned(&fleet_key(), |a| a.counter = counter)
    };
    let mut longer = good.manifest.clone();
    longer.push(0);
    scene.refused("a byte behind the manifest", resigned(longer, 1), "malformed-envelope");
    let length = good.manifest.len();
    // In the payload, near its end, and in the signature.
    for (counter, at) in (2..).zip([length / 4, length / 2, length - 70, length - 1]) {
        let mut changed = good.manifest.clone();
        changed[at] ^= 1;
        let what = format!("byte {at} of {length}");
        scene.refused(&what, resigned(changed, counter), "bad-signature");
    }
    // The same in the assignment, with the honest manifest beside it.
    let body = good.assigned(&fleet_key(), |a| a.counter = 8);
    let desired: Desired = decode(&body, "desired").unwrap();
    let mut assignment = desired.assignment.to_vec();
    let at = find(&assignment, b"gw-1");
    assignment[at + 3] = b'2';
    let other = Desired { assignment: assignment.into(), ..desired.clone() };
    scene.refused("the device's name", to_cbor(&other), "bad-signature");
    let mut assignment = desired.assignment.to_vec();
    assignment.extend_from_slice(&desired.assignment);
    let doubled = Desired { assignment: assignment.into(), ..desired };
    scene.refused("an assignment twice", to_cbor(&doubled), "malformed-envelope");
    assert!(Assignment::open(&good.manifest, &key_set()).is_err(), "a manifest is no assignment");
    scene.recovers(9);
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}
