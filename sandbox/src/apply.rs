//! The new process's side: the steps, straight through. Nothing here allocates or takes a lock.

use crate::{
    capability::{self, CapabilitySet},
    clone::{Side, exit_now, fork_into},
    exec, mount_attr, netdevice,
    plan::{Op, Plan, Step},
    signals,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{Gid, Mode, OFlags, Uid},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags},
    process::{DumpableBehavior, Rlimit},
    thread::{CapabilitiesSecureBits, CapabilitySets, UnshareFlags},
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// What the new process writes instead of a step's index when it is about to execute the program.
pub(crate) const EXECUTING: u32 = u32::MAX;
/// Bytes of a report: index of a step and errno, both of this machine's byte order.
pub(crate) const REPORT_SIZE: usize = 8;
/// Exit code of a process that could not be confined; nobody sees it, the error says more.
const CONFINEMENT_FAILED: i32 = 125;

/// Carries out the plan and never returns. `report` is the CLOEXEC end of a pipe to the caller.
pub(crate) fn apply(plan: &mut Plan, report: BorrowedFd<'_>) -> ! {
    let Plan { steps, descriptors, .. } = plan;
    for index in 0..steps.len() {
        let (done, rest) = steps[index..].split_first().expect("index is in range");
        if let Err(errno) = step(done, rest, descriptors, report) {
            tell(report, index as u32, errno.raw_os_error());
            exit_now(CONFINEMENT_FAILED);
        }
    }
    exit_now(CONFINEMENT_FAILED)
}

/// One write of eight bytes: atomic on a pipe.
fn tell(report: BorrowedFd<'_>, index: u32, errno: i32) {
    let mut bytes = [0; REPORT_SIZE];
    bytes[..4].copy_from_slice(&index.to_ne_bytes());
    bytes[4..].copy_from_slice(&errno.to_ne_bytes());
    // When nobody listens any more there is nobody to tell.
    let _ = rustix::io::write(report, &bytes);
}

fn step(
    step: &Step,
    rest: &[Step],
    descriptors: &mut [RawFd],
    report: BorrowedFd<'_>,
) -> Result<(), Errno> {
    match &step.op {
        Op::ResetSignals => signals::reset_all(),
        Op::NewSession => drop(rustix::process::setsid()?),
        Op::UnshareCgroup => unshare_cgroup()?,
        Op::HostName(name) => rustix::system::sethostname(name.as_bytes())?,
        Op::LoopbackUp => netdevice::loopback_up()?,
        Op::Enter(namespace, kind) => {
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(*kind))?;
        }
        Op::Umask(mask) => drop(rustix::process::umask(Mode::from_raw_mode(*mask))),
        Op::Limit(resource, value) => {
            let limit = Rlimit { current: Some(*value), maximum: Some(*value) };
            rustix::process::setrlimit(*resource, limit)?;
        }
        Op::Descriptors => {
            exec::place_descriptors(descriptors)?;
            exec::close_on_exec_from(descriptors.len() as u32)?;
        }
        Op::SecureBits => rustix::thread::set_capabilities_secure_bits(
            // User 0 gets nothing for being 0, for good; and what is permitted survives the change
            // of ids.
            CapabilitiesSecureBits::NO_ROOT
                | CapabilitiesSecureBits::NO_ROOT_LOCKED
                | CapabilitiesSecureBits::KEEP_CAPS,
        )?,
        Op::BoundingSet(keep) => drop_bounding_set(*keep)?,
        Op::Groups => rustix::thread::set_thread_groups(&[])?,
        Op::Ids(identity) => {
            // The group first: a changed user id no longer may.
            let (gid, uid) = (Gid::from_raw(identity.gid), Uid::from_raw(identity.uid));
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        Op::Capabilities(keep) => reduce_capabilities(*keep)?,
        Op::ParentDeath(signal) => {
            rustix::process::set_parent_process_death_signal(Some(*signal))?;
            end_if_orphaned(report)?;
        }
        Op::WorkingDirectory(path) => rustix::process::chdir(path.as_c_str())?,
        Op::NoNewPrivileges => rustix::thread::set_no_new_privs(true)?,
        Op::Join(process, kinds) => {
            rustix::thread::move_into_thread_name_spaces(exec::borrow(process), *kinds)?;
        }
        Op::Reaper(background) => become_reaper(rest, *background)?,
        Op::Landlock(ruleset) => ruleset.enforce()?,
        Op::Seccomp(filter) => filter.install()?,
        Op::Execute(image) => {
            tell(report, EXECUTING, 0);
            signals::unblock_all();
            return Err(image.execute());
        }
        mount => return mount_step(mount),
    }
    Ok(())
}

