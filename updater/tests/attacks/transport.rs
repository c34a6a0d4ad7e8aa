//! Attacks by what carries the bytes: broker, mirrors, and the enrolment server.

use crate::device::{Gateway, Release};
use crate::fleet::wait;
use crate::mirror::{Mirror, head, part};
use crate::scene::{FETCHED, Scene, fleet_key, release};
use protocol::control::SlotName;
use protocol::envelope::MAX_ENVELOPE;
use protocol::fleet::{CommandResult, UpdatePhase};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Release 4, to be fetched from these sources.
fn from(counter: u64, sources: &[&str]) -> Vec<u8> {
    let sources = sources.iter().map(ToString::to_string).collect();
    release(4).assigned(&fleet_key(), |a| (a.counter, a.sources) = (counter, sources))
}

#[test]
fn endless_data_is_cut_off_where_what_was_asked_for_ends() {
    let scene = Scene::new("endless");
    let _daemon = scene.start();
    // Chunked, without an end: the right bytes first, then more and more.
    let payload = release(4).payload;
    let endless = Mirror::start(move |range| {
        let part = payload[range.start as usize..range.end as usize].to_vec();
        Box::new(move |stream| {
            stream.write_all(head(&range, "transfer-encoding: chunked").as_bytes())?;
            write!(stream, "{:x}\r\n", part.len())?;
            stream.write_all(&part)?;
            loop {
                write!(stream, "\r\n{:x}\r\n", 4096)?;
                stream.write_all(&[0; 4096])?;
            }
        })
    });
    scene.refused("an endless body", from(1, &[&endless.url]), "source-oversized");
    // A range that is longer than the one that was asked for.
    let payload = release(4).payload;
    let longer = Mirror::start(move |range| {
        let range = range.start..range.end + 1;
        let content = payload[range.start as usize..range.end as usize].to_vec();
        Box::new(move |stream| {
            let framing = format!("content-length: {}", content.len());
            stream.write_all(head(&range, &framing).as_bytes())?;
            stream.write_all(&content)
        })
    });
    scene.refused("a longer range", from(2, &[&longer.url]), "source-oversized");
    let headers = Mirror::start(|_| {
        Box::new(|stream| {
            stream.write_all(b"HTTP/1.1 206 Partial Content\r\n")?;
            loop {
                stream.write_all(b"x-more: and more and more and more and more\r\n")?;
            }
        })
    });
    let body = from(3, &[&headers.url]);
    scene.ends("endless headers", body, UpdatePhase::Failed, "source-unreachable");
    scene.recovers(9);
}

#[test]
fn an_oversized_message_does_not_keep_the_next_one_away() {
    let scene = Scene::new("oversized");
    let _daemon = scene.start();
    scene.server.publish("desired", vec![0xd2; 4 * MAX_ENVELOPE], false);
    scene.refused("as large as may be", vec![0xd2; 2 * MAX_ENVELOPE], "malformed-payload");
    // Nested as deep as it is long: neither recursion nor memory follows it.
    scene.refused("nested deeply", vec![0x81; MAX_ENVELOPE], "malformed-payload");
    let mut counted = vec![0x9b];
    counted.extend_from_slice(&u64::MAX.to_be_bytes());
    scene.refused("a count beyond all bounds", counted, "malformed-payload");
    scene.recovers(9);
}

