//! Test tool: makes system calls that a confined app must not get, and prints how each ended, one
//! `NAME RESULT` a line.
//! `sandbox/tests/attempts.rs` runs it inside a sandbox and compares; outside of one it is harmless
//! only by luck, so it
//! refuses to run when no filter is in force.

mod syscalls;

fn main() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !status.lines().any(|line| line == "Seccomp:\t2") {
        eprintln!("not confined; refusing to try");
        std::process::exit(1);
    }
    for (name, result) in syscalls::attempts() {
        println!("{name} {result}");
    }
}
