//! timed: sets the clock by SNTP and keeps it. Everything is in the library; see [`init::time`].

fn main() {
    init::time::daemon::run();
}
