//! `holdfast flash` and `holdfast provision`

use clap::Args;
use image_builder::{
    Error, Result,
    flash::{self, Judgement, Target},
    provision,
};
use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

#[derive(Debug, Args)]
pub struct FlashArgs {
    /// Image: .img or .img.zst, with the .bmap beside it.
    image: PathBuf,
    /// Card reader's device, e.g. /dev/sdb.
    device: PathBuf,
    /// The target is a regular file, not a device.
    #[arg(long)]
    file: bool,
    /// Provisioning to write into the boot partition.
    #[arg(long)]
    device_toml: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ProvisionArgs {
    /// Uncompressed image, or a card's device.
    image: PathBuf,
    /// The file to check and write.
    #[arg(long)]
    device_toml: PathBuf,
}

impl FlashArgs {
    pub fn run(self) -> Result<()> {
        // A mistake in the file shall show before the card is written.
        provision::text(self.device_toml.as_deref())?;
        let mut shown = String::new();
        let mut progress = |what: &str, done: u64, total: u64| show(&mut shown, what, done, total);
        if self.file {
            flash::image_to_file(&self.image, &self.device, &mut progress)?;
        } else {
            self.check_device()?;
            flash::image_to_device(&self.image, &self.device, &mut progress)?;
        }
        if let Some(device_toml) = &self.device_toml {
            provision::provision(&self.device, device_toml)?;
        }
        eprintln!("\r{}: written and verified", self.device.display());
        Ok(())
    }

    fn check_device(&self) -> Result<()> {
        let target = Target::of(&self.device)?;
        let image_size = flash::write::block_map(&self.image)?.image_size;
        match flash::judge(&target, image_size) {
            Judgement::Allowed => Ok(()),
            Judgement::Refused(why) => Err(Error::Input(why)),
            Judgement::AskForName(why) => {
                let name = &target.name;
                eprintln!("{why}. Everything on it will be lost. Type {name} to go on:");
                let mut answer = String::new();
                let read = std::io::stdin().lock().read_line(&mut answer);
                read.map_err(Error::file("read", "standard input"))?;
                if answer.trim() == name {
                    Ok(())
                } else {
                    Err(Error::input("nothing was written"))
                }
            }
        }
    }
}

impl ProvisionArgs {
    pub fn run(self) -> Result<()> {
        if self.image.extension().is_some_and(|extension| extension == "zst") {
            let text = "a compressed image cannot be provisioned; use `holdfast flash IMAGE DEVICE \
                 --device-toml FILE`, or the .img";
            return Err(Error::input(text));
        }
        provision::provision(&self.image, &self.device_toml)?;
        println!("{}: {} written", self.image.display(), provision::FILE);
        Ok(())
    }
}

/// One line that is overwritten, only where somebody looks.
fn show(shown: &mut String, what: &str, done: u64, total: u64) {
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    let line = format!("{what} {percent} %, {} of {} MB", done / 1_000_000, total / 1_000_000);
    if line != *shown && std::io::stderr().is_terminal() {
        eprint!("\r{line}\x1b[K");
        let _ = std::io::stderr().flush();
        *shown = line;
    }
}
