//! Revenue, expenses and budget of departments by month.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::instant::Instant;
use crate::invalid::Invalid;
use crate::money::Money;
use crate::text::{Id, Name};
use crate::wire;

/// A month, as `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period(Date);

impl Period {
    /// Reads `2026-11`, from the year 2000 to 2099.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Invalid> {
        let month = || -> Option<Date> {
            let (year, month) = text.split_once('-')?;
            let is_digits =
                |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            if !is_digits(year, 4) || !is_digits(month, 2) || !(2000..2100).contains(&year.parse::<i16>().ok()?) {
                return None;
            }
            Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()
        };
        month().map(Self).ok_or_else(|| Invalid::value(field, text, "is not a month (expected one such as 2026-11)"))
    }

    /// Its first day.
    #[must_use]
    pub const fn first_day(self) -> Date {
        self.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The figures of one department and month. A later record of the same department and month replaces the earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FinancialMetric {
    /// The sender's id; a record that comes twice counts once.
    pub id: Id,
    /// When these figures were known; of two records the one with the later moment holds.
    pub timestamp: Instant,
    /// Whose figures they are.
    pub department: Name,
    /// The month.
    pub period: Period,
    /// What was earned.
    pub revenue: Money,
    /// What was spent.
    pub expenses: Money,
    /// What was planned.
    pub budget: Money,
    /// What became of the plan.
    pub actual: Money,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    timestamp: &'a RawValue,
    department: &'a RawValue,
    period: &'a RawValue,
    revenue: &'a RawValue,
    expenses: &'a RawValue,
    budget: &'a RawValue,
    actual: &'a RawValue,
}

impl FinancialMetric {
    /// Reads figures. `now_ms`: our clock, in Unix milliseconds.
    pub(crate) fn read(json: &str, now_ms: i64) -> Result<Self, Invalid> {
        let raw: Raw<'_> = wire::fields(json)?;
        Ok(Self {
            id: Id::read("id", raw.id)?,
            timestamp: Instant::read("timestamp", raw.timestamp, now_ms)?,
            department: Name::read("department", raw.department)?,
            period: Period::parse("period", &wire::text("period", raw.period)?)?,
            revenue: Money::read("revenue", raw.revenue)?,
            expenses: Money::read("expenses", raw.expenses)?,
            budget: Money::read("budget", raw.budget)?,
            actual: Money::read("actual", raw.actual)?,
        })
    }
}
