//! How long things may take, and how many at once. None of these decides whether a test passes on a
//! working system: QEMU without hardware help on a busy machine is slow, so they are many times
//! what is usual, and only end a test that hangs.

use std::time::Duration;

/// QEMUs at once in one process: each keeps a core busy while it boots.
pub const MACHINES: usize = 2;
/// From power on to a healthy system; usually 15 to 40 s.
pub const BOOT: Duration = Duration::from_secs(300);
/// One command on the console; usually below 1 s.
pub const COMMAND: Duration = Duration::from_secs(120);
/// A whole update: download at about 0.2 MB/s, read back, reboot, health; usually 2 to 4 min.
pub const UPDATE: Duration = Duration::from_secs(1200);
/// A refusal of what was deployed: nothing is downloaded before; usually below 5 s.
pub const REFUSAL: Duration = Duration::from_secs(180);
/// A service of ours on the host, from start to its first answer.
pub const SERVER_START: Duration = Duration::from_secs(60);
/// Power-off and reboot, from the request to the end of the system.
pub const SHUTDOWN: Duration = Duration::from_secs(120);
/// QEMU's answer to a command on its control socket.
pub const QMP: Duration = Duration::from_secs(30);
/// Between two looks at something that must be asked for.
pub const POLL: Duration = Duration::from_millis(250);
/// Console lines that a failure shows.
pub const TAIL_LINES: usize = 40;
