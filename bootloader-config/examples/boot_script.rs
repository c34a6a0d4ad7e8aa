//! Prints the boot script: `cargo run -p bootloader-config --example boot_script [virt]`.

use bootloader_config::script::{Platform, write_default_environment};

fn main() {
    let virt = std::env::args().nth(1).is_some_and(|name| name == "virt");
    let platform = if virt { Platform::Virt } else { Platform::RaspberryPi };
    let mut text = String::new();
    write_default_environment(&mut text, platform).expect("a String takes any text");
    print!("{text}");
}
