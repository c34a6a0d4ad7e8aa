//! What an image runs: its words, environment, user and directory, looked up in its own files.
//! Written into the snap as `meta/oci.json`, because the words of a `command:` in snap.yaml can
//! hold no spaces.

use crate::config::Execution;
use crate::tree::{self, Content, Node, Path, Tree};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where programs are looked for when the image sets no PATH (Docker's).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most words of a command line, and most variables.
const MAX_WORDS: usize = 1024;
/// Bytes of all words, and of all variables.
const MAX_BYTES: usize = 256 * 1024;
/// Most volumes, and most ports.
const MAX_LISTED: usize = 64;
/// Signals that end a process by a name that images use (`signal(7)`, the generic numbers).
const SIGNALS: [(&str, u8); 9] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("WINCH", 28),
    ("PWR", 30),
];

/// A port that the image serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Number.
    pub number: u16,
    /// UDP in place of TCP.
    pub udp: bool,
}

/// How to run the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageProcess {
    /// The program in the image, absolute.
    pub program: String,
    /// All words, the first as the image writes it.
    pub args: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// User inside the image.
    pub uid: u32,
    /// Group inside the image.
    pub gid: u32,
    /// Directory to start in.
    pub cwd: String,
    /// Signal that asks it to end.
    pub stop_signal: u8,
    /// Ports that it serves.
    pub ports: Vec<Port>,
    /// Directories that outlive it, absolute.
    pub volumes: Vec<String>,
}

impl ImageProcess {
    /// From the configuration and the files.
    pub fn new(execution: &Execution, files: &dyn Files) -> Result<Self> {
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let args = [words(&execution.entrypoint), words(&execution.cmd)].concat();
        let env = environment(&words(&execution.env))?;
        bound("config.Entrypoint and config.Cmd", args.iter())?;
        let cwd = absolute("config.WorkingDir", execution.working_dir.as_deref().unwrap_or(""))?;
        let program = program(&args, &env, &cwd, files)?;
        let (uid, gid) = identity(execution.user.as_deref().unwrap_or(""), files)?;
        let volumes = execution.volumes.iter().flat_map(|all| all.keys());
        let volumes: Vec<String> =
            volumes.map(|v| absolute("config.Volumes", v)).collect::<Result<_>>()?;
        let ports = execution.exposed_ports.iter().flat_map(|all| all.keys());
        let ports: Vec<Port> = ports.map(|text| port(text)).collect::<Result<_>>()?;
        if volumes.len() > MAX_LISTED || ports.len() > MAX_LISTED {
            return Err(Error::too_much("configuration: volumes or ports", MAX_LISTED));
        }
        if let Some(volume) = volumes.iter().find(|v| covers(v)) {
            let why = format!("{volume:?} would cover what the runtime mounts");
            return Err(Error::invalid("configuration: config.Volumes", why));
        }
        let stop_signal = signal(execution.stop_signal.as_deref().unwrap_or(""))?;
        Ok(Self { program, args, env, uid, gid, cwd, stop_signal, ports, volumes })
    }
}

/// What the configuration is looked up in.
pub trait Files {
    /// Whether there is a file at this path, its links followed.
    fn is_file(&self, path: &str) -> bool;
    /// A small file's text.
    fn text(&self, path: &str) -> Option<String>;
}

/// The files of a tree; `read` gives the bytes of a file in a layer.
pub struct TreeFiles<'a, R> {
    /// The files.
    pub tree: &'a Tree,
    /// Bytes of a file.
    pub read: R,
}

impl<R: Fn(&Content) -> Option<Vec<u8>>> TreeFiles<'_, R> {
    fn node(&self, path: &str) -> Option<&Node> {
        let names: Path = tree::split(path.as_bytes()).ok()?;
        self.tree.find(&self.tree.resolve(&names, true).ok()?)
    }
}

impl<R: Fn(&Content) -> Option<Vec<u8>>> Files for TreeFiles<'_, R> {
    fn is_file(&self, path: &str) -> bool {
        matches!(self.node(path), Some(Node::File(..)))
    }

    fn text(&self, path: &str) -> Option<String> {
        match self.node(path)? {
            Node::File(content, _) => String::from_utf8((self.read)(content)?).ok(),
            _ => None,
        }
    }
}

fn invalid(field: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid(&format!("configuration: {field}"), why)
}

