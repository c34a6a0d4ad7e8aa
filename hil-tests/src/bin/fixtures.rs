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
    let releases = Releases::get()?;
    for build in Releases::ALL {
        let release = build(releases)?;
        println!("{:6.1} s  release {}", start.elapsed().as_secs_f64(), release.version);
    }
    samples::signed(releases)?;
    println!("{:6.1} s  sample app", start.elapsed().as_secs_f64());
    Ok(())
}
