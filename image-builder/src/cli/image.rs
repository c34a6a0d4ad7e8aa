//! `holdfast image …`

use clap::{Args, Subcommand};
use image_builder::{Binaries, Error, ImageSpec, Outputs, Result, report};
use protocol::checks::Check;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build the SD image and the release of a board.
    Build(BuildArgs),
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Board: rpi3, rpi4, rpi5 or virt.
    #[arg(long)]
    board: String,
    /// Where the files go.
    #[arg(long)]
    out: PathBuf,
    /// Version for people.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
    /// Sequence of the release: higher is newer.
    #[arg(long, default_value_t = 1)]
    sequence: u64,
    /// Lowest sequence that may still run once this release is confirmed.
    #[arg(long, default_value_t = 1)]
    floor: u64,
    /// Folder of the keys, from `holdfast keys init`.
    #[arg(long, default_value = "keys")]
    keys: PathBuf,
    /// Provisioning for the boot partition; a commented template without it.
    #[arg(long)]
    device_toml: Option<PathBuf>,
    /// Folder that is copied over the root file system; may be repeated.
    #[arg(long)]
    overlay: Vec<PathBuf>,
    /// Appended to the kernel command line.
    #[arg(long, default_value = "")]
    cmdline: String,
    /// Notes of the release.
    #[arg(long, default_value = "")]
    notes: String,
    /// Seconds that the health gate waits.
    #[arg(long, default_value_t = image_builder::spec::HEALTH_TIMEOUT_S)]
    health_timeout: u32,
    /// A release is healthy without having reached the fleet server.
    #[arg(long)]
    fleet_optional: bool,
    /// What else must hold on the trial boot: service:NAME, app:SNAP[.APP] or fleet:SECONDS
    /// (reached within so many seconds of the kernel's start); may be repeated.
    #[arg(long)]
    check: Vec<Check>,
    /// Boots that a trial of the release may use.
    #[arg(long, default_value_t = image_builder::spec::TRIAL_ATTEMPTS)]
    trial_attempts: u8,
    /// Folder of device programs that are built already.
    #[arg(long)]
    prebuilt: Option<PathBuf>,
    /// Only the release, no SD image.
    #[arg(long)]
    release_only: bool,
}

impl ImageCommand {
    pub fn run(self) -> Result<()> {
        match self {
            ImageCommand::Build(args) => args.run(),
        }
    }
}

impl BuildArgs {
    fn run(self) -> Result<()> {
        let spec = ImageSpec {
            sequence: self.sequence,
            floor: self.floor,
            overlays: self.overlay,
            cmdline_extra: self.cmdline,
            notes: self.notes,
            device_toml: self.device_toml,
            health_timeout_s: self.health_timeout,
            fleet_required: !self.fleet_optional,
            checks: self.check,
            trial_attempts: self.trial_attempts,
            binaries: self.prebuilt.map_or(Binaries::Build, Binaries::Prebuilt),
            outputs: if self.release_only { Outputs::Release } else { Outputs::All },
            ..ImageSpec::new(&self.board, &self.version, self.keys)
        };
        let built = image_builder::build(&spec, &self.out)?;
        print!("{}", built.report);
        let files = [built.image, built.compressed, built.bmap, built.imager];
        let release = [built.slot_image, built.manifest, built.payload];
        for path in files.into_iter().flatten().chain(release) {
            println!("{}", path.display());
        }
        match built.report.compressed {
            Some(size) if size > report::COMPRESSED_LIMIT => {
                let what = "the compressed SD image".into();
                Err(Error::TooLarge { what, size, limit: report::COMPRESSED_LIMIT })
            }
            _ => Ok(()),
        }
    }
}
