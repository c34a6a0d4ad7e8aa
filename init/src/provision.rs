//! `device.toml`: imported from the boot partition to `/data/system/device.toml`, once for each
//! content; then the fleet's token is taken out of the card's readable copy.
//!
//! What always holds:
//! - The stored configuration is replaced whole or not at all; a broken file leaves the last good
//!   one in force.
//! - The token is on /data, synced, before it is taken from /boot.
//! - The file on /boot is changed in place and keeps its length: FAT's rename is not atomic, and
//!   this way neither directory nor allocation table change. What is about to be overwritten is
//!   noted on /data first, so that a line that a power cut left half overwritten is finished at the
//!   next boot, wherever it was torn.

use crate::{
    Error, data,
    error::{At, Result},
    files,
};
use protocol::device::DeviceConfig;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

/// The person's file.
pub const SOURCE: &str = "/boot/device.toml";
/// What is in force.
pub const STORED: &str = "/data/system/device.toml";
/// What was imported.
const IMPORTED: &str = "/data/system/device.imported.json";
/// Longest `device.toml` in bytes.
const SIZE_LIMIT: u64 = 64 << 10;
/// What stands in place of the token; blanks fill the line.
const TOKEN_TAKEN: &str = "# token imported";

/// What was imported last; digests in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Imported {
    /// Of the file without the token's line.
    content: String,
    /// Of the token.
    token: Option<String>,
    /// The token's line is being overwritten.
    pending: Option<Pending>,
}

/// A line of the file that is to be overwritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    start: usize,
    end: usize,
    /// Digest of everything else in the file.
    around: String,
}

/// The configuration in force: imports what is new, takes the last good one otherwise, defaults
/// where there is none.
pub fn configuration(warnings: &mut Vec<String>) -> DeviceConfig {
    if Path::new(SOURCE).exists()
        && let Err(error) = import(Path::new(SOURCE), Path::new(STORED), Path::new(IMPORTED))
    {
        warnings.push(error.to_string());
    }
    stored(Path::new(STORED)).unwrap_or_else(|error| {
        warnings.push(error.to_string());
        DeviceConfig::default()
    })
}

/// The configuration in force; defaults where none was ever imported.
pub fn stored(path: &Path) -> Result<DeviceConfig> {
    if !path.exists() {
        return Ok(DeviceConfig::default());
    }
    read(path).map(|(_, config)| config)
}

fn read(path: &Path) -> Result<(String, DeviceConfig)> {
    let text = read_text(path)?;
    let config = parse(&text, path)?;
    Ok((text, config))
}

fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(files::read_bounded(path, SIZE_LIMIT)?)
        .map_err(|_| Error::invalid(path.display().to_string(), "not UTF-8"))
}

/// What a `device.toml` says; an error names the line.
pub fn parse(text: &str, path: &Path) -> Result<DeviceConfig> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        Error::invalid(format!("{} line {line}", path.display()), error.message())
    })
}

fn import(source: &Path, stored: &Path, imported: &Path) -> Result<()> {
    let mut last: Imported = files::read_bounded(imported, SIZE_LIMIT)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if let Some(pending) = last.pending.take() {
        let bytes = files::read_bounded(source, SIZE_LIMIT)?;
        if pending.start <= pending.end
            && pending.end <= bytes.len()
            && around(&bytes, &pending) == pending.around
        {
            overwrite(source, &pending)?;
        }
        remember(imported, &last)?;
    }
    let text = read_text(source)?;
    let content = content_digest(&text);
    let known = content == last.content && stored.exists();
    let mut config = parse(&text, source)?;
    let token = config
        .fleet
        .as_ref()
        .and_then(|fleet| fleet.token.as_deref())
        .map(|t| digest(&[t.as_bytes()]));
    let Some(pending) = token_line(&text).filter(|_| token.is_some()) else {
        if known && token.is_none() {
            return Ok(());
        }
        keep_token(&mut config, stored);
        store(&config, stored)?;
        remember(
            imported,
            &Imported { content, token: token.clone().or(last.token), pending: None },
        )?;
        return match token {
            None => Ok(()),
            Some(_) => Err(Error::invalid(
                source.display().to_string(),
                "fleet.token could not be taken out: write it as a line of its own",
            )),
        };
    };
    if !known || token != last.token {
        store(&config, stored)?;
    }
    let mut now = Imported { content, token, pending: Some(pending.clone()) };
    remember(imported, &now)?;
    overwrite(source, &pending)?;
    now.pending = None;
    remember(imported, &now)
}

fn store(config: &DeviceConfig, stored: &Path) -> Result<()> {
    let toml = toml::to_string(config)
        .map_err(|e| Error::invalid(stored.display().to_string(), e.to_string()))?;
    files::replace(stored, toml.as_bytes(), 0o600)?;
    crate::kmsg::notice("device.toml imported");
    Ok(())
}

fn remember(imported: &Path, what: &Imported) -> Result<()> {
    let json = serde_json::to_vec(what).map_err(std::io::Error::from).at("encode", imported)?;
    files::replace(imported, &json, 0o600)
}

