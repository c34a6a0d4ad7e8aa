//! Capabilities by the names that manifests use.

pub use rustix::thread::CapabilitySet;

/// One capability by its name as in capabilities(7), with or without `CAP_`, in any case:
/// `net_admin`, `CAP_SYS_TIME`.
pub fn by_name(name: &str) -> Option<CapabilitySet> {
    let upper = name.to_ascii_uppercase();
    CapabilitySet::from_name(upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// The set of all named capabilities; the first unknown name is the error.
pub fn by_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<CapabilitySet, &'a str> {
    names.into_iter().try_fold(CapabilitySet::empty(), |set, name| {
        by_name(name).map(|capability| set | capability).ok_or(name)
    })
}

/// Highest capability number that this crate knows; the kernel's own highest may be lower.
pub(crate) const LAST: u32 = 40;
