//! The updater on a device in memory: whole updates, refusals, and a power cut at every operation.

mod simulated;

use protocol::control::SlotName;
use protocol::fleet::UpdatePhase::{Confirmed, Failed, FellBack, Refused};
use protocol::keys::PrivateKey;
use simulated::{CHUNK, Cut, Handle, Image, NOW, assignment, body, desired, ending, image, key};
use updater::Error;

/// Release 1 and release 2; 2 has two chunks of 1, one of them elsewhere, and two new ones.
fn two_releases() -> [Image; 2] {
    [image(1, &[10, 11, 12, 13]), image(2, &[10, 20, 12, 11, 21])]
}

#[test]
fn an_update_is_installed_tried_and_confirmed() {
    let releases = two_releases();
    let device = Handle::new(&releases);
    let status = device.run(&desired(&releases[1], 1));
    assert_eq!(ending(&status), (Confirmed, None));
    assert_eq!((status.version.as_deref(), status.sequence), (Some("2.0.0"), Some(2)));
    assert_eq!(device.runs().build.sequence, 2);
    let sim = device.sim();
    assert_eq!((sim.confirmed, sim.trial), (SlotName::B, None));
    assert_eq!(sim.notes.as_ref().unwrap().highest, 2);
    assert_eq!(sim.boots.len(), 2, "one reboot");
    // The index and chunks 0 (differs in a byte), 1 and 4; 2 and 3 come from the running slot.
    assert_eq!(sim.requests.len(), 4);
}

#[test]
fn a_power_cut_at_any_operation_neither_harms_nor_prevents_the_update() {
    let releases = two_releases();
    let clean = Handle::new(&releases);
    let wanted = desired(&releases[1], 1);
    clean.run(&wanted);
    let operations = clean.sim().operations;
    assert!(operations > 12, "{operations} operations are too few to be all");
    for at in 0..operations {
        for cut in [Cut::Before, Cut::After] {
            let device = Handle::new(&releases);
            device.sim_mut().cut = Some((at, cut));
            let status = device.run(&wanted);
            let case = format!("cut {cut:?} operation {at} of {operations}");
            assert!(device.sim().operations > at, "{case}: the cut happened");
            assert_eq!(ending(&status), (Confirmed, None), "{case}");
            assert_eq!(device.runs().build.sequence, 2, "{case}");
            assert_eq!(device.sim().confirmed, SlotName::B, "{case}");
            let requests = device.sim().requests.len();
            assert!(requests <= 4 + 4, "{case}: what was not synced and the index, {requests}");
        }
    }
}

#[test]
fn an_unhealthy_release_falls_back_with_its_reason_and_waits_for_a_word() {
    let mut releases = two_releases();
    releases[1].sick = Some("appd does not answer");
    let wanted = desired(&releases[1], 1);
    let device = Handle::new(&releases);
    let status = device.run(&wanted);
    assert_eq!(ending(&status), (FellBack, Some("trial-unhealthy")));
    assert_eq!(status.failure.unwrap().message, "appd does not answer");
    assert_eq!(device.runs().build.sequence, 1);
    let boots = device.sim().boots.len();
    assert_eq!(ending(&device.run(&wanted)), (FellBack, Some("trial-unhealthy")));
    assert_eq!(ending(&device.run(&desired(&releases[1], 2))).0, FellBack, "newly assigned");
    assert_eq!(device.sim().boots.len(), boots, "not tried again");

    device.sim_mut().images[1].sick = None;
    let requests = device.sim().requests.len();
    device.start().unwrap().retry(NOW).unwrap();
    assert_eq!(ending(&device.run(&desired(&releases[1], 2))), (Confirmed, None));
    assert_eq!(device.sim().requests.len(), requests, "all chunks were in the slot");
}

#[test]
fn cuts_during_the_fall_back_keep_the_verdict() {
    let mut releases = two_releases();
    releases[1].sick = Some("sick");
    let wanted = desired(&releases[1], 1);
    let clean = Handle::new(&releases);
    clean.run(&wanted);
    for at in 0..clean.sim().operations {
        let device = Handle::new(&releases);
        device.sim_mut().cut = Some((at, Cut::After));
        assert_eq!(ending(&device.run(&wanted)).0, FellBack, "cut at {at}");
        assert_eq!(device.runs().build.sequence, 1, "cut at {at}");
    }
}

