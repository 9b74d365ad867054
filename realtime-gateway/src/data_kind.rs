//! What the records are that this gateway carries.

use std::str::FromStr;

/// Heartbeats carry it, so that no page calls made-up prices live. A gateway cannot tell by itself: records of a simulator look like
/// those of the feed that it speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataKind {
    /// The market as it happens.
    #[default]
    Live,
    /// The market some time ago, by the vendor's plan.
    Delayed,
    /// A market that was made up.
    Simulated,
    /// A recorded day that is played again.
    Replay,
}

impl DataKind {
    /// `live`, `delayed`, `simulated` or `replay`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Delayed => "delayed",
            Self::Simulated => "simulated",
            Self::Replay => "replay",
        }
    }
}

impl FromStr for DataKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Live, Self::Delayed, Self::Simulated, Self::Replay];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or("not one of live, delayed, simulated and replay")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_by_its_name_and_nothing_else_is() {
        for kind in [DataKind::Live, DataKind::Delayed, DataKind::Simulated, DataKind::Replay] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("Live".parse::<DataKind>().is_err());
        assert!("".parse::<DataKind>().is_err());
    }
}
