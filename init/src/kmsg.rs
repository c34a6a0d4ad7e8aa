//! init's own messages: written to the kernel's log, so that each line reaches the console whole,
//! carries the kernel's time and is part of what pstore keeps over a panic. Form: `holdfast: TEXT`.
//!
//! Never blocks longer than the console's driver needs for one line, and never fails: a message
//! that cannot be written is dropped.

use std::{fs::File, io::Write, sync::OnceLock};

/// Bytes of one record that the kernel takes (it refuses about 1000).
const LINE_LIMIT: usize = 900;
/// Kernel log level of messages that a person shall see: shown unless the console level is below 6.
const NOTICE: u8 = 5;
/// Kernel log level of warnings.
const WARNING: u8 = 4;

static KMSG: OnceLock<Option<File>> = OnceLock::new();

/// A message for people and tests; one record for each line.
pub fn notice(text: &str) {
    write(NOTICE, text);
}

/// Something that needs attention.
pub fn warning(text: &str) {
    write(WARNING, &format!("warning: {text}"));
}

fn write(level: u8, text: &str) {
    let kmsg = KMSG.get_or_init(|| File::options().write(true).open("/dev/kmsg").ok());
    let Some(mut kmsg) = kmsg.as_ref() else { return };
    for line in text.lines() {
        let record = format!("<{level}>holdfast: {}\n", shortened(line));
        let _ = kmsg.write_all(record.as_bytes());
    }
}

fn shortened(line: &str) -> &str {
    let mut end = line.len().min(LINE_LIMIT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_line_is_cut_at_a_character() {
        assert_eq!(super::shortened(&"é".repeat(1000)).len(), super::LINE_LIMIT);
        assert_eq!(super::shortened("short"), "short");
    }
}
