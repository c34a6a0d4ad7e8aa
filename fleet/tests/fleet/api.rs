//! Who may use the API, and how it says what changed.

use crate::gateway::{Gateway, json, state};
use crate::stage::Stage;
use fleet::{Config, Error, Server};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

/// One request without any HTTP library; the whole answer.
fn raw(stage: &Stage, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", stage.running().ports.api)).expect("connect");
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).expect("request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}

fn cookie_and_guard(stage: &Stage) -> (String, String) {
    let token = &stage.running().admin_token;
    let answer =
        raw(stage, &format!("GET /login?token={token} HTTP/1.1\nHost: x\nConnection: close\n\n"));
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert!(answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
    let cookie = answer
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .and_then(|line| line.split(';').next())
        .expect("cookie")
        .to_owned();
    let page =
        raw(stage, &format!("GET / HTTP/1.1\nHost: x\nCookie: {cookie}\nConnection: close\n\n"));
    let guard = page
        .split("name=\"page-token\" content=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("page token")
        .to_owned();
    (cookie, guard)
}

#[test]
fn without_the_token_nothing_is_answered() {
    let stage = Stage::new();
    for path in ["devices", "releases", "tokens", "events", "audit", "server", "no/such/path"] {
        let answer =
            raw(&stage, &format!("GET /api/v1/{path} HTTP/1.1\nHost: x\nConnection: close\n\n"));
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
        assert!(answer.contains("\"code\":\"unauthorized\""), "{answer}");
    }
    let wrong = raw(
        &stage,
        "GET /api/v1/devices HTTP/1.1\nHost: x\nAuthorization: Bearer wrong\nConnection: close\n\n",
    );
    assert!(wrong.starts_with("HTTP/1.1 401"), "{wrong}");
    let page = raw(&stage, "GET / HTTP/1.1\nHost: x\nConnection: close\n\n");
    assert!(page.starts_with("HTTP/1.1 303") && page.contains("location: /login"), "{page}");
    let mode = std::fs::metadata(stage.dir.join("data/admin.token")).expect("file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_cookie_alone_changes_nothing() {
    let stage = Stage::new();
    let (cookie, guard) = cookie_and_guard(&stage);
    let post = |extra: &str| {
        raw(
            &stage,
            &format!(
                "POST /api/v1/tokens HTTP/1.1\nHost: x\nCookie: {cookie}\n{extra}\
                 Content-Type: application/json\nContent-Length: 2\nConnection: close\n\n{{}}"
            ),
        )
    };
    let forged = post("");
    assert!(forged.starts_with("HTTP/1.1 403") && forged.contains("cross-site"), "{forged}");
    let guessed = post("X-Holdfast-Page: 00000000000000000000000000000000\n");
    assert!(guessed.starts_with("HTTP/1.1 403"), "{guessed}");
    let own = post(&format!("X-Holdfast-Page: {guard}\n"));
    assert!(own.starts_with("HTTP/1.1 200"), "{own}");
}

#[test]
fn the_login_link_leads_only_into_this_site() {
    let stage = Stage::new();
    let token = &stage.running().admin_token;
    for (next, lands) in [
        ("/devices/x", "/devices/x"),
        ("//evil.example/", "/"),
        ("/%5Cevil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let answer = raw(
            &stage,
            &format!(
                "GET /login?token={token}&next={next} HTTP/1.1\nHost: x\nConnection: close\n\n"
            ),
        );
        assert!(answer.contains(&format!("location: {lands}\r\n")), "{next}: {answer}");
    }
    let wrong = raw(&stage, "GET /login?token=no HTTP/1.1\nHost: x\nConnection: close\n\n");
    assert!(wrong.starts_with("HTTP/1.1 401") && !wrong.contains("set-cookie"), "{wrong}");
}

#[test]
fn news_of_a_gateway_are_streamed() {
    let stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "one");
    let mut stream = TcpStream::connect(("127.0.0.1", stage.running().ports.api)).expect("connect");
    let token = &stage.running().admin_token;
    write!(
        stream,
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .expect("request");
    stream.set_read_timeout(Some(crate::gateway::PATIENCE)).expect("time-out");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line in time"));
    // The server's first comment: it listens.
    lines.by_ref().find(|line| line == ": listening").expect("listening");
    stage.runtime.block_on(async {
        let mut connection = gateway.connect().await;
        let report = state(gateway.id(), "1.0.0", 1);
        connection.publish(&gateway.topic("state"), json(&report), true).await;
    });
    let expected = format!("data: {{\"topic\":\"device\",\"id\":\"{}\"}}", gateway.id());
    lines.find(|line| *line == expected).expect("news");
}

#[test]
fn the_api_does_not_leave_the_machine_without_tls() {
    let stage = Stage::new();
    let mut config = Config::local(stage.dir.join("other"), stage.dir.join("keys"));
    config.listen = "0.0.0.0:0".parse().expect("address");
    let refused = stage.runtime.block_on(Server::start(config.clone())).err();
    assert!(matches!(refused, Some(Error::PlainOutside(_))), "{refused:?}");
    config.listen_tls = true;
    let running = stage.runtime.block_on(Server::start(config)).expect("with TLS");
    assert!(running.api_url.starts_with("https://"), "{}", running.api_url);
    let mut answer = crate::gateway::https(&running.ca_pem)
        .get(format!("{}/api/v1/devices", running.api_url))
        .header("authorization", format!("Bearer {}", running.admin_token))
        .call()
        .expect("answer");
    assert_eq!(answer.body_mut().read_to_string().expect("body"), "[]");
    stage.runtime.block_on(running.stop());
}

#[test]
fn a_broker_that_dies_is_started_again() {
    let stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "one");
    let pid = broker_pid(&stage);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).expect("pid"),
        rustix::process::Signal::KILL,
    )
    .expect("kill the broker that this test's server started");
    let deadline = std::time::Instant::now() + crate::gateway::PATIENCE;
    stage.runtime.block_on(async {
        loop {
            match crate::gateway::Connection::open(gateway.options()).await {
                Ok(_) => break,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    assert_ne!(broker_pid(&stage), pid);
}

#[test]
fn the_broker_ends_with_the_server() {
    let mut stage = Stage::new();
    let pid = broker_pid(&stage);
    stage.stop();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "mosquitto {pid} runs on");
}

/// The child of this process that was started with this stage's configuration.
fn broker_pid(stage: &Stage) -> i32 {
    let conf = stage.dir.join("data/broker/mosquitto.conf").canonicalize().expect("configuration");
    let conf = conf.to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok())
        .find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).split('\0').any(|word| word == conf)
        })
        .expect("a broker with this configuration")
}

#[test]
fn keys_that_do_not_fit_are_named_at_start() {
    let stage = Stage::new();
    let keys = stage.dir.join("other-keys");
    std::fs::create_dir_all(&keys).expect("directory");
    let config = Config::local(stage.dir.join("other"), &keys);
    let missing = stage.runtime.block_on(Server::start(config.clone())).err().expect("refused");
    assert!(missing.to_string().contains("keys.cbor"), "{missing}");
    std::fs::copy(stage.dir.join("keys/keys.cbor"), keys.join("keys.cbor")).expect("copy");
    std::fs::write(keys.join("fleet.key"), stage.release_key.to_text()).expect("write");
    let wrong = stage.runtime.block_on(Server::start(config)).err().expect("refused");
    assert!(wrong.to_string().contains("not in the key set's role `fleet`"), "{wrong}");
}
