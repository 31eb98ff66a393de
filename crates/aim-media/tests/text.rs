//! Text: encodings of files, words, vocabularies.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use aim_media::text::{PAD, UNKNOWN, Vocabulary, VocabularyLimits, decode, read, words};

fn all(text: &str) -> Vec<&str> {
    words(text).collect()
}

#[test]
fn a_byte_order_mark_is_dropped_and_line_ends_become_line_feeds() {
    assert_eq!(decode(b"\xef\xbb\xbfone\r\ntwo\rthree\n", "a.txt").unwrap(), "one\ntwo\nthree\n");
    assert_eq!(decode("ни\n".as_bytes(), "a.txt").unwrap(), "ни\n");
    assert_eq!(decode(b"", "a.txt").unwrap(), "");
}

#[test]
fn foreign_bytes_are_refused_with_their_place_and_a_command() {
    // "ab" CR LF "c" and the first byte of a Chinese character in GB18030: byte 5, second line.
    let error = decode(b"ab\r\nc\xc4\xe3\n", "t/a.txt").unwrap_err().to_string();
    let start = "t/a.txt: byte 5 (0xc4, line 2) is not UTF-8; convert it from the encoding";
    assert!(error.starts_with(start) && error.contains("iconv -f GB18030 -t UTF-8"), "{error}");
    // Offsets count from the start of the file, the mark included.
    assert!(decode(b"\xef\xbb\xbfab\xff", "a").unwrap_err().problem.contains("byte 5 (0xff, line 1)"));
    // A character that the end cuts.
    assert!(decode(b"ab\xe4\xbd", "a").unwrap_err().problem.contains("byte 2 (0xe4"));
    assert!(decode(b"\xff\xfea\0", "a").unwrap_err().remedy.contains("iconv -f UTF-16"));
    assert!(decode(b"version https://git-lfs.github.com/spec/v1\n", "a").unwrap_err().remedy.contains("git lfs pull"));
}

#[test]
fn a_folder_or_a_missing_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read(folder.path()).unwrap_err().problem.contains("not a regular file"));
    assert!(read(&folder.path().join("none.txt")).is_err());
    std::fs::write(folder.path().join("a.txt"), "words").unwrap();
    assert_eq!(read(&folder.path().join("a.txt")).unwrap(), "words");
}

#[test]
fn words_end_at_blanks_and_punctuation_and_keep_inner_apostrophes() {
    assert_eq!(all("Don't -- 'quote' #Tag @user, 3.5%\tend"), ["Don't", "quote", "Tag", "user", "3", "5", "end"]);
    assert_eq!(all("l\u{2019}été \u{201c}naïve\u{201d}\u{2026}"), ["l\u{2019}été", "naïve"]);
    // Marks of a script belong to its words.
    assert_eq!(all("हिन्दी भाषा"), ["हिन्दी", "भाषा"]);
    assert!(all(" \n.,'' \u{200d}").is_empty());
}

#[test]
fn ideographs_and_emoji_are_words_of_their_own() {
    assert_eq!(all("我爱cats。so好"), ["我", "爱", "cats", "so", "好"]);
    assert_eq!(all("fun😀😀\u{fe0f} ok→"), ["fun", "😀", "😀", "ok", "→"]);
}

#[test]
fn indices_follow_the_counts_and_then_the_alphabet() {
    // b four times, a and c twice, d once.
    let texts = ["B b c", "a, a: c", "b d B"];
    let limits = VocabularyLimits { lowercase: true, at_least: 2, at_most: 10 };
    let vocabulary = Vocabulary::build(texts, limits).unwrap();
    assert_eq!(vocabulary.words(), ["b", "a", "c"]);
    assert_eq!(vocabulary.size(), 5);
    let reversed = Vocabulary::build(texts.into_iter().rev(), limits).unwrap();
    assert_eq!(vocabulary, reversed);
    let two = Vocabulary::build(texts, VocabularyLimits { at_most: 2, ..limits }).unwrap();
    assert_eq!(two.words(), ["b", "a"]);
    // With capitals kept: a, b, c and B twice each, capitals first in the alphabet of code points.
    let capitals = Vocabulary::build(texts, VocabularyLimits { lowercase: false, ..limits }).unwrap();
    assert_eq!(capitals.words(), ["B", "a", "b", "c"]);
}

#[test]
fn an_encoding_is_cut_padded_and_masked() {
    let vocabulary = Vocabulary::from_words(vec!["b".into(), "it's".into()], true).unwrap();
    let encoding = vocabulary.encode("It\u{2019}s new: B", 5);
    assert_eq!(encoding.ids, [3, UNKNOWN, 2, PAD, PAD]);
    assert_eq!(encoding.mask, [true, true, true, false, false]);
    let cut = vocabulary.encode("b b b", 2);
    assert_eq!((cut.ids, cut.mask), (vec![2, 2], vec![true, true]));
    assert_eq!(vocabulary.encode("", 2).mask, [false, false]);
}

#[test]
fn a_vocabulary_without_words_or_with_a_word_twice_is_refused() {
    assert!(
        Vocabulary::build(["once only"], VocabularyLimits::default())
            .unwrap_err()
            .remedy
            .contains("lower the smallest")
    );
    assert!(Vocabulary::from_words(vec!["a".into(), "a".into()], true).is_err());
}
