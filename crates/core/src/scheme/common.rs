//! The universal number: the same on everybody's card. It says which programme is meant, and authorises
//! nothing by itself; what proves a purchase under it comes with the ways to identify a cardholder.

use mayfly_keys::NumberIndex;

use crate::ProgrammeId;
use crate::state::State;

/// The programme whose universal number this is.
pub fn universal(state: &State, index: NumberIndex) -> Option<ProgrammeId> {
    state.register.universal(index)
}
