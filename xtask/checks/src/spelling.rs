//! Spelling mistakes that the dictionary of `typos` knows.

use std::borrow::Cow;

use typos::{
    Dictionary, Status, check_str,
    tokens::{Case, Identifier, TokenizerBuilder, Word},
};

use crate::{Outcome, files};

/// Words that the dictionary takes for mistakes: names of functions and crates.
const OURS: [&str; 3] = ["arange", "flate", "mmaped"];

/// Mistakes that tests make on purpose.
const PURPOSE: [&str; 6] = ["bundel", "deeep", "hiden", "jont", "metod", "validaton"];

/// The dictionary without those.
struct Words;

impl Dictionary for Words {
    fn correct_ident<'s>(&'s self, _: Identifier<'_>) -> Option<Status<'s>> {
        None
    }

    fn correct_word<'s>(&'s self, word: Word<'_>) -> Option<Status<'s>> {
        let token = word.token();
        // What is short, and what a casing cuts off, is no word.
        let lower = token.to_lowercase();
        let known = OURS.iter().chain(&PURPOSE).any(|word| *word == lower);
        if token.len() < 4 || word.case() == Case::None || known {
            return None;
        }
        let corrections = typos_dict::WORD.find(&lower.as_str().into())?;
        Some(Status::Corrections(corrections.iter().map(|word| Cow::Borrowed(*word)).collect()))
    }
}

/// No file has a known mistake.
pub fn check() -> Outcome {
    let tokenizer = TokenizerBuilder::new().build();
    let mut wrong = vec![];
    for path in files::with(&["rs", "md", "toml", "yaml", "py"]) {
        let text = files::text(&path);
        for typo in check_str(&text, &tokenizer, &Words) {
            let line = 1 + text[..typo.byte_offset].matches('\n').count();
            if let Status::Corrections(words) = &typo.corrections {
                wrong.push(format!("{}:{line}: `{}`: {}", path.display(), typo.typo, words.join(" or ")));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
