//! The command line: one file per group of commands.

mod app;
mod card;
mod image;
mod keys;
mod release;

use clap::{Parser, Subcommand};
use image_builder::Result;

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
    Image(image::ImageCommand),
    /// Signing keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Signed releases.
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Apps.
    #[command(subcommand)]
    App(app::AppCommand),
    /// Write an image to a card.
    Flash(card::FlashArgs),
    /// Write device.toml into the boot partition of an image or a card.
    Provision(card::ProvisionArgs),
}

impl Cli {
    /// Does what the command line asks.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Image(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Release(command) => command.run(),
            Command::App(command) => command.run(),
            Command::Flash(args) => args.run(),
            Command::Provision(args) => args.run(),
        }
    }
}