/// A file whose token was taken before still means the same fleet: an enrolment that has not
/// happened yet keeps it.
fn keep_token(config: &mut DeviceConfig, stored: &Path) {
    let Some(fleet) = &mut config.fleet else { return };
    if fleet.token.is_some() {
        return;
    }
    if let Ok((_, DeviceConfig { fleet: Some(before), .. })) = read(stored)
        && before.url == fleet.url
    {
        fleet.token = before.token;
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut sha = Sha256::new();
    parts.iter().for_each(|part| sha.update(part));
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn around(bytes: &[u8], line: &Pending) -> String {
    digest(&[&bytes[..line.start], &bytes[line.end..]])
}

fn is_token_line(line: &str) -> bool {
    let line = line.trim();
    line == TOKEN_TAKEN
        || line.strip_prefix("token").is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// Digest of everything but the token's line.
fn content_digest(text: &str) -> String {
    let kept: Vec<&str> = text.lines().filter(|line| !is_token_line(line)).collect();
    digest(&[kept.join("\n").as_bytes()])
}

/// The line that holds the token, where it has one to itself.
fn token_line(text: &str) -> Option<Pending> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches(['\r', '\n']);
        if is_token_line(body) && body.trim() != TOKEN_TAKEN {
            let mut found = Pending { start, end: start + body.len(), around: String::new() };
            found.around = around(text.as_bytes(), &found);
            return Some(found);
        }
        start += line.len();
    }
    None
}

/// Overwrites the line by the mark (or blanks, where that does not fit).
fn overwrite(source: &Path, line: &Pending) -> Result<()> {
    let width = line.end - line.start;
    let mark = if width >= TOKEN_TAKEN.len() { TOKEN_TAKEN } else { "" };
    let filled = format!("{mark:<width$}");
    let write = || {
        let file = OpenOptions::new().write(true).open(source).at("open", source)?;
        file.write_all_at(filled.as_bytes(), line.start as u64).at("overwrite token in", source)?;
        file.sync_all().at("sync", source)
    };
    if source.starts_with(data::BOOT) { data::with_boot_writable(write) } else { write() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    struct Card {
        directory: PathBuf,
    }

    impl Card {
        fn new(test: &str) -> Self {
            let directory = std::env::temp_dir()
                .join(format!("holdfast-provision-{test}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir_all(&directory).unwrap();
            Self { directory }
        }
        fn source(&self) -> PathBuf {
            self.directory.join("device.toml")
        }
        fn stored(&self) -> PathBuf {
            self.directory.join("stored.toml")
        }
        fn boot(&self) -> Result<DeviceConfig> {
            import(&self.source(), &self.stored(), &self.directory.join("imported.json"))?;
            read(&self.stored()).map(|(_, config)| config)
        }
        fn token(&self) -> Option<String> {
            read(&self.stored()).unwrap().1.fleet.unwrap().token
        }
    }

    const FILE: &str = "name = \"shed\"\n[fleet]\nurl = \"https://f:1\"\n\
                        token = \"0123456789-secret-0123456789\"\nca = \"pem\"\n";

    #[test]
    fn a_file_is_imported_once_and_its_token_leaves_the_card() {
        let card = Card::new("once");
        fs::write(card.source(), FILE).unwrap();
        assert_eq!(card.boot().unwrap().name.as_deref(), Some("shed"));
        assert_eq!(card.token().as_deref(), Some("0123456789-secret-0123456789"));
        let left = fs::read_to_string(card.source()).unwrap();
        assert!(!left.contains("secret") && left.len() == FILE.len(), "{left}");
        let before = fs::metadata(card.stored()).unwrap().modified().unwrap();
        card.boot().unwrap();
        assert_eq!(fs::metadata(card.stored()).unwrap().modified().unwrap(), before);
        assert!(card.token().is_some(), "the stored token stays until enrolment takes it");
    }

    #[test]
    fn a_change_is_imported_and_keeps_the_token_that_was_taken_before() {
        let card = Card::new("change");
        fs::write(card.source(), FILE).unwrap();
        card.boot().unwrap();
        let changed = fs::read_to_string(card.source()).unwrap().replace("shed", "barn");
        fs::write(card.source(), changed).unwrap();
        assert_eq!(card.boot().unwrap().name.as_deref(), Some("barn"));
        assert!(card.token().is_some());
        fs::write(
            card.source(),
            FILE.replace("0123456789-secret-0123456789", "another-secret-another"),
        )
        .unwrap();
        card.boot().unwrap();
        assert_eq!(card.token().as_deref(), Some("another-secret-another"));
    }

    #[test]
    fn a_power_cut_anywhere_while_the_token_is_overwritten_is_finished_at_the_next_boot() {
        let card = Card::new("cut");
        let imported = card.directory.join("imported.json");
        fs::write(card.source(), FILE).unwrap();
        card.boot().unwrap();
        let clean = fs::read_to_string(card.source()).unwrap();
        let done: Imported = serde_json::from_slice(&fs::read(&imported).unwrap()).unwrap();
        let midway = Imported { pending: token_line(FILE), ..done };
        for cut in 0..FILE.len() {
            for (one, two) in [(&*clean, FILE), (FILE, &*clean)] {
                remember(&imported, &midway).unwrap();
                fs::write(card.source(), format!("{}{}", &one[..cut], &two[cut..])).unwrap();
                assert_eq!(card.boot().unwrap().name.as_deref(), Some("shed"));
                assert_eq!(card.token().as_deref(), Some("0123456789-secret-0123456789"));
                assert_eq!(fs::read_to_string(card.source()).unwrap(), clean, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_mistake_is_named_by_line_and_leaves_the_last_good_file_in_force() {
        let card = Card::new("mistake");
        fs::write(card.source(), FILE).unwrap();
        card.boot().unwrap();
        fs::write(card.source(), "name = \"x\"\n[network]\nadress = \"1.2.3.4/24\"\n").unwrap();
        let error = card.boot().unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("adress"), "{error}");
        assert_eq!(read(&card.stored()).unwrap().1.name.as_deref(), Some("shed"));
    }
}
