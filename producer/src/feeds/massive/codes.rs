//! Massive's numbers for exchanges and tapes, and the letters that the tape itself uses.

use compact_str::{CompactString, format_compact};

/// Letters by number, from 1.
const EXCHANGES: [&str; 21] =
    ["A", "B", "C", "D", "E", "I", "J", "K", "M", "N", "P", "T", "S", "L", "V", "W", "X", "Y", "Z", "H", "U"];

/// The letter of an exchange; `#n` for one that is newer than this table.
#[must_use]
pub fn exchange(id: u64) -> CompactString {
    letter(&EXCHANGES, id)
}

/// The letter of a tape.
#[must_use]
pub fn tape(id: u64) -> CompactString {
    letter(&["A", "B", "C"], id)
}

fn letter(table: &[&'static str], id: u64) -> CompactString {
    let known = usize::try_from(id).ok().and_then(|id| table.get(id.checked_sub(1)?));
    known.map_or_else(|| format_compact!("#{id}"), |letter| CompactString::const_new(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_letters_and_new_ones_pass() {
        let letters: Vec<_> = [1, 4, 12, 15, 21].map(exchange).into();
        assert_eq!(letters, ["A", "D", "T", "V", "U"]);
        assert_eq!([exchange(0), exchange(22), exchange(u64::MAX)], ["#0", "#22", "#18446744073709551615"]);
        assert_eq!([tape(1), tape(3), tape(4)], ["A", "C", "#4"]);
    }
}
