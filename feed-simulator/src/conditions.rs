//! Sale conditions as the tapes carry them: up to four one-letter codes, one for each position.

use crate::symbols::Tape;

/// Printable ASCII from the space on, to lend out one-letter strings.
const LETTERS: &str =
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

/// A printable ASCII letter as text; anything else becomes a space.
#[must_use]
pub fn letter(byte: u8) -> &'static str {
    let at = usize::from(byte).wrapping_sub(usize::from(b' '));
    LETTERS.get(at..=at).unwrap_or(" ")
}

/// The sale conditions of one trade. The tapes have four positions: settlement, reason for a trade-through, hours and
/// sequence, and the market centre's own; 0 means that a position is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions([u8; 4]);

impl Conditions {
    /// Conditions from the four positions; 0 for none.
    #[must_use]
    pub const fn new(positions: [u8; 4]) -> Self {
        Self(positions)
    }

    /// The four positions; 0 for none.
    #[must_use]
    pub const fn positions(self) -> [u8; 4] {
        self.0
    }

    /// The codes that are there, in order.
    pub fn codes(self) -> impl Iterator<Item = &'static str> + Clone {
        self.0.into_iter().filter(|&byte| byte != 0).map(letter)
    }

    /// How many codes are there.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.iter().filter(|&&byte| byte != 0).count()
    }

    /// Whether there is no code at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The regular settlement code of a tape: `@` on tape C, a space on A and B.
    #[must_use]
    pub fn settlement(tape: Tape) -> u8 {
        if tape == Tape::C { b'@' } else { b' ' }
    }

    /// The codes for the bit set of a recorded day (2^0 regular … 2^31 odd lot, see the README).
    ///
    /// Where several bits want one position, the stricter one gets it. Two bits have no letter of their own today:
    /// trade-through exempt (a flag beside the conditions) and CAP election.
    #[must_use]
    pub fn of_recorded_bits(bits: u32, tape: Tape) -> Self {
        let has = |bit: u32| bits & (1 << bit) != 0;
        let first = |choices: &[(bool, u8)]| choices.iter().find(|(set, _)| *set).map(|&(_, code)| code);
        let settlement = first(&[(has(1), b'C'), (has(2), b'N'), (has(3), b'R')]);
        let extended = has(10) || has(13);
        let late = has(14);
        let average = if tape == Tape::C { b'W' } else { b'B' };
        Self([
            settlement.unwrap_or(Self::settlement(tape)),
            first(&[(has(9), b'4'), (has(6), b'O'), (has(8), b'5'), (has(7), b'6'), (has(5), b'F')]).unwrap_or(0),
            first(&[(extended && late, b'U'), (late, b'Z'), (extended, b'T'), (has(11), b'L')]).unwrap_or(0),
            first(&[
                (has(31), b'I'),
                (has(20), average),
                (has(24), b'M'),
                (has(26), b'Q'),
                (has(22), b'H'),
                (has(18), b'V'),
                (has(25), b'P'),
                (has(17), if tape == Tape::C { b'B' } else { b'G' }),
                (has(21), b'X'),
                (has(23), b'K'),
                (has(12), b'1'),
                (has(4), b'Y'),
                (has(16), b'A'),
                (has(15), b'S'),
                (has(19), b'D'),
                (has(28), b'E'),
            ])
            .unwrap_or(0),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(bits: u32, tape: Tape) -> Vec<&'static str> {
        Conditions::of_recorded_bits(bits, tape).codes().collect()
    }

    #[test]
    fn bits_of_recorded_trades_become_letters() {
        assert_eq!(codes(0x1, Tape::A), [" "]);
        assert_eq!(codes(0x1, Tape::C), ["@"]);
        assert_eq!(codes(0x2000_0020, Tape::B), [" ", "F"]);
        assert_eq!(codes(0x2000_2020, Tape::B), [" ", "F", "T"]);
        assert_eq!(codes(0x2010_0200, Tape::B), [" ", "4", "B"]);
        assert_eq!(codes(0x2010_0200, Tape::C), ["@", "4", "W"]);
        assert_eq!(codes(0x4800, Tape::A), [" ", "Z"], "out of sequence is stricter than sold last");
        assert_eq!(codes(0x8000_0000, Tape::C), ["@", "I"]);
    }

    #[test]
    fn every_printable_letter_is_itself() {
        for byte in b' '..=b'~' {
            assert_eq!(letter(byte).as_bytes(), [byte]);
        }
        assert_eq!(letter(0), " ");
        assert_eq!(letter(200), " ");
    }
}
