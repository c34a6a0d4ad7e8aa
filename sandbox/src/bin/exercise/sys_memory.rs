//! Memory.

#[cfg(target_arch = "x86_64")]
use crate::fixtures::fails;
use crate::fixtures::{Exercise, file, leak, ok, ok_or};
use std::ptr::null_mut;

const PAGE: usize = 4096;

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

/// Two pages of its own.
fn pages() -> i64 {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    call!(SYS_mmap, 0, 2 * PAGE, protection, flags, -1, 0)
}

pub const ALL: &[Exercise] = &[
    ("brk", || call!(SYS_brk, 0) > 0),
    ("mmap", || ok(pages())),
    ("munmap", || ok(call!(SYS_munmap, pages(), 2 * PAGE))),
    ("mremap", || ok(call!(SYS_mremap, pages(), 2 * PAGE, 3 * PAGE, libc::MREMAP_MAYMOVE))),
    ("mprotect", || ok(call!(SYS_mprotect, pages(), PAGE, libc::PROT_READ))),
    ("madvise", || ok(call!(SYS_madvise, pages(), PAGE, libc::MADV_DONTNEED))),
    ("msync", || ok(call!(SYS_msync, pages(), PAGE, libc::MS_SYNC))),
    ("mincore", || ok(call!(SYS_mincore, pages(), PAGE, [0_u8; 1].as_mut_ptr()))),
    ("mlock", || ok(call!(SYS_mlock, pages(), PAGE))),
    ("mlock2", || ok(call!(SYS_mlock2, pages(), PAGE, 0))),
    // More than the limit that a user has, maybe; the filter's answer would be another.
    ("mlockall", || ok_or(call!(SYS_mlockall, libc::MCL_CURRENT), libc::ENOMEM)),
    ("munlock", || ok(call!(SYS_munlock, pages(), PAGE))),
    ("munlockall", || ok(call!(SYS_munlockall))),
    ("membarrier", || ok(call!(SYS_membarrier, 0, 0, 0))),
    ("memfd_create", || ok(call!(SYS_memfd_create, c"memory".as_ptr(), 0))),
    #[cfg(target_arch = "x86_64")]
    // There are no flags, and not every processor has a key to give.
    ("pkey_alloc", || fails(call!(SYS_pkey_alloc, 1, 0), libc::EINVAL)),
    #[cfg(target_arch = "x86_64")]
    ("pkey_free", || fails(call!(SYS_pkey_free, 9), libc::EINVAL)),
    #[cfg(target_arch = "x86_64")]
    ("pkey_mprotect", || ok(call!(SYS_pkey_mprotect, pages(), PAGE, libc::PROT_READ, -1))),
    ("readahead", || ok(call!(SYS_readahead, leak(file("readahead")), 0, PAGE))),
    ("shmat", || {
        let id = call!(SYS_shmget, libc::IPC_PRIVATE, PAGE, 0o600);
        let at = call!(SYS_shmat, id, null_mut::<u8>(), 0);
        call!(SYS_shmctl, id, libc::IPC_RMID, 0);
        ok(at)
    }),
    ("shmdt", || {
        let id = call!(SYS_shmget, libc::IPC_PRIVATE, PAGE, 0o600);
        let at = call!(SYS_shmat, id, null_mut::<u8>(), 0);
        call!(SYS_shmctl, id, libc::IPC_RMID, 0);
        at > 0 && ok(call!(SYS_shmdt, at))
    }),
];
