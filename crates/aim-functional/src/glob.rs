//! Patterns of names: `*` stands for any characters, dots included.

/// Whether the whole of `name` fits `pattern`.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(head) else { return false };
    // The first `*` takes as much as leaves something that fits the rest.
    (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| fits(rest, &tail[at..]))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in
            [("*", ""), ("*", "a.b"), ("a.*", "a.b.c"), ("*.bias", "a.b.bias"), ("a*c*", "abcbcd"), ("é*", "éé")]
        {
            assert!(fits(pattern, name), "{pattern} fits {name}");
        }
        for (pattern, name) in [("", "a"), ("a", "ab"), ("a.*", "ab"), ("*.bias", "bias"), ("a*b", "abc")] {
            assert!(!fits(pattern, name), "{pattern} does not fit {name}");
        }
    }
}
