//! The sample app for a serial port, a SPI chip and removable media, each as far as it is
//! connected: lines that a meter sends are kept on every stick that is plugged in, and which chip
//! is on the bus is printed.

use embedded_hal::spi::SpiDevice;
use rustix::termios::{self, OptionalActions};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    thread,
    time::Duration,
};

/// Where sticks are.
const MEDIA: &str = "/media";
/// The file on each of them.
const LOG: &str = "meter.log";
/// Command of any serial flash: tell manufacturer and kind (JEDEC JEP106, JESD216).
const READ_ID: u8 = 0x9f;
/// Bits in a second.
const SPEED: u32 = 115_200;
/// Without a meter there is nothing to do but to be asked for.
const IDLE: Duration = Duration::from_secs(60);

fn main() {
    match chip() {
        Ok(id) => println!("chip {:02x}{:02x}{:02x}", id[0], id[1], id[2]),
        Err(error) => println!("{error}"),
    }
    match hardware::serial("meter") {
        Ok(port) => match keep(&port) {
            Ok(()) => println!("meter: the line was closed"),
            Err(error) => println!("meter: {error}"),
        },
        Err(error) => {
            println!("{error}");
            loop {
                thread::sleep(IDLE);
            }
        }
    }
}

fn chip() -> Result<[u8; 3], hardware::Error> {
    let mut id = [0; 3];
    let mut operations = [
        embedded_hal::spi::Operation::Write(&[READ_ID]),
        embedded_hal::spi::Operation::Read(&mut id),
    ];
    hardware::spi("flash")?.transaction(&mut operations)?;
    Ok(id)
}

/// Keeps every line, and answers it.
fn keep(port: &File) -> io::Result<()> {
    let mut mode = termios::tcgetattr(port)?;
    // Bytes as they are, none sent back.
    mode.make_raw();
    mode.set_speed(SPEED)?;
    termios::tcsetattr(port, OptionalActions::Now, &mode)?;
    println!("meter: listening");
    for line in BufReader::new(port).lines() {
        let line = line?;
        let kept = sticks().iter().filter(|stick| append(stick, &line).is_ok()).count();
        println!("meter: {line}: kept on {kept}");
        writeln!(&*port, "kept on {kept}")?;
    }
    Ok(())
}

fn sticks() -> Vec<std::path::PathBuf> {
    let list = fs::read_dir(MEDIA).into_iter().flatten().flatten();
    list.map(|entry| entry.path()).collect()
}

fn append(stick: &Path, line: &str) -> io::Result<()> {
    let mut log = File::options().create(true).append(true).open(stick.join(LOG))?;
    writeln!(log, "{line}")?;
    log.sync_all()
}
