//! Part of Mayfly.