fn bound<'a>(field: &str, words: impl Iterator<Item = &'a String>) -> Result<()> {
    let (mut count, mut bytes) = (0, 0);
    for word in words {
        if word.contains('\0') {
            return Err(invalid(field, "a zero byte"));
        }
        (count, bytes) = (count + 1, bytes + word.len());
    }
    if count > MAX_WORDS || bytes > MAX_BYTES {
        let limit = format!("{MAX_WORDS} words or {MAX_BYTES} bytes");
        return Err(Error::too_much(format!("configuration: {field}"), limit));
    }
    Ok(())
}

fn environment(list: &[String]) -> Result<Vec<(String, String)>> {
    bound("config.Env", list.iter())?;
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(invalid("config.Env", format!("{text:?} is not NAME=value"))),
    };
    list.iter().map(pair).collect()
}

/// An absolute path without `..`; empty: the root.
fn absolute(field: &str, text: &str) -> Result<String> {
    if text.is_empty() {
        return Ok("/".into());
    }
    let names = tree::split(text.as_bytes())?;
    if !text.starts_with('/') || names.iter().any(|name| name == b"..") {
        return Err(invalid(field, format!("{text:?} is not an absolute path without ..")));
    }
    Ok(tree::show(&names))
}

/// What the runtime mounts itself, or what would hide the whole image.
fn covers(volume: &str) -> bool {
    let first = volume.split('/').nth(1).unwrap_or_default();
    ["", "proc", "sys", "dev", "snap", "meta"].contains(&first)
}

fn program(
    args: &[String],
    env: &[(String, String)],
    cwd: &str,
    files: &dyn Files,
) -> Result<String> {
    let field = "config.Entrypoint and config.Cmd";
    let Some(first) = args.first().filter(|first| !first.is_empty()) else {
        return Err(invalid(field, "both empty: there is nothing to run"));
    };
    let missing = |where_: &str| invalid(field, format!("{first:?} is not {where_}"));
    if first.starts_with('/') {
        let is = files.is_file(first).then(|| first.clone());
        return is.ok_or_else(|| missing("a file of the image"));
    }
    if first.contains('/') {
        let path = tree::show(&tree::split(format!("{cwd}/{first}").as_bytes())?);
        let is = files.is_file(&path).then_some(path);
        return is.ok_or_else(|| missing(&format!("a file below {cwd}")));
    }
    let search = env.iter().rev().find(|(name, _)| name == "PATH").map_or(PATH, |(_, v)| v);
    search
        .split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| format!("{}/{first}", directory.trim_end_matches('/')))
        .find(|path| files.is_file(path))
        .ok_or_else(|| missing(&format!("in the image's PATH ({search})")))
}

/// User and group by number or name (`passwd(5)`, `group(5)`); a user that is only a number has
/// the group that the image's `/etc/passwd` gives it, or 0, as Docker does.
fn identity(text: &str, files: &dyn Files) -> Result<(u32, u32)> {
    let wrong = |what: &str, name: &str| invalid("config.User", format!("no {what} {name:?}"));
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let users = files.text("/etc/passwd").unwrap_or_default();
    let number = user.parse::<u32>().ok();
    let found = entry(&users, |fields| match number {
        Some(number) => fields.get(2).is_some_and(|uid| uid.parse() == Ok(number)),
        None => fields.first() == Some(&user),
    });
    let field = |fields: &Vec<&str>, at: usize| fields.get(at).and_then(|text| text.parse().ok());
    let uid = match (user, number) {
        ("", _) => 0,
        (_, Some(number)) => number,
        _ => found.as_ref().and_then(|f| field(f, 2)).ok_or_else(|| wrong("user", user))?,
    };
    let own = found.as_ref().and_then(|f| field(f, 3)).unwrap_or(0);
    let gid = match group {
        None | Some("") => own,
        Some(group) => match group.parse() {
            Ok(number) => number,
            Err(_) => {
                let groups = files.text("/etc/group").unwrap_or_default();
                let found = entry(&groups, |fields| fields.first() == Some(&group));
                found.as_ref().and_then(|f| field(f, 2)).ok_or_else(|| wrong("group", group))?
            }
        },
    };
    Ok((uid, gid))
}

fn entry(file: &str, wish: impl Fn(&[&str]) -> bool) -> Option<Vec<&str>> {
    file.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| wish(fields))
}

fn port(text: &str) -> Result<Port> {
    let (number, kind) = text.split_once('/').unwrap_or((text, "tcp"));
    match (number.parse::<u16>(), kind) {
        (Ok(number), "tcp" | "udp") if number > 0 => Ok(Port { number, udp: kind == "udp" }),
        _ => Err(invalid("config.ExposedPorts", format!("{text:?} is not a port of tcp or udp"))),
    }
}

