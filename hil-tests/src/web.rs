//! A web server of a folder's files, for gateways: they see this machine at 10.0.2.2.

use crate::error::{Error, Result};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

/// Serves for as long as the process lives.
pub struct Web {
    port: u16,
}

impl Web {
    /// Begins to serve the files of a folder, each at its name.
    pub fn serve(folder: &Path) -> Result<Self> {
        let failed = |cause: std::io::Error| Error::Story(format!("serve files: {cause}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let folder = folder.to_path_buf();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A gateway that goes away asks again.
                let _ = answer(stream, &folder);
            }
        });
        Ok(Self { port })
    }

    /// Where a gateway finds a file.
    pub fn address(&self, name: &str) -> String {
        format!("http://10.0.2.2:{}/{name}", self.port)
    }
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let found = match name.contains('/') {
        false => fs::read(folder.join(name)).ok(),
        true => None,
    };
    let (status, body) = match found {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}
