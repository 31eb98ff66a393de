//! Declarations of settings and of choices.

/// Declares settings: for each one its documentation (which is its meaning on the card), name, type, default, values
/// and the source of the default.
///
/// ```text
/// settings! {
///     /// Settings of ...
///     pub struct Name {
///         /// Meaning of the setting.
///         pub name: type = default => values, "source of the default";
///         /// One whose key is no Rust name in use.
///         pub upper as "K": f64 = 0.04 => between(-100., 100.), "paper";
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field_vis:vis $field:ident $(as $key:literal)? : $type:ty = $default:expr => $rule:expr, $source:expr;
            )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "aim_config::serde", default, deny_unknown_fields)]
        $vis struct $name {
            $(
                $(#[doc = $doc])+
                $(#[serde(rename = $key)])?
                $field_vis $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }

        impl $crate::Settings for $name {
            const SETTINGS: &'static [$crate::Setting] = &[
                $($crate::Setting {
                    name: $crate::__key!($field $($key)?),
                    meaning: concat!($($doc),+).trim_ascii(),
                    kind: <$type as $crate::Field>::KIND,
                    words: <$type as $crate::Field>::WORDS,
                    optional: <$type as $crate::Field>::OPTIONAL,
                    rule: $rule,
                    source: $source,
                }),*
            ];

            #[allow(unused_variables, reason = "there may be no settings")]
            fn check(&self, place: &str) -> $crate::__core::Result<()> {
                $(
                    let (rule, name) = ($rule, $crate::__key!($field $($key)?));
                    if rule.required && $crate::Field::is_missing(&self.$field) {
                        return Err($crate::__missing(place, name));
                    }
                    $crate::Field::check(&self.$field, &rule, &format!("{place}.{name}"))?;
                )*
                Ok(())
            }
        }
    };
}

/// Declares a choice of words, each with its meaning.
///
/// ```
/// aim_config::choice! {
///     /// Order of something.
///     pub enum Order {
///         /// As it comes.
///         Given = "given",
///         /// Drawn anew.
///         Random = "random",
///     }
/// }
/// assert_eq!(<Order as aim_config::Field>::WORDS, ["given", "random"]);
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $vis:vis enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[derive($crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "aim_config::serde")]
        $vis enum $name {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant),+
        }

        impl $crate::Field for $name {
            const KIND: $crate::Kind = $crate::Kind::Choice;
            const WORDS: &'static [&'static str] = &[$($word),+];
            fn check(&self, _: &$crate::Rule, _: &str) -> $crate::__core::Result<()> {
                Ok(())
            }
        }
    };
}

/// The key of a field.
#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}
