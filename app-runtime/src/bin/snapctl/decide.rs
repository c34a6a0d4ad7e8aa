//! The words about configuration, connections and quotas, and how these are shown.

use crate::show::{or_dash, size, table};
use protocol::{
    change::{ConnectionInfo, InterfaceInfo, Order, PlugName, QuotaInfo},
    quota::{self, Quota},
};

/// Options of `set-quota`, as they were typed, and of others here.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// `NAME=VALUE` of each.
    pub quota: Vec<(String, String)>,
    /// Values are JSON, or it is an error.
    pub typed: bool,
    /// Values are text.
    pub text: bool,
    /// Start with the snap from here on.
    pub enable: bool,
    /// Do not start with the snap from here on.
    pub disable: bool,
}

/// What is to be asked of appd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decide {
    /// A change.
    Order(Order),
    /// Values of a configuration.
    Get(String, Vec<String>),
    /// Plugs of all snaps or of one.
    Connections(Option<String>),
    /// All interfaces or one.
    Interfaces(Option<String>),
    /// Quotas of all snaps or of one.
    Quotas(Option<String>),
    /// Services start with their snap, or not.
    Startup(String, bool),
}

/// What a verb and its words ask for; `None`: not a verb of these.
pub fn parse(verb: &str, rest: &[&str], options: &Options) -> Option<Result<Decide, String>> {
    let one = |rest: &[&str]| match rest {
        [] => Ok(None),
        [name] => Ok(Some((*name).to_string())),
        _ => Err(format!("{verb}: one name, or none")),
    };
    Some(match (verb, rest) {
        ("start", [name]) if options.enable => Ok(Decide::Startup((*name).into(), true)),
        ("stop", [name]) if options.disable => Ok(Decide::Startup((*name).into(), false)),
        ("set", [name, values @ ..]) if !values.is_empty() => {
            let values: Result<Vec<_>, String> =
                values.iter().map(|word| value(word, options)).collect();
            values.map(|values| Decide::Order(Order::Set { name: (*name).into(), values }))
        }
        ("unset", [name, keys @ ..]) if !keys.is_empty() => {
            let values = keys.iter().map(|key| ((*key).to_string(), None)).collect();
            Ok(Decide::Order(Order::Set { name: (*name).into(), values }))
        }
        ("set" | "unset", _) => Err(format!("{verb}: a snap, and what to {verb}")),
        ("get", [name, keys @ ..]) => {
            Ok(Decide::Get((*name).into(), keys.iter().map(ToString::to_string).collect()))
        }
        ("get", []) => Err("get: a snap".into()),
        ("connect", [plug, rest @ ..]) => connect(plug, rest),
        ("disconnect", [plug, rest @ ..]) => match rest {
            [] => plug_name(plug).map(|plug| Decide::Order(Order::Disconnect { plug })),
            _ => Err("disconnect: one plug, SNAP:PLUG".into()),
        },
        ("connect" | "disconnect", []) => Err(format!("{verb}: a plug, SNAP:PLUG")),
        ("connections", rest) => one(rest).map(Decide::Connections),
        ("interface" | "interfaces", rest) => one(rest).map(Decide::Interfaces),
        ("quota" | "quotas", rest) => one(rest).map(Decide::Quotas),
        ("set-quota", [name]) if !options.quota.is_empty() => bounds(&options.quota)
            .map(|quota| Decide::Order(Order::SetQuota { name: (*name).into(), quota })),
        ("remove-quota", [name]) => {
            let quota = Quota::default();
            Ok(Decide::Order(Order::SetQuota { name: (*name).into(), quota }))
        }
        ("set-quota", _) => {
            Err(format!("set-quota: a snap, and some of --{}", quota::NAMES.join(", --")))
        }
        ("remove-quota", _) => Err("remove-quota: one snap".into()),
        _ => return None,
    })
}

/// Options that a verb does not know.
pub fn misplaced(verb: &str, options: &Options) -> Option<String> {
    let belongs = |given: bool, option: &str, to: &str| {
        (given && verb != to).then(|| format!("{option} belongs to {to}"))
    };
    let quota = options.quota.first().map(|(name, _)| format!("--{name}"));
    belongs(quota.is_some(), quota.as_deref().unwrap_or_default(), "set-quota")
        .or_else(|| belongs(options.typed, "-t", "set"))
        .or_else(|| belongs(options.text, "-s", "set"))
        .or_else(|| belongs(options.enable, "--enable", "start"))
        .or_else(|| belongs(options.disable, "--disable", "stop"))
}

/// `KEY=VALUE` or `KEY!`; a value that is no JSON is text.
fn value(word: &str, options: &Options) -> Result<(String, Option<String>), String> {
    if let Some(key) = word.strip_suffix('!').filter(|key| !key.contains('=')) {
        return Ok((key.into(), None));
    }
    let (key, value) = word.split_once('=').ok_or_else(|| format!("set {word}: not KEY=VALUE"))?;
    let json = serde_json::from_str::<serde_json::Value>(value);
    let text = match (options.text, json) {
        (false, Ok(value)) => value,
        (false, Err(error)) if options.typed => return Err(format!("set {key}: {error}")),
        _ => value.into(),
    };
    Ok((key.into(), Some(text.to_string())))
}

