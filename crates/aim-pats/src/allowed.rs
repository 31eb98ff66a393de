//! Characters that a step may hold.

/// Inclusive ranges beyond ASCII: letters of the Latin and Greek scripts, superscripts and subscripts, and the blocks
/// of typographic and mathematical signs.
const RANGES: [(char, char); 23] = [
    ('\u{a0}', '\u{24f}'),      // Latin-1 and Latin Extended A and B
    ('\u{250}', '\u{2af}'),     // phonetic Latin
    ('\u{370}', '\u{3ff}'),     // Greek
    ('\u{1d00}', '\u{1dbf}'),   // raised, lowered and phonetic letters
    ('\u{1e00}', '\u{1eff}'),   // Latin Extended Additional
    ('\u{1f00}', '\u{1fff}'),   // Greek Extended
    ('\u{2010}', '\u{2027}'),   // dashes, quotation marks, dots
    ('\u{202f}', '\u{205f}'),   // primes and further punctuation
    ('\u{2070}', '\u{209f}'),   // superscripts and subscripts
    ('\u{20a0}', '\u{20bf}'),   // signs of currencies
    ('\u{2100}', '\u{214f}'),   // letterlike
    ('\u{2150}', '\u{218b}'),   // fractions, Roman numerals
    ('\u{2190}', '\u{21ff}'),   // arrows
    ('\u{2200}', '\u{22ff}'),   // mathematical operators
    ('\u{2300}', '\u{23bf}'),   // floors, ceilings, pieces of brackets
    ('\u{25a0}', '\u{25ff}'),   // geometric shapes
    ('\u{2660}', '\u{2667}'),   // suits of cards
    ('\u{27c0}', '\u{27ff}'),   // further mathematical operators and arrows
    ('\u{2900}', '\u{2aff}'),   // supplemental arrows and mathematical operators
    ('\u{fb00}', '\u{fb06}'),   // Latin ligatures
    ('\u{ff21}', '\u{ff3a}'),   // full-width capitals
    ('\u{ff41}', '\u{ff5a}'),   // full-width small letters
    ('\u{1d400}', '\u{1d7ff}'), // mathematical alphabets
];

/// Whether a step holds no character that mathematics in a Latin script has no use for. Language models now and then
/// fall into another script or into bytes that are no text; such a step is thrown away.
///
/// The authors list single signs; here the blocks that these come from are allowed as a whole.
pub fn allowed(step: &str) -> bool {
    let plain = |c: char| matches!(c, ' '..='~') || c.is_whitespace();
    step.chars().all(|c| plain(c) || RANGES.iter().any(|(first, last)| (*first..=*last).contains(&c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mathematics_in_latin_letters_is_allowed() {
        for step in [
            "",
            "3\u{2003}+\u{a0}4\u{2028}= 7",
            "So 3 + 4 = 7.\nHence \\boxed{7}",
            "naïve Å ∑ᵢ xᵢ² ≤ ½·π → ∞",
            "“√2” — ‘ok’ … ⌊x⌋ ∈ ℝ",
            "△ABC ⟂ 𝔽 €5 £3",
            "α′ × β″ ÷ γ",
        ] {
            assert!(allowed(step), "{step}");
        }
    }

    #[test]
    fn other_scripts_pictures_and_broken_text_are_not() {
        for step in ["所以 7", "итак 7", "7 😀", "7\u{fffd}", "七", "한", "7\u{0}", "\u{200b}", "ก"] {
            assert!(!allowed(step), "{step}");
        }
    }
}
