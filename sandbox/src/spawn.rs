//! The caller's side of a start: prepare, clone, hear how the steps went.

use crate::{
    apply::{self, REPORT_SIZE},
    cgroup,
    clone::{Side, fork_into},
    confinement::Confinement,
    error::{Context, Error, Result},
    fence::Report,
    plan::Plan,
    process::Process,
    signals,
    view::STAGING,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
    process::{Pid, WaitOptions},
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A started process. It is the caller's child: the caller reaps it (by `pid`, or `waitid` on
/// `pidfd`).
#[derive(Debug)]
pub struct Spawned {
    /// Process id in the caller's namespace; with [`Confinement::reaper`] that of the reaper, to
    /// which signals go.
    pub pid: Pid,
    /// Readable when the process has ended; CLOEXEC.
    pub pidfd: OwnedFd,
    /// How much of [`Confinement::landlock`] is in force; `None` when it was not asked for. To be
    /// logged when something is missing.
    pub landlock: Option<Report>,
}

/// Starts `process` under `confinement` and returns once the program is being executed.
///
/// Bounded: waits for the steps only. A process that failed is reaped before the error is returned,
/// so a caller that
/// reaps all its children (init) must not do so in another thread meanwhile.
pub fn spawn(confinement: &Confinement, process: &Process<'_>) -> Result<Spawned> {
    start(confinement, process, None)
}

/// As [`spawn`], but in the namespaces of a process that was spawned with the same confinement, by
/// its pidfd. What is reaped is a small process outside of them, as [`Confinement::reaper`] has it.
pub fn join(
    confinement: &Confinement,
    process: &Process<'_>,
    into: BorrowedFd<'_>,
) -> Result<Spawned> {
    start(confinement, process, Some(into))
}

fn start(
    confinement: &Confinement,
    process: &Process<'_>,
    into: Option<BorrowedFd<'_>>,
) -> Result<Spawned> {
    let mut plan = Plan::new(confinement, process, into)?;
    if confinement.namespaces.mount && into.is_none() {
        std::fs::create_dir_all(STAGING).context("make directory", STAGING)?;
    }
    let group = match &confinement.cgroup {
        Some(place) => {
            cgroup::create(&place.path, &place.limits)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = rustix::fs::open(&place.path, flags, Mode::empty());
            Some(opened.context("open cgroup", place.path.display())?)
        }
        None => None,
    };
    let (hear, low) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make", "report pipe")?;
    // Out of the way of the numbers that the program's descriptors get.
    let tell = rustix::io::fcntl_dupfd_cloexec(&low, plan.descriptors.len() as i32)
        .context("move", "report pipe")?;
    drop(low);

    // No handler of the caller may run in the new process; it lets signals through when it
    // executes.
    let blocked = signals::block_all();
    let forked = fork_into(plan.namespaces, group.as_ref().map(AsFd::as_fd));
    if let Ok(Side::Child) = forked {
        // The child's copy of the reading end would hide that the caller is gone.
        drop(hear);
        apply::apply(&mut plan, tell.as_fd());
    }
    drop(blocked);
    drop(tell);
    let Side::Parent(pid, pidfd) = forked.context("clone", process.program.display())? else {
        unreachable!("the child does not come back");
    };
    match listen(&hear, &plan) {
        Ok(()) => Ok(Spawned { pid, pidfd, landlock: plan.landlock.take() }),
        Err(error) => {
            // It is ending, or was killed: this does not wait for anything else.
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            Err(error.unwrap_or_else(|| Error::Vanished {
                program: process.program.display().to_string(),
            }))
        }
    }
}

/// Reads reports until all writing ends are closed, which exec does. A step's report is the error;
/// `Err(None)`: no report at all.
fn listen(hear: &OwnedFd, plan: &Plan) -> std::result::Result<(), Option<Error>> {
    let mut executing = false;
    loop {
        let mut report = [0; REPORT_SIZE];
        match rustix::io::read(hear, &mut report) {
            Ok(REPORT_SIZE) => {}
            Err(Errno::INTR) => continue,
            _ => return if executing { Ok(()) } else { Err(None) },
        }
        let (index, errno) = report.split_at(REPORT_SIZE / 2);
        let index = u32::from_ne_bytes(index.try_into().expect("four bytes"));
        let errno = i32::from_ne_bytes(errno.try_into().expect("four bytes"));
        if index == apply::EXECUTING {
            executing = true;
            continue;
        }
        let step = plan.steps.get(index as usize);
        return Err(step.map(|step| Error::Child {
            step: step.name,
            object: step.object.clone(),
            source: Errno::from_raw_os_error(errno),
        }));
    }
}
