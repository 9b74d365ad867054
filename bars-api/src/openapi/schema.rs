//! What a parameter may look like, precisely enough that a machine can tell good from bad.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $example:literal) => {
        $(#[$doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).pattern(Some($pattern)).examples([$example]).into()
            }
        }

        impl ToSchema for $name {}
    };
}

text!(
    /// 1 to 32 printable ASCII characters, not blank.
    Symbol, "^(?=.*[!-~])[ -~]{1,32}$", "AAPL"
);
text!(
    /// Up to 200 symbols, separated by commas.
    Symbols, "^[A-Za-z0-9./]{1,32}(,[A-Za-z0-9./]{1,32}){0,199}$", "AAPL,MSFT"
);
text!(
    /// A feed's name.
    Source, "^[a-z0-9_-]{1,32}$", "alpaca"
);
text!(
    /// The length of a bar.
    Timeframe, "^(1?(Sec|s)|([1-9]|[1-5][0-9])?(Min|min|m|T)|([1-9]|1[0-9]|2[0-3])?(Hour|hour|h|H)|1?(Day|day|d|D|Week|week|w|W)|([12346]|12)?(Month|month|M))$", "1Min"
);
text!(
    /// What a page before said in `next_page_token`.
    Token, "^[A-Za-z0-9_-]*$", ""
);
text!(
    /// UDF's words for the length of a bar.
    Resolution, "^([1-9]|[1-5][0-9]|60|120|240|1?D|1?W|1?M|3M)$", "5"
);
text!(
    /// Up to ten indicators.
    Indicators, "^(vwap|(sma|ema|rsi|atr)(:[1-9][0-9]?)?|bollinger(:[1-9][0-9]?(:[1-9])?)?)(,(vwap|(sma|ema|rsi|atr)(:[1-9][0-9]?)?|bollinger(:[1-9][0-9]?(:[1-9])?)?)){0,9}$", "ema:20,rsi:14"
);
text!(
    /// A symbol, with or without its exchange.
    Ticker, "^([A-Za-z ]{1,12}:)?[A-Za-z0-9./]{1,32}$", "NASDAQ:AAPL"
);

/// RFC 3339, a date, Unix time in seconds or finer, or a distance from now.
pub struct Moment;

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text =
            |format| ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
        let milliseconds =
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(100_000_000_i64)).maximum(Some(i64::MAX));
        let relative = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^now([+-][0-9]{1,6}[smhdw])?$"));
        let epoch = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([0]));
        let texts = AnyOfBuilder::new().item(text(KnownFormat::DateTime)).item(text(KnownFormat::Date));
        let forms = texts.item(milliseconds).item(epoch).item(relative);
        forms.examples(["2024-06-03T13:30:00Z"]).into()
    }
}

impl ToSchema for Moment {}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, [$($value:literal),+]) => {
        $(#[$doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($value),+])).into()
            }
        }

        impl ToSchema for $name {}
    };
}

choice!(
    /// In which order of time.
    Sort, ["asc", "desc"]
);
choice!(
    /// What `multiplier` counts.
    Timespan, ["minute", "hour", "day", "week", "month"]
);
choice!(
    /// A feed in Alpaca's words; all of them mean what is stored.
    Feed, ["sip", "iex", "otc", "boats", "delayed_sip", "overnight"]
);
