//! The sample app. `hello` greets every few seconds. `hello probe` tries to see the host and prints
//! what it got, one line an attempt: `probe: NAME hidden` or `VISIBLE`, `refused` or `ALLOWED`.
//! `hello serve` greets at port 80, `hello hog` takes memory until it is stopped, `hello clock`
//! sets the device's clock ahead if it may, `hello crash` fails at once.

mod attempts;
mod syscalls;

use std::{
    env,
    io::Write as _,
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Between two greetings.
const INTERVAL: Duration = Duration::from_secs(3);

/// What `hello clock` sets the clock ahead by.
const AHEAD_S: u64 = 3600;

/// Bytes that the hog takes at a time.
const HOG_BLOCK: usize = 8 << 20;
/// How often: far more than a service may have.
const HOG_BLOCKS: usize = 64;

fn main() {
    match env::args().nth(1).as_deref() {
        Some("probe") => probe(),
        Some("crash") => std::process::exit(3),
        Some("hog") => hog(),
        Some("serve") => serve(),
        Some("clock") => clock(),
        _ => greet(),
    }
}

fn greet() -> ! {
    let get = |name| env::var(name).unwrap_or_else(|_| "?".into());
    let (name, version) = (get("SNAP_INSTANCE_NAME"), get("SNAP_VERSION"));
    let common = get("SNAP_COMMON");
    let starts = count_start(&common).map_or_else(|e| e.to_string(), |n| n.to_string());
    loop {
        println!("Hello from {name} {version}, start {starts}");
        let _ = std::io::stdout().flush();
        thread::sleep(INTERVAL);
    }
}

/// A page for whoever connects.
fn serve() -> ! {
    let name = env::var("SNAP_INSTANCE_NAME").unwrap_or_else(|_| "?".into());
    let listener = TcpListener::bind("0.0.0.0:80").expect("port 80 is the snap's own");
    loop {
        if let Ok((mut stream, from)) = listener.accept() {
            println!("a page for {}", from.ip());
            let page = format!("HTTP/1.0 200 OK\r\n\r\nHello from {name}\n");
            // Who asks may be gone again.
            let _ = stream.write_all(page.as_bytes());
        }
    }
}

/// Sets the device's clock ahead, or says why not.
fn clock() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let wanted = now() + AHEAD_S;
    let asked = Command::new("/usr/bin/snapctl").args(["set-time", &wanted.to_string()]).output();
    match asked {
        Ok(output) if output.status.success() && now() >= wanted => println!("clock ALLOWED"),
        Ok(output) => {
            println!("clock refused ({})", String::from_utf8_lossy(&output.stderr).trim())
        }
        Err(error) => println!("clock refused ({error})"),
    }
}

/// Counts the starts in the data that all revisions share: what survives restarts, reboots and
/// refreshes.
/// Kept by a rename out of another folder, as by programs that leave no half of a file.
fn count_start(common: &str) -> std::io::Result<u32> {
    let (path, folder) = (format!("{common}/starts"), format!("{common}/new"));
    let before = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let starts = before.unwrap_or(0) + 1;
    std::fs::create_dir_all(&folder)?;
    let new = format!("{folder}/starts");
    std::fs::write(&new, format!("{starts}\n"))?;
    std::fs::rename(new, path)?;
    Ok(starts)
}

/// Takes memory, and uses it, until the limit of the service ends it.
fn hog() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    for _ in 0..HOG_BLOCKS {
        taken.push(vec![1; HOG_BLOCK]);
    }
    println!("hog: {} MiB ALLOWED", taken.iter().map(Vec::len).sum::<usize>() >> 20);
}

fn probe() {
    for line in attempts::all() {
        println!("probe: {line}");
    }
    println!("probe: done");
}
