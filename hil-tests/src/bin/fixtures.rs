//! Builds everything that the stories boot, before the tests begin: a test's output is hidden until
//! it ends, and the first build of the kernel takes minutes.

use hil::Result;
use hil::releases::Releases;
use hil::samples;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result {
    let start = Instant::now();
    for (board, builds) in Releases::ALL {
        let releases = Releases::of(*board)?;
        for build in *builds {
            let release = build(releases)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("{seconds:6.1} s  release {} for {}", release.version, board.id());
        }
    }
    samples::signed(Releases::get()?)?;
    println!("{:6.1} s  sample app", start.elapsed().as_secs_f64());
    Ok(())
}
