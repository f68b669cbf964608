//! What `mayfly serve` is made of.

pub mod client;
pub mod protocol;
mod text;
