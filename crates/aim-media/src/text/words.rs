//! Words of a text.

use std::borrow::Cow;

/// Part that a character plays in a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// One of the word's characters.
    Letter,
    /// A word of its own.
    Word,
    /// A letter between two letters, and the end of a word elsewhere.
    Apostrophe,
    /// None: words end before it.
    Gap,
}

/// Words of a text, in order:
///
/// - blanks, control characters and punctuation part words and are dropped (ASCII's, so `#` and `@` too, and the
///   blocks of general, East Asian and full-width punctuation);
/// - an apostrophe between two letters stays (`don't`), a curly one included;
/// - a Chinese or Japanese character is a word of its own, and so are an emoji and an arrow;
/// - everything else makes words: letters, digits and marks of any script.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c| matches!(part(c), Part::Gap | Part::Apostrophe));
        let (word, after) = rest.split_at(end(rest));
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// A word, lowercased where wanted, and with straight apostrophes.
#[must_use]
pub fn lowercase(word: &str, lower: bool) -> Cow<'_, str> {
    let word = if lower { Cow::Owned(word.to_lowercase()) } else { Cow::Borrowed(word) };
    if word.contains('\u{2019}') { word.replace('\u{2019}', "'").into() } else { word }
}

/// Number of bytes of the word at the start.
fn end(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map_or(Part::Gap, |&(_, next)| part(next));
        match part(character) {
            Part::Word if at == 0 => return character.len_utf8(),
            Part::Letter => {}
            Part::Apostrophe if next == Part::Letter => {}
            _ => return at,
        }
    }
    text.len()
}

fn part(character: char) -> Part {
    match character {
        '\'' | '\u{2019}' => Part::Apostrophe,
        // Kana, ideographs, arrows to symbols, emoji.
        '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            Part::Word
        }
        '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => Part::Word,
        // General, East Asian and full-width punctuation; selectors of an emoji's look.
        '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{3020}' | '\u{fe00}'..='\u{fe0f}' | '\u{ff01}'..='\u{ff0f}' => {
            Part::Gap
        }
        '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}' => Part::Gap,
        '¡' | '«' | '·' | '»' | '¿' | '\u{feff}' => Part::Gap,
        c if c.is_whitespace() || c.is_control() || c.is_ascii_punctuation() => Part::Gap,
        _ => Part::Letter,
    }
}
