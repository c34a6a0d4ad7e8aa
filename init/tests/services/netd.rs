//! Stories of netd.

use crate::{
    network::{FAR, INTERFACE, Network, ROUTER},
    notified::Init,
    program::{Program, until},
    server::{GRANT, Grant},
};

/// Renewed after seconds; a lease that outlives every story.
const SOON_RENEWED: Grant = Grant { times: Some((5, 3000)), ..GRANT };
/// Another address of the same local network.
const OTHER: Grant = Grant { address: "10.77.0.60", ..GRANT };

fn expect_address(netd: &mut Program, grant: &Grant) {
    netd.expect(&format!("network {INTERFACE} {}/24 via {}", grant.address, grant.router));
}

fn assert_configured(network: &Network, grant: &Grant) {
    let address = format!("{}/24", grant.address);
    assert_eq!(network.addresses(), [&*address]);
    assert_eq!(network.routers(), [grant.router]);
    assert_eq!(network.resolv().unwrap(), format!("nameserver {}\n", grant.dns));
    let state = network.state();
    assert_eq!(state["interface"], INTERFACE);
    assert_eq!((&state["address"], &state["gateway"]), (&address.into(), &grant.router.into()));
    assert_eq!((&state["source"], &state["dns"][0]), (&"dhcp".into(), &grant.dns.into()));
}

/// A gateway that has its lease.
fn leased(grant: &Grant, start: fn(&Grant, &Network) -> Program) -> (Network, Program, Program) {
    let network = Network::new();
    let server = start(grant, &network);
    let mut netd = network.netd("");
    expect_address(&mut netd, grant);
    (network, server, netd)
}

#[test]
fn a_gateway_gets_address_route_and_name_server_from_either_server() {
    let grant = Grant { mtu: Some(1400), ..GRANT };
    for start in [Grant::udhcpd, Grant::dnsmasq] {
        let (network, _server, _netd) = leased(&grant, start);
        assert_configured(&network, &grant);
        assert_eq!(network.mtu(), "1400");
        assert!(network.reaches(FAR), "through the default route");
    }
}

#[test]
fn names_are_resolved_by_the_server_that_the_lease_names() {
    let (network, _server, _netd) = leased(&GRANT, Grant::dnsmasq);
    let answer = network.look_up("far.test");
    assert!(answer.contains(FAR), "{answer}");
}

#[test]
fn a_lease_is_renewed_with_its_server_and_nobody_else_is_asked() {
    let (network, mut server, mut netd) = leased(&SOON_RENEWED, Grant::udhcpd);
    server.expect("sending ACK");
    let broadcasts = network.broadcasts();
    for _ in 0..2 {
        server.expect("sending ACK");
    }
    assert_eq!(network.broadcasts(), broadcasts);
    assert_configured(&network, &GRANT);
    assert_eq!(netd.count("holdfast: network"), 1, "nothing changed, so nothing is said");
}

#[test]
fn a_lease_whose_server_is_gone_is_bound_again_by_another() {
    let grant = Grant { times: Some((5, 15)), lease_s: 130, ..GRANT };
    let (network, mut first, mut netd) = leased(&grant, Grant::udhcpd);
    first.expect("sending ACK");
    first.kill();
    network.lan(&["address", "del", &format!("{ROUTER}/24"), "dev", "lan"]);
    network.lan(&["address", "add", "10.77.0.2/24", "dev", "lan"]);

    // A server that knows the address as this gateway's answers whoever asks all servers …
    let mut second = Grant { reserved: true, ..grant }.udhcpd(&network);
    second.expect("sending ACK");
    // … and is the one that is asked from then on.
    let broadcasts = network.broadcasts();
    second.expect("sending ACK");
    assert_eq!(network.broadcasts(), broadcasts);
    assert_configured(&network, &grant);
    assert_eq!(netd.count("lost"), 0);
}

#[test]
fn an_address_is_given_up_when_its_lease_ends() {
    let (network, mut server, mut netd) = leased(&Grant { lease_s: 12, ..GRANT }, Grant::udhcpd);
    server.kill();
    netd.expect("lost its address: the lease ended");
    network.assert_without_address("the lease ended");

    let _back = OTHER.udhcpd(&network);
    expect_address(&mut netd, &OTHER);
    assert_configured(&network, &OTHER);
}

#[test]
fn a_link_that_comes_back_has_its_address_again_once_the_server_says_so() {
    let (network, mut server, mut netd) = leased(&GRANT, Grant::udhcpd);

    let offers = server.count("sending OFFER");

    network.unplug();
    netd.expect("link lost");
    network.assert_without_address("link lost");

    network.plug();
    expect_address(&mut netd, &GRANT);
    assert_configured(&network, &GRANT);
    assert_eq!(server.count("sending OFFER"), offers, "it asked for the address that it had");
}

#[test]
fn on_another_network_a_refusal_leads_to_a_fresh_lease() {
    let (network, mut server, mut netd) = leased(&GRANT, Grant::udhcpd);

    network.unplug();
    netd.expect("link lost");
    server.kill();
    let _other = OTHER.udhcpd(&network);
    network.plug();
    netd.expect("lost its address: the server refused the address");
    expect_address(&mut netd, &OTHER);
    assert_configured(&network, &OTHER);
}

