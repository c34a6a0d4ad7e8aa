//! The base services as they run on a device, against servers that others wrote.
//!
//! | module | what |
//! |---|---|
//! | [`netd`], [`timed`] | their stories |
//! | [`network`], [`server`] | network namespaces; DHCP servers in them |
//! | [`notified`] | init's end of its socket |
//! | [`program`] | programs whose output is waited for |

mod netd;
mod network;
mod notified;
mod program;
mod server;
mod timed;
