//! What a token opens.

use std::collections::HashSet;

use market::Symbol;

use crate::records::channel::Channels;

/// What a client's token lets it follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Which symbols; all where `None`.
    pub symbols: Option<HashSet<Symbol>>,
    /// Which streams.
    pub channels: Channels,
}

impl Scope {
    /// Whether a client with this scope (everything, where `None`) may follow `symbol`.
    #[must_use]
    pub fn allows(scope: Option<&Self>, symbol: &Symbol) -> bool {
        scope.and_then(|scope| scope.symbols.as_ref()).is_none_or(|symbols| symbols.contains(symbol))
    }
}
