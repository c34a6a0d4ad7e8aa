//! The longest run of bytes of a window that begins some other bytes, by its suffix array.

/// A window's sorted suffixes.
pub struct Suffixes<'a> {
    text: &'a [u8],
    /// Starts of the suffixes in their order.
    sorted: Vec<i32>,
    /// Where the suffixes that begin with two given bytes begin; one entry more.
    buckets: Vec<u32>,
}

/// Two bytes as a number.
const BUCKETS: usize = 1 << 16;

impl<'a> Suffixes<'a> {
    /// Sorts the suffixes of a window: below 2 GiB.
    pub fn new(text: &'a [u8]) -> Self {
        let mut sorted = vec![0; text.len()];
        divsufsort::sort_in_place(text, &mut sorted);
        let mut buckets = vec![0; BUCKETS + 1];
        for at in 0..text.len() {
            buckets[bucket(text[at], text.get(at + 1).copied()) + 1] += 1;
        }
        for at in 1..buckets.len() {
            buckets[at] += buckets[at - 1];
        }
        Self { text, sorted, buckets }
    }

    /// The text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Place and length of the longest run that `needle` begins with; length 0: none of 2 bytes.
    pub fn longest(&self, needle: &[u8]) -> (usize, usize) {
        let [first, second, ..] = needle else { return (0, 0) };
        let bucket = bucket(*first, Some(*second));
        let (start, end) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        let (mut low, mut high) = (start, end);
        // Bytes that the suffixes around the range have in common with the needle: at least the
        // smaller of both is common to all between them.
        let (mut common_low, mut common_high) = (0, 0);
        while low < high {
            let middle = low + (high - low) / 2;
            let suffix = self.suffix(middle);
            let known = common_low.min(common_high);
            let common = known + common(&suffix[known..], &needle[known..]);
            if needle.get(common).is_none_or(|byte| suffix.get(common) > Some(byte)) {
                (high, common_high) = (middle, common);
            } else {
                (low, common_low) = (middle + 1, common);
            }
        }
        let around = [low.checked_sub(1), Some(low)].into_iter().flatten();
        around
            .filter(|at| (start..end).contains(at))
            .map(|at| (self.sorted[at] as usize, common(self.suffix(at), needle)))
            .max_by_key(|(_, length)| *length)
            .unwrap_or((0, 0))
    }

    fn suffix(&self, at: usize) -> &'a [u8] {
        &self.text[self.sorted[at] as usize..]
    }
}

/// The last byte counts as if a zero followed: it is sorted there, too.
fn bucket(first: u8, second: Option<u8>) -> usize {
    usize::from(first) << 8 | usize::from(second.unwrap_or(0))
}

/// Number of bytes that both begin with.
fn common(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let equal = 8 * words.take_while(|(a, b)| a == b).count();
    equal + a[equal..].iter().zip(&b[equal..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_is_as_long_as_trying_every_place_says() {
        let text: Vec<u8> = (0..3000_u32).map(|n| (n * n / 7 % 5) as u8).collect();
        let suffixes = Suffixes::new(&text);
        let needles: Vec<u8> = (0..2000_u32).map(|n| (n * n / 11 % 6) as u8).collect();
        for start in 0..needles.len() - 2 {
            let needle = &needles[start..needles.len().min(start + 90)];
            let longest = (0..text.len()).map(|at| common(&text[at..], needle)).max().unwrap();
            let (place, length) = suffixes.longest(needle);
            assert_eq!(common(&text[place..], needle).min(length), length);
            assert!(length == longest || longest < 2, "{start}: {length} of {longest}");
        }
        assert_eq!(Suffixes::new(b"").longest(b"abc"), (0, 0));
    }
}
