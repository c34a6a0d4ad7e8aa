//! The command line.

use clap::{Args, Parser, Subcommand};
use image_builder::{Binaries, Error, ImageSpec, Outputs, Result, keys};
use std::path::PathBuf;

/// Builds, signs, flashes and provisions Holdfast.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// SD images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Signing keys.
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Build the SD image and the release of a board.
    Build(BuildArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
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
    /// Notes of the release.
    #[arg(long, default_value = "")]
    notes: String,
    /// Seconds that the health gate waits.
    #[arg(long, default_value_t = 300)]
    health_timeout: u32,
    /// A release is healthy without having reached the fleet server.
    #[arg(long)]
    fleet_optional: bool,
    /// Boots that a trial of the release may use.
    #[arg(long, default_value_t = 3)]
    trial_attempts: u8,
    /// Folder of device programs that are built already.
    #[arg(long)]
    prebuilt: Option<PathBuf>,
    /// Only the release, no SD image.
    #[arg(long)]
    release_only: bool,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key pair for each role and the signed key set.
    Init {
        /// Folder, made when it is not there.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Show the key set of a folder.
    Show {
        /// Folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

impl Cli {
    /// Does what the command line asks.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Image(ImageCommand::Build(args)) => build(args),
            Command::Keys(KeysCommand::Init { dir }) => {
                keys::init(&dir)?;
                show_keys(&dir)
            }
            Command::Keys(KeysCommand::Show { dir }) => show_keys(&dir),
        }
    }
}

fn build(args: BuildArgs) -> Result<()> {
    let spec = ImageSpec {
        sequence: args.sequence,
        floor: args.floor,
        overlays: args.overlay,
        notes: args.notes,
        device_toml: args.device_toml,
        health_timeout_s: args.health_timeout,
        fleet_required: !args.fleet_optional,
        trial_attempts: args.trial_attempts,
        binaries: args.prebuilt.map_or(Binaries::Build, Binaries::Prebuilt),
        outputs: if args.release_only { Outputs::Release } else { Outputs::All },
        ..ImageSpec::new(&args.board, &args.version, args.keys)
    };
    let built = image_builder::build(&spec, &args.out)?;
    print!("{}", built.report);
    let files = [built.image, built.compressed, built.bmap, built.imager];
    for path in files.into_iter().flatten().chain([built.manifest, built.payload]) {
        println!("{}", path.display());
    }
    match built.report.compressed {
        Some(size) if size > image_builder::report::COMPRESSED_LIMIT => Err(Error::TooLarge {
            what: "the compressed SD image".into(),
            size,
            limit: image_builder::report::COMPRESSED_LIMIT,
        }),
        _ => Ok(()),
    }
}

fn show_keys(dir: &std::path::Path) -> Result<()> {
    let set = keys::key_set(dir)?;
    println!("key set version {}", set.version);
    let roles = &set.roles;
    let roles =
        [("root", &roles.root), ("release", &roles.release), ("fleet", &roles.fleet), ("app", &roles.app)];
    for (name, role) in roles {
        let ids: Vec<String> = role.keys.iter().map(ToString::to_string).collect();
        println!("{name:<8} {} of {}: {}", role.threshold, ids.len(), ids.join(", "));
    }
    Ok(())
}
