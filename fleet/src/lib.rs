//! The fleet server of Holdfast: gateways enrol with it, report to it and are told by it what to
//! run.
//!
//! ```text
//! person, programs -- HTTP --> api, pages -+
//!                                          +- core -- store (SQLite), artifacts (files)
//! device -- HTTPS --> device --------------+      +-- signer (key set, online fleet key)
//! device -- MQTT --> mosquitto -- link --> ingest
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`server`] | starts and stops all of it; [`Server::start`] |
//! | [`client`] | blocking API client for programs and tests |
//! | [`config`] | what a server is started with |
//! | [`core`] | operations that touch several parts: deploy, command, revoke |
//! | [`api`], [`pages`] | HTTP API and dashboard for people |
//! | [`device`] | HTTPS for devices: enrolment, artefacts, deltas |
//! | [`broker`] | mosquitto: configuration, access list, supervision, own connection |
//! | [`ingest`], [`rollout`] | messages become state; state becomes progress |
//! | [`ca`], [`signer`] | certificates; assignments and commands |
//! | [`store`], [`artifacts`] | what is kept |
//! | [`deltas`] | changes between releases, made on demand |
//! | [`feed`], [`sntp`] | news for listeners; time for closed networks |
//! | [`tls`], [`clock`], [`error`] | listener, time and randomness, errors with their codes |
//!
//! Invariants: the server can say who runs what is signed, never what may run (no release key
//! here); the broker is not trusted (what makes a device act is signed); a device speaks for itself
//! only.

pub mod api;
pub mod artifacts;
pub mod broker;
pub mod ca;
pub mod client;
pub mod clock;
pub mod config;
pub mod core;
pub mod deltas;
pub mod device;
pub mod error;
pub mod feed;
pub mod ingest;
pub mod pages;
pub mod rollout;
pub mod server;
pub mod signer;
pub mod sntp;
pub mod store;
pub mod tls;

pub use config::{Config, Ports};
pub use error::Error;
pub use server::{Running, Server};
