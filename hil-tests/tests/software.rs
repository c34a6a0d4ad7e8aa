//! Software that knows nothing of us, Debian's for the device's processor, on a booted gateway: a
//! broker, a web server, a Python program and a shell, each confined, on one base.

use hil::board::Board;
use hil::error::ensure;
use hil::gateway::Gateway;
use hil::qemu::Network;
use hil::releases::Releases;
use hil::web::Web;
use hil::{Result, child, debian, limits, paths, ports, provision};
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Instant;

/// Keeps what it is told in the snap's data.
const MOSQUITTO: &str = "listener 1883 0.0.0.0
allow_anonymous true
persistence true
persistence_location /var/snap/mosquitto/common/
";
const NGINX: &str = "daemon off; pid /tmp/nginx.pid; worker_processes 1; events {}
http {
  access_log off;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server { listen 80; root /snap/nginx/current/www; }
}
";
/// The package `python3-minimal` has no more than sockets.
const PYTHON: &str = "import os, socket, sys
server = socket.create_server(('', 80))
while True:
    client, _ = server.accept()
    client.recv(1000)
    text = f'{sys.implementation.name} {os.uname().machine} {os.getuid() > 0}'
    client.sendall(f'HTTP/1.0 200 OK\\r\\n\\r\\n{text}'.encode())
    client.close()
";

#[test]
fn debians_software_runs_confined() -> Result {
    let releases = Releases::of(Board::Virt)?;
    let folder = paths::hil()?.join("debian");
    let _ = fs::remove_dir_all(&folder);
    debian::base(releases, &folder)?;
    let [broker, web, snake] = [ports::free()?, ports::free()?, ports::free()?];
    for (name, ports, script, files) in [
        (
            "mosquitto",
            "1883",
            "exec /usr/sbin/mosquitto -c $SNAP/mosquitto.conf",
            &[("mosquitto.conf", MOSQUITTO)][..],
        ),
        (
            "nginx",
            "8080:80",
            "exec /usr/sbin/nginx -e stderr -c $SNAP/nginx.conf",
            &[("nginx.conf", NGINX), ("www/index.html", "a page of the snap\n")],
        ),
        ("snake", "8081:80", "exec /usr/bin/python3 $SNAP/serve.py", &[("serve.py", PYTHON)]),
    ] {
        debian::rider(releases, &folder, (name, ports), script, files)?;
    }
    let server = Web::serve(&folder)?;
    let mut gateway =
        Gateway::new("software", &releases.first()?, &provision::stand_alone("soft"))?
            .network(Network::Forwarded(vec![(broker, 1883), (web, 8080), (snake, 8081)]));
    gateway.power_on()?;
    gateway.wait_healthy()?;

    // All in one change, the base among them.
    let names = [debian::BASE, "mosquitto", "nginx", "snake"];
    let from = names.map(|name| server.address(&format!("{name}.snap"))).join(" ");
    gateway.ok(&format!("install --no-wait {from}"))?;
    gateway.until("changes", limits::UPDATE, |changes| {
        ![" Do ", " Doing "].iter().any(|word| changes.contains(word))
    })?;
    for name in &names[1..] {
        gateway.wait_service(&format!("{name}.{name}"), "active")?;
    }

    let page = ports::page(web, limits::COMMAND)?;
    ensure(page.ends_with("a page of the snap\n"), || format!("another page: {page:?}"))?;
    ensure(page.contains("Server: nginx"), || format!("not of nginx: {page:?}"))?;
    let page = ports::page(snake, limits::COMMAND)?;
    ensure(page.ends_with("cpython aarch64 True"), || format!("another page: {page:?}"))?;

    // What the broker keeps outlives a restart.
    let port = broker.to_string();
    let message = ["-h", "127.0.0.1", "-p", &port, "-t", "a/b"];
    let publish = ["-r", "-q", "1", "-m", "kept"];
    repeated("mosquitto_pub", &[message.as_slice(), &publish].concat())?;
    gateway.ok("restart mosquitto")?;
    gateway.wait_service("mosquitto.mosquitto", "active")?;
    let heard = repeated("mosquitto_sub", &[message.as_slice(), &["-C", "1", "-W", "5"]].concat())?;
    ensure(heard == "kept\n", || format!("the broker kept {heard:?}"))?;
    gateway.refused("remove debian", "base of")?;
    gateway.power_off()
}

/// Runs a client until it succeeds: a service that was started need not listen yet.
fn repeated(program: &str, words: &[&str]) -> Result<String> {
    let end = Instant::now() + limits::COMMAND;
    loop {
        match child::run(Command::new(program).args(words)) {
            Ok(output) => return Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => sleep(limits::POLL),
        }
    }
}
