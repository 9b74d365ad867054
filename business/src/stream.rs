//! The three streams.

use std::fmt;

/// A stream of business records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// What was sold.
    Sales,
    /// What users did.
    UserEvents,
    /// Revenue, expenses and budget of departments by month.
    FinancialMetrics,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sales, Self::UserEvents, Self::FinancialMetrics];

    /// Its name in subscriptions and tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::UserEvents => "user_events",
            Self::FinancialMetrics => "financial_metrics",
        }
    }

    /// The topic of Kafka that its records are sent to.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Sales => "business_sales",
            Self::UserEvents => "business_user_events",
            Self::FinancialMetrics => "business_financial_metrics",
        }
    }

    /// The table that its records are stored in.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Sales => "business.sales",
            Self::UserEvents => "business.user_events",
            Self::FinancialMetrics => "business.financial_metrics",
        }
    }

    /// The channel of Redis on which stored records are published.
    #[must_use]
    pub const fn channel(self) -> &'static str {
        match self {
            Self::Sales => "business:sales:pubsub",
            Self::UserEvents => "business:events:pubsub",
            Self::FinancialMetrics => "business:financial:pubsub",
        }
    }

    /// The stream of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
