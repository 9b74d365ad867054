//! One thin module per family of routes: read the parameters, ask, render.

pub mod bars;
pub mod ops;
