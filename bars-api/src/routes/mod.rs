//! One thin module per family of routes: read the parameters, ask, render.

pub mod alpaca;
pub mod bars;
pub mod market;
pub mod openbb;
pub mod ops;
pub mod udf;