#[test]
fn a_renewal_that_is_refused_leads_to_a_fresh_lease() {
    let (network, mut server, mut netd) = leased(&SOON_RENEWED, Grant::dnsmasq);

    // Somebody changed the router's settings.
    server.kill();
    let mut changed = OTHER.dnsmasq(&network);
    changed.expect("DHCPNAK");
    netd.expect("lost its address: the server refused the address");
    expect_address(&mut netd, &OTHER);
    assert_configured(&network, &OTHER);
}

#[test]
fn what_a_renewal_changes_is_taken_over_and_nothing_is_left_of_the_old() {
    let (network, mut server, mut netd) = leased(&SOON_RENEWED, Grant::dnsmasq);

    server.kill();
    let moved = Grant { router: "10.77.0.3", dns: "10.77.0.4", ..SOON_RENEWED };
    let _changed = moved.dnsmasq(&network);
    expect_address(&mut netd, &moved);
    assert_configured(&network, &moved);
    assert_eq!(netd.count("lost"), 0, "the address stays");
}

#[test]
fn two_servers_on_one_link_give_one_lease_and_a_refusal_of_the_wrong_one_is_survived() {
    let network = Network::new();
    let _one = GRANT.udhcpd(&network);
    let _two = OTHER.dnsmasq(&network);
    let mut netd = network.netd("");
    let one_lease = |netd: &mut Program| {
        netd.expect("network eth0 10.77.0.");
        until("one server's lease", || {
            let address = network.addresses();
            address == ["10.77.0.50/24"] || address == ["10.77.0.60/24"]
        });
        assert_eq!(network.routers(), [ROUTER]);
    };
    one_lease(&mut netd);
    assert_eq!(netd.count("lost"), 0);

    // Both are asked for the address that only one of them knows.
    network.unplug();
    netd.expect("link lost");
    network.plug();
    one_lease(&mut netd);
    assert!(network.reaches(FAR));
}

#[test]
fn a_router_that_cannot_be_reached_costs_the_route_and_not_the_network() {
    let network = Network::new();
    let grant = Grant { router: "192.0.2.254", ..SOON_RENEWED };
    let mut server = grant.dnsmasq(&network);
    let mut netd = network.netd("");
    netd.expect("set default route of eth0");
    netd.expect("network eth0 10.77.0.50/24");
    assert_eq!(network.state()["gateway"], serde_json::Value::Null, "what is told is true");
    assert!(network.reaches(ROUTER));
    for _ in 0..2 {
        server.expect("DHCPACK");
    }
    assert_eq!(server.count("DHCPDISCOVER("), 1, "the server is not asked again and again");
}

#[test]
fn a_static_address_needs_no_server() {
    let network = Network::new();
    let settings = "address = \"10.77.0.99/24\"\ngateway = \"10.77.0.1\"\ndns = [\"9.9.9.9\"]\n";
    let mut netd = network.netd(settings);
    let is_set = |netd: &mut Program| {
        netd.expect("network eth0 10.77.0.99/24 via 10.77.0.1");
        assert_eq!(network.addresses(), ["10.77.0.99/24"]);
        assert_eq!(network.routers(), [ROUTER]);
        assert_eq!(network.resolv().unwrap(), "nameserver 9.9.9.9\n");
        assert_eq!(network.state()["source"], "static");
        assert!(network.reaches(FAR));
    };
    is_set(&mut netd);
    network.unplug();
    netd.expect("link lost");
    network.assert_without_address("link lost");
    network.plug();
    is_set(&mut netd);
    assert_eq!(network.broadcasts(), 0, "no server was looked for");
}

#[test]
fn without_a_network_at_boot_it_is_found_when_it_comes() {
    let network = Network::without_interface();
    let init = Init::listen(network.dir.path());
    let mut netd = network.netd("");
    init.expect_ready();
    assert_eq!(network.resolv(), None);

    network.add_interface();
    netd.expect("interface eth0");
    network.assert_without_address("starting");
    network.plug();
    netd.expect("eth0 has a link");
    let _server = GRANT.udhcpd(&network);
    expect_address(&mut netd, &GRANT);
    assert_configured(&network, &GRANT);
    assert_eq!(netd.count("has a link"), 1, "not before the cable was in");

    // A USB adapter is pulled out and put into another socket.
    network.remove_interface();
    netd.expect("interface is gone");
    assert_eq!((network.resolv(), &network.state()["interface"]), (None, &"eth0".into()));
    network.add_interface();
    network.plug();
    expect_address(&mut netd, &GRANT);
    assert_configured(&network, &GRANT);
}

#[test]
fn a_netd_that_was_killed_leaves_nothing_to_the_next() {
    let (network, mut server, mut netd) = leased(&GRANT, Grant::dnsmasq);
    netd.kill();
    assert_configured(&network, &GRANT);
    server.kill();

    let mut netd = network.netd("");
    netd.expect("eth0 has a link");
    network.assert_without_address("starting");
    let moved = Grant { router: "10.77.0.3", ..GRANT };
    let _changed = moved.dnsmasq(&network);
    expect_address(&mut netd, &moved);
    assert_configured(&network, &moved);
}
