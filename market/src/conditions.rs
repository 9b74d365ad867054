//! Which sale condition lets a trade move which field of a bar.
//!
//! The table is the consolidated tapes' processing guidance (CTS for tapes A and B, UTP for tape C) as commonly published.
//! Of several conditions on one trade the strictest decides, field by field.

/// How a trade may set a bar's open and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenClose {
    /// Never.
    No,
    /// Only where no other trade has set it.
    IfUnset,
    /// Only where it is the newest trade so far.
    IfNewest,
    /// Always.
    Yes,
}

/// What one trade may change in its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eligibility {
    /// May raise the high and lower the low.
    pub high_low: bool,
    /// May set open and close.
    pub open_close: OpenClose,
    /// Adds to the volume.
    pub volume: bool,
}

impl Eligibility {
    const FULL: Self = Self { high_low: true, open_close: OpenClose::Yes, volume: true };
    const VOLUME_ONLY: Self = Self { high_low: false, open_close: OpenClose::No, volume: true };

    /// The strictest of two, field by field.
    fn and(self, other: Self) -> Self {
        Self {
            high_low: self.high_low && other.high_low,
            open_close: self.open_close.min(other.open_close),
            volume: self.volume && other.volume,
        }
    }

    /// Whether the trade can make a bar exist: one that moves no price cannot.
    #[must_use]
    pub fn moves_a_price(self) -> bool {
        self.high_low || self.open_close != OpenClose::No
    }
}

/// What a trade with these `conditions` (Alpaca's letters) on `tape` may change.
///
/// `extended_hours`: whether the trade happened outside 09:30–16:00 New York time, where form T trades move prices too.
pub fn eligibility<'a>(
    conditions: impl IntoIterator<Item = &'a str>,
    tape: Option<&str>,
    extended_hours: bool,
) -> Eligibility {
    conditions.into_iter().map(|code| of_one(code, tape, extended_hours)).fold(Eligibility::FULL, Eligibility::and)
}

fn of_one(code: &str, tape: Option<&str>, extended_hours: bool) -> Eligibility {
    let utp = tape == Some("C");
    let open_close = |open_close| Eligibility { open_close, ..Eligibility::FULL };
    match code {
        "L" => open_close(OpenClose::IfNewest),
        "Z" | "P" | "4" | "G" => open_close(OpenClose::IfUnset),
        "I" | "C" | "N" | "R" | "H" | "V" | "7" => Eligibility::VOLUME_ONLY,
        // Average price is B on tapes A and B, W on tape C.
        "B" if !utp => Eligibility::VOLUME_ONLY,
        "W" if utp => Eligibility::VOLUME_ONLY,
        "T" | "U" if !extended_hours => Eligibility::VOLUME_ONLY,
        // Official prices of one market centre repeat volume that is already on the tape.
        "Q" | "M" => Eligibility { volume: false, ..Eligibility::VOLUME_ONLY },
        "9" => Eligibility { volume: false, ..Eligibility::FULL },
        // Regular, sweep, cross, opening and closing prints, and any code that is newer than this table.
        _ => Eligibility::FULL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(codes: &[&str], tape: &str) -> Eligibility {
        eligibility(codes.iter().copied(), Some(tape), false)
    }

    #[test]
    fn every_row_of_the_tapes_guidance() {
        use OpenClose::{IfNewest, IfUnset, No, Yes};
        // Codes, high and low, open and close, volume; the same on every tape and at any hour.
        let rows: [(&[&str], bool, OpenClose, bool); 7] = [
            (&["@", " ", "A", "E", "D", "F", "1", "X", "K", "J", "Y", "O", "5", "6"], true, Yes, true),
            (&["L"], true, IfNewest, true),
            (&["Z", "P", "4", "G"], true, IfUnset, true),
            (&["I", "C", "N", "R", "H", "V", "7"], false, No, true),
            (&["Q", "M"], false, No, false),
            (&["9"], true, Yes, false),
            (&["new"], true, Yes, true),
        ];
        for (codes, high_low, open_close, volume) in rows {
            let wanted = Eligibility { high_low, open_close, volume };
            for (code, tape) in codes.iter().flat_map(|code| ["A", "B", "C"].map(|tape| (*code, tape))) {
                for extended_hours in [false, true] {
                    assert_eq!(eligibility([code], Some(tape), extended_hours), wanted, "{code} on tape {tape}");
                }
            }
        }
        for (code, tape, extended_hours, wanted) in [
            ("B", "A", false, Eligibility::VOLUME_ONLY),
            ("B", "B", false, Eligibility::VOLUME_ONLY),
            ("B", "C", false, Eligibility::FULL),
            ("W", "A", false, Eligibility::FULL),
            ("W", "C", false, Eligibility::VOLUME_ONLY),
            ("T", "A", false, Eligibility::VOLUME_ONLY),
            ("T", "A", true, Eligibility::FULL),
            ("U", "C", false, Eligibility::VOLUME_ONLY),
            ("U", "C", true, Eligibility::FULL),
        ] {
            assert_eq!(eligibility([code], Some(tape), extended_hours), wanted, "{code} on tape {tape}");
        }
    }

    #[test]
    fn a_regular_trade_moves_everything() {
        assert_eq!(of(&["@", "F"], "C"), Eligibility::FULL);
        assert_eq!(of(&[], "A"), Eligibility::FULL);
    }

    #[test]
    fn the_strictest_condition_decides_field_by_field() {
        let sold = of(&["@", "Z"], "A");
        assert_eq!(sold.open_close, OpenClose::IfUnset);
        assert!(sold.high_low && sold.volume);
        let odd_lot = of(&["@", "Z", "I"], "A");
        assert_eq!(odd_lot, Eligibility::VOLUME_ONLY);
        assert!(!odd_lot.moves_a_price());
    }

    #[test]
    fn a_letter_means_what_its_tape_says() {
        assert_eq!(of(&["W"], "C"), Eligibility::VOLUME_ONLY);
        assert_eq!(of(&["W"], "A"), Eligibility::FULL);
        assert_eq!(of(&["B"], "B"), Eligibility::VOLUME_ONLY);
    }

    #[test]
    fn form_t_moves_prices_only_in_extended_hours() {
        assert_eq!(of(&["T"], "C"), Eligibility::VOLUME_ONLY);
        assert_eq!(eligibility(["T"], Some("C"), true), Eligibility::FULL);
    }

    #[test]
    fn an_official_close_repeats_volume_that_was_counted() {
        assert!(!of(&["M"], "A").volume);
        assert!(!of(&["M"], "A").moves_a_price());
    }
}
