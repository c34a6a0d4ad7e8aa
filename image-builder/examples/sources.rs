//! Fetches and builds parts: `cargo run -p image-builder --example sources kernel rpi virt
//! firmware`. `tarball` is U-Boot's source, as it is fetched.
//!
//! Before the parts may stand `CACHE LOCK KEYRING ADDRESS SUITE` after `--from`: another cache and
//! lock file, and a mirror of one's own.

use image_builder::board::UBoot;
use image_builder::sources::Cache;
use image_builder::sources::apt::Mirror;
use image_builder::sources::lock::{LockFile, Part};

fn main() -> image_builder::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let cache = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--from", cache, lock, keyring, address, suite, ..] => {
            let archives = vec![(address.to_owned(), suite.to_owned())];
            let mirror = Mirror { archives, keyring: keyring.into() };
            let cache = Cache::filled_from(cache, LockFile::at(lock), mirror)?;
            words.drain(..6);
            cache
        }
        _ => Cache::open()?,
    };
    for part in words {
        let path = match part.as_str() {
            "kernel" => cache.kernel()?.image,
            "rpi" => cache.uboot(UBoot::Rpi)?,
            "virt" => cache.uboot(UBoot::Virt)?,
            "firmware" => cache.firmware()?,
            "tarball" => cache.source(Part::UBoot)?,
            other => panic!("{other} is none of kernel, rpi, virt, firmware, tarball"),
        };
        println!("{}", path.display());
    }
    Ok(())
}
