//! A process beside another one, in its namespaces.

use crate::scene::{APP, Scene, wait};
use sandbox::{Error, PROGRAM_PID, Process, Stdio, join, spawn};
use std::{fs, io::Read, os::fd::AsFd};

fn sh(script: &str) -> Process<'static> {
    let mut process = Process::new("/bin/busybox");
    process.args = ["sh", "-c", script].map(Into::into).to_vec();
    process.env = vec![("PATH".into(), "/bin".into())];
    process
}

#[test]
fn a_joined_process_sees_the_same_is_as_confined_and_reaches_the_program() {
    let scene = Scene::new();
    let confinement = scene.app();
    let script = "trap 'exit 3' TERM; echo > /tmp/up; while :; do busybox sleep 0.05; done";
    let program = spawn(&confinement, &sh(script)).unwrap();
    // Seen from inside it would be out of reach: the two have a Landlock domain each.
    let users = format!("/proc/{}/ns/user", program.pid.as_raw_pid());
    let users = fs::read_link(users).unwrap();
    let script = format!(
        "until [ -e /tmp/up ]; do busybox sleep 0.05; done
        busybox id -u
        busybox grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
        busybox readlink /proc/self/ns/user
        kill -TERM {PROGRAM_PID}"
    );
    let (mut reader, writer) = std::io::pipe().unwrap();
    let out = Stdio::Fd(writer.as_fd());
    let process = Process { stdout: out, stderr: out, ..sh(&script) };
    let beside = join(&confinement, &process, program.pidfd.as_fd()).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(wait(&beside), 0, "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    let uid = APP.uid.to_string();
    let none = "0000000000000000";
    let expected = [
        uid.as_str(),
        "CapEff:",
        none,
        "CapBnd:",
        none,
        "NoNewPrivs:",
        "1",
        "Seccomp:",
        "2",
        users.to_str().unwrap(),
    ];
    assert_eq!(words, expected);
    assert_eq!(wait(&program), 3, "the program heard it");
}

#[test]
fn a_joined_process_has_no_background() {
    let scene = Scene::new();
    let confinement = scene.app();
    let program = spawn(&confinement, &sh("exec busybox sleep 60")).unwrap();
    let (_reader, writer) = std::io::pipe().unwrap();
    let process = Process { background: Some(writer.as_fd()), ..sh("true") };
    let refused = join(&confinement, &process, program.pidfd.as_fd()).unwrap_err();
    assert!(matches!(&refused, Error::Invalid { what, .. } if what == "background"), "{refused}");
    rustix::process::pidfd_send_signal(&program.pidfd, sandbox::Signal::KILL).unwrap();
    wait(&program);
}
