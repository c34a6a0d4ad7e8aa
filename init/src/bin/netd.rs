//! netd: brings the network up and keeps it so. Everything is in the library; see [`init::net`].

fn main() {
    init::net::daemon::run()
}
