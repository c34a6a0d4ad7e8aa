//! Images of containers as snaps: from archives, and from registries that behave well and badly.

use crate::{
    bench::{Bench, PATIENCE, run},
    debian,
    snap::{Snap, squash, write},
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// Tells everything that the image sets, keeps count of its starts in a volume, ends by a signal.
const SCRIPT: &str = "echo \"$0 $# [$1]\"
busybox id -u
pwd
echo \"$GREETING\"
busybox cat /state/seed
echo start >> /state/starts
echo starts $(busybox wc -l < /state/starts)
trap 'echo told; exit 0' USR1
while true; do busybox sleep 0.05; done
";
/// What it says first, with the number of its starts.
const SAYS: [&str; 6] = ["zero 1 [two words]", "1234", "/srv", "good = day", "seeded", "starts 1"];

/// An OCI layout by umoci, with one image `1.0`: busybox, a script as its entry point, and what
/// more is configured.
fn made(bench: &Bench, script: &str, more: &[&str]) -> PathBuf {
    let umoci = |arguments: &[&str]| {
        run(Command::new("umoci").args(arguments).current_dir(&bench.dir));
    };
    umoci(&["init", "--layout", "layout"]);
    umoci(&["new", "--image", "layout:1.0"]);
    umoci(&["unpack", "--image", "layout:1.0", "bundle"]);
    let root = bench.dir.join("bundle/rootfs");
    for folder in ["bin", "etc", "srv", "state"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    symlink("/bin/busybox", root.join("bin/sh")).unwrap();
    fs::write(root.join("etc/passwd"), "app:x:1234:5::/:/bin/sh\n").unwrap();
    fs::write(root.join("state/seed"), "seeded\n").unwrap();
    umoci(&["repack", "--image", "layout:1.0", "bundle"]);
    let mut config = vec!["config", "--image", "layout:1.0"];
    for word in ["sh", "-c", script, "zero"] {
        config.extend(["--config.entrypoint", word]);
    }
    config.extend(more);
    umoci(&config);
    bench.dir.join("layout")
}

/// The same with everything that an image can say of its process.
fn layout(bench: &Bench) -> PathBuf {
    let mut more = vec!["--config.cmd", "two words", "--config.env", "GREETING=good = day"];
    more.extend(["--config.user", "app", "--config.workingdir", "/srv"]);
    more.extend(["--config.volume", "/state", "--config.stopsignal", "SIGUSR1"]);
    made(bench, SCRIPT, &more)
}

/// A layout as one file.
fn packed(bench: &Bench, layout: &Path) -> String {
    let tar = bench.dir.join("web.tar");
    run(Command::new("tar").arg("-C").arg(layout).arg("-cf").arg(&tar).arg("."));
    tar.to_str().unwrap().into()
}

fn archive(bench: &Bench) -> String {
    packed(bench, &layout(bench))
}

/// An image that runs a script and says that it serves at a port.
pub fn serving(bench: &Bench, script: &str, port: &str) -> String {
    packed(bench, &made(bench, script, &["--config.exposedports", port]))
}

fn says(bench: &Bench, expected: &[&str]) {
    bench.until("it says what its image set", |b| b.output("web").ends_with(&strings(expected)));
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn an_image_from_an_archive_runs_as_it_says() {
    let bench = Bench::new();
    let tar = archive(&bench);
    let (code, why) = bench.refused(&["install", &tar, "--name", "web"]);
    assert!(code == "snap-unsigned" && why.contains("holdfast app import"), "{code}: {why}");
    let (code, why) = bench.refused(&["install", &tar, "--dangerous"]);
    assert!(code == "image-invalid" && why.contains("give --name"), "{code}: {why}");
    assert_eq!(bench.kept("files"), [] as [&str; 0]);

    let done = bench.ask(&["install", &tar, "--dangerous", "--name", "web"])["ok"].clone();
    assert!(done.as_str().unwrap().starts_with("web installed "), "{done}");
    says(&bench, &SAYS);
    bench.ask(&["restart", "web"]);
    says(&bench, &["told", SAYS[0], SAYS[1], SAYS[2], SAYS[3], SAYS[4], "starts 2"]);
    let info = bench.ask(&["info", "web"]);
    assert_eq!((info["signed"].as_bool(), info["revision"].as_u64()), (Some(false), Some(1)));

    // A refresh takes the volume along, a revert brings it back.
    bench.ask(&["refresh", &tar, "--dangerous", "--name", "web"]);
    says(&bench, &["starts 3"]);
    bench.ask(&["restart", "web"]);
    says(&bench, &["starts 4"]);
    bench.ask(&["revert", "web"]);
    says(&bench, &["starts 3"]);
}

#[test]
fn what_is_no_image_or_no_process_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let tar = bench.dir.join("other.tar");
    fs::write(bench.dir.join("file"), "text").unwrap();
    run(Command::new("tar").arg("-C").arg(&bench.dir).arg("-cf").arg(&tar).arg("file"));
    let (code, why) = bench.refused(&["install", tar.to_str().unwrap(), "--dangerous"]);
    assert!(code == "image-invalid" && why.contains("not an image"), "{code}: {why}");

    let snap = Snap::new("steady", "1", "#!/bin/sh\n");
    let good = r#"{"program": "/bin/main", "args": ["main"], "env": [], "uid": 7, "gid": 7,
                   "cwd": "/", "stop_signal": 15, "ports": [], "volumes": []}"#;
    for (json, reason) in [
        (good.replace("\"cwd\": \"/\", ", ""), "cwd"),
        (good.replace("\"/\"", "\"..\""), "cwd: not an absolute path"),
        (good.replace("/bin/main", "/bin/sh"), "apps: not bin/sh alone"),
        (good.replace("\"uid\"", "\"root\": 1, \"uid\""), "unknown field `root`"),
        (" ".repeat(5 << 20), "larger than"),
    ] {
        let tree = snap.tree(&bench.dir);
        fs::write(tree.join("meta/oci.json"), &json).unwrap();
        let path = write(&bench.dir, &squash(&tree, "zstd"));
        let (code, why) = bench.refused(&["install", path.to_str().unwrap(), "--dangerous"]);
        assert!(code == "snap-invalid" && why.contains(reason), "{reason}: {code}: {why}");
    }
    let path = snap.signed(&bench.dir);
    let (code, why) = bench.refused(&["install", path.to_str().unwrap(), "--name", "other"]);
    assert!(code == "bad-request" && why.contains("only images"), "{code}: {why}");
    assert_eq!(bench.kept("files"), [] as [&str; 0]);
}

/// Debian's registry on loopback.
struct Registry {
    process: Child,
    port: u16,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        Self::configured(folder, "")
    }

    /// With a certificate for its address, which the authority signed.
    fn with_tls(folder: &Path, authority: &Authority) -> Self {
        let [certificate, key] = ["registry.crt", "registry.key"].map(|name| folder.join(name));
        let own = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["127.0.0.1".into()]).unwrap();
        let signed = parameters.signed_by(&own, &authority.0).unwrap();
        fs::write(&certificate, signed.pem()).unwrap();
        fs::write(&key, own.serialize_pem()).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        Self::configured(folder, &format!(", tls: {{certificate: {certificate}, key: {key}}}"))
    }

    fn configured(folder: &Path, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}'{more}}}\n",
            folder.join("registry").display()
        );
        let path = folder.join("registry.yml");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(folder.join("registry.log")).unwrap();
        let process = Command::new(debian::program("docker-registry", "usr/bin/docker-registry"))
            .arg("serve")
            .arg(&path)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "the registry does not listen");
            sleep(Duration::from_millis(20));
        }
        Self { process, port }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Signs certificates of servers.
struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self(rcgen::CertifiedIssuer::self_signed(parameters, key).unwrap())
    }
}

/// A link to a server, and what goes over it.
struct Link {
    port: u16,
    /// How often somebody asked to go on in the middle.
    resumed: AtomicUsize,
    /// Bytes that came from the server.
    served: AtomicUsize,
    /// Nothing more comes after so many of them.
    stalls: AtomicUsize,
}

/// A link that breaks after so many bytes of each connection.
fn breaking_link(to: u16, after: usize) -> Arc<Link> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Arc::new(Link {
        port: listener.local_addr().unwrap().port(),
        resumed: AtomicUsize::new(0),
        served: AtomicUsize::new(0),
        stalls: AtomicUsize::new(usize::MAX),
    });
    let of_threads = link.clone();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let (asks, mut asked) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let link = of_threads.clone();
            let same = of_threads.clone();
            thread::spawn(move || {
                for line in BufReader::new(asks).split(b'\n').map_while(Result::ok) {
                    link.resumed.fetch_add(usize::from(is_range(&line)), Ordering::Relaxed);
                    let _ = asked.write_all(&[line.as_slice(), b"\n"].concat());
                }
                let _ = asked.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                same.serve(&far, &near, after);
                let _ = near.shutdown(Shutdown::Both);
                let _ = far.shutdown(Shutdown::Both);
            });
        }
    });
    link
}

