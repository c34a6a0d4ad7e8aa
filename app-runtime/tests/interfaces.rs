//! The table of docs/reference/interfaces.md, held to the files of the interfaces.

use app_runtime::interface::Interfaces;
use std::{fs, path::Path};

#[test]
fn the_table_of_interfaces_is_that_of_their_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../docs/reference/interfaces.md")).unwrap();
    let start = "| interface | connected | attributes | grants |\n|---|---|---|---|\n";
    let table = text.split(start).nth(1).unwrap().split("\n\n").next().unwrap();
    let all = Interfaces::load(&root.join("interfaces")).unwrap().describe(None, &[]).unwrap();
    let row = |interface: &protocol::change::InterfaceInfo| {
        let by = if interface.auto_connect { "by itself" } else { "by a person" };
        let names = interface.attributes.iter().map(|(name, _)| format!("`{name}`"));
        let names = names.collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { names } else { format!(" {names}") };
        format!("| `{}` | {by} |{names} | {} |", interface.name, interface.summary)
    };
    let rows: Vec<String> = all.iter().map(row).collect();
    assert_eq!(table.lines().collect::<Vec<_>>(), rows);
}
