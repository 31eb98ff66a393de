//! What serde says of a value that does not fit, in words of a configuration instead of Rust's.

/// The message in words of a configuration.
pub fn plain_words(message: &str) -> String {
    // Whole phrases of serde's, so that names (an encoder is called `sequence`) stay as they are.
    const WORDS: [(&str, &str); 12] = [
        ("expected f64", "expected a number"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected a boolean", "expected true or false"),
        ("floating point `", "the number `"),
        ("integer `", "the number `"),
        ("boolean `", "`"),
        ("invalid type: null", "invalid type: nothing"),
        ("invalid type: sequence", "invalid type: a list"),
        ("expected a sequence", "expected a list"),
        ("invalid type: map", "invalid type: a section"),
    ];
    let message = message.replace("invalid type: unit value", "invalid type: nothing");
    let mut text = WORDS.iter().fold(message, |text, (rust, plain)| text.replace(rust, plain));
    if let Some(at) = text.find("expected struct ") {
        let name = text[at + 16..].find(|c: char| !c.is_alphanumeric()).map_or(text.len(), |n| at + 16 + n);
        text.replace_range(at..name, "expected a section");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::plain_words as plain;

    #[test]
    fn serde_in_plain_words() {
        assert_eq!(
            plain("invalid type: string \"abc\", expected f64"),
            "invalid type: string \"abc\", expected a number"
        );
        assert_eq!(
            plain("invalid type: integer `3`, expected struct ModelConfig"),
            "invalid type: the number `3`, expected a section"
        );
        let names = "unknown variant `x`, expected one of `mlp`, `sequence`";
        assert_eq!(plain(names), names);
        assert_eq!(
            plain("invalid value: integer `-3`, expected usize"),
            "invalid value: the number `-3`, expected a whole number, 0 or more"
        );
    }
}
