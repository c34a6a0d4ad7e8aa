//! netd's parts.
//!
//! | module | what |
//! |---|---|
//! | [`dhcp`] | DHCPv4 messages, RFC 2131 and 2132 |
//! | [`client`] | the client as a pure machine |
//! | [`datagram`] | IPv4 and UDP headers of a client that has no address yet |
//! | [`link`] | interfaces: finding one, address, route, MTU, carrier |
//! | [`told`] | what others are told: state, `resolv.conf` |
//! | [`daemon`] | netd's loop |

pub mod client;
pub mod daemon;
pub mod datagram;
pub mod dhcp;
pub mod link;
mod sys_interface;
pub mod told;