fn plug_name(word: &str) -> Result<PlugName, String> {
    match word.split_once(':') {
        Some((snap, plug)) if !snap.is_empty() && !plug.is_empty() => {
            Ok(PlugName { snap: snap.into(), plug: plug.into() })
        }
        _ => Err(format!("{word}: not a plug, SNAP:PLUG")),
    }
}

/// `SNAP:PLUG [:SLOT] [NAME=VALUE...]`; all slots are the system's, and go without saying.
fn connect(plug: &str, rest: &[&str]) -> Result<Decide, String> {
    let plug = plug_name(plug)?;
    let rest = match rest {
        [slot, rest @ ..] if slot.starts_with(':') => rest,
        rest => rest,
    };
    let attribute = |word: &&str| {
        let (name, value) =
            word.split_once('=').ok_or_else(|| format!("connect {word}: not NAME=VALUE"))?;
        Ok((name.to_string(), attribute(value).to_string()))
    };
    let attributes = rest.iter().map(attribute).collect::<Result<_, String>>()?;
    Ok(Decide::Order(Order::Connect { plug, attributes }))
}

/// Numbers also as `0x48`, as data sheets have addresses.
fn attribute(word: &str) -> serde_json::Value {
    let hex = word.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match hex.or_else(|| word.parse().ok()) {
        Some(number) => number.into(),
        None => word.into(),
    }
}

fn bounds(options: &[(String, String)]) -> Result<Quota, String> {
    let mut quota = Quota::default();
    for (name, text) in options {
        quota.set(name, text).map_err(|why| format!("--{name} {text}: {why}"))?;
    }
    Ok(quota)
}

/// Plugs, one line each.
pub fn connections_text(connections: &[ConnectionInfo]) -> String {
    if connections.is_empty() {
        return "no plugs".into();
    }
    let rows: Vec<Vec<String>> = connections
        .iter()
        .map(|found| {
            let slot = match found.connected {
                true => format!(":{}", found.interface),
                false => "-".into(),
            };
            let notes = match (found.manual, found.connected) {
                (true, true) => "manual",
                (true, false) => "disconnected",
                (false, _) => "-",
            };
            let plug = found.plug.to_string();
            let attributes = found.attributes.join(" ");
            vec![found.interface.clone(), plug, slot, attributes, notes.into()]
        })
        .collect();
    table(&["Interface", "Plug", "Slot", "Attributes", "Notes"], &rows)
}

/// Interfaces, one line each; one alone with everything.
pub fn interfaces_text(interfaces: &[InterfaceInfo]) -> String {
    if let [interface] = interfaces {
        let mut text = format!(
            "name:    {}\nsummary: {}\nconnect: {}\n",
            interface.name,
            interface.summary,
            if interface.auto_connect { "by itself" } else { "by a person" },
        );
        for (name, summary) in &interface.attributes {
            text.push_str(&format!("{name}: {summary}\n"));
        }
        for plug in &interface.plugs {
            text.push_str(&format!("plug:    {plug}\n"));
        }
        return text;
    }
    let rows: Vec<Vec<String>> =
        interfaces.iter().map(|i| vec![i.name.clone(), i.summary.clone()]).collect();
    table(&["Name", "Summary"], &rows)
}

/// Quotas, one line each.
pub fn quotas_text(quotas: &[QuotaInfo]) -> String {
    if quotas.is_empty() {
        return "no snap has a quota".into();
    }
    let rows: Vec<Vec<String>> = quotas
        .iter()
        .map(|info| {
            let Quota { memory, cpu, cpu_set, threads, io_read, io_write } = info.quota.clone();
            let cores =
                cpu_set.map(|cores| cores.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
            let bounds = [
                ("memory", memory.map(size)),
                ("cpu", cpu.map(|percent| format!("{percent}%"))),
                ("cpu-set", cores),
                ("threads", threads.map(|count| count.to_string())),
                ("io-read", io_read.map(|bytes| format!("{}/s", size(bytes)))),
                ("io-write", io_write.map(|bytes| format!("{}/s", size(bytes)))),
            ];
            let bounds = bounds
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
            let bounds: Vec<String> = bounds.collect();
            vec![
                info.snap.clone(),
                if bounds.is_empty() { "-".into() } else { bounds.join(",") },
                or_dash(info.memory.map(size)),
                or_dash(info.threads),
            ]
        })
        .collect();
    table(&["Snap", "Constraints", "Memory", "Threads"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_connected_may_be_told_in_hexadecimal() {
        let asked =
            parse("connect", &["a:b", ":i2c", "address=0x48", "bus=1"], &Options::default());
        let attributes = vec![("address".into(), "72".into()), ("bus".into(), "1".into())];
        let plug = PlugName { snap: "a".into(), plug: "b".into() };
        assert_eq!(asked, Some(Ok(Decide::Order(Order::Connect { plug, attributes }))));
    }

    #[test]
    fn values_are_json_or_text() {
        let plain = Options::default();
        let typed = Options { typed: true, ..Options::default() };
        let text = Options { text: true, ..Options::default() };
        let pair = |key: &str, value: Option<&str>| Ok((key.into(), value.map(Into::into)));
        assert_eq!(value("a=1", &plain), pair("a", Some("1")));
        assert_eq!(value("a=x y", &plain), pair("a", Some("\"x y\"")));
        assert_eq!(value("a=1", &text), pair("a", Some("\"1\"")));
        assert_eq!(value("a!", &plain), pair("a", None));
        assert!(value("a=x", &typed).is_err() && value("a", &plain).is_err());
    }
}
