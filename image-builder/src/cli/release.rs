//! `holdfast release …`

use clap::Subcommand;
use image_builder::{
    Result, keys,
    release::{self, Signing},
};
use protocol::{keys::to_hex, release::ReleaseManifest};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Sign a manifest anew, with one or more keys, or add to the signatures that it has.
    ///
    /// Where the role `release` has a threshold, its keys are on different machines: the first
    /// signs with `--partial`, the others with `--add`.
    Sign {
        /// Manifest.
        manifest: PathBuf,
        /// Private key file; may be repeated.
        #[arg(long, required = true)]
        key: Vec<PathBuf>,
        /// Others will add their signatures.
        #[arg(long, conflicts_with = "add")]
        partial: bool,
        /// Keep the signatures that are there.
        #[arg(long)]
        add: bool,
        /// Where the signed manifest goes.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Show a manifest without verifying it.
    Inspect {
        /// Manifest.
        manifest: PathBuf,
    },
    /// Verify a manifest, and its payload chunk by chunk.
    Verify {
        /// Manifest.
        manifest: PathBuf,
        /// Payload container.
        payload: Option<PathBuf>,
        /// Folder with the key set.
        #[arg(long, default_value = "keys")]
        keys: PathBuf,
    },
}

impl ReleaseCommand {
    pub fn run(self) -> Result<()> {
        match self {
            ReleaseCommand::Sign { manifest, key, partial, add, output } => {
                let keys = key.iter().map(|path| keys::private_file(path));
                let keys = keys.collect::<Result<Vec<_>>>()?;
                let how = match (partial, add) {
                    (_, true) => Signing::Add,
                    (true, false) => Signing::Partial,
                    (false, false) => Signing::Anew,
                };
                let manifest = release::sign(&manifest, &keys, how, &output)?;
                let ids: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
                println!("{} {}: signed by {}", manifest.product, manifest.version, ids.join(", "));
            }
            ReleaseCommand::Inspect { manifest } => {
                let (manifest, keys) = release::inspect(&manifest)?;
                show(&manifest);
                println!("signed by      {} (not verified)", keys.join(", "));
            }
            ReleaseCommand::Verify { manifest, payload, keys } => {
                let set = keys::key_set(&keys)?;
                let verified = release::verify(&manifest, payload.as_deref(), &set)?;
                show(&verified.manifest);
                println!("signature      good");
                if let Some(chunks) = verified.chunks {
                    println!("payload        good, {chunks} chunks");
                }
            }
        }
        Ok(())
    }
}

fn show(manifest: &ReleaseManifest) {
    println!("product        {}", manifest.product);
    println!("boards         {}", manifest.boards.join(", "));
    println!("version        {}", manifest.version);
    println!("sequence       {} (floor {})", manifest.sequence, manifest.floor);
    println!("created        {}", image_builder::fat::civil_date(manifest.created));
    println!("image          {} bytes, {} chunks", manifest.image_size, manifest.chunks());
    println!("image digest   {}", to_hex(&manifest.image_digest));
    println!("payload        {} bytes", manifest.payload_size);
    println!("payload digest {}", to_hex(&manifest.payload_digest));
    println!("trial          {} attempts", manifest.trial_attempts);
    let fleet = if manifest.fleet_required { "required" } else { "optional" };
    println!("health         {} s, fleet {fleet}", manifest.health_timeout_s);
    if !manifest.notes.is_empty() {
        println!("notes          {}", manifest.notes);
    }
}