#[test]
fn slow_retrieval_is_given_up_by_rate_and_another_source_serves() {
    let scene = Scene::new("slow");
    let _daemon = scene.start();
    let payload = release(4).payload;
    // Promises everything, brings a byte now and then: never silent, never done.
    let slow = Mirror::start(move |range| {
        let part = payload[range.start as usize..range.end as usize].to_vec();
        Box::new(move |stream| {
            let framing = format!("content-length: {}", part.len());
            stream.write_all(head(&range, &framing).as_bytes())?;
            for byte in part {
                stream.write_all(&[byte])?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        })
    });
    let body = from(1, &[&slow.url]);
    let state = scene.ends("a mirror that trickles", body, UpdatePhase::Failed, "source-too-slow");
    // By its rate, not because a whole request ran out of time.
    let why = state.update.failure.unwrap().message;
    assert!(why.contains(" bytes in "), "{why}");
    let honest = Mirror::of(release(4).payload);
    let mark = scene.server.mark();
    scene.server.publish("desired", from(2, &[&slow.url, &honest.url]), true);
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
}

#[test]
fn extraneous_chunks_are_refused() {
    let scene = Scene::new("extraneous");
    let _daemon = scene.start();
    // A container with a fifth chunk, its honest first four as signed.
    let mut image = release(4).image;
    image.extend_from_slice(&vec![0x66; protocol::release::CHUNK_SIZE as usize]);
    let more = Mirror::of(protocol::payload::encode(&image, 1).unwrap());
    scene.refused("a chunk more than is signed", from(1, &[&more.url]), "bad-payload");
    scene.recovers(9);
}

#[test]
fn a_malicious_mirror_is_named_and_an_honest_one_serves() {
    let scene = Scene::new("mirror");
    let _daemon = scene.start();
    let payload = release(4).payload;
    let mut flipped = payload.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let evil = Release::new(4, 0x66).payload;
    let honest = Mirror::of(payload.clone());
    let mirrors = [
        ("noise", Mirror::of(vec![0x5a; payload.len()]), "bad-payload"),
        ("another image", Mirror::of(evil), "chunk-mismatch"),
        ("one bit", Mirror::of(flipped), "chunk-mismatch"),
        (
            "the end is missing",
            Mirror::of(payload[..payload.len() - 1].to_vec()),
            "payload-truncated",
        ),
        ("nothing", Mirror::of(Vec::new()), "payload-truncated"),
    ];
    for (counter, (what, mirror, code)) in (1..).zip(&mirrors) {
        scene.refused(what, from(counter, &[&mirror.url]), code);
    }
    let mark = scene.server.mark();
    let all: Vec<&str> = mirrors.iter().map(|(_, mirror, _)| mirror.url.as_str()).collect();
    let all = [&all[..], &[&honest.url]].concat();
    scene.server.publish("desired", from(20, &all), true);
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
    assert!(scene.gateway.slot(SlotName::B).starts_with(&release(4).image));
}

#[test]
fn what_changes_between_check_and_use_is_not_staged() {
    let scene = Scene::new("toctou");
    let _daemon = scene.start();
    // The mirror serves an honest index, and for the chunk it checked, another one.
    let (good, evil) = (release(4).payload, Release::new(4, 0x66).payload);
    let swap = Mirror::start(move |range| match range.start {
        0 => part(&good, &range),
        _ => part(&evil, &range),
    });
    let mark = scene.server.mark();
    scene.server.publish("desired", from(1, &[&swap.url]), true);
    let state =
        scene.server.expect(mark, "state", "a refusal", |s: &protocol::fleet::DeviceState| {
            s.update.phase == UpdatePhase::Refused
        });
    let code = state.update.failure.unwrap().code;
    assert!(
        ["chunk-mismatch", "bad-chunk", "payload-truncated"].contains(&code.as_str()),
        "{code}"
    );
    scene.untouched("a payload that changes between two requests");

    // Somebody writes to the slot behind the updater's back, after what lies there was verified.
    let slot = scene.gateway.at("dev/mmcblk0p3");
    let slot = std::fs::OpenOptions::new().write(true).open(slot).unwrap();
    let (good, length) = (release(4).payload, release(4).payload.len());
    let sabotage = Mirror::start(move |range| {
        if range.end as usize == length {
            slot.write_all_at(&[0x66; 16], 4096).unwrap();
        }
        part(&good, &range)
    });
    let mark = scene.server.mark();
    scene.server.publish("desired", from(2, &[&sabotage.url]), true);
    scene.server.expect_state(mark, UpdatePhase::Refused, Some("image-mismatch"));
    // It is looked at again, mended from the running slot, and only then staged.
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
    assert!(scene.gateway.slot(SlotName::B).starts_with(&release(4).image));
    assert_ne!(scene.gateway.slot(SlotName::B)[FETCHED], 0xee);
}

#[test]
fn names_that_climb_out_of_their_folder_are_refused() {
    let scene = Scene::new("paths");
    let daemon = scene.start();
    let long = "/".repeat(protocol::fleet::MAX_URL + 1);
    scene.refused("an endless source", from(8, &[&long]), "malformed-payload");
    let body = release(4).assigned(&fleet_key(), |a| a.device = "../gw-1".into());
    scene.refused("a device above", body, "malformed-payload");
    for (counter, source) in (1..).zip(["file:///etc/passwd", "../../etc/passwd", "ftp://x/y", ""])
    {
        let body = from(counter, &[source]);
        scene.ends(source, body, UpdatePhase::Failed, "source-unreachable");
    }
    // A command's id is a level of a topic and of nothing else; these are not even answered.
    let mark = scene.server.mark();
    scene.server.publish("cmd/..", b"x".to_vec(), false);
    scene.server.publish("cmd/ok", b"x".to_vec(), false);
    let result = scene.server.expect(mark, "cmd/ok/result", "an answer", |_: &CommandResult| true);
    assert_eq!(result.failure.unwrap().code, "malformed-envelope");
    drop(daemon);

    // A hostile server names the device so that its files would lie elsewhere.
    let gateway = Gateway::new("attack-enrol");
    *gateway.served.device.lock().unwrap() = Some("../../../etc".into());
    let _daemon = gateway.start();
    wait("an enrolment", || (!gateway.served.enrolled.lock().unwrap().is_empty()).then_some(()));
    gateway.init.expect(|request| {
        matches!(request, protocol::control::InitRequest::Check { ok: false, detail, .. }
            if detail.starts_with("bad-identity"))
    });
    assert!(!gateway.at("data/system/identity/identity.json").exists());
}
