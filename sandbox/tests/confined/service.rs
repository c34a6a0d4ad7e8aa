//! System services: the host's view, read-only but for what the manifest lists.

use crate::scene::{Scene, sh};
use sandbox::{Confinement, Mount, capability, profile};
use std::fs;

#[test]
fn a_service_sees_the_host_and_writes_only_where_it_may() {
    let scene = Scene::new();
    for name in ["mine", "other", "secret"] {
        fs::create_dir(scene.dir.join(name)).unwrap();
        fs::write(scene.dir.join(name).join("file"), "there\n").unwrap();
    }
    let mut confinement = Confinement::service(&profile::SERVICE);
    confinement.mounts = vec![
        Mount::Writable(scene.dir.join("mine")),
        Mount::Hide(scene.dir.join("secret")),
        Mount::Writable("/does/not/exist".into()),
    ];
    let dir = scene.dir.display();
    let script = format!(
        "cat {dir}/other/file; echo new > {dir}/mine/file; cat {dir}/mine/file; \
         echo new 2>&1 > {dir}/other/file; ls {dir}/secret; touch /etc/new 2>&1"
    );
    let (text, _) = sh(&confinement, &script);
    assert_eq!(
        text,
        format!(
            "there\nnew\nsh: can't create {dir}/other/file: Read-only file system\n\
             touch: /etc/new: Read-only file system\n"
        )
    );
    assert_eq!(fs::read_to_string(scene.dir.join("mine/file")).unwrap(), "new\n");
}

#[test]
fn what_is_read_only_below_what_is_writable_may_hold_what_is_again() {
    let scene = Scene::new();
    fs::create_dir_all(scene.dir.join("mine/kept/again")).unwrap();
    let mut confinement = Confinement::service(&profile::SERVICE);
    // In whatever order they are said.
    confinement.mounts = vec![
        Mount::Writable(scene.dir.join("mine/kept/again")),
        Mount::ReadOnly(scene.dir.join("mine/kept")),
        Mount::Writable(scene.dir.join("mine")),
    ];
    let dir = scene.dir.join("mine");
    let script = format!(
        "cd {}; for at in . kept kept/again; do touch $at/new 2>/dev/null && echo $at; done",
        dir.display()
    );
    assert_eq!(sh(&confinement, &script).0, ".\nkept/again\n");
}

#[test]
fn a_service_keeps_exactly_the_capabilities_of_its_manifest() {
    let _scene = Scene::new();
    let mut confinement = Confinement::service(&profile::SERVICE);
    confinement.capabilities = capability::by_names(["CAP_NET_ADMIN", "net_raw"]).unwrap();
    let (text, _) = sh(&confinement, "grep Cap /proc/self/status");
    let both = "0000000000003000";
    assert_eq!(
        text,
        format!(
            "CapInh:\t{both}\nCapPrm:\t{both}\nCapEff:\t{both}\nCapBnd:\t{both}\nCapAmb:\t{both}\n"
        )
    );
    assert_eq!(capability::by_names(["net_raw", "everything"]), Err("everything"));
}

#[test]
fn only_the_time_service_gets_as_far_as_the_kernels_own_check_of_the_clock() {
    let _scene = Scene::new();
    let set = "date -s @0 2>&1 | head -n 1";
    // Both lack CAP_SYS_TIME, so the clock stays; neither may do it.
    for profile in [&profile::SERVICE, &profile::SERVICE_CLOCK] {
        let (text, _) = sh(&Confinement::service(profile), set);
        assert!(text.contains("Operation not permitted"), "{}: {text}", profile.name);
    }
}
