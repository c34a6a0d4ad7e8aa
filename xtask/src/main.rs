//! `cargo xtask`: the commands of a work tree. This crate links nothing of ours, so that it
//! compiles in seconds; what is heavy runs as a child process.
//!
//! | command | what it does | module |
//! |---|---|---|
//! | `setup` | installs what building and testing need | [`setup`] |
//! | `demo [--once]` | a gateway in QEMU with its fleet server beside it | [`tasks`] |
//! | `test` | every test | [`suite`] |
//! | `ci` | format, lints, dependencies, tidy, tests | [`ci`] |
//! | `fuzz [--seconds N] [TARGET]` | the parsers with whatever bytes | [`fuzz`] |
//! | `tidy` | the house rules that no other tool checks | [`tidy`] |
//! | `soak` | power cuts of a gateway in QEMU | [`tasks`] |
//! | `replay` | power cuts between the writes of an update in QEMU | [`tasks`] |
//! | `sim` | lives of simulated devices, by seed | [`tasks`] |
//! | `bench app\|boot\|memory\|delta\|install` | figures | [`tasks`] |

mod ci;
mod compiled;
mod deny;
mod error;
mod fuzz;
mod process;
mod setup;
mod suite;
mod tasks;
mod tidy;
mod tree;

use error::Error;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  setup           install what building and testing need (says what before it does)
  demo            build, boot a gateway in QEMU beside a fleet server, print the address
  demo --once     the same without a person: update it, install an app, report, end
  test [NAME]     run every test and each fuzz target for a while, or the boot tests of file NAME
  ci              formatting, lints, dependencies, tidy, and `test`
  tidy            check the house rules
  fuzz [TARGET]   the fuzz targets, so many runs each; --seconds N: for so long; --merge: keep
  sim --seed N    one life of a simulated device, with everything that happened when it fails
  sim --minutes M lives with ever new seeds, for so long
  soak --cycles N power cuts of a gateway in QEMU during updates, at moments that --seed decides
  replay --points N  power cuts between the writes of one update in QEMU; --seed decides which
  bench app       what confinement costs an app, beside bwrap, crun and runc where they are
  bench boot      boot time in virtual time, beside the kernel alone and busybox
  bench memory    memory of the device's processes
  bench delta     deltas beside those of other tools
  bench install   an update's parts, and writing a slot beside dd on the same card
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["setup"] => setup::everything(),
        ["demo", options @ ..] => tasks::demo(options),
        ["test", options @ ..] => suite::run(options),
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["soak", options @ ..] => tasks::soak(options),
        ["replay", options @ ..] => tasks::replay(options),
        ["sim", options @ ..] => tasks::sim(options),
        ["bench", options @ ..] => tasks::bench(options),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => Err(Error::Usage(format!("unknown command: {}\n\n{USAGE}", other.join(" ")))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
