//! What a gateway may do at the broker, by really trying.

use crate::gateway::{Connection, Gateway, PATIENCE, options};
use crate::stage::Stage;
use protocol::fleet::topic;
use rcgen::{CertificateParams, KeyPair};

#[test]
fn a_gateway_writes_and_reads_below_its_own_topic_only() {
    let stage = Stage::new();
    let client = stage.client();
    let (mine, other) = (Gateway::enroll(&client, "mine"), Gateway::enroll(&client, "other"));
    stage.runtime.block_on(async {
        let mut connection = mine.connect().await;
        // | topic | whose | taken |
        for (id, leaf, taken) in [
            (mine.id(), "state", true),
            (mine.id(), "progress", true),
            (mine.id(), "apps", true),
            (mine.id(), "log", true),
            (mine.id(), "cmd/1/result", true),
            (mine.id(), "desired", false),
            (mine.id(), "cmd/1", false),
            (other.id(), "state", false),
            (other.id(), "online", false),
            (other.id(), "desired", false),
            (other.id(), "cmd/1", false),
            (other.id(), "cmd/1/result", false),
            ("fleet-wide", "state", false),
        ] {
            let reason = connection.publish(&topic("main", id, leaf), "x", true).await;
            let expected =
                if taken { ["Success", "NoMatchingSubscribers"] } else { ["NotAuthorized"; 2] };
            assert!(expected.contains(&reason.as_str()), "{id} {leaf}: {reason}");
        }
        for foreign in ["$SYS/broker/version", "anything", "holdfast/2/main/x/state"] {
            let reason = connection.publish(foreign, "x", false).await;
            assert_eq!(reason, "NotAuthorized", "{foreign}");
        }
    });
}

#[test]
fn a_gateway_hears_nothing_of_another() {
    let stage = Stage::new();
    let client = stage.client();
    let (spy, other) = (Gateway::enroll(&client, "spy"), Gateway::enroll(&client, "other"));
    stage.runtime.block_on(async {
        let mut victim = other.connect().await;
        victim.publish(&other.topic("state"), "retained secret", true).await;
        let mut spying = spy.connect().await;
        for filter in
            ["#", "$SYS/#", "holdfast/1/main/+/state", &other.topic("state"), &other.topic("#")]
        {
            // mosquitto may take a subscription that it then delivers nothing to.
            spying.subscribe(filter).await;
        }
        victim.publish(&other.topic("state"), "another secret", false).await;
        victim.publish(&other.topic("cmd/7/result"), "third secret", false).await;
        let heard = spying.everything(&spy.topic("online")).await;
        let foreign: Vec<_> =
            heard.iter().filter(|topic| !topic.starts_with(&spy.topic(""))).collect();
        assert!(foreign.is_empty(), "heard {foreign:?}");
    });
}

#[test]
fn nobody_connects_without_a_certificate_of_the_fleet() {
    let stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "known");
    let broker = &gateway.identity.broker;
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, gateway.id());
    let own = params.self_signed(&key).expect("self-signed").pem();
    stage.runtime.block_on(async {
        let none = Connection::open(options(broker, gateway.id(), &gateway.ca, None)).await;
        assert!(none.is_err(), "without a certificate");
        let own_key = key.serialize_pem();
        let forged =
            Connection::open(options(broker, gateway.id(), &gateway.ca, Some((&own, &own_key))))
                .await;
        assert!(forged.is_err(), "with a certificate that it signed itself");
        let mut plain = rumqttc::MqttOptions::new(gateway.id(), broker_address(broker));
        plain.set_credentials("holdfast-fleet", "");
        assert!(Connection::open(plain).await.is_err(), "without TLS");
        // And the same with the right certificate does.
        assert!(Connection::open(gateway.options()).await.is_ok());
    });
}

fn broker_address(broker: &str) -> (&str, u16) {
    let (host, port) = broker.rsplit_once(':').expect("host:port");
    (host, port.parse().expect("port"))
}

#[test]
fn a_revoked_gateway_is_thrown_out_and_stays_out() {
    let stage = Stage::new();
    let client = stage.client();
    let (bad, good) = (Gateway::enroll(&client, "bad"), Gateway::enroll(&client, "good"));
    let mut connection = stage.runtime.block_on(bad.connect());
    client.wait_for_device(bad.id(), "birth", PATIENCE, |device| device.online).expect("online");
    let device = client.revoke(bad.id()).expect("revoke");
    assert!(device.revoked.is_some());
    stage.runtime.block_on(async {
        connection.ended().await;
        // The broker restarts: once another gateway is in again, it reads the new list.
        let reconnecting = async {
            while Connection::open(good.options()).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reconnecting).await.expect("the broker comes back");
        assert!(Connection::open(bad.options()).await.is_err(), "revoked");
    });
    let refused = client.command(bad.id(), &protocol::fleet::Action::Reboot).expect_err("revoked");
    assert_eq!(refused.code(), Some("conflict"));
}

#[test]
fn a_gateway_cannot_push_another_off_the_broker_by_its_client_id() {
    let stage = Stage::new();
    let client = stage.client();
    let (victim, thief) = (Gateway::enroll(&client, "victim"), Gateway::enroll(&client, "thief"));
    stage.runtime.block_on(async {
        let mut first = victim.connect().await;
        let mut stolen = thief.options();
        stolen.set_client_id(victim.id().to_owned());
        let _second = Connection::open(stolen).await;
        // Still connected: a publication is answered.
        let reason = first.publish(&victim.topic("state"), "x", false).await;
        assert!(reason != "NotAuthorized", "{reason}");
    });
}
