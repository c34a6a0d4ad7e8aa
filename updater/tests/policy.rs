//! When an update may go on: tables of holds, windows, nights on which clocks change, and two
//! parties that do not agree.

use protocol::calendar::{seconds, utc_text};
use protocol::policy::{Party, UpdatePolicy, WaitReason, Waiting};
use updater::policy::{Moment, Parties, Permit};

fn policy(text: &str) -> UpdatePolicy {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn permit(device: &str, fleet: &str, zone: Option<&str>, moment: Moment) -> Permit {
    let zone = zone.map(|name| name.parse().unwrap());
    let (device, fleet) = (policy(device), policy(fleet));
    Parties { device: &device, fleet: &fleet, zone: zone.as_ref() }.permit(moment)
}

fn at(text: &str) -> Moment {
    Moment { now: seconds(text).unwrap(), set: true }
}

fn words(waiting: Option<Waiting>) -> String {
    waiting.map_or("go".into(), |waiting| {
        let until = waiting.until.map_or("?".into(), utc_text);
        format!("{:?} {:?} {until}", waiting.by, waiting.reason)
    })
}

/// A window of the device alone, at times of a zone: `go` or when it opens.
fn window(text: &str, zone: &str, table: &[(&str, &str)]) {
    for (time, expected) in table {
        let reboot = permit(&format!("window = {{ {text} }}"), "", Some(zone), at(time)).reboot;
        let expected = match *expected {
            "go" => "go".into(),
            opens => format!("Device Window {opens}"),
        };
        assert_eq!(words(reboot), expected, "{text} in {zone} at {time}");
    }
}

#[test]
fn without_a_policy_everything_goes() {
    let never_set = Moment { now: 0, set: false };
    assert_eq!(permit("", "", None, never_set), Permit::default());
    assert_eq!(permit("bandwidth = 2048", "", None, never_set), Permit::default());
}

#[test]
fn of_two_holds_the_longer_one_wins() {
    let until = |day| format!("hold = \"2026-12-{day:02}\"");
    let rows = [
        (until(3), String::new(), "Device Hold 2026-12-03T00:00:00Z"),
        (String::new(), until(4), "Fleet Hold 2026-12-04T00:00:00Z"),
        (until(3), until(4), "Fleet Hold 2026-12-04T00:00:00Z"),
        (until(5), until(4), "Device Hold 2026-12-05T00:00:00Z"),
        ("hold = \"forever\"".into(), until(4), "Device Hold ?"),
        (until(3), "hold = \"forever\"".into(), "Fleet Hold ?"),
        (until(1), until(2), "go"),
        (until(1), until(3), "Fleet Hold 2026-12-03T00:00:00Z"),
    ];
    for (device, fleet, expected) in rows {
        let permit = permit(&device, &fleet, None, at("2026-12-02"));
        assert_eq!(words(permit.download), expected, "{device} {fleet}");
        assert_eq!(words(permit.reboot), expected, "{device} {fleet}");
    }
}

#[test]
fn a_window_has_days_a_start_and_a_length() {
    // 2026-12-05 is a Saturday.
    window(
        "days = [\"sat\", \"sun\"], start = \"02:00\", minutes = 60",
        "Etc/UTC",
        &[
            ("2026-12-04T12:00Z", "2026-12-05T02:00:00Z"),
            ("2026-12-05T01:59:59Z", "2026-12-05T02:00:00Z"),
            ("2026-12-05T02:00Z", "go"),
            ("2026-12-05T02:59:59Z", "go"),
            ("2026-12-05T03:00Z", "2026-12-06T02:00:00Z"),
            ("2026-12-06T03:00Z", "2026-12-12T02:00:00Z"),
        ],
    );
}

#[test]
fn a_window_across_midnight_belongs_to_the_day_on_which_it_opens() {
    window(
        "days = [\"sat\"], start = \"23:00\", minutes = 180",
        "Etc/UTC",
        &[
            ("2026-12-05T00:30Z", "2026-12-05T23:00:00Z"),
            ("2026-12-05T23:30Z", "go"),
            ("2026-12-06T01:59:59Z", "go"),
            ("2026-12-06T02:00Z", "2026-12-12T23:00:00Z"),
        ],
    );
    window("start = \"12:00\", minutes = 1440", "Etc/UTC", &[("2026-12-06T11:59:59Z", "go")]);
}

#[test]
fn a_window_is_in_local_time_in_summer_and_in_winter() {
    window(
        "start = \"02:00\", minutes = 60",
        "Europe/Berlin",
        &[("2026-01-10T00:30Z", "2026-01-10T01:00:00Z"), ("2026-07-10T00:30Z", "go")],
    );
    window(
        "start = \"02:00\", minutes = 60",
        "Asia/Kolkata",
        &[("2026-07-10T20:29:59Z", "2026-07-10T20:30:00Z")],
    );
}

#[test]
fn on_nights_on_which_clocks_change_it_opens_once_and_for_its_whole_length() {
    // Clocks go from 02:00 to 03:00 at 2026-03-29T01:00Z: 02:30 is left out, and 03:30 stands in.
    window(
        "start = \"02:30\", minutes = 60",
        "Europe/Berlin",
        &[
            ("2026-03-28T01:30Z", "go"),
            ("2026-03-29T00:59Z", "2026-03-29T01:30:00Z"),
            ("2026-03-29T01:30Z", "go"),
            ("2026-03-29T02:29:59Z", "go"),
            ("2026-03-29T02:30Z", "2026-03-30T00:30:00Z"),
        ],
    );
    // And from 03:00 to 02:00 at 2026-10-25T01:00Z: 02:30 comes twice, the first one counts.
    window(
        "start = \"02:30\", minutes = 60",
        "Europe/Berlin",
        &[
            ("2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:30Z", "go"),
            ("2026-10-25T01:29:59Z", "go"),
            ("2026-10-25T01:30Z", "2026-10-26T01:30:00Z"),
        ],
    );
    // Open over the change: three hours as they pass, not as the clock shows.
    window(
        "start = \"01:00\", minutes = 180",
        "Europe/Berlin",
        &[("2026-03-29T02:59:59Z", "go"), ("2026-03-29T03:00Z", "2026-03-29T23:00:00Z")],
    );
}

#[test]
fn only_a_strict_window_stops_downloads() {
    let window = "window = { start = \"02:00\", minutes = 60, download = \"MODE\" }";
    for (mode, download) in [("any-time", "go"), ("window", "Fleet Window 2026-12-05T02:00:00Z")] {
        let permit = permit("", &window.replace("MODE", mode), None, at("2026-12-04T12:00Z"));
        assert_eq!(words(permit.download), download, "{mode}");
        assert_eq!(words(permit.reboot), "Fleet Window 2026-12-05T02:00:00Z", "{mode}");
    }
}

#[test]
fn a_hold_that_ends_in_the_window_lets_go_then_and_not_before() {
    let device = "hold = \"2026-12-05T02:30Z\"";
    let fleet = "window = { start = \"02:00\", minutes = 60 }";
    for (time, expected) in [
        ("2026-12-05T01:00Z", "Device Hold 2026-12-05T02:30:00Z"),
        ("2026-12-05T02:15Z", "Device Hold 2026-12-05T02:30:00Z"),
        ("2026-12-05T02:30Z", "go"),
        ("2026-12-05T03:00Z", "Fleet Window 2026-12-06T02:00:00Z"),
    ] {
        assert_eq!(words(permit(device, fleet, None, at(time)).reboot), expected, "{time}");
    }
}

#[test]
fn of_two_windows_the_time_in_both_counts() {
    let days = |days: &str, start: &str, minutes: u32| {
        format!("window = {{ days = [{days}], start = \"{start}\", minutes = {minutes} }}")
    };
    let night = days("", "22:00", 480);
    let rows = [
        (night.clone(), days("\"sat\"", "05:00", 120), "Fleet Window 2026-12-05T05:00:00Z"),
        (days("\"sat\"", "05:00", 120), night.clone(), "Device Window 2026-12-05T05:00:00Z"),
        // Open one after the other, never together.
        (days("", "01:00", 60), days("", "02:00", 60), "Device Window ?"),
        (days("\"sat\"", "12:00", 60), days("\"sun\"", "12:00", 60), "Device Window ?"),
    ];
    for (device, fleet, expected) in rows {
        let reboot = permit(&device, &fleet, None, at("2026-12-04T23:00Z")).reboot;
        assert_eq!(words(reboot), expected, "{device} {fleet}");
    }
    // They meet in winter only: Berlin changes its clocks, Reykjavik does not.
    let berlin = "window = { start = \"02:00\", minutes = 60, zone = \"Europe/Berlin\" }";
    let reykjavik = "window = { start = \"01:00\", minutes = 60, zone = \"Atlantic/Reykjavik\" }";
    let reboot = permit(berlin, reykjavik, None, at("2026-07-01T12:00Z")).reboot;
    assert_eq!(words(reboot), "Device Window 2026-10-26T01:00:00Z");
}

#[test]
fn while_the_clock_is_not_set_windows_wait_and_holds_end_by_the_lower_bound() {
    let unset = |text: &str| Moment { set: false, ..at(text) };
    let strict = "window = { start = \"00:00\", minutes = 1440, download = \"window\" }";
    let waiting = permit(strict, "", None, unset("2026-12-05T12:00Z"));
    assert_eq!(waiting.reboot.map(|w| (w.reason, w.by)), Some((WaitReason::Clock, Party::Device)));
    assert_eq!(waiting.download, waiting.reboot);
    let hold = "hold = \"2026-12-05T00:00Z\"";
    assert!(permit(hold, "", None, unset("2026-12-04T23:59Z")).reboot.is_some());
    assert!(permit(hold, "", None, unset("2026-12-05T00:00Z")).reboot.is_none());
}

#[test]
fn of_two_limits_the_lower_one_counts() {
    for (device, fleet, expected) in [
        ("", "", None),
        ("bandwidth = 2048", "", Some(2048)),
        ("bandwidth = 2048", "bandwidth = 4096", Some(2048)),
        ("bandwidth = 8192", "bandwidth = 4096", Some(4096)),
    ] {
        let (device, fleet) = (policy(device), policy(fleet));
        let parties = Parties { device: &device, fleet: &fleet, zone: None };
        assert_eq!(parties.bandwidth(), expected);
    }
}
