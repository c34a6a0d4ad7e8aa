//! What a USB stick says of itself, before the kernel is given it.

use app_runtime::media::volume;
use std::io;

/// Characters of the longest name: of a label, or of a number.
const LONGEST: usize = 11;

/// A stick on which the bytes come again and again, so that every place of it can be read.
pub fn medium(data: &[u8]) {
    let read = |at: u64, into: &mut [u8]| {
        if data.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let first = (at % data.len() as u64) as usize;
        let endless = data.iter().cycle().skip(first);
        into.iter_mut().zip(endless).for_each(|(to, from)| *to = *from);
        Ok(())
    };
    let Ok(Some(found)) = volume::find(&read) else { return };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = &found.name;
    assert!(!name.is_empty() && name.len() <= LONGEST && name.chars().all(plain), "{name:?}");
}
