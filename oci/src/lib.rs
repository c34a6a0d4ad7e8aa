//! An OCI image becomes a snap: one squashfs that holds the image's files and a `meta/snap.yaml`
//! made from its configuration, so that everything that holds for snaps holds for it.
//!
//! | module | what |
//! |---|---|
//! | [`digest`], [`blobs`] | content by its SHA-256; nothing unverified is looked at |
//! | [`manifest`], [`config`] | the JSON of an image: index, manifest, configuration |
//! | `part` | a part of a file |
//! | [`archive`] | OCI layout and docker-archive as one tar file |
//! | [`layer`] | a compressed layer as a plain tar file on disk, bounded and verified |
//! | [`tree`], [`apply`] | layers upon each other: paths, links, whiteouts |
//! | [`process`], [`snap`] | what the image runs; the snap.yaml for it |
//! | [`squash`] | the tree as a squashfs |
//! | [`convert`] | all of it in order |
//!
//! What always holds: no name out of an image is ever a path of the machine that converts it: the
//! layers' files are never unpacked, their bytes go from the layer straight into the squashfs.
//! Every length, depth and count is bounded before it is believed. What is not honoured is refused
//! or told by name.
//!
//! Formats: OCI image specification 1.1 <https://github.com/opencontainers/image-spec>, and what
//! `docker save` writes (Docker image specification 1.2).

pub mod apply;
pub mod archive;
pub mod blobs;
pub mod config;
pub mod convert;
pub mod digest;
mod error;
pub mod layer;
pub mod manifest;
mod part;
pub mod process;
pub mod snap;
pub mod squash;
pub mod tree;

pub use error::{Error, Result};
