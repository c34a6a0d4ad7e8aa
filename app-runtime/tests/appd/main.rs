//! The real appd with real snaps: mksquashfs, loop mounts, namespaces, signatures, the control
//! socket and snapctl. Needs
//! root and Debian's squashfs-tools and busybox-static, and says so.

mod bases;
mod bench;
mod changes;
mod connections;
mod content;
mod damage;
mod debian;
mod foreign;
mod hooks;
mod images;
mod isolation;
mod layouts;
mod life;
mod media;
mod network;
mod power;
mod readiness;
mod refresh;
mod refusals;
mod snap;
mod snapshots;
mod sockets;
mod software;
mod stops;
mod timer;