impl Link {
    fn serve(&self, mut far: &TcpStream, mut near: &TcpStream, after: usize) {
        let (mut block, mut sent) = ([0; 16 << 10], 0);
        while sent < after {
            while self.served.load(Ordering::Relaxed) >= self.stalls.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5));
            }
            let Ok(count @ 1..) = far.read(&mut block) else { return };
            if near.write_all(&block[..count]).is_err() {
                return;
            }
            sent += count;
            self.served.fetch_add(count, Ordering::Relaxed);
        }
    }
}

fn is_range(line: &[u8]) -> bool {
    line.to_ascii_lowercase().starts_with(b"range: bytes=")
}

fn skopeo(bench: &Bench, arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(arguments).current_dir(&bench.dir).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// The image into the registry; its address.
fn push(bench: &Bench, registry: &Registry) -> String {
    let remote = format!("docker://127.0.0.1:{}/group/web:1.0", registry.port);
    let options = ["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
    skopeo(bench, &[options.as_slice(), &["oci:layout:1.0", &remote]].concat());
    remote
}

#[test]
fn an_image_goes_on_coming_after_a_power_cut() {
    let mut bench = Bench::new();
    let layout = layout(&bench);
    let registry = Registry::start(&bench.dir);
    push(&bench, &registry);
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten();
    let largest = blobs.map(|blob| blob.metadata().unwrap().len()).max().unwrap();
    let largest = usize::try_from(largest).unwrap();

    let link = breaking_link(registry.port, usize::MAX);
    link.stalls.store(largest / 2, Ordering::Relaxed);
    let address = format!("oci+http://127.0.0.1:{}/group/web:1.0", link.port);
    bench.ask(&["install", &address, "--dangerous", "--no-wait"]);
    bench.until("half of it came", |b| {
        let folder = fs::read_dir(b.dir.join("data/snaps/blobs")).into_iter().flatten().flatten();
        let kept: u64 = folder.map(|blob| blob.metadata().map_or(0, |found| found.len())).sum();
        usize::try_from(kept).unwrap() > largest / 3
    });
    bench.kill();
    link.stalls.store(usize::MAX, Ordering::Relaxed);
    bench.boot();
    bench.ask(&["watch", "--last=install"]);
    says(&bench, &SAYS);
    let served = link.served.load(Ordering::Relaxed);
    assert!(served < largest + largest / 3, "{served} bytes came, the layer has {largest}");
    assert!(link.resumed.load(Ordering::Relaxed) > 0);
    bench.until("nothing is left of it", |b| !b.dir.join("data/snaps/blobs").exists());
}

#[test]
fn an_image_comes_from_a_registry_over_a_link_that_breaks() {
    let bench = Bench::new();
    layout(&bench);
    let registry = Registry::start(&bench.dir);
    let remote = push(&bench, &registry);

    let link = breaking_link(registry.port, 300_000);
    let address = format!("oci+http://127.0.0.1:{}/group/web", link.port);
    assert_eq!(bench.refused(&["install", &address]).0, "snap-unsigned");
    let (code, why) = bench.refused(&["install", &format!("{address}:2"), "--dangerous"]);
    assert!(code == "download" && why.contains("status 404"), "{code}: {why}");

    let tagged = format!("{address}:1.0");
    let done = bench.ask(&["install", &tagged, "--dangerous"])["ok"].clone();
    assert_eq!(done, "web installed 1.0 (revision 1) (not signed)");
    says(&bench, &SAYS);
    let times = link.resumed.load(Ordering::Relaxed);
    assert!(times >= 2, "went on {times} times in the middle");

    let digest =
        skopeo(&bench, &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &remote]);
    let pinned = format!("{address}:1.0@{digest}");
    let done = bench.ask(&["refresh", &pinned, "--dangerous"])["ok"].clone();
    assert_eq!(done, "web refreshed to 1.0 (revision 2) (not signed)");
}

/// A server that answers each request by its first line and the header `authorization`.
fn server(answer: fn(&str, &str) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let header = |line: &&String| line.to_lowercase().starts_with("authorization:");
            let login = head.iter().find(header).map_or("", String::as_str);
            let text = answer(head.first().map_or("", String::as_str), login);
            let _ = (&stream).write_all(text.replace("PORT", &port.to_string()).as_bytes());
        }
    });
    port
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_registry_that_wants_a_token_gets_an_anonymous_one() {
    let bench = Bench::new();
    let port = server(|line, login| match (line, login) {
        (line, _) if line.starts_with("GET /token?") => {
            let asks = line.contains("scope=repository%3Aa%2Fb%3Apull") && line.contains("=s");
            answer("200 OK", "", if asks { "{\"access_token\": \"t\"}" } else { "{}" })
        }
        (_, login) if login.ends_with("Bearer t") => {
            answer("200 OK", "", "{\"schemaVersion\": 1, \"config\": {}, \"layers\": []}")
        }
        _ => answer(
            "401 Unauthorized",
            "www-authenticate: Bearer realm=\"http://127.0.0.1:PORT/token\",service=\"s\"\r\n",
            "",
        ),
    });
    let address = format!("oci+http://127.0.0.1:{port}/a/b");
    let (code, why) = bench.refused(&["install", &address, "--dangerous"]);
    // Only who had the token saw that manifest.
    assert_eq!(code, "image-invalid", "{why}");
}

