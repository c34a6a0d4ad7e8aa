//! `holdfast app …`

use clap::Subcommand;
use image_builder::{Result, app, build, keys};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Pack a folder with meta/snap.yaml into a snap.
    Pack {
        /// Folder.
        dir: PathBuf,
        /// Private key of the role `app`; without it the snap is not signed.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The snap.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Make a snap of an image of containers.
    Import {
        /// OCI layout or docker-archive as one tar file (`skopeo copy … oci-archive:FILE`).
        archive: PathBuf,
        /// Name of the snap; without it the image's own.
        #[arg(long)]
        name: Option<String>,
        /// Processor that the image is for, by Go's name.
        #[arg(long, default_value = "arm64")]
        architecture: String,
        /// Private key of the role `app`; without it the snap is not signed.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The snap.
        #[arg(short, long)]
        output: PathBuf,
    },
}

impl AppCommand {
    pub fn run(self) -> Result<()> {
        let read = |key: Option<PathBuf>| key.map(|path| keys::private_file(&path)).transpose();
        let (packed, key, output) = match self {
            AppCommand::Pack { dir, key, output } => {
                let key = read(key)?;
                let time = build::default_build_time()?;
                (app::pack(&dir, key.as_ref(), &output, time)?, key, output)
            }
            AppCommand::Import { archive, name, architecture, key, output } => {
                let key = read(key)?;
                let (packed, left_out) =
                    app::import(&archive, name.as_deref(), &architecture, key.as_ref(), &output)?;
                left_out.iter().for_each(|what| println!("left out: {what}"));
                (packed, key, output)
            }
        };
        let how = key.map_or("not signed".to_string(), |key| format!("signed by {}", key.id()));
        let app::Packed { name, version, size } = packed;
        println!("{}: {name} {version}, {size} bytes, {how}", output.display());
        Ok(())
    }
}
