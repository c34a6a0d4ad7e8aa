//! Device trees as devices get them: the kernel's own, with what its authors leave to the owner of
//! a board.
//!
//! That is the SPI bus of the header, which is off in all of them: it is turned on, with a node for
//! each chip select that spidev binds to, so that `/dev/spidev0.N` is there to be granted. The chip
//! selects are driven as GPIO lines, which is what the driver does with its own ones anyway
//! (drivers/spi/spi-bcm2835.c).

use crate::{
    Error, Result,
    board::{Board, HeaderSpi},
    tool,
};
use std::{fs, path::Path};

/// What spidev binds to. There is no neutral name that it takes: "spidev" itself is refused, since
/// a tree tells what a chip is and not which driver it wants.
const COMPATIBLE: &str = "rohm,dh2228fv";
/// The clock in Hz until an app sets its own: what wires to the header's pins bear.
const MAX_CLOCK: &str = "10000000";
/// Flag of a GPIO line that is active when it is low.
const ACTIVE_LOW: &str = "1";

/// A tree of the board, from the folder that the kernel's build left them in.
pub fn read(board: &Board, folder: &Path, name: &str) -> Result<Vec<u8>> {
    let original = folder.join(name);
    let bytes = fs::read(&original).map_err(Error::file("read", &original))?;
    let Some(spi) = &board.image.header_spi else { return Ok(bytes) };
    let work = tempfile::tempdir().map_err(Error::file("create", std::env::temp_dir()))?;
    let tree = work.path().join("tree.dtb");
    fs::write(&tree, bytes).map_err(Error::file("write", &tree))?;
    turn_on(&tree, spi)?;
    fs::read(&tree).map_err(Error::file("read", &tree))
}

/// All trees of the board by file name.
pub fn all(board: &Board, folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let names = board.image.dtbs.iter();
    names.map(|name| Ok((name.clone(), read(board, folder, name)?))).collect()
}

fn turn_on(tree: &Path, spi: &HeaderSpi) -> Result<()> {
    let put = |kind: &str, node: &str, property: &str, values: &[&str]| {
        let mut command = tool::command("fdtput")?;
        command.args(["-p", "-t", kind]).arg(tree).args([node, property]).args(values);
        tool::run(&mut command).map(drop)
    };
    let handle = |node: &str| {
        let mut command = tool::command("fdtget")?;
        tool::run(command.args(["-t", "u"]).arg(tree).args([node, "phandle"]))
            .map(|text| text.trim().to_string())
    };
    let numbers = |list: &[u32]| list.iter().map(u32::to_string).collect::<Vec<String>>();
    let (pins, gpio) = (handle(&spi.pins)?, handle(&spi.gpio)?);
    let data = numbers(&spi.data);
    put("u", &spi.pins, "brcm,pins", &data.iter().map(String::as_str).collect::<Vec<_>>())?;
    put("s", &spi.bus, "pinctrl-names", &["default"])?;
    put("u", &spi.bus, "pinctrl-0", &[&pins])?;
    let selects = numbers(&spi.selects);
    let lines: Vec<&str> =
        selects.iter().flat_map(|line| [gpio.as_str(), line, ACTIVE_LOW]).collect();
    put("u", &spi.bus, "cs-gpios", &lines)?;
    put("s", &spi.bus, "status", &["okay"])?;
    for select in 0..spi.selects.len() {
        let node = format!("{}/spidev@{select}", spi.bus);
        put("s", &node, "compatible", &[COMPATIBLE])?;
        put("u", &node, "reg", &[&select.to_string()])?;
        put("u", &node, "spi-max-frequency", &[MAX_CLOCK])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const SOURCE: &str = r#"/dts-v1/;
/ {
    soc {
        gpio@7e200000 {
            phandle = <7>;
            spi0-gpio7 { brcm,pins = <7 8 9 10 11>; brcm,function = <4>; phandle = <49>; };
        };
        spi@7e204000 { #address-cells = <1>; #size-cells = <0>; status = "disabled"; };
    };
};
"#;

    #[test]
    fn the_bus_of_the_header_is_on_in_every_tree_of_a_pi() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["rpi3", "rpi4"] {
            let board = crate::board::load(id).unwrap();
            let source = folder.path().join("tree.dts");
            fs::write(&source, SOURCE).unwrap();
            for name in &board.image.dtbs {
                let mut compile = Command::new("dtc");
                compile.args(["-q", "-O", "dtb", "-o"]).arg(folder.path().join(name)).arg(&source);
                assert!(compile.status().unwrap().success());
            }
            let trees = all(&board, folder.path()).unwrap();
            assert_eq!(trees.len(), board.image.dtbs.len());
            for (name, bytes) in trees {
                let tree = folder.path().join("edited.dtb");
                fs::write(&tree, bytes).unwrap();
                let get = |node: &str, property: &str| {
                    let mut command = Command::new("fdtget");
                    let output = command.arg(&tree).args([node, property]).output().unwrap();
                    String::from_utf8(output.stdout).unwrap().trim().to_string()
                };
                let bus = "/soc/spi@7e204000";
                for (node, property, expected) in [
                    (bus, "status", "okay"),
                    (bus, "cs-gpios", "7 8 1 7 7 1"),
                    (bus, "pinctrl-0", "49"),
                    ("/soc/gpio@7e200000/spi0-gpio7", "brcm,pins", "9 10 11"),
                    ("/soc/spi@7e204000/spidev@1", "reg", "1"),
                    ("/soc/spi@7e204000/spidev@1", "compatible", COMPATIBLE),
                ] {
                    assert_eq!(get(node, property), expected, "{name}: {node} {property}");
                }
            }
        }
    }

    #[test]
    fn a_tree_without_such_a_bus_stops_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let mut compile = Command::new("dtc");
        let source = folder.path().join("empty.dts");
        fs::write(&source, "/dts-v1/; / { };").unwrap();
        let board = crate::board::load("rpi3").unwrap();
        let name = &board.image.dtbs[0];
        compile.args(["-q", "-O", "dtb", "-o"]).arg(folder.path().join(name)).arg(&source);
        assert!(compile.status().unwrap().success());
        let error = read(&board, folder.path(), name).unwrap_err().to_string();
        assert!(error.contains("fdtget") && error.contains("spi0-gpio7"), "{error}");
    }
}
