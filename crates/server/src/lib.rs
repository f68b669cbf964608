//! What `mayfly serve` is made of.

pub mod client;
pub mod config;
pub mod protocol;
mod text;