#[test]
fn what_must_not_be_followed_is_refused_by_name_and_nothing_is_written() {
    let releases = [image(5, &[10, 11]), image(6, &[20, 21])];
    let manifest = simulated::manifest(&releases[1]);
    let signed = |change: fn(&mut protocol::release::ReleaseManifest)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        let envelope = manifest.sign(&[&key()]).unwrap();
        body(&assignment(&envelope, 1), &envelope)
    };
    let good = manifest.sign(&[&key()]).unwrap();
    let assigned = |change: fn(&mut protocol::fleet::Assignment)| {
        let mut assignment = assignment(&good, 1);
        change(&mut assignment);
        body(&assignment, &good)
    };
    let stranger = PrivateKey::from_seed(&[2; 32]);
    let by_stranger = manifest.sign(&[&stranger]).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let cases: [(&str, Vec<u8>); 12] = [
        ("malformed-payload", b"nonsense".to_vec()),
        ("unknown-key", body(&assignment(&by_stranger, 1), &by_stranger)),
        ("bad-signature", body(&assignment(&damaged, 1), &damaged)),
        ("wrong-device", assigned(|a| a.device = "other".into())),
        ("wrong-device", assigned(|a| a.fleet = "other".into())),
        ("release-mismatch", assigned(|a| a.release = vec![9; 32].into())),
        ("assignment-expired", assigned(|a| a.expires = NOW - 1)),
        ("wrong-product", signed(|m| m.product = "other".into())),
        ("wrong-board", signed(|m| m.boards = vec!["rpi4".into()])),
        ("sequence-too-low", signed(|m| m.sequence = 4)),
        ("below-floor", signed(|m| (m.sequence, m.floor) = (1, 0))),
        ("image-too-large", {
            let large = image(7, &[1; 7]);
            desired(&large, 1)
        }),
    ];
    for (code, wanted) in cases {
        let device = Handle::new(&releases);
        device.sim_mut().notes = Some(updater::state::State { floor: 2, ..Default::default() });
        let before = device.sim().slots.clone();
        let status = device.run(&wanted);
        assert_eq!(ending(&status), (Refused, Some(code)));
        assert!(device.sim().slots == before, "{code}: a slot was written");
        assert!(device.sim().requests.is_empty(), "{code}: something was fetched");
    }
}

#[test]
fn an_assignment_is_not_replayed() {
    let releases = two_releases();
    let device = Handle::new(&releases);
    let newer = desired(&releases[0], 7);
    assert_eq!(ending(&device.run(&newer)), (Confirmed, None), "what runs is desired");
    for counter in [6, 7] {
        let status = device.run(&desired(&releases[1], counter));
        assert_eq!(ending(&status), (Refused, Some("assignment-replayed")), "counter {counter}");
    }
    assert_eq!(ending(&device.run(&desired(&releases[1], 8))), (Confirmed, None));
}

#[test]
fn a_bad_source_is_named_and_another_one_serves() {
    let releases = two_releases();
    let good = device_source(&releases);
    let wanted = |sources: &[&str]| {
        let envelope = simulated::manifest(&releases[1]).sign(&[&key()]).unwrap();
        let mut assignment = assignment(&envelope, 1);
        assignment.sources = sources.iter().map(|s| s.to_string()).collect();
        body(&assignment, &envelope)
    };
    let foreign = protocol::payload::encode(&image(9, &[7; 5]).bytes, 1).unwrap();
    let cases: [(&str, Vec<u8>, protocol::fleet::UpdatePhase); 4] = [
        ("payload-truncated", good[..good.len() - 1].to_vec(), Refused),
        ("payload-truncated", good[..30].to_vec(), Refused),
        ("bad-payload", vec![0; good.len()], Refused),
        ("chunk-mismatch", foreign, Refused),
    ];
    for (code, bytes, phase) in cases {
        let device = Handle::new(&releases);
        device.sim_mut().sources.insert("/payload".into(), bytes);
        let running = device.sim().slots[0].clone();
        assert_eq!(ending(&device.run(&wanted(&["/payload"]))), (phase, Some(code)));
        assert!(device.sim().slots[0] == running, "{code}: the running slot changed");
        assert_eq!(device.sim().trial, None, "{code}: staged");
        device.sim_mut().sources.insert("/mirror".into(), good.clone());
        let both = {
            let envelope = simulated::manifest(&releases[1]).sign(&[&key()]).unwrap();
            let mut assignment = assignment(&envelope, 2);
            assignment.sources = vec!["/payload".into(), "/mirror".into()];
            body(&assignment, &envelope)
        };
        assert_eq!(ending(&device.run(&both)), (Confirmed, None), "{code}, with a mirror");
    }
    let device = Handle::new(&releases);
    let status = device.run(&wanted(&["/nowhere"]));
    assert_eq!(ending(&status), (Failed, Some("source-unreachable")));
}

