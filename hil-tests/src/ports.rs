//! Ports of the host that lead to a gateway's.

use crate::error::{Error, Result};
use crate::limits;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One that nobody has now.
pub fn free() -> Result<u16> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|e| Error::Story(format!("no free port: {e}")))
}

/// What a web server at a port of the host answers, once it answers anything.
pub fn page(port: u16, limit: Duration) -> Result<String> {
    let began = Instant::now();
    loop {
        match ask(port) {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            _ if began.elapsed() < limit => sleep(limits::POLL),
            other => return Err(Error::Story(format!("no page at port {port}: {other:?}"))),
        }
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
