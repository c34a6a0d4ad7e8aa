//! Enrolment: a one-time token, a key that never leaves the gateway, a certificate.

use crate::gateway::{Gateway, PATIENCE, json, post_enroll, request, state};
use crate::stage::Stage;
use rcgen::KeyPair;

#[test]
fn a_gateway_enrols_connects_and_is_seen() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "Barn 3");
    assert!(gateway.id().starts_with("barn-3-"), "{}", gateway.id());

    stage.runtime.block_on(async {
        let mut connection = gateway.connect().await;
        let report = state(gateway.id(), "1.0.0", 1);
        connection.publish(&gateway.topic("state"), json(&report), true).await;
    });

    let device = client
        .wait_for_device(gateway.id(), "a report", PATIENCE, |device| device.state.is_some())
        .expect("device");
    assert_eq!(device.state.expect("state").system.version, "1.0.0");
    // The connection ended without goodbye above: the last will speaks.
    client
        .wait_for_device(gateway.id(), "the last will", PATIENCE, |device| !device.online)
        .expect("offline");
    let events = client.device(gateway.id()).expect("detail").events;
    let kinds: Vec<&str> = events.iter().rev().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["enrolled", "online", "boot", "health", "offline"]);
}

#[test]
fn a_token_is_good_once_but_again_for_the_same_key() {
    let stage = Stage::new();
    let token = stage.client().enrollment_token(None, None).expect("token");
    let (first, second) = (KeyPair::generate().expect("key"), KeyPair::generate().expect("key"));
    let ask =
        |key: &KeyPair| post_enroll(&token.url, &token.ca, &request(&token.token, "one", key));
    let (status, answer) = ask(&first);
    assert_eq!(status, 200);
    let (status, refused) = ask(&second);
    assert_eq!((status, &refused["code"]), (401, &"token-refused".into()));
    // Power was lost before the answer was stored: the same gateway gets the same answer.
    let (status, again) = ask(&first);
    assert_eq!((status, again), (200, answer));
    assert_eq!(stage.client().devices().expect("devices").len(), 1);
}

#[test]
fn what_is_no_token_and_no_request_is_refused() {
    let stage = Stage::new();
    let client = stage.client();
    let token = client.enrollment_token(None, None).expect("token");
    let key = KeyPair::generate().expect("key");
    let (status, answer) = post_enroll(&token.url, &token.ca, &request("nonsense", "x", &key));
    assert_eq!((status, &answer["code"]), (401, &"token-refused".into()));

    let mut broken = request(&token.token, "x", &key);
    // A request whose signature is another's does not prove that its sender holds the key.
    let other = request(&token.token, "x", &KeyPair::generate().expect("key")).csr;
    let (mut lines, others): (Vec<_>, Vec<_>) =
        (broken.csr.lines().collect(), other.lines().collect());
    let last = lines.len() - 2;
    lines[last] = others[last];
    lines[last - 1] = others[last - 1];
    let text = lines.join("\n");
    broken.csr = text;
    let (status, answer) = post_enroll(&token.url, &token.ca, &broken);
    assert_eq!((status, &answer["code"]), (400, &"invalid-request".into()));

    let mut long = request(&token.token, "x", &key);
    long.name = "n".repeat(65);
    assert_eq!(post_enroll(&token.url, &token.ca, &long).0, 400);
    // None of it used the token.
    assert_eq!(post_enroll(&token.url, &token.ca, &request(&token.token, "x", &key)).0, 200);
}

#[test]
fn a_token_expires() {
    let stage = Stage::new();
    let token = stage.client().enrollment_token(Some(1), None).expect("token");
    // The rule is `expires > now` in whole seconds.
    while fleet::clock::now() < token.expires {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let key = KeyPair::generate().expect("key");
    let (status, _) = post_enroll(&token.url, &token.ca, &request(&token.token, "late", &key));
    assert_eq!(status, 401);
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "stay");
    let ca = stage.running().ca_pem.clone();
    stage.restart();
    assert_eq!(stage.running().ca_pem, ca, "the CA stays");
    let devices = stage.client().devices().expect("devices");
    assert_eq!(devices[0].id, gateway.id());
    // The old certificate still connects, at the new port.
    let mut moved = gateway;
    moved.identity.broker = format!("127.0.0.1:{}", stage.running().mqtt_port);
    stage.runtime.block_on(async { moved.connect().await });
}
