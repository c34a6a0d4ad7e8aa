//! What to build, and what came out.
//!
//! A test makes many releases quickly: build once with [`Binaries::Build`], then `..spec.clone()`
//! with [`Binaries::Prebuilt`], other versions, overlays and faults, and [`Outputs::Release`].

use protocol::checks::Check;
use std::path::PathBuf;

/// Boots that a trial may use, unless told otherwise: one for the release, one for a power cut, one
/// to spare.
pub const TRIAL_ATTEMPTS: u8 = 3;
/// Seconds that the health gate waits, unless told otherwise: DHCP, SNTP and TLS over a slow link
/// take minutes.
pub const HEALTH_TIMEOUT_S: u32 = 300;

/// Everything that decides the bytes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// Board id, a file of `board-support/boards`.
    pub board: String,
    /// Version for people.
    pub version: String,
    /// Sequence of the release, at least 1.
    pub sequence: u64,
    /// Lowest sequence that may still run once this release is confirmed.
    pub floor: u64,
    /// Folder made by [`crate::keys::init`].
    pub keys_dir: PathBuf,
    /// Folders copied over the root tree, in order.
    pub overlays: Vec<PathBuf>,
    /// Appended to the kernel command line.
    pub cmdline_extra: String,
    /// Boots that a trial of the release may use, 1 to 7.
    pub trial_attempts: u8,
    /// Seconds that the health gate waits.
    pub health_timeout_s: u32,
    /// Whether the fleet must be reached for the release to be healthy (where the device has one).
    pub fleet_required: bool,
    /// What else must hold on the trial boot of the release.
    pub checks: Vec<Check>,
    /// Notes of the release, for people.
    pub notes: String,
    /// `device.toml` for the boot partition; a commented template when absent.
    pub device_toml: Option<PathBuf>,
    /// Where the device's programs come from.
    pub binaries: Binaries,
    /// What to write.
    pub outputs: Outputs,
    /// Deliberate damage, for tests of the fallback.
    pub fault: Option<Fault>,
    /// Unix seconds in every file; [`crate::build::default_build_time`] when absent.
    pub build_time: Option<u64>,
}

impl ImageSpec {
    /// A first release (sequence 1, floor 1) of a board with the defaults of the command line.
    pub fn new(board: &str, version: &str, keys_dir: impl Into<PathBuf>) -> Self {
        Self {
            board: board.into(),
            version: version.into(),
            sequence: 1,
            floor: 1,
            keys_dir: keys_dir.into(),
            overlays: Vec::new(),
            cmdline_extra: String::new(),
            trial_attempts: TRIAL_ATTEMPTS,
            health_timeout_s: HEALTH_TIMEOUT_S,
            fleet_required: true,
            checks: Vec::new(),
            notes: String::new(),
            device_toml: None,
            binaries: Binaries::Build,
            outputs: Outputs::All,
            fault: None,
            build_time: None,
        }
    }
}

/// Where the programs of the device come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binaries {
    /// `cargo build` with the device profile.
    Build,
    /// A folder that has them, e.g. [`BuiltImage::binaries`] of an earlier build.
    Prebuilt(PathBuf),
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// SD image, compressed image, block map, Imager's repository and the release.
    All,
    /// SD image and release, nothing compressed but the payload.
    Image,
    /// Only the release: slot image, manifest and payload.
    Release,
}

/// Deliberate damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The kernel's bytes do not have the digest that the FIT states: U-Boot must not boot it.
    KernelHash,
    /// The first block of the root file system does not match the hash tree: the kernel must panic.
    RootBlock,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The spec's version.
    pub version: String,
    /// SD image, sparse; absent with [`Outputs::Release`].
    pub image: Option<PathBuf>,
    /// Compressed SD image, with [`Outputs::All`].
    pub compressed: Option<PathBuf>,
    /// Block map, with [`Outputs::All`].
    pub bmap: Option<PathBuf>,
    /// Repository file of Raspberry Pi Imager, with [`Outputs::All`].
    pub imager: Option<PathBuf>,
    /// Signed release manifest.
    pub manifest: PathBuf,
    /// Payload container.
    pub payload: PathBuf,
    /// Slot image.
    pub slot_image: PathBuf,
    /// Folder of the device's programs that were used.
    pub binaries: PathBuf,
    /// Sizes.
    pub report: crate::report::Report,
}
