//! QEMU's control socket (QMP): one JSON object a line, one answer for each command, events
//! between.

use crate::error::{Error, Result};
use crate::limits;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connected control socket.
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, reads the greeting and leaves the negotiation mode.
    pub fn connect(path: &Path) -> Result<Self> {
        let failed = |cause| Error::Qmp { command: "connect".into(), cause };
        let stream = UnixStream::connect(path).map_err(|e| failed(e.to_string()))?;
        stream.set_read_timeout(Some(limits::QMP)).map_err(|e| failed(e.to_string()))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read("greeting")?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it answers.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let failed = |cause| Error::Qmp { command: command.into(), cause };
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let stream = self.stream.get_mut();
        stream.write_all(line.as_bytes()).map_err(|e| failed(e.to_string()))?;
        loop {
            let mut answer = self.read(command)?;
            if let Some(error) = answer.get("error") {
                return Err(failed(error.to_string()));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Runs a command of the human monitor, for what QMP lacks (`xp`).
    pub fn monitor(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().to_string())
    }

    fn read(&mut self, command: &str) -> Result<Value> {
        let failed = |cause: String| Error::Qmp { command: command.into(), cause };
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).map_err(|e| failed(e.to_string()))?;
        if count == 0 {
            return Err(failed("QEMU closed the socket".into()));
        }
        serde_json::from_str(&line).map_err(|e| failed(format!("{e} in {line:?}")))
    }
}
