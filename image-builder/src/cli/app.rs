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
}

impl AppCommand {
    pub fn run(self) -> Result<()> {
        let AppCommand::Pack { dir, key, output } = self;
        let key = key.map(|path| keys::private_file(&path)).transpose()?;
        let packed = app::pack(&dir, key.as_ref(), &output, build::default_build_time()?)?;
        let how = key.map_or("not signed".to_string(), |key| format!("signed by {}", key.id()));
        let app::Packed { name, version, size } = packed;
        println!("{}: {name} {version}, {size} bytes, {how}", output.display());
        Ok(())
    }
}
