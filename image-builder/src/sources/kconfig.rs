//! Was every option of a configuration fragment accepted? Kconfig drops what it does not know, or
//! whose dependencies are not met, without a word.

use std::collections::HashMap;

/// Names of options in `fragment` that have another value in `config`, as `NAME: wanted, got`.
pub fn not_accepted(fragment: &str, config: &str) -> Vec<String> {
    let got: HashMap<&str, &str> = options(config).collect();
    let wanted: HashMap<&str, &str> = options(fragment).collect();
    let mut missing: Vec<String> = wanted
        .into_iter()
        .filter_map(|(name, value)| {
            let found = got.get(name).copied().unwrap_or("n");
            (found != value).then(|| format!("{name}: wanted {value}, got {found}"))
        })
        .collect();
    missing.sort();
    missing
}

/// `CONFIG_X=value` and `# CONFIG_X is not set` (value `n`), later lines after earlier ones.
fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| match line.strip_prefix("# CONFIG_") {
        Some(rest) => Some((rest.strip_suffix(" is not set")?, "n")),
        None => line.strip_prefix("CONFIG_")?.split_once('='),
    })
}

#[cfg(test)]
mod tests {
    use super::not_accepted;

    #[test]
    fn options_are_compared_by_value_and_off_is_the_same_as_absent() {
        let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S=\"text\"\n";
        for (fragment, expected) in [
            ("CONFIG_A=y", vec![]),
            ("CONFIG_B=n\nCONFIG_C=n\n# CONFIG_D is not set", vec![]),
            ("CONFIG_S=\"text\"", vec![]),
            ("# a comment\nCONFIG_B=y", vec!["B: wanted y, got n"]),
            ("# CONFIG_A is not set", vec!["A: wanted n, got y"]),
            ("CONFIG_A=n\nCONFIG_A=y", vec![]),
            ("CONFIG_S=\"other\"", vec!["S: wanted \"other\", got \"text\""]),
        ] {
            assert_eq!(not_accepted(fragment, config), expected, "{fragment}");
        }
    }
}
