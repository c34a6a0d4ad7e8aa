//! timed's parts.
//!
//! | module | what |
//! |---|---|
//! | [`sntp`] | SNTP messages and their checks, RFC 4330 and 5905 |
//! | [`schedule`] | when to ask next, and what to do with an answer |
//! | [`daemon`] | timed's loop |

pub mod daemon;
pub mod schedule;
pub mod sntp;
mod sys_clock;
