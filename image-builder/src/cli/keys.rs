//! `holdfast keys …`

use clap::Subcommand;
use image_builder::{Result, keys};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
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

impl KeysCommand {
    pub fn run(self) -> Result<()> {
        match self {
            KeysCommand::Init { dir } => {
                keys::init(&dir)?;
                show(&dir)?;
                println!(
                    "\nKeep root.key and release.key offline. Only fleet.key belongs on the fleet \
                     server; app.key signs snaps."
                );
                Ok(())
            }
            KeysCommand::Show { dir } => show(&dir),
        }
    }
}

fn show(dir: &Path) -> Result<()> {
    let set = keys::key_set(dir)?;
    println!("key set version {}", set.version);
    let roles = &set.roles;
    let roles = [&roles.root, &roles.release, &roles.fleet, &roles.app];
    for (name, role) in keys::ROLES.iter().zip(roles) {
        let ids: Vec<String> = role.keys.iter().map(ToString::to_string).collect();
        println!("{name:<8} {} of {}: {}", role.threshold, ids.len(), ids.join(", "));
    }
    Ok(())
}