#[test]
fn a_registry_that_sends_something_else_is_refused() {
    let bench = Bench::new();
    let port = server(|_, _| answer("200 OK", "", "{}"));
    let digest = "0".repeat(64);
    let address = format!("oci+http://127.0.0.1:{port}/a@sha256:{digest}");
    let (code, why) = bench.refused(&["install", &address, "--dangerous"]);
    assert!(code == "image-digest" && why.contains(&digest), "{code}: {why}");
    let (code, _) = bench.refused(&["install", "oci://h/A", "--dangerous"]);
    assert_eq!(code, "bad-url");
}

#[test]
fn a_registry_with_tls_is_believed_by_the_fleets_authority_and_by_no_unknown_one() {
    let bench = Bench::new();
    layout(&bench);
    let authority = Authority::new();
    let registry = Registry::with_tls(&bench.dir, &authority);
    push(&bench, &registry);
    let address = format!("oci://127.0.0.1:{}/group/web:1.0", registry.port);
    let install = ["install", &*address, "--dangerous"];
    let (code, why) = bench.refused(&install);
    assert!(code == "download" && why.contains("certificate"), "{code}: {why}");

    let toml = |ca: &str| format!("[fleet]\nurl = 'https://fleet.test'\nca = '''\n{ca}'''\n");
    let path = bench.dir.join("data/system/device.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, toml(&Authority::new().0.pem())).unwrap();
    assert_eq!(bench.refused(&install).0, "download");
    fs::write(&path, toml(&authority.0.pem())).unwrap();
    bench.ask(&install);
    says(&bench, &SAYS);
}
