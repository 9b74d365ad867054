//! Business records, no I/O: sales, user events and financial metrics. JSON of anybody's program goes in; a record whose every rule
//! holds comes out, or an error that names the field, quotes the value and says what is allowed.
//!
//! | module | holds |
//! | --- | --- |
//! | [`stream`] | [`Stream`]: the three streams with their topics, tables and channels |
//! | [`money`] | [`Money`]: exact amounts of two decimals |
//! | [`text`] | [`Id`], [`Name`] and codes: texts with bounds |
//! | [`instant`] | [`Instant`]: when something happened, within reason |
//! | [`sale`], [`user_event`], [`financial_metric`] | the records |
//! | [`wire`] | bytes to records; the readers of single fields |
//! | [`invalid`] | [`Invalid`]: why a payload is not a valid record |

pub mod financial_metric;
pub mod instant;
pub mod invalid;
pub mod money;
pub mod sale;
pub mod stream;
pub mod text;
pub mod user_event;
pub mod wire;

pub use financial_metric::{FinancialMetric, Period};
pub use instant::Instant;
pub use invalid::Invalid;
pub use money::Money;
pub use sale::Sale;
pub use stream::Stream;
pub use text::{Country, Currency, EventType, Id, Name};
pub use user_event::UserEvent;
pub use wire::{Record, decode};
