//! System V and POSIX queues, semaphores, shared memory. All are removed again.

use crate::fixtures::{Exercise, ok};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

/// The result of `exercise` with a set of one semaphore.
fn with_semaphore(exercise: fn(i64) -> i64) -> bool {
    let id = call!(SYS_semget, libc::IPC_PRIVATE, 1, 0o600);
    let result = exercise(id);
    let worked = ok(result);
    call!(SYS_semctl, id, 0, libc::IPC_RMID, 0);
    worked
}

/// The result of `exercise` with a message queue that has a message of one byte.
fn with_queue(exercise: fn(i64) -> i64) -> bool {
    let id = call!(SYS_msgget, libc::IPC_PRIVATE, 0o600);
    call!(SYS_msgsnd, id, MESSAGE.as_ptr(), 1_usize, libc::IPC_NOWAIT);
    let worked = ok(exercise(id));
    call!(SYS_msgctl, id, libc::IPC_RMID, 0);
    worked
}

/// The result of `exercise` with a POSIX queue that has a message of one byte.
fn with_mq(exercise: fn(i64) -> i64) -> bool {
    let flags = libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK;
    // `struct mq_attr`: flags, messages, bytes
    let attributes = [0_i64, 4, 8, 0, 0, 0, 0, 0];
    let id = call!(SYS_mq_open, c"exercise".as_ptr(), flags, 0o600, attributes.as_ptr());
    if !ok(id) {
        return false;
    }
    call!(SYS_mq_timedsend, id, c"x".as_ptr(), 1_usize, 0, 0);
    let worked = ok(exercise(id));
    call!(SYS_mq_unlink, c"exercise".as_ptr());
    worked
}

/// Type 1, text "x".
const MESSAGE: [i64; 2] = [1, 0x78];
/// `struct sembuf`: semaphore 0, up by one.
const UP: [i16; 3] = [0, 1, 0];

pub const ALL: &[Exercise] = &[
    ("shmget", || {
        let id = call!(SYS_shmget, libc::IPC_PRIVATE, 4096, 0o600);
        call!(SYS_shmctl, id, libc::IPC_RMID, 0);
        ok(id)
    }),
    ("shmctl", || {
        let id = call!(SYS_shmget, libc::IPC_PRIVATE, 4096, 0o600);
        ok(call!(SYS_shmctl, id, libc::IPC_RMID, 0))
    }),
    ("semget", || with_semaphore(|id| id)),
    ("semop", || with_semaphore(|id| call!(SYS_semop, id, UP.as_ptr(), 1))),
    ("semtimedop", || with_semaphore(|id| call!(SYS_semtimedop, id, UP.as_ptr(), 1, 0))),
    ("semctl", || with_semaphore(|id| call!(SYS_semctl, id, 0, libc::GETVAL, 0))),
    ("msgget", || with_queue(|id| id)),
    ("msgsnd", || with_queue(|id| call!(SYS_msgsnd, id, MESSAGE.as_ptr(), 1_usize, 0))),
    ("msgrcv", || {
        with_queue(|id| {
            call!(SYS_msgrcv, id, [0_i64; 2].as_mut_ptr(), 1_usize, 0, libc::IPC_NOWAIT)
        })
    }),
    ("msgctl", || with_queue(|id| call!(SYS_msgctl, id, libc::IPC_STAT, [0_u64; 32].as_mut_ptr()))),
    ("mq_open", || with_mq(|id| id)),
    ("mq_unlink", || with_mq(|_| call!(SYS_mq_unlink, c"exercise".as_ptr()))),
    ("mq_timedsend", || with_mq(|id| call!(SYS_mq_timedsend, id, c"y".as_ptr(), 1_usize, 0, 0))),
    ("mq_timedreceive", || {
        with_mq(|id| call!(SYS_mq_timedreceive, id, [0_u8; 8].as_mut_ptr(), 8_usize, 0, 0))
    }),
    // No notification.
    ("mq_notify", || with_mq(|id| call!(SYS_mq_notify, id, 0))),
    ("mq_getsetattr", || with_mq(|id| call!(SYS_mq_getsetattr, id, 0, [0_i64; 8].as_mut_ptr()))),
];
