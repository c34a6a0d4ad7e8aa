//! Memory of processes, for the status: the proportional set size, in which a page that several
//! processes share counts once in all. A process that ends while it is looked at has none.

use crate::early::SYSTEM_CGROUP;
use protocol::control::ServiceStatus;
use std::{fs, path::Path};

/// Fills in the memory of all processes of each service that runs.
pub fn of_services(mut services: Vec<ServiceStatus>) -> Vec<ServiceStatus> {
    for service in services.iter_mut().filter(|service| service.pid.is_some()) {
        service.memory_kib = of_group(&Path::new(SYSTEM_CGROUP).join(&service.name));
    }
    services
}

fn of_group(group: &Path) -> Option<u32> {
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    Some(processes.lines().filter_map(|pid| of_process(pid.parse().ok()?)).sum())
}

/// Proportional set size of a process in KiB.
pub fn of_process(pid: u32) -> Option<u32> {
    pss(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

/// Format: Linux `Documentation/filesystems/proc.rst`.
fn pss(rollup: &str) -> Option<u32> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_set_size_is_read() {
        let rollup = "00400000-7ffe0000 ---p 00000000 00:00 0 [rollup]\n\
                      Rss:                 996 kB\nPss:                 512 kB\n";
        assert_eq!(pss(rollup), Some(512));
        assert_eq!(pss("Rss: 1 kB\n"), None);
        assert!(of_process(std::process::id()).is_some_and(|kib| kib > 0));
    }
}
