//! PID 1 of Holdfast and its base services, as a library so that every part can be tested.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the one loop, `requests`: the control socket's meaning, `shutdown`: the orderly end |
//! | [`supervisor`], [`health`] | pure machines: services; the gate before a slot is confirmed |
//! | [`checks`] | health checks that the release declares; `missing`: all that the gate waits for |
//! | [`manifest`], [`launch`] | service manifests; from manifest to process |
//! | [`logs`], [`kmsg`] | output of services; init's own messages |
//! | [`control`], [`probe`] | server of init's socket; client of appd's |
//! | [`early`], [`disk`], [`ext4`], [`data`] | mounts; boot disk; data partition |
//! | [`repair`], [`check`], [`recover`] | a damaged data partition: the decision, e2fsck, the steps |
//! | [`spare`], [`guard`] | the spare copy in the gap; the data partition while the machine runs |
//! | [`provision`], [`facts`], [`boots`], [`floor`] | `device.toml`; this boot; the last boots; the clock's floor |
//! | [`slots`] | the U-Boot environment on the disk |
//! | [`panel`], [`watchdog`] | status LED and reset button; who pets the watchdog, and when |
//! | [`files`], [`clock`], [`memory`] | small files; times; memory of processes |
//! | [`root`] | where the base services find their files |
//! | [`net`] | netd: link, DHCPv4, DNS |
//! | [`notify`] | how a service says that it is ready |
//! | [`time`] | timed: SNTP |
//! | `sys_*` | system calls that rustix does not wrap; the only `unsafe` |

pub mod boots;
pub mod check;
pub mod checks;
pub mod clock;
pub mod control;
pub mod data;
pub mod disk;
pub mod early;
mod error;
pub mod ext4;
pub mod facts;
pub mod files;
pub mod floor;
pub mod guard;
pub mod health;
pub mod kmsg;
pub mod launch;
pub mod logs;
pub mod machine;
pub mod manifest;
pub mod memory;
mod missing;
pub mod net;
pub mod notify;
pub mod panel;
pub mod probe;
pub mod provision;
pub mod recover;
pub mod repair;
mod requests;
pub mod root;
pub mod shutdown;
pub mod slots;
pub mod spare;
pub mod supervisor;
mod sys_block;
mod sys_signal;
pub mod time;
pub mod watchdog;

pub use error::{Error, Result};
