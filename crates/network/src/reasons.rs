//! Enumerations of why something ended, each reason with a name for metrics and words for the log.

macro_rules! reasons {
    (
        $(#[$about:meta])* $reasons:ident:
        $($(#[$doc:meta])* $name:ident => $label:literal, $words:literal;)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $reasons { $($(#[$doc])* $name,)* }

        impl $reasons {
            /// All of them.
            pub const ALL: [Self; [$($label,)*].len()] = [$(Self::$name,)*];

            /// Its name in metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }

        impl std::fmt::Display for $reasons {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$name => $words,)* })
            }
        }
    };
}

pub(crate) use reasons;
