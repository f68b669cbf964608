//! `Debug` for secret types: the type's name and nothing of its content.

/// Implements `Debug` for a secret type as `Name(..)`.
macro_rules! opaque_debug {
    ($($name:ty),+ $(,)?) => {
        $(impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })+
    };
}

pub(crate) use opaque_debug;
