//! Deltas: made for the pair that a gateway needs, served by range, and never more than asked for.

use crate::browser::Browser;
use crate::gateway::{Gateway, PATIENCE, https, json, state};
use crate::stage::{Stage, noise};
use fleet::store::Release;
use protocol::delta::{PATH, build_name, decode};
use protocol::payload::{self, Decoder, Index, Kind, zero_chunk};
use std::time::{Duration, Instant};

const CHUNK: usize = protocol::release::CHUNK_SIZE as usize;

/// Two releases of two chunks each; in the second the first chunk's content moved.
struct Pair {
    stage: Stage,
    images: [Vec<u8>; 2],
    releases: [Release; 2],
}

impl Pair {
    fn new() -> Self {
        let stage = Stage::new();
        let old = noise(2 * CHUNK);
        let new = [&vec![7; 300], &old[..CHUNK - 300], &old[CHUNK..]].concat();
        let images = [old, new];
        let releases = [0, 1].map(|n| {
            let payload = payload::encode(&images[n], 1).expect("payload");
            let (manifest, payload) = stage.release(n as u64 + 1, &payload);
            stage.client().upload_release(&manifest, &payload).expect("upload")
        });
        Self { stage, images, releases }
    }

    fn url(&self, build: &str) -> String {
        format!("{}{PATH}/{build}/{}", self.stage.running().device_url, self.releases[1].digest)
    }

    /// What a gateway that runs the first release asks for.
    fn build(&self) -> String {
        build_name("rpi3", &self.releases[0].version, self.releases[0].sequence)
    }

    fn get(&self, build: &str, range: Option<std::ops::Range<u64>>) -> (u16, Vec<u8>) {
        let mut request = https(&self.stage.running().ca_pem).get(self.url(build));
        if let Some(range) = range {
            request = request.header("range", format!("bytes={}-{}", range.start, range.end - 1));
        }
        let mut answer = request.call().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_vec().expect("body"))
    }

    /// The whole delta, once it is made.
    fn wait(&self) -> Vec<u8> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.get(&self.build(), None) {
                (200, body) => return body,
                (202, body) if Instant::now() < until => assert!(body.is_empty()),
                (status, _) => panic!("answered {status}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_deployment_makes_the_delta_that_its_gateway_needs() {
    let pair = Pair::new();
    let client = pair.stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let [first, second] = &pair.releases;
    pair.stage.runtime.block_on(async {
        let mut connection = gateway.connect().await;
        let said = state(gateway.id(), &first.version, first.sequence);
        connection.publish(&gateway.topic("state"), json(&said), true).await;
    });
    let reported = |d: &fleet::store::Device| d.state.is_some();
    client.wait_for_device(gateway.id(), "a report", PATIENCE, reported).expect("reported");
    client.deploy(&second.digest, &[gateway.id()]).expect("deploy");

    // It is there without a gateway having asked.
    let file = format!("deltas/{}-{}", first.digest, second.digest);
    let file = pair.stage.dir.join("data").join(file);
    let until = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < until, "not made");
        std::thread::sleep(Duration::from_millis(50));
    }
    let whole = pair.wait();
    let index_range = 0..Index::len_for(2) as u64;
    let (status, head) = pair.get(&pair.build(), Some(index_range));
    let index = Index::parse(Kind::Delta, &head).expect("an index");
    assert_eq!((status, index.container_size()), (206, whole.len() as u64));
    assert_eq!(index.range(1), None, "the gateway has the second chunk");
    let (_, coded) = pair.get(&pair.build(), index.range(0));
    assert!(coded.len() < 200, "{} bytes", coded.len());
    let [old, new] = &pair.images;
    let mut read = |at: u64, into: &mut [u8]| {
        into.copy_from_slice(&old[at as usize..][..into.len()]);
        true
    };
    let (mut decoder, mut chunk) = (Decoder::new().expect("decoder"), zero_chunk());
    decode(&mut decoder, &mut Vec::new(), &coded, old.len() as u64, &mut read, &mut chunk)
        .expect("decodes");
    assert!(chunk[..] == new[..CHUNK]);

    let mut browser = Browser::start(&pair.stage.dir.join("browser"));
    browser.open(&pair.stage.running().login_url());
    browser.open(&format!("{}/releases", pair.stage.running().api_url));
    browser.shows(&format!("Delta from {}", first.version));
}

#[test]
fn a_delta_is_made_on_demand_and_only_to_what_was_deployed() {
    let pair = Pair::new();
    let client = pair.stage.client();
    let gateway = Gateway::enroll(&client, "one");
    assert_eq!(pair.get(&pair.build(), None).0, 404, "nothing was deployed");
    client.deploy(&pair.releases[1].digest, &[gateway.id()]).expect("deploy");
    for stranger in [
        build_name("rpi3", "9.9.9", 1),
        build_name("rpi4", &pair.releases[0].version, 1),
        build_name("rpi3", &pair.releases[1].version, 2),
        "..%2f..%2fadmin.token".into(),
    ] {
        assert_eq!(pair.get(&stranger, None).0, 404, "{stranger}");
    }
    let made = pair.wait();
    assert!(made.len() < 500, "{} bytes", made.len());
    assert_eq!(pair.get(&pair.build(), Some(made.len() as u64..9_999_999)).0, 416);
}
