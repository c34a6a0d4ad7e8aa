//! The prompt on the serial console: the same verbs, line by line. There is no shell behind it.
//! Each command ends with a line `[exit N]`, so that a program at the other end knows that it is
//! over.

use crate::run;
use std::io::{self, BufRead, Write};

/// What asks for a line.
const PROMPT: &str = "holdfast> ";
/// Longest line in bytes.
const LINE_LIMIT: usize = 4096;

/// Serves lines from standard input until it ends.
pub fn serve() -> u8 {
    let mut input = io::stdin().lock();
    println!("\nHoldfast. `help` lists the commands.");
    loop {
        print!("{PROMPT}");
        if io::stdout().flush().is_err() {
            return run::DONE;
        }
        let mut line = Vec::new();
        let mut bounded = io::Read::take(&mut input, LINE_LIMIT as u64);
        match bounded.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return run::DONE,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let code = match split(text.trim()) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) if matches!(words[0].as_str(), "prompt" | "console") => run::USAGE,
            Ok(words) => run::line(&words),
            Err(error) => {
                eprintln!("error: {error}");
                run::USAGE
            }
        };
        println!("[exit {code}]");
    }
}

/// Words between spaces; quotes keep spaces, nothing else is special.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_spaces_outside_quotes() {
        let table: [(&str, &[&str]); 4] = [
            ("", &[]),
            ("  list  --json ", &["list", "--json"]),
            ("reboot 'new kernel'", &["reboot", "new kernel"]),
            ("info \"\" a\"b c\"d", &["info", "", "ab cd"]),
        ];
        for (line, words) in table {
            let expected: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(split(line), Ok(expected), "{line}");
        }
        assert!(split("info 'open").is_err());
    }
}
