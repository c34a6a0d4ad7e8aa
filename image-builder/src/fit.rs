//! The FIT (flattened image tree) that U-Boot boots: kernel, device trees, the script `cmdline`.
//!
//! A FIT is a device tree whose properties hold the files. Each image has the SHA-256 of its data,
//! which U-Boot checks before use; one configuration per device tree is named as the tree's file.
//! Written here instead of by `mkimage`, whose output depends on the clock and on the version of
//! dtc. Sources: the Devicetree Specification 0.4 chapter 5, and the Flat Image Tree specification
//! of U-Boot.

use crate::spec::Fault;
use bootloader_config::layout::{FIT_CMDLINE_IMAGE, FIT_VIRT_CONFIGURATION};
use sha2::{Digest, Sha256};

/// What goes in.
pub struct Fit<'a> {
    /// For people.
    pub description: &'a str,
    /// Unix seconds.
    pub timestamp: u32,
    /// Uncompressed arm64 `Image`.
    pub kernel: &'a [u8],
    /// Where the kernel is placed and entered.
    pub kernel_load: u32,
    /// Device trees by file name; the first is the default.
    pub trees: &'a [(String, Vec<u8>)],
    /// U-Boot script that sets `bootargs`.
    pub cmdline: &'a str,
    /// [`Fault::KernelHash`] flips one bit of the kernel after it was hashed.
    pub fault: Option<Fault>,
}

impl Fit<'_> {
    /// The bytes of the FIT.
    pub fn encode(&self) -> Vec<u8> {
        let mut tree = Tree::default();
        tree.begin("");
        tree.word("timestamp", self.timestamp);
        tree.text("description", self.description);
        tree.word("#address-cells", 1);
        tree.begin("images");
        self.kernel_image(&mut tree);
        for (name, data) in self.trees {
            tree.image(&format!("fdt-{name}"), name, "flat_dt", data, |tree| {
                tree.text("arch", "arm64");
            });
        }
        tree.image(
            FIT_CMDLINE_IMAGE,
            "Kernel command line",
            "script",
            self.cmdline.as_bytes(),
            |_| {},
        );
        tree.end();
        self.configurations(&mut tree);
        tree.end();
        tree.finish()
    }

    fn kernel_image(&self, tree: &mut Tree) {
        tree.image("kernel", "Linux", "kernel", self.kernel, |tree| {
            tree.text("arch", "arm64");
            tree.text("os", "linux");
            tree.word("load", self.kernel_load);
            tree.word("entry", self.kernel_load);
        });
        if self.fault == Some(Fault::KernelHash) {
            let at = tree.data_start + self.kernel.len() / 2;
            tree.structure[at] ^= 1;
        }
    }

    fn configurations(&self, tree: &mut Tree) {
        tree.begin("configurations");
        let default = self.trees.first().map_or(FIT_VIRT_CONFIGURATION, |(name, _)| name);
        tree.text("default", default);
        if self.trees.is_empty() {
            tree.begin(FIT_VIRT_CONFIGURATION);
            tree.text("kernel", "kernel");
            tree.end();
        }
        for (name, _) in self.trees {
            tree.begin(name);
            tree.text("description", name);
            tree.text("kernel", "kernel");
            tree.text("fdt", &format!("fdt-{name}"));
            tree.end();
        }
        tree.end();
    }
}

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const END: u32 = 9;
/// Bytes of the header.
const HEADER: usize = 40;
/// Bytes of the memory reservation block with its terminating entry only.
const RESERVATIONS: usize = 16;

/// A device tree being written: the structure block and the names of its properties.
#[derive(Default)]
struct Tree {
    structure: Vec<u8>,
    names: Vec<u8>,
    /// Where the last image's data begins in the structure block.
    data_start: usize,
}

impl Tree {
    fn raw(&mut self, word: u32) {
        self.structure.extend_from_slice(&word.to_be_bytes());
    }

    fn pad(&mut self) {
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
    }

    fn begin(&mut self, name: &str) {
        self.raw(BEGIN_NODE);
        self.structure.extend_from_slice(name.as_bytes());
        self.structure.push(0);
        self.pad();
    }

    fn end(&mut self) {
        self.raw(END_NODE);
    }

    fn property(&mut self, name: &str, value: &[u8]) {
        self.raw(PROPERTY);
        self.raw(value.len() as u32);
        let name_at = self.name_offset(name);
        self.raw(name_at);
        self.structure.extend_from_slice(value);
        self.pad();
    }

    fn name_offset(&mut self, name: &str) -> u32 {
        let entry = [name.as_bytes(), &[0]].concat();
        let found = self.names.windows(entry.len()).position(|window| window == entry);
        found.unwrap_or_else(|| {
            self.names.extend_from_slice(&entry);
            self.names.len() - entry.len()
        }) as u32
    }

    fn text(&mut self, name: &str, value: &str) {
        self.property(name, &[value.as_bytes(), &[0]].concat());
    }

    fn word(&mut self, name: &str, value: u32) {
        self.property(name, &value.to_be_bytes());
    }

    /// One image with its data and digest; `more` adds the properties of its kind, which must stand
    /// before the digest's node.
    fn image(
        &mut self,
        node: &str,
        description: &str,
        kind: &str,
        data: &[u8],
        more: impl FnOnce(&mut Self),
    ) {
        self.begin(node);
        self.text("description", description);
        self.text("type", kind);
        self.text("compression", "none");
        more(self);
        self.property("data", data);
        self.data_start = self.structure.len() - data.len().next_multiple_of(4);
        self.begin("hash-1");
        self.text("algo", "sha256");
        self.property("value", &Sha256::digest(data));
        self.end();
        self.end();
    }

    fn finish(mut self) -> Vec<u8> {
        self.raw(END);
        let structure_at = HEADER + RESERVATIONS;
        let names_at = structure_at + self.structure.len();
        let total = names_at + self.names.len();
        let header = [
            MAGIC,
            total as u32,
            structure_at as u32,
            names_at as u32,
            HEADER as u32,
            17, // version
            16, // last compatible version
            0,  // boot CPU
            self.names.len() as u32,
            self.structure.len() as u32,
        ];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend_from_slice(&[0; RESERVATIONS]);
        bytes.extend_from_slice(&self.structure);
        bytes.extend_from_slice(&self.names);
        bytes
    }
}
