//! What the engine and the server can do, measured beside the limit of the same machine in the same run.

mod cards;
pub mod credentials;
pub mod drive;
mod host;
pub mod limit;
pub mod postgres;
pub mod report;
pub mod rig;
mod run;
mod tcp;

pub use rig::BenchError;
pub use run::{Part, Plan, run};
pub use tcp::make_load;
