//! seccomp(2): a [`Profile`] as a BPF program, and its installation.
//!
//! The program looks at the architecture first (another one has other numbers: kill), then at the
//! number. Calls newer
//! than this crate answer `ENOSYS`, as an older kernel would, so that C libraries fall back; all
//! others that are not
//! allowed answer `EPERM`.

use crate::profile::{Condition, Profile, Rule};
use rustix::io::{Errno, Result};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// On x86_64 numbers with this bit are the x32 variants of the same calls.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;
/// Newest call that was judged when the profiles were written (`mseal`, Linux 6.10).
const NEWEST_CALL: u32 = 462;

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
#[cfg(target_arch = "x86_64")]
const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// A compiled filter.
pub(crate) struct Filter(Vec<libc::sock_filter>);

fn op(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

/// Goes on with the next instruction when the test holds, else skips `otherwise` instructions.
fn test(code: u16, k: u32, otherwise: usize) -> libc::sock_filter {
    let jf = u8::try_from(otherwise).expect("a rule has few conditions");
    libc::sock_filter { code, jt: 0, jf, k }
}

fn deny(errno: Errno) -> libc::sock_filter {
    op(RETURN, libc::SECCOMP_RET_ERRNO | errno.raw_os_error() as u32)
}

/// Instructions that fall through when the condition holds and jump `over` instructions past
/// themselves when not.
fn condition(c: &Condition, over: usize) -> Vec<libc::sock_filter> {
    let low = OFFSET_ARGUMENTS + 8 * u32::from(c.argument);
    let halves = [
        (low + 4, (c.mask >> 32) as u32, (c.value >> 32) as u32),
        (low, c.mask as u32, c.value as u32),
    ];
    let tested: Vec<_> = halves.into_iter().filter(|(_, mask, _)| *mask != 0).collect();
    let last = tested.len().saturating_sub(1);
    let mut out = Vec::new();
    for (i, (offset, mask, value)) in tested.into_iter().enumerate() {
        out.push(op(LOAD, offset));
        out.push(op(AND, mask));
        let past = over + 3 * (last - i);
        out.push(test(EQUAL, value, past));
        if c.negate {
            let jump = out.last_mut().expect("just pushed");
            (jump.jt, jump.jf) = (jump.jf, jump.jt);
        }
    }
    out
}

/// All rules of one call: allowed when any of them holds.
fn block(rules: &[&Rule]) -> Vec<libc::sock_filter> {
    if rules.iter().any(|rule| rule.conditions.is_empty()) {
        return vec![op(RETURN, libc::SECCOMP_RET_ALLOW)];
    }
    let mut out = Vec::new();
    for rule in rules {
        // Built from the end, because each jump leads past what follows it: the rest and its ALLOW.
        let mut alternative = vec![op(RETURN, libc::SECCOMP_RET_ALLOW)];
        for c in rule.conditions.iter().rev() {
            let mut before = condition(c, alternative.len());
            before.append(&mut alternative);
            alternative = before;
        }
        out.append(&mut alternative);
    }
    out.push(deny(Errno::PERM));
    out
}

impl Filter {
    /// Compiles a profile.
    pub(crate) fn compile(profile: &Profile) -> Self {
        let mut code = vec![
            op(LOAD, OFFSET_ARCHITECTURE),
            test(EQUAL, ARCHITECTURE, 1),
            libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k: 1 },
            op(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
            op(LOAD, OFFSET_NUMBER),
        ];
        #[cfg(target_arch = "x86_64")]
        code.extend([test(ANY_BIT, X32_BIT, 1), deny(Errno::PERM)]);
        for number in profile.absent {
            code.extend([test(EQUAL, *number as u32, 1), deny(Errno::NOSYS)]);
        }
        let mut numbers: Vec<i64> = Vec::new();
        for rule in profile.rules {
            if !numbers.contains(&rule.number) {
                numbers.push(rule.number);
            }
        }
        for number in numbers {
            let rules: Vec<_> = profile.rules.iter().filter(|r| r.number == number).collect();
            let mut allowed = block(&rules);
            code.push(test(EQUAL, number as u32, allowed.len()));
            code.append(&mut allowed);
        }
        code.extend([test(GREATER, NEWEST_CALL, 1), deny(Errno::NOSYS), deny(Errno::PERM)]);
        Self(code)
    }

    /// Applies the filter to the calling thread, for good. Needs `no_new_privs`.
    pub(crate) fn install(&self) -> Result<()> {
        let program =
            libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: `program` points to `len` instructions that live throughout the call; the kernel
        // copies them.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        };
        if result == 0 { Ok(()) } else { Err(last_errno()) }
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
