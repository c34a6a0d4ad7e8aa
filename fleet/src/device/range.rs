//! The `Range` header of RFC 9110 section 14, one range.

/// What of a file to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All of it: no range asked for, or one that is to be ignored.
    Whole,
    /// `length` bytes from `start`.
    Part {
        /// First byte.
        start: u64,
        /// How many, at least 1.
        length: u64,
    },
    /// Nothing of the file lies in the range.
    Unsatisfiable,
}

/// Reads the header for a file of `size` bytes.
///
/// Ignored, as the RFC allows: another unit than bytes, several ranges, what does not parse.
pub fn select(header: Option<&str>, size: u64) -> Selection {
    let Some((first, last)) = header
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Selection::Whole;
    };
    match (number(first), number(last)) {
        (Number::None, Number::Some(0)) => Selection::Unsatisfiable,
        (Number::None, Number::Some(suffix)) => {
            let length = suffix.min(size);
            part(size - length, length)
        }
        (Number::Some(start), Number::None) => part(start, size.saturating_sub(start)),
        (Number::Some(start), Number::Some(last)) if start <= last => {
            part(start, size.min(last.saturating_add(1)).saturating_sub(start))
        }
        _ => Selection::Whole,
    }
}

fn part(start: u64, length: u64) -> Selection {
    if length == 0 { Selection::Unsatisfiable } else { Selection::Part { start, length } }
}

enum Number {
    None,
    Some(u64),
    Bad,
}

/// Digits only; too many of them are a very large number.
fn number(text: &str) -> Number {
    match text {
        "" => Number::None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Number::Some(digits.parse().unwrap_or(u64::MAX))
        }
        _ => Number::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::Selection::{Part, Unsatisfiable, Whole};
    use super::select;

    #[test]
    fn ranges_of_a_file_of_ten_bytes() {
        for (header, expected) in [
            (None, Whole),
            (Some("bytes=0-0"), Part { start: 0, length: 1 }),
            (Some("bytes=0-9"), Part { start: 0, length: 10 }),
            (Some("bytes=3-5"), Part { start: 3, length: 3 }),
            (Some("bytes=3-"), Part { start: 3, length: 7 }),
            (Some("bytes=3-99"), Part { start: 3, length: 7 }),
            (Some("bytes=-4"), Part { start: 6, length: 4 }),
            (Some("bytes=-99"), Part { start: 0, length: 10 }),
            (Some("bytes=9-99999999999999999999999"), Part { start: 9, length: 1 }),
            (Some("bytes=10-"), Unsatisfiable),
            (Some("bytes=99999999999999999999999-"), Unsatisfiable),
            (Some("bytes=-0"), Unsatisfiable),
            (Some("bytes=5-3"), Whole),
            (Some("bytes=-"), Whole),
            (Some("bytes=a-b"), Whole),
            (Some("bytes=0-1,3-4"), Whole),
            (Some("lines=0-1"), Whole),
        ] {
            assert_eq!(select(header, 10), expected, "{header:?}");
        }
    }

    #[test]
    fn an_empty_file_has_no_range() {
        assert_eq!(select(Some("bytes=0-"), 0), Unsatisfiable);
        assert_eq!(select(Some("bytes=-5"), 0), Unsatisfiable);
    }
}