fn signal(text: &str) -> Result<u8> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let named = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let number = text.parse::<u8>().ok().filter(|n| (1..=64).contains(n));
    match (text, named.or(number)) {
        ("", _) => Ok(15),
        (_, Some(number)) => Ok(number),
        _ => Err(invalid("config.StopSignal", format!("{text:?} is not a signal"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Listed(&'static [(&'static str, &'static str)]);

    impl Files for Listed {
        fn is_file(&self, path: &str) -> bool {
            self.0.iter().any(|(name, _)| *name == path)
        }
        fn text(&self, path: &str) -> Option<String> {
            self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).into())
        }
    }

    const FILES: Listed = Listed(&[
        ("/usr/bin/app", ""),
        ("/srv/run.sh", ""),
        ("/etc/passwd", "root:x:0:0::/:/bin/sh\nmosquitto:x:1883:1884::/:/bin/false\n"),
        ("/etc/group", "root:x:0:\ndata:x:33:\n"),
    ]);

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_program_is_looked_up_in_the_image() {
        for (args, cwd, expected) in [
            (&["app", "a b"][..], "", Ok("/usr/bin/app")),
            (&["/usr/bin/app"], "", Ok("/usr/bin/app")),
            (&["./run.sh"], "/srv/", Ok("/srv/run.sh")),
            (&["sh"], "", Err("\"sh\" is not in the image's PATH")),
            (&["/bin/sh"], "", Err("\"/bin/sh\" is not a file of the image")),
            (&["./run.sh"], "/tmp", Err("is not a file below /tmp")),
            (&[], "", Err("there is nothing to run")),
            (&["app"], "srv", Err("config.WorkingDir: \"srv\" is not an absolute path")),
            (&["app"], "/srv/../..", Err("config.WorkingDir")),
        ] {
            let (entrypoint, working_dir) = (words(args), Some(cwd.to_string()));
            let execution = Execution { entrypoint, working_dir, ..Execution::default() };
            match (ImageProcess::new(&execution, &FILES), expected) {
                (Ok(process), Ok(program)) => assert_eq!(process.program, program, "{args:?}"),
                (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                (found, _) => panic!("{args:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn users_by_number_and_name() {
        for (text, expected) in [
            ("", Some((0, 0))),
            ("1000", Some((1000, 0))),
            ("1883", Some((1883, 1884))),
            ("mosquitto", Some((1883, 1884))),
            ("mosquitto:data", Some((1883, 33))),
            ("5:6", Some((5, 6))),
            ("nobody", None),
            ("root:none", None),
        ] {
            assert_eq!(identity(text, &FILES).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_field() {
        let one = |key: &str| Some(BTreeMap::from([(key.to_string(), serde_json::json!({}))]));
        let run = Execution { cmd: words(&["app"]), ..Execution::default() };
        for (execution, field) in [
            (Execution { exposed_ports: one("80/sctp"), ..run.clone() }, "config.ExposedPorts"),
            (Execution { exposed_ports: one("0"), ..run.clone() }, "config.ExposedPorts"),
            (Execution { volumes: one("/"), ..run.clone() }, "config.Volumes"),
            (Execution { volumes: one("/proc/x"), ..run.clone() }, "config.Volumes"),
            (Execution { volumes: one("data"), ..run.clone() }, "config.Volumes"),
            (Execution { stop_signal: Some("SIGNONE".into()), ..run.clone() }, "config.StopSignal"),
            (Execution { env: words(&["=x"]), ..run.clone() }, "config.Env"),
            (Execution { cmd: words(&["app", "a\0"]), ..run.clone() }, "config.Cmd"),
        ] {
            let error = ImageProcess::new(&execution, &FILES).unwrap_err().to_string();
            assert!(error.contains(field), "{field}: {error}");
        }
        let all = Execution {
            exposed_ports: one("53/udp"),
            volumes: one("/data/"),
            stop_signal: Some("SIGQUIT".into()),
            env: words(&["A=b=c", "E="]),
            ..run
        };
        let process = ImageProcess::new(&all, &FILES).unwrap();
        assert_eq!(process.ports, [Port { number: 53, udp: true }]);
        assert_eq!((process.volumes, process.stop_signal), (vec!["/data".to_string()], 3));
        assert_eq!(process.env[0], ("A".into(), "b=c".into()));
    }
}
