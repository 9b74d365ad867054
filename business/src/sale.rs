//! What was sold.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::instant::Instant;
use crate::invalid::Invalid;
use crate::money::Money;
use crate::text::{Currency, Id, Name};
use crate::wire;

/// Most pieces in one sale.
pub const QUANTITY_MAX: i64 = 1_000_000_000;

/// One sale. `amount` is `quantity` × `unit_price`, to the cent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sale {
    /// The sender's id; a sale that comes twice is stored once.
    pub id: Id,
    /// When it was made.
    pub timestamp: Instant,
    /// What was sold.
    pub product: Name,
    /// Its category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Name>,
    /// The customer's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Name>,
    /// Where it was sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Name>,
    /// Pieces, at least 1.
    pub quantity: i64,
    /// Price of one piece, not negative.
    pub unit_price: Money,
    /// What the customer pays.
    pub amount: Money,
    /// What it cost the seller, not negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// The currency of all three.
    pub currency: Currency,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    timestamp: &'a RawValue,
    product: &'a RawValue,
    category: Option<&'a RawValue>,
    customer: Option<&'a RawValue>,
    region: Option<&'a RawValue>,
    quantity: &'a RawValue,
    unit_price: &'a RawValue,
    amount: &'a RawValue,
    cost: Option<&'a RawValue>,
    currency: &'a RawValue,
}

impl Sale {
    /// Reads a sale. `now_ms`: our clock, in Unix milliseconds.
    pub(crate) fn read(json: &str, now_ms: i64) -> Result<Self, Invalid> {
        let raw: Raw<'_> = wire::fields(json)?;
        let name = |field, json: Option<&RawValue>| json.map(|json| Name::read(field, json)).transpose();
        let quantity = quantity(raw.quantity.get())?;
        let unit_price = Money::read_not_negative("unit_price", raw.unit_price)?;
        let amount = Money::read("amount", raw.amount)?;
        let expected = unit_price.times(quantity).ok_or_else(|| {
            Invalid::value(
                "amount",
                &amount.to_string(),
                "belongs to a quantity and a price whose product is too large",
            )
        })?;
        if amount != expected {
            let rule = format!("is not quantity × unit_price ({quantity} × {unit_price} = {expected})");
            return Err(Invalid::value("amount", &amount.to_string(), rule));
        }
        Ok(Self {
            id: Id::read("id", raw.id)?,
            timestamp: Instant::read("timestamp", raw.timestamp, now_ms)?,
            product: Name::read("product", raw.product)?,
            category: name("category", raw.category)?,
            customer: name("customer", raw.customer)?,
            region: name("region", raw.region)?,
            quantity,
            unit_price,
            amount,
            cost: raw.cost.map(|cost| Money::read_not_negative("cost", cost)).transpose()?,
            currency: Currency::read("currency", raw.currency)?,
        })
    }
}

fn quantity(json: &str) -> Result<i64, Invalid> {
    let rule = || format!("is not a quantity (expected a whole number from 1 to {QUANTITY_MAX})");
    let quantity = json.parse().map_err(|_| Invalid::value("quantity", json, rule()))?;
    if (1..=QUANTITY_MAX).contains(&quantity) { Ok(quantity) } else { Err(Invalid::value("quantity", json, rule())) }
}
