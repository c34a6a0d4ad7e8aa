//! Real processes in real namespaces, looked at from inside. Needs root and Debian's
//! busybox-static, and says so.

mod attempts;
mod failures;
mod fence;
mod inside;
mod joined;
mod limits;
mod live;
mod needed;
mod scene;
mod service;
mod user;
