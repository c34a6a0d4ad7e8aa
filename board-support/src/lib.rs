//! What a board is, and its small hardware behind embedded-hal traits.
//!
//! | module | what |
//! |---|---|
//! | [`board`] | board files, `boards/*.toml`, on the device `/etc/holdfast/board.toml` |
//! | [`led`] | [`led::StatusLed`]: patterns over `embedded_hal::digital::OutputPin` |
//! | [`button`] | [`button::ResetButton`]: a long press over `embedded_hal::digital::InputPin` |
//! | [`pins`] | where pins come from: LED class, rppal on a Raspberry Pi, the kernel's character device elsewhere |
//! | [`grant`] | single lines, addresses, chip selects and ports, for apps |
//! | [`thermal`] | temperature of the system-on-chip |
//! | [`watchdog`] | the watchdog that the device tree or the board file names |
//! | `sys_gpio`, `sys_i2c`, `sys_watchdog` | ioctls; the only `unsafe` |
//!
//! What always holds: hardware that fails or is absent is an error value, never a panic; nothing
//! here blocks; a watchdog is opened only when it was named (opening one starts it, and QEMU's
//! bcm2835 one resets at once).
//!
//! `sources/` holds what kernel and U-Boot are built from; see the image builder.

pub mod board;
pub mod button;
mod error;
pub mod grant;
pub mod led;
pub mod pins;
mod sys_gpio;
mod sys_i2c;
mod sys_watchdog;
pub mod thermal;
pub mod watchdog;

pub use board::Board;
pub use error::Error;
