//! Software that knows nothing of us: a broker, a web server and a Python program of Debian's, as
//! snaps in full confinement, spoken to from outside.

use crate::{
    bench::{Bench, PATIENCE, run},
    debian,
    snap::{Snap, borrow, pack},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// A snap with one service that runs `command` and may serve on the network.
fn server(name: &str, command: &str) -> Snap {
    let mut snap = Snap::new(name, "1", "");
    snap.yaml = snap.yaml.replace("bin/main\n", &format!("{command}\n"))
        + "    plugs: [network, network-bind]\n";
    snap
}

fn put(tree: &Path, path: &str, text: &str) {
    let path = tree.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What a web server answers.
fn get(bench: &Bench, port: u16) -> String {
    let began = Instant::now();
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port))
            && stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && !answer.is_empty()
        {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "no answer on port {port}: {}", bench.log());
        sleep(Duration::from_millis(50));
    }
}

/// A port that nobody has now.
fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn debians_mosquitto_is_a_broker() {
    let (bench, port) = (Bench::new(), port());
    let snap = server("mosquitto", "bin/mosquitto -c $SNAP/etc/mosquitto.conf");
    let tree = snap.tree(&bench.dir);
    borrow(&tree, "/usr/sbin/mosquitto", "bin/mosquitto");
    let config = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
         persistence_location /var/snap/mosquitto/common/\nautosave_interval 1\n"
    );
    put(&tree, "etc/mosquitto.conf", &config);
    bench.install(&pack(&tree, &bench.dir, "test"));
    let text = port.to_string();
    let words = ["-h", "127.0.0.1", "-p", &text, "-t", "a/b"];
    run(Command::new("mosquitto_pub").args(words).args(["-r", "-m", "kept", "-q", "1"]));
    // What is kept outlives a restart in the snap's data.
    bench.ask(&["restart", "mosquitto"]);
    let began = Instant::now();
    let heard = loop {
        let listen =
            Command::new("mosquitto_sub").args(words).args(["-C", "1", "-W", "5"]).output();
        let heard = listen.unwrap();
        if heard.status.success() || began.elapsed() > PATIENCE {
            break heard;
        }
        sleep(Duration::from_millis(100));
    };
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "kept\n", "{heard:?} {}", bench.log());
}

#[test]
fn debians_nginx_serves_a_page() {
    let (bench, port) = (Bench::new(), port());
    let snap = server("nginx", "bin/nginx -c $SNAP/etc/nginx.conf -e stderr");
    let tree = snap.tree(&bench.dir);
    let program = debian::program("nginx", "usr/sbin/nginx");
    borrow(&tree, program.to_str().unwrap(), "bin/nginx");
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path /tmp/{name};\n"))
        .concat();
    let config = format!(
        "daemon off;\npid /tmp/nginx.pid;\nworker_processes 2;\nevents {{}}\n\
         http {{ access_log off; {places}\n\
         server {{ listen 127.0.0.1:{port}; root /snap/nginx/current/www; }} }}\n"
    );
    put(&tree, "etc/nginx.conf", &config);
    put(&tree, "etc/passwd", "nobody:x:65534:65534::/:\n");
    put(&tree, "etc/group", "nogroup:x:65534:\n");
    put(&tree, "www/index.html", "a page of the snap\n");
    bench.install(&pack(&tree, &bench.dir, "test"));
    let answer = get(&bench, port);
    assert!(answer.contains("a page of the snap"), "{answer}");
    assert_eq!(bench.service("nginx.main")["state"], "active");
    bench.ask(&["stop", "nginx"]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_python_program_serves_a_page() {
    let (bench, port) = (Bench::new(), port());
    let snap = server("snake", &format!("bin/python3 $SNAP/serve.py {port}"));
    let tree = snap.tree(&bench.dir);
    // Debian's, whatever its version is.
    let python = fs::canonicalize("/usr/bin/python3").expect("Debian's package python3");
    borrow(&tree, python.to_str().unwrap(), "bin/python3");
    let library = tree.join("usr/lib");
    fs::create_dir_all(&library).unwrap();
    let modules = Path::new("/usr/lib").join(python.file_name().unwrap());
    run(Command::new("cp").arg("-r").arg(modules).arg(&library));
    // The modules that the program uses have no further libraries; those of others are not needed.
    let program = "import http.server, os, sys, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'{os.getuid()} {threading.active_count() > 1}\\n'.encode())
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Page).serve_forever()
";
    put(&tree, "serve.py", program);
    bench.install(&pack(&tree, &bench.dir, "test"));
    let answer = get(&bench, port);
    assert!(answer.ends_with("20000 True\n"), "{answer}");
}
