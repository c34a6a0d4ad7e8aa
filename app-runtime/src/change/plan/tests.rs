//! Which steps a request becomes, and what it is refused for.

use super::*;
use crate::{meta::hook::KNOWN, settings::Config, state::Role};

fn hooks(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn revision(digest: &str) -> Revision {
    Revision {
        version: "1".into(),
        signed: true,
        size: 4096,
        image: 4096,
        digest: Some(digest.into()),
        config: Config::new(),
        role: Role::Alone,
    }
}

/// A state in which `a` has these revisions, the first of which is the current one.
fn state(current: u32, revisions: &[u32]) -> State {
    let mut state = State::default();
    let uid = state.take_uid().unwrap();
    let last = revisions.iter().copied().max().unwrap_or(current);
    let revisions = revisions.iter().map(|r| (*r, revision(&format!("d{r}")))).collect();
    let snap = Installed { uid, current, last, revisions, disabled: false };
    state.snaps.insert("a".into(), snap);
    state
}

fn a() -> Vec<String> {
    vec!["a".into()]
}

fn fetched(state: &mut State, digest: &str, refresh: bool) -> Result<Change> {
    let mut change = Change::new("install", String::new(), 1, Vec::new());
    let revision = revision(digest);
    let new = Accepted { refresh, ..copy_of(revision) };
    let (steps, told) = accepted(state, &change, &new, 7)?;
    change.extend(steps);
    change.told.push(told);
    Ok(change)
}

fn copy_of(revision: Revision) -> Accepted {
    Accepted {
        copy: 1,
        name: "a".into(),
        revision,
        refresh: false,
        hooks: BTreeSet::new(),
        earlier_hooks: BTreeSet::new(),
        idle: BTreeSet::new(),
        unused: Vec::new(),
    }
}

fn planned(state: &State, order: &Order) -> Result<Plan> {
    let sizes = state.snaps.keys().map(|name| (name.clone(), 10)).collect();
    plan(state, order, 100, &Facts { sizes, hooks: BTreeMap::new() })
}

/// What stays of the revisions, and what is dropped, by a refresh.
#[test]
fn a_refresh_keeps_the_new_one_and_the_one_before() {
    type Row = (u32, &'static [u32], &'static [u32], &'static [u32]);
    let table: [Row; 5] = [
        (1, &[1], &[1, 2], &[]),
        (2, &[1, 2], &[2, 3], &[1]),
        // reverted to 1: 2 goes, and its number is not used again
        (1, &[1, 2], &[1, 3], &[2]),
        (3, &[1, 2, 3], &[3, 4], &[1, 2]),
        (2, &[1, 2, 3], &[2, 4], &[1, 3]),
    ];
    for (current, before, kept, dropped) in table {
        let change = fetched(&mut state(current, before), "new", false).unwrap();
        let link = change.steps().find_map(|step| match step {
            Step::Link { after: Some(after), .. } => Some(after.clone()),
            _ => None,
        });
        let link = link.unwrap();
        assert_eq!(link.revisions.keys().copied().collect::<Vec<_>>(), kept, "{before:?}");
        assert_eq!((link.current, link.last), (kept[1], kept[1]));
        let drops: Vec<u32> = change
            .steps()
            .filter_map(|step| match step {
                Step::DropRevision { revision, .. } => Some(*revision),
                _ => None,
            })
            .collect();
        assert_eq!(drops, dropped, "{before:?}");
    }
}

#[test]
fn what_was_reverted_from_comes_back_only_when_it_is_asked_for() {
    let refused = fetched(&mut state(1, &[1, 2]), "d2", true).unwrap_err();
    assert_eq!(refused.code(), "reverted");
    assert!(refused.to_string().contains("revision 2, which was reverted from"), "{refused}");
    fetched(&mut state(1, &[1, 2]), "d2", false).unwrap();
    fetched(&mut state(1, &[1, 2]), "other", true).unwrap();
    // What runs is not what was reverted from.
    fetched(&mut state(2, &[1, 2]), "d2", true).unwrap();
    let refused = fetched(&mut State::default(), "d", true).unwrap_err();
    assert_eq!(refused.code(), "not-installed");
}

#[test]
fn a_revert_goes_to_the_one_before_or_to_one_that_is_named() {
    type Row = (u32, &'static [u32], Option<u32>, std::result::Result<u32, &'static str>);
    let table: [Row; 6] = [
        (2, &[1, 2], None, Ok(1)),
        (1, &[1, 2], Some(2), Ok(2)),
        (3, &[2, 3], Some(2), Ok(2)),
        (1, &[1, 2], None, Err("a: no revision one before it is kept, only 1, 2")),
        (2, &[1, 2], Some(3), Err("a: no revision 3 is kept, only 1, 2")),
        (2, &[1, 2], Some(2), Err("a: revision 2 is the current one")),
    ];
    for (current, kept, to, expected) in table {
        let before = state(current, kept);
        let plan = planned(&before, &Order::Revert { names: a(), revision: to });
        match (plan, expected) {
            (Ok(plan), Ok(target)) => {
                assert!(
                    matches!(&plan.steps[1], Step::Link { before: Some(old), after: Some(new), .. }
                    if *old == before.snaps["a"] && new.current == target && new.last == old.last)
                );
                assert_eq!(plan.steps.len(), 3);
            }
            (Err(error), Err(why)) => {
                assert_eq!((error.code(), error.to_string().as_str()), ("no-revision", why));
            }
            (got, expected) => panic!("{current} {kept:?} {to:?}: {got:?}, not {expected:?}"),
        }
    }
}

#[test]
fn requests_that_make_no_sense_are_refused_by_name() {
    let state = state(1, &[1]);
    let twice = vec!["a".to_string(), "a".into()];
    let table = [
        (Order::Remove { names: vec![], purge: true }, "bad-request", "0 snaps"),
        (Order::Remove { names: vec!["b".into()], purge: true }, "not-installed", "b: no such"),
        (Order::Save { names: twice.clone() }, "bad-request", "a: twice"),
        (Order::Enable { names: a() }, "snap-enabled", "a is enabled already"),
        (Order::Restore { set: 3, names: vec![] }, "no-snapshot", "#3"),
        (Order::Forget { set: 3, names: a() }, "no-snapshot", "#3"),
        (
            Order::Install { from: vec![], name: None, dangerous: false, refresh: false },
            "bad-request",
            "0",
        ),
        (
            Order::Install {
                from: ["/a", "/b"].map(|path| Origin::Path(path.into())).to_vec(),
                name: Some("a".into()),
                dangerous: true,
                refresh: false,
            },
            "bad-request",
            "one name",
        ),
    ];
    for (order, code, text) in table {
        let error = planned(&state, &order).unwrap_err();
        assert_eq!(error.code(), code, "{order:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let none = planned(&State::default(), &Order::Save { names: vec![] }).unwrap_err();
    assert_eq!(none.code(), "bad-request");
}

#[test]
fn a_removal_saves_unless_it_purges_and_says_where() {
    let state = state(2, &[1, 2]);
    let names = |plan: &Plan| -> Vec<&'static str> {
        plan.steps
            .iter()
            .map(|step| match step {
                Step::Pack { snapshot, .. } if snapshot.auto => "pack",
                Step::Stop { .. } => "stop",
                Step::Link { after: None, .. } => "unlink",
                Step::DropRevision { .. } => "drop-revision",
                Step::DropSnap { .. } => "drop-snap",
                _ => "?",
            })
            .collect()
    };
    let kept = planned(&state, &Order::Remove { names: a(), purge: false }).unwrap();
    let rest = ["stop", "unlink", "drop-revision", "drop-revision", "drop-snap"];
    assert_eq!(names(&kept)[0], "pack");
    assert_eq!(names(&kept)[1..], rest);
    assert_eq!(
        (kept.needed, kept.told[0].as_str()),
        (10, "a removed (its data is kept in snapshot set #1)")
    );
    let purged = planned(&state, &Order::Remove { names: a(), purge: true }).unwrap();
    assert_eq!(names(&purged), rest);
    assert_eq!((purged.needed, purged.told[0].as_str()), (0, "a removed"));
}

/// The steps that are about hooks, settings, services and what is current.
fn in_words(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::Hook { hook, .. } => Some(hook.clone()),
        Step::Settle { .. } => Some("settle".into()),
        Step::Stop { .. } => Some("stop".into()),
        Step::Start { .. } => Some("start".into()),
        Step::Link { .. } => Some("link".into()),
        _ => None,
    };
    steps.iter().filter_map(word).collect()
}

#[test]
fn hooks_are_run_where_snapd_runs_them() {
    let new = Accepted { hooks: hooks(&KNOWN), idle: hooks(&["b"]), ..copy_of(revision("new")) };
    let change = Change::new("install", String::new(), 1, Vec::new());
    let (first, _) = accepted(&mut State::default(), &change, &new, 7).unwrap();
    let expected = "link settle install default-configure start configure check-health";
    assert_eq!(in_words(&first).join(" "), expected);

    let new = Accepted { earlier_hooks: hooks(&KNOWN), ..new };
    let (again, _) = accepted(&mut state(1, &[1]), &change, &new, 7).unwrap();
    let expected = "pre-refresh stop link post-refresh start configure check-health";
    assert_eq!(in_words(&again).join(" "), expected);
    let new = Accepted { earlier_hooks: hooks(&[]), hooks: hooks(&["remove"]), ..new };
    let (again, _) = accepted(&mut state(1, &[1]), &change, &new, 7).unwrap();
    assert_eq!(in_words(&again).join(" "), "stop link start");

    let facts = Facts { hooks: BTreeMap::from([("a".into(), hooks(&KNOWN))]), ..Facts::default() };
    let mut settled = state(1, &[1]);
    settled.settle("a", Settings { idle: hooks(&["b"]), ..Settings::default() });
    let order = Order::Remove { names: a(), purge: true };
    let removed = plan(&settled, &order, 1, &facts).unwrap();
    assert_eq!(in_words(&removed.steps).join(" "), "stop remove stop settle link");
    let set = Order::Set { name: "a".into(), values: vec![("k".into(), Some("1".into()))] };
    let set = plan(&settled, &set, 1, &facts).unwrap();
    assert_eq!(in_words(&set.steps).join(" "), "settle configure");
}

/// The stops, links and starts of a change, with their snaps.
fn moves(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::Stop { name } => Some(format!("stop {name}")),
        Step::Link { name, .. } => Some(format!("link {name}")),
        Step::Start { name } => Some(format!("start {name}")),
        _ => None,
    };
    steps.iter().filter_map(word).collect()
}

#[test]
fn snaps_follow_the_base_that_they_are_on() {
    let role = |role| Revision { role, ..revision("new") };
    let on = || Role::On("core".into());
    let mut state = State::default();
    let change = Change::new("install", String::new(), 1, Vec::new());
    let app = Accepted { name: "b".into(), ..copy_of(role(on())) };
    let missing = accepted(&mut state, &change, &app, 7).unwrap_err();
    assert_eq!((missing.code(), missing.to_string().contains("core")), ("base-missing", true));
    // With its base in the same change.
    let base = Accepted { name: "core".into(), ..copy_of(role(Role::Base)) };
    let mut both = change.clone();
    both.extend(accepted(&mut state, &change, &base, 7).unwrap().0);
    assert!(accepted(&mut state, &both, &app, 7).is_ok());

    let installed = |uid, role: Role| Installed {
        uid,
        current: 1,
        last: 2,
        revisions: [1, 2].map(|r| (r, Revision { role: role.clone(), ..revision("d") })).into(),
        disabled: false,
    };
    state.snaps.insert("core".into(), installed(1, Role::Base));
    state.snaps.insert("b".into(), installed(2, on()));
    state.snaps.insert("c".into(), Installed { disabled: true, ..installed(3, on()) });
    let (steps, _) = accepted(&mut state, &change, &base, 7).unwrap();
    assert_eq!(moves(&steps).join(", "), "stop b, stop core, link core, start core, start b");
    let back = Order::Revert { names: vec!["core".into()], revision: Some(2) };
    let back = planned(&state, &back).unwrap();
    assert_eq!(moves(&back.steps).join(", "), "stop b, stop core, link core, start core, start b");
    let remove = |names: &[&str]| {
        let names = names.iter().map(ToString::to_string).collect();
        planned(&state, &Order::Remove { names, purge: true })
    };
    assert_eq!(remove(&["core"]).unwrap_err().code(), "base-in-use");
    assert!(remove(&["core", "b", "c"]).is_ok());
    let disable = Order::Disable { names: vec!["core".into()] };
    assert_eq!(planned(&state, &disable).unwrap_err().code(), "base-in-use");
    // What is no base cannot be one.
    state.snaps.insert("core".into(), installed(1, Role::Alone));
    assert_eq!(accepted(&mut state, &change, &app, 7).unwrap_err().code(), "base-missing");
}

#[test]
fn a_revert_brings_the_configuration_back() {
    let mut state = state(1, &[1]);
    let config = |n: i32| Config::from([("k".to_string(), n.into())]);
    let settings = |n| Settings { config: config(n), idle: hooks(&["b"]), ..Settings::default() };
    state.settle("a", settings(1));
    let change = fetched(&mut state, "new", false).unwrap();
    let link = change.steps().find_map(|step| match step {
        Step::Link { after, .. } => after.clone(),
        _ => None,
    });
    let link = link.unwrap();
    assert_eq!((&link.revisions[&1].config, link.revisions[&2].config.len()), (&config(1), 0));
    state.snaps.insert("a".into(), link);
    state.settle("a", settings(2));
    let reverted = planned(&state, &Order::Revert { names: a(), revision: None }).unwrap();
    let settled = reverted.steps.iter().find_map(|step| match step {
        Step::Settle { before, after, .. } => Some((before.clone(), after.clone())),
        _ => None,
    });
    assert_eq!(settled, Some((settings(2), settings(1))));
    let left = reverted.steps.iter().find_map(|step| match step {
        Step::Link { after: Some(after), .. } => Some(after.revisions[&2].config.clone()),
        _ => None,
    });
    assert_eq!(left, Some(config(2)), "for the way forward");
}

#[test]
fn snapshots_of_removed_snaps_expire_and_others_do_not() {
    let mut state = State::default();
    let snapshot = |auto| Snapshot {
        time: 1000,
        version: "1".into(),
        revision: 1,
        auto,
        config: Config::new(),
        bytes: 1,
        size: 1,
        digest: String::new(),
    };
    state.snapshots.insert(1, BTreeMap::from([("a".into(), snapshot(true))]));
    state.snapshots.insert(2, BTreeMap::from([("a".into(), snapshot(false))]));
    assert_eq!(expired(&state, 1000 + AUTO_KEPT_S), Vec::<u32>::new());
    assert_eq!(expired(&state, 1001 + AUTO_KEPT_S), [1]);
}
