//! The other end of a serial port that a machine has on USB.

use crate::error::{Error, Result};
use crate::limits;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Where the end of a port is, as a socket.
pub struct Wire(PathBuf);

impl Wire {
    /// An end that no machine has yet.
    pub fn new(name: &str) -> Self {
        // Unix socket paths are short: the folder of the system, not ours.
        Self(std::env::temp_dir().join(format!("hil-{}-{name}.wire", std::process::id())))
    }

    /// Arguments of QEMU for an adapter on USB with the other end.
    pub fn arguments(&self) -> [String; 4] {
        let path = self.0.display();
        [
            "-chardev".into(),
            format!("socket,id=wire,path={path},server=on,wait=off"),
            "-device".into(),
            "usb-serial,chardev=wire,always-plugged=on".into(),
        ]
    }

    /// Takes the end of a running machine.
    pub fn take(&self) -> Result<Line> {
        let failed = |cause: std::io::Error| Error::Story(format!("{}: {cause}", self.0.display()));
        let stream = UnixStream::connect(&self.0).map_err(failed)?;
        stream.set_read_timeout(Some(limits::COMMAND)).map_err(failed)?;
        Ok(Line(BufReader::new(stream)))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Lines to and from a machine.
pub struct Line(BufReader<UnixStream>);

impl Line {
    /// Says a line and waits for one.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        let failed =
            |cause: std::io::Error| Error::Story(format!("serial port: {line:?}: {cause}"));
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).map_err(failed)?;
        Ok(answer.trim_end().to_string())
    }
}
