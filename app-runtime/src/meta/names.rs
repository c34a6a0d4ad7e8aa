//! What may be a name, a variable, a command, besides what a snap may be called
//! (`protocol::naming`). The rules are snapd's, of its file `snap/naming/validate.go`.

use super::{environment::Environment, invalid};
use crate::error::Result;
use protocol::naming::{self, hyphened};

/// snapd has no limit for names of apps; here they are parts of names of files.
const MAX_PART: usize = 100;

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether a text can be the name of a snap; the error names the field.
pub(crate) fn check_name(field: &str, name: &str) -> Result<()> {
    naming::check_name(name).map_err(|why| invalid(field, why))
}

/// Names of apps may have upper-case letters.
pub(crate) fn check_app_name(field: &str, name: &str) -> Result<()> {
    if hyphened(name, |b| b.is_ascii_alphanumeric()) && name.len() <= MAX_PART {
        return Ok(());
    }
    Err(invalid(field, format!("{name:?} is not a name (letters, digits and single hyphens)")))
}

/// Names of plugs, slots, interfaces and hooks begin with a letter.
pub(crate) fn check_interface(field: &str, name: &str) -> Result<()> {
    let letter = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if hyphened(name, lower) && letter && name.len() <= MAX_PART {
        return Ok(());
    }
    Err(invalid(field, format!("{name:?} is not a name of a plug, a slot or an interface")))
}

/// Names of sockets are as those of snaps, of any length.
pub(crate) fn check_socket(field: &str, name: &str) -> Result<()> {
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    match hyphened(name, lower) && letter && name.len() <= MAX_PART {
        true => Ok(()),
        false => Err(invalid(field, format!("{name:?} is not a name of a socket"))),
    }
}

/// Names of aliases may have dots and underscores.
pub(crate) fn check_alias(field: &str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    match plain && first && name.len() <= MAX_PART {
        true => Ok(()),
        false => Err(invalid(field, format!("{name:?} is not a name of a command"))),
    }
}

pub(crate) fn check_environment(field: &str, environment: &Environment) -> Result<()> {
    for (name, value) in environment.iter() {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || name.is_empty() || value.contains('\0') {
            return Err(invalid(format!("{field}.{name}"), "not a variable"));
        }
    }
    Ok(())
}

/// snapd's rule for the characters; the program is a plain path inside the snap.
pub(crate) fn check_command(field: &str, command: &str) -> Result<()> {
    let plain = command.bytes().all(|b| b.is_ascii_alphanumeric() || b"/. _#:$-".contains(&b));
    if plain && is_inside(command.split(' ').next().unwrap_or_default()) {
        return Ok(());
    }
    Err(invalid(field, format!("{command:?} is not a program of the snap and its arguments")))
}

/// A program of a chain has no arguments of its own.
pub(crate) fn check_chain(field: &str, program: &str) -> Result<()> {
    let plain = program.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._#:$-".contains(&b));
    match plain && is_inside(program) {
        true => Ok(()),
        false => Err(invalid(field, format!("{program:?} is not a program of the snap"))),
    }
}

fn is_inside(program: &str) -> bool {
    !program.is_empty()
        && !program.starts_with('/')
        && !program.split('/').any(|part| part.is_empty() || part == "." || part == "..")
}