fn mount_step(op: &Op) -> Result<(), Errno> {
    match op {
        Op::PrivateMounts { below } => rustix::mount::mount_change(
            below.as_c_str(),
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        ),
        Op::FollowMounts => rustix::mount::mount_change(
            c"/",
            MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
        ),
        Op::FileSystem { kind, target, flags, options } => {
            rustix::mount::mount(*kind, target.as_c_str(), *kind, *flags, options.as_c_str())
        }
        Op::Bind { source, target, recursive } => {
            let recursive = if *recursive { MountFlags::REC } else { MountFlags::empty() };
            rustix::mount::mount(
                source.as_c_str(),
                target.as_c_str(),
                c"",
                MountFlags::BIND | recursive,
                None,
            )
        }
        Op::Move { from, to } => rustix::mount::mount_move(from.as_c_str(), to.as_c_str()),
        Op::Attach { tree, target } => rustix::mount::move_mount(
            tree.as_fd(),
            c"",
            rustix::fs::CWD,
            target.as_c_str(),
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        ),
        Op::Attributes { target, set, clear, recursive } => {
            mount_attr::change(target, *set, *clear, *recursive)
        }
        Op::Directory { path, mode } => existing(
            rustix::fs::mkdir(path.as_c_str(), Mode::from_raw_mode(*mode))
                .and_then(|()| rustix::fs::chmod(path.as_c_str(), Mode::from_raw_mode(*mode))),
        ),
        Op::File { path } => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            existing(rustix::fs::open(path.as_c_str(), flags, Mode::RUSR | Mode::ROTH).map(drop))
        }
        Op::Link { to, path } => rustix::fs::symlink(to.as_c_str(), path.as_c_str()),
        Op::PivotRoot { root } => {
            // Old and new root on one place, then the old one, which is on top of it, is detached.
            rustix::process::chdir(root.as_c_str())?;
            rustix::process::pivot_root(c".", c".")?;
            rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
            rustix::process::chdir(c"/")
        }
        _ => Err(Errno::INVAL),
    }
}

/// A mount point that is there already is as good.
fn existing(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

#[allow(deprecated, reason = "the safe form exists only in a newer rustix")]
fn unshare_cgroup() -> Result<(), Errno> {
    rustix::thread::unshare(UnshareFlags::NEWCGROUP)
}

/// Each capability on its own: the kernel has no call for the whole set, and answers EINVAL past
/// its last one.
fn drop_bounding_set(keep: CapabilitySet) -> Result<(), Errno> {
    for number in 0..=capability::LAST {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

fn reduce_capabilities(keep: CapabilitySet) -> Result<(), Errno> {
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: keep };
    rustix::thread::set_capabilities(None, sets)?;
    rustix::thread::clear_ambient_capability_set()?;
    // Without NO_ROOT's bonus and without file capabilities, only ambient ones survive exec.
    for number in 0..=capability::LAST {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(one) {
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
    }
    Ok(())
}

/// The caller may have ended before the signal was asked for; then its end of the pipe is closed.
fn end_if_orphaned(report: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut polled = [PollFd::from_borrowed_fd(report, PollFlags::empty())];
    rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        exit_now(CONFINEMENT_FAILED);
    }
    Ok(())
}

/// Forks: the child goes on with the plan, this process stays as process 1 of the namespace until
/// it ends.
fn become_reaper(rest: &[Step], background: Option<RawFd>) -> Result<(), Errno> {
    // It runs as the app's user and holds a copy of the caller's memory: nobody may look into it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let Side::Parent(program, pidfd) = fork_into(0, None)? else { return Ok(()) };
    let _ = pidfd.as_raw_fd();
    std::mem::forget(pidfd);
    exec::close_all_but(background);
    for step in rest {
        if let Op::Seccomp(filter) = &step.op
            && filter.install().is_err()
        {
            exit_now(CONFINEMENT_FAILED);
        }
    }
    exit_now(signals::reap_until(program, background))
}
