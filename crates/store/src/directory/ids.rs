//! Names of things in the directory: small numbers inside, prefixed text outside, as in the core.

use std::fmt;

use mayfly_core::{IdError, NumberId};
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// What its text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Parses its text form.
            ///
            /// # Errors
            ///
            /// [`IdError`] if it is none of this kind.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}{}", $prefix, digits(self.0)))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A key for the API: `key_…`. Never the key itself.
    KeyId, "key_"
);
id!(
    /// A cardholder: `chd_…`.
    CardholderId, "chd_"
);
id!(
    /// A merchant's entry: `mer_…`. Not what the network knows him by, which is his card acceptor id.
    MerchantEntryId, "mer_"
);
id!(
    /// A cardholder's session, from log-in to its end, however often it was refreshed: `ses_…`.
    SessionId, "ses_"
);
id!(
    /// Where an issuer is told of what happened: `whk_…`.
    WebhookId, "whk_"
);
id!(
    /// An attempt to deliver an event to a webhook: `att_…`.
    AttemptId, "att_"
);

/// The core's way to write and read digits, so that all ids look alike: its ids differ in the prefix only.
const CORE_PREFIX: &str = "num_";

fn digits(value: u64) -> String {
    NumberId(value).to_string().split_off(CORE_PREFIX.len())
}

fn parse(prefix: &'static str, text: &str) -> Result<u64, IdError> {
    let error = IdError { prefix };
    let digits = text.strip_prefix(prefix).ok_or(error)?;
    NumberId::parse(&format!("{CORE_PREFIX}{digits}")).map(|id| id.0).map_err(|_| error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_keep_their_kind() {
        for value in [0, 1, 31, 32, 12_345_678_901, u64::MAX] {
            assert_eq!(KeyId::parse(&KeyId(value).to_string()), Ok(KeyId(value)));
        }
        assert_eq!(CardholderId(33).to_string(), "chd_11");
        assert_eq!(format!("{:?}", SessionId(1)), "ses_1");
        assert_eq!(KeyId::parse("chd_1"), Err(IdError { prefix: "key_" }));
        assert_eq!(KeyId::parse("key_"), Err(IdError { prefix: "key_" }));
        assert_eq!(KeyId::parse("key_num_1"), Err(IdError { prefix: "key_" }));
    }
}
