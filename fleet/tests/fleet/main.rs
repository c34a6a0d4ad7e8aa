//! The fleet server with a real broker and scripted gateways that speak real TLS and MQTT.
//!
//! Needs Debian's packages `mosquitto` and `chromium`; `cargo xtask test` installs them.

mod api;
mod browser;
mod dashboard;
mod deltas;
mod enrollment;
mod gateway;
mod keys;
mod policy;
mod ranges;
mod releases;
mod rights;
mod stage;
