//! What a start makes of a data partition that has lost something: the state, a file, data.

use crate::{
    bench::Bench,
    snap::{STEADY, Snap, write},
};
use protocol::control::{InitRequest, InitResponse, read_frame, write_frame};
use std::{
    fs,
    os::unix::{fs::MetadataExt, net::UnixListener},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

const STATE: &str = "data/snaps/state.json";
const COPY: &str = "data/snaps/state.copy.json";

fn path(bench: &Bench, name: &str) -> PathBuf {
    bench.dir.join(name)
}

/// Starts that the app has counted in its common data.
fn starts(bench: &Bench, snap: &str) -> usize {
    let file = path(bench, &format!("data/snaps/data/{snap}/common/starts"));
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

fn until_active(bench: &Bench, snap: &str) {
    bench.until(snap, |b| b.snapctl(&["services", snap]).1[0]["state"] == "active");
}

/// A device on which an app runs that has counted one start.
fn with_steady() -> Bench {
    let bench = Bench::new();
    bench.install(&Snap::new("steady", "1", STEADY).signed(&bench.dir));
    bench.until("it has started", |b| starts(b, "steady") == 1);
    bench
}

/// Stands for init; what it was warned of.
fn init(bench: &Bench) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path(bench, "run/holdfast/init.sock")).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&heard);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if let Ok(InitRequest::Warn(text)) = read_frame(&mut stream) {
                theirs.lock().unwrap().push(text);
            }
            let _ = write_frame(&mut stream, &InitResponse::Ok);
        }
    });
    heard
}

#[test]
fn a_damaged_state_is_put_aside_told_and_replaced_by_its_copy() {
    for (damage, why) in [
        (&b"\x00\xff rubbish"[..], "expected value"),
        (b"", "EOF"),
        (b"{\"format\": 4, \"next_uid\": 1, \"snaps\": {}}", "format 4"),
    ] {
        let mut bench = with_steady();
        bench.kill();
        fs::write(path(&bench, STATE), damage).unwrap();
        let heard = init(&bench);
        bench.boot();
        until_active(&bench, "steady");
        bench.until("init was told", |_| heard.lock().unwrap().len() == 2);
        let told = heard.lock().unwrap().join("\n");
        assert!(told.contains(why) && told.contains("its copy holds"), "{told}");
        let aside = fs::read(path(&bench, "data/snaps/state.damaged.json")).unwrap();
        assert_eq!(aside, damage);
        let both = [STATE, COPY].map(|name| fs::read(path(&bench, name)).unwrap());
        assert_eq!(both[0], both[1]);
    }
}

#[test]
fn a_number_that_flipped_is_noticed_by_the_check_sum() {
    let mut bench = with_steady();
    bench.kill();
    let text = fs::read_to_string(path(&bench, STATE)).unwrap();
    fs::write(path(&bench, STATE), text.replace("\"uid\": 20000", "\"uid\": 20001")).unwrap();
    bench.boot();
    until_active(&bench, "steady");
    assert!(bench.log().contains("check sum is wrong; its copy holds"), "{}", bench.log());
    let owner = fs::metadata(path(&bench, "data/snaps/data/steady/common")).unwrap().uid();
    assert_eq!(owner, 20_000);
}

#[test]
fn without_both_states_signed_snaps_run_again_with_their_data() {
    for lost in [None, Some("rubbish")] {
        let mut bench = with_steady();
        bench.install(&Snap::new("steady", "2", STEADY).signed(&bench.dir));
        bench.install(&Snap::new("other", "1", STEADY).signed(&bench.dir));
        let loose = write(&bench.dir, &Snap::new("loose", "1", STEADY).image(&bench.dir));
        bench.ask(&["install", "--dangerous", loose.to_str().unwrap()]);
        bench.until("they have started", |b| {
            (starts(b, "steady"), starts(b, "other"), starts(b, "loose")) == (2, 1, 1)
        });
        bench.kill();
        for name in [STATE, COPY] {
            fs::remove_file(path(&bench, name)).unwrap();
            if let Some(rubbish) = lost {
                fs::write(path(&bench, name), rubbish).unwrap();
            }
        }
        bench.boot();
        until_active(&bench, "steady");
        until_active(&bench, "other");
        bench.until("the data is there", |b| (starts(b, "steady"), starts(b, "other")) == (3, 2));
        assert!(bench.log().contains("rebuilt from snap files"), "{}", bench.log());
        let steady = bench.ask(&["info", "steady"]);
        assert_eq!((&steady["version"], &steady["revision"]), (&"2".into(), &2.into()));

        // That it might run without a signature stood in the state alone.
        assert_eq!(bench.refused(&["start", "loose"]).0, "snap-corrupt");
        let loose = write(&bench.dir, &Snap::new("loose", "1", STEADY).image(&bench.dir));
        bench.ask(&["install", "--dangerous", loose.to_str().unwrap()]);
        bench.until("its data is there as well", |b| starts(b, "loose") == 2);
        // Nobody shares a user, and none is used again.
        let uid = |snap: &str| {
            fs::metadata(path(&bench, "data/snaps/data").join(snap).join("common")).unwrap().uid()
        };
        assert_eq!(["steady", "other", "loose"].map(uid), [20_000, 20_001, 20_002]);
        bench.install(&Snap::new("newer", "1", STEADY).signed(&bench.dir));
        assert_eq!(uid("newer"), 20_003);
    }
}

#[test]
fn data_whose_snap_file_and_state_are_lost_waits_for_the_snap() {
    let mut bench = with_steady();
    bench.kill();
    for name in [STATE, COPY, "data/snaps/files/steady_1.snap"] {
        fs::remove_file(path(&bench, name)).unwrap();
    }
    bench.boot();
    bench.until("it is listed as broken", |b| {
        let list = b.ask(&["list"]);
        list[0]["name"] == "steady"
            && list[0]["summary"].as_str().is_some_and(|text| text.starts_with("broken: "))
    });
    bench.install(&Snap::new("steady", "1", STEADY).signed(&bench.dir));
    bench.until("it went on with its data", |b| starts(b, "steady") == 2);
}

#[test]
fn data_that_is_lost_is_made_anew_and_the_app_runs() {
    let mut bench = with_steady();
    bench.kill();
    fs::remove_dir_all(path(&bench, "data/snaps/data/steady")).unwrap();
    bench.boot();
    until_active(&bench, "steady");
    bench.until("it began anew", |b| starts(b, "steady") == 1);
    assert!(bench.log().contains("was lost, made anew"), "{}", bench.log());
}
