//! Fetches and builds parts: `cargo run -p image-builder --example sources kernel rpi virt
//! firmware`.

use image_builder::board::UBoot;
use image_builder::sources::Cache;

fn main() -> image_builder::Result<()> {
    let cache = Cache::open()?;
    for part in std::env::args().skip(1) {
        let path = match part.as_str() {
            "kernel" => cache.kernel()?.image,
            "rpi" => cache.uboot(UBoot::Rpi)?,
            "virt" => cache.uboot(UBoot::Virt)?,
            "firmware" => cache.firmware()?,
            other => panic!("{other} is none of kernel, rpi, virt, firmware"),
        };
        println!("{}", path.display());
    }
    Ok(())
}
