//! Finnhub's numbers for sale conditions as the tapes' letters, so that bars follow the tapes' rules.
//!
//! After Finnhub's page of trade conditions. Records keep Finnhub's own numbers: only bars are built by the letters.

use market::Conditions;

/// Number and letter. What is not here moves everything, as a regular sale does.
const LETTERS: [(&str, &str); 31] = [
    ("1", "@"),  // regular
    ("2", "A"),  // acquisition
    ("3", "B"),  // average price
    ("5", "C"),  // cash sale
    ("6", "D"),  // distribution
    ("7", "E"),  // automatic execution
    ("8", "F"),  // intermarket sweep
    ("9", "G"),  // bunched, sold
    ("10", "H"), // price variation
    ("12", "I"), // odd lot
    ("13", "K"), // rule 127
    ("14", "K"), // rule 155
    ("15", "L"), // sold last
    ("16", "M"), // market centre's official close
    ("17", "N"), // next day
    ("18", "O"), // market centre's opening trade
    ("19", "O"), // opening print
    ("20", "Q"), // market centre's official open
    ("21", "P"), // prior reference price
    ("22", "R"), // seller
    ("24", "T"), // form T
    ("25", "U"), // extended hours, out of sequence
    ("26", "V"), // contingent
    ("28", "X"), // cross
    ("29", "Y"), // yellow flag
    ("30", "Z"), // out of sequence
    ("31", "1"), // stopped stock
    ("32", "4"), // derivatively priced
    ("33", "5"), // market centre's reopening trade
    ("34", "5"), // reopening print
    ("37", "7"), // qualified contingent
];

/// The letters of these numbers.
#[must_use]
pub fn letters(numbers: &Conditions) -> Conditions {
    let letter = |number: &str| LETTERS.iter().find(|(known, _)| *known == number).map(|(_, letter)| *letter);
    numbers.iter().filter_map(|number| letter(number)).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_tapes_letters_and_unknown_ones_nothing() {
        let numbers: Conditions = ["1", "24", "12", "99", "@"].into_iter().map(Into::into).collect();
        assert_eq!(letters(&numbers).as_slice(), ["@", "T", "I"]);
    }
}