#[test]
fn a_slot_that_changed_behind_the_notes_is_not_staged() {
    let releases = two_releases();
    let wanted = desired(&releases[1], 1);
    let device = Handle::new(&releases);
    let mut updater = device.start().unwrap();
    updater.desired(&wanted, NOW).unwrap();
    while updater.status().phase != protocol::fleet::UpdatePhase::Verifying {
        updater.step(NOW).unwrap();
    }
    device.sim_mut().slots[1][3 * CHUNK + 5] ^= 1;
    let error = loop {
        match updater.step(NOW) {
            Ok(_) => assert_eq!(device.sim().trial, None, "staged"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::ImageMismatch("chunk 3".into()));
    drop(updater);
    assert_eq!(ending(&device.run(&wanted)), (Confirmed, None), "repaired by the next attempt");
}

#[test]
fn the_higher_of_both_places_bars_a_rollback_and_a_lost_place_is_filled_again() {
    use protocol::control::RollbackMarks;
    let marks = |sequence| RollbackMarks { sequence, floor: Some(1), unreadable: false };
    let unreadable = RollbackMarks { unreadable: true, ..RollbackMarks::default() };
    let notes = |highest| {
        Some(updater::state::State { highest, floor: 1, ..updater::state::State::default() })
    };
    // Release 1 runs after a rollback by a person; release 2 is offered.
    let bar = Some("sequence-too-low");
    for (case, notes, stored, refused, after) in [
        ("a new card", None, RollbackMarks::default(), None, Some(1)),
        ("both know less", notes(1), marks(Some(1)), None, Some(1)),
        ("notes know more", notes(9), marks(Some(1)), bar, Some(9)),
        ("the data partition was wiped", None, marks(Some(9)), bar, Some(9)),
        ("the environment was wiped", notes(9), RollbackMarks::default(), bar, Some(9)),
        ("the environment's cannot be read", notes(9), unreadable.clone(), bar, Some(9)),
        ("neither can", None, unreadable, Some("rollback-marks-unreadable"), None),
    ] {
        let releases = two_releases();
        let device = Handle::new(&releases);
        device.sim_mut().notes = notes;
        device.sim_mut().marks = stored;
        let status = device.run(&desired(&releases[1], 1));
        match refused {
            None => assert_eq!(ending(&status), (Confirmed, None), "{case}"),
            Some(code) => {
                assert_eq!(ending(&status).1, Some(code), "{case}");
                assert!(device.sim().requests.is_empty(), "{case}: something was fetched");
                let stored = device.sim().marks.clone();
                assert_eq!(stored.sequence, after, "{case}");
                assert_eq!(stored.unreadable, after.is_none(), "{case}");
            }
        }
        if after.is_none() {
            // A person's word makes what runs the measure.
            device.start().unwrap().retry(NOW).unwrap();
            assert_eq!(ending(&device.run(&desired(&releases[1], 1))), (Confirmed, None));
            assert!(!device.sim().marks.unreadable, "{case}");
        }
    }
}

fn device_source(releases: &[Image; 2]) -> Vec<u8> {
    Handle::new(releases).sim().sources["/payload"].clone()
}
