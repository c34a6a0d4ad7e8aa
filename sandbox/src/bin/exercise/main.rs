//! Test tool: a use of each system call that some profile allows, with arguments that work.
//! `sandbox/tests/confined/needed.rs` runs it.
//!
//! `--list` prints the names; `--each DIRECTORY NAME…` runs each in a process of its own, in that
//! working directory, and prints what failed; `--here DIRECTORY NAME` runs one in this process and
//! ends with 0 when it worked. A name is that of the call, and after a blank the case.

mod fixtures;
mod sys_files;
mod sys_ids;
mod sys_ipc;
mod sys_memory;
mod sys_names;
mod sys_processes;
mod sys_sockets;
mod sys_threads;
mod sys_time;
mod sys_views;

use fixtures::Exercise;
use std::process::{Command, ExitCode};

fn all() -> impl Iterator<Item = &'static Exercise> {
    [
        sys_files::ALL,
        sys_ids::ALL,
        sys_ipc::ALL,
        sys_memory::ALL,
        sys_names::ALL,
        sys_names::OLD,
        sys_processes::ALL,
        sys_sockets::ALL,
        sys_threads::ALL,
        sys_time::ALL,
        sys_views::ALL,
    ]
    .into_iter()
    .flatten()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--list"] => all().for_each(|(name, _)| println!("{name}")),
        ["--each", directory, ref names @ ..] => each(directory, names),
        ["--here", directory, name] => {
            if std::env::set_current_dir(directory).is_err() {
                return ExitCode::FAILURE;
            }
            let found = all().find(|(found, _)| *found == name);
            if !found.is_some_and(|(_, exercise)| exercise()) {
                return ExitCode::FAILURE;
            }
        }
        // What the exercises of execve execute.
        ["--nothing"] => {}
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn each(directory: &str, names: &[&str]) {
    for name in names {
        let output = Command::new(fixtures::ITSELF).args(["--here", directory, name]).output();
        let output = output.expect("it can run itself");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            println!("{name}: {} {said}", output.status);
        }
    }
}
