//! The file system of a data partition as the image builder makes it, without what is not in use:
//! init writes it where no file system can be saved.
//!
//! Format: [`MAGIC`], then pieces: first block and number of blocks as little-endian `u32`, then a
//! little-endian `u32` that is 1 when the bytes of the blocks follow, 0 when the blocks are zero.
//! A block has [`BLOCK`] bytes.

/// How a template begins.
pub const MAGIC: &[u8; 8] = b"HFDATA01";
/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Bytes of a piece before its blocks.
const HEAD: usize = 12;

/// Neighbouring blocks in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Number of the first block.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Their bytes; `None` where all are zero.
    pub bytes: Option<&'a [u8]>,
}

/// The template of a file system: `used` are the ranges of blocks in use, in order.
pub fn encode(volume: &[u8], used: impl IntoIterator<Item = std::ops::Range<u32>>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let mut last: Option<(u32, u32, bool)> = None;
    let mut put = |(first, count, filled): (u32, u32, bool)| {
        [first, count, u32::from(filled)].iter().for_each(|n| out.extend(n.to_le_bytes()));
        if filled {
            out.extend_from_slice(&volume[first as usize * BLOCK..][..count as usize * BLOCK]);
        }
    };
    for block in used.into_iter().flatten() {
        let filled = volume[block as usize * BLOCK..][..BLOCK].iter().any(|byte| *byte != 0);
        match &mut last {
            Some((first, count, same)) if *first + *count == block && *same == filled => {
                *count += 1
            }
            _ => last.replace((block, 1, filled)).into_iter().for_each(&mut put),
        }
    }
    last.into_iter().for_each(put);
    out
}

/// The pieces of a template; `None` when it is not one, or is cut.
pub fn decode(template: &[u8]) -> Option<Vec<Piece<'_>>> {
    let mut rest = template.strip_prefix(MAGIC)?;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_at_checked(HEAD)?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
        let (first, count) = (word(0), word(4));
        first.checked_add(count)?;
        let length = match word(8) {
            0 => 0,
            1 => (count as usize).checked_mul(BLOCK)?,
            _ => return None,
        };
        let (bytes, behind) = behind.split_at_checked(length)?;
        pieces.push(Piece { first, count, bytes: (word(8) == 1).then_some(bytes) });
        rest = behind;
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_in_use_come_back_and_others_are_not_named() {
        let mut volume = vec![0; 10 * BLOCK];
        for block in [1, 2, 7, 9] {
            volume[block * BLOCK + 5] = block as u8;
        }
        let template = encode(&volume, [0..4, 7..8]);
        let pieces = decode(&template).expect("what was encoded decodes");
        let shape: Vec<_> = pieces.iter().map(|p| (p.first, p.count, p.bytes.is_some())).collect();
        assert_eq!(shape, [(0, 1, false), (1, 2, true), (3, 1, false), (7, 1, true)]);
        assert_eq!(pieces[1].bytes, Some(&volume[BLOCK..3 * BLOCK]));
    }

    #[test]
    fn what_is_cut_or_no_template_is_refused() {
        let template = encode(&[1; 2 * BLOCK], std::iter::once(0..2));
        assert!(decode(&template).is_some());
        for length in [0, 7, 9, 19, 20, template.len() - 1] {
            assert_eq!(decode(&template[..length]), None, "{length}");
        }
        let mut wild = template;
        wild[16] = 2;
        assert_eq!(decode(&wild), None);
    }
}
