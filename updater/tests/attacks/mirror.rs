//! A mirror in the attacker's hand: plain HTTP, answers each range as it likes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

/// What a mirror does with a request for a range.
pub type Answer = Box<dyn FnOnce(&mut TcpStream) -> std::io::Result<()> + Send>;

pub struct Mirror {
    /// Address of the payload.
    pub url: String,
    /// Ranges that were asked for.
    pub requests: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Mirror {
    /// Serves until the process ends.
    pub fn start(answer: impl Fn(Range<u64>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/payload", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || {
                    let _ = converse(stream, &seen, &*answer);
                });
            }
        });
        Self { url, requests }
    }

    /// Serves these bytes as a server of files does.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self::start(move |range| part(&bytes, &range))
    }
}

fn converse(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Range<u64>>>,
    answer: &dyn Fn(Range<u64>) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut range = 0..0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some((start, end)) =
                line.strip_prefix("range: bytes=").and_then(|text| text.split_once('-'))
            {
                range = start.parse().unwrap()..end.parse::<u64>().unwrap() + 1;
            }
        }
        seen.lock().unwrap().push(range.clone());
        answer(range)(&mut stream)?;
        stream.flush()?;
    }
}

/// The head of an answer that says it is this range.
pub fn head(range: &Range<u64>, framing: &str) -> String {
    let last = range.end - 1;
    format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {}-{last}/*\r\n{framing}\r\n\r\n",
        range.start
    )
}

/// The honest answer.
pub fn part(bytes: &[u8], range: &Range<u64>) -> Answer {
    let range = range.clone();
    let end = (range.end as usize).min(bytes.len());
    let content = bytes.get(range.start as usize..end).unwrap_or_default().to_vec();
    Box::new(move |stream| {
        let framing = format!("content-length: {}", content.len());
        stream.write_all(head(&range, &framing).as_bytes())?;
        stream.write_all(&content)
    })
}
