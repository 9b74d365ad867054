//! Subcommands for people: they touch neither Kafka nor Redis, and no key appears in what they print.

pub mod check;
pub mod cli;
pub mod decode;
pub mod print;
pub mod record;
