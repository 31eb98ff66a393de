//! Recordings, pictures and texts.

use aim_media::{
    Result,
    audio::{self, Options, Part},
    image::{self, Encoded, MAX_PIXELS, Region},
    text::{self, Tokenizer, Vocabulary, VocabularyLimits},
};

use super::{
    Target, choice, chosen,
    samples::{aiff, mp3, wav},
};

/// The writers of the reader's own tests.
#[path = "../../../../crates/aim-media/src/audio/testing.rs"]
#[allow(dead_code, reason = "only FLAC is wanted of them")]
mod writers;

fn told<T>(result: Result<T>) -> Option<T> {
    result
        .map_err(|error| {
            let parts = [&error.place, &error.problem, &error.remedy];
            assert!(parts.iter().all(|part| !part.trim().is_empty()), "an error without a place or a remedy: {error}");
        })
        .ok()
}

/// A recording.
pub(super) const SOUND: Target = Target {
    name: "sound",
    about: "WAV, AIFF, FLAC and MP3, whole and in part",
    run: |bytes| {
        let limits = Options { longest: 60., ..Options::default() };
        let part = Part { start: Some(0.01), end: Some(0.02) };
        let channels = told(audio::decode(bytes, "a.wav", &Options { mono: false, part, ..limits }));
        channels.iter().for_each(|sound| assert!(sound.frames() as f64 <= 0.02 * f64::from(sound.rate) + 2.));
        let Some(sound) = told(audio::decode(bytes, "a.wav", &limits)) else { return false };
        let rate = sound.rate;
        let samples = sound.mono();
        assert!(samples.iter().all(|value| value.is_finite()));
        if (1000..100_000).contains(&rate) && samples.len() < 10_000 {
            told(audio::resample(&samples, rate, 16_000));
        }
        true
    },
    samples: || {
        let waves: Vec<i16> = (0..400).map(|i| (3000. * (0.3 * f64::from(i)).sin()) as i16).collect();
        let bytes: Vec<u8> = waves.iter().flat_map(|value| value.to_le_bytes()).collect();
        vec![
            wav(1, 1, 8000, 16, &bytes),
            wav(1, 2, 44_100, 8, &bytes),
            wav(1, 1, 16_000, 24, &bytes[..600]),
            wav(3, 2, 8000, 32, &super::samples::floats(&[0.5; 400])),
            wav(6, 1, 8000, 8, &bytes),
            wav(7, 1, 8000, 8, &bytes),
            aiff(&waves),
            writers::flac(8000, &waves),
            mp3(6),
        ]
    },
    words: &[
        "RIFF",
        "WAVE",
        "fmt ",
        "data",
        "LIST",
        "fact",
        "FORM",
        "AIFF",
        "AIFC",
        "COMM",
        "SSND",
        "sowt",
        "fLaC",
        "ID3",
        "Xing",
        "LAME",
        "OggS",
        "\u{1}vorbis",
        "\u{fffe}",
    ],
    cost: 2,
};

/// Pictures of the reader's own tests, each of a few kB.
const PICTURES: [&str; 10] = [
    "420.jpg",
    "420-progressive.jpg",
    "422-progressive.jpg",
    "restarts.jpg",
    "cmyk.jpg",
    "oriented.jpg",
    "rgb.png",
    "palette.png",
    "grey-alpha.png",
    "bits.png",
];

/// A picture.
pub(super) const PICTURE: Target = Target {
    name: "picture",
    about: "JPEG and PNG, whole and in part",
    run: |bytes| {
        let region = Encoded::open(bytes, "a.jpg", MAX_PIXELS).and_then(|encoded| {
            let (width, height) = (encoded.width().div_ceil(3), encoded.height().div_ceil(3));
            encoded.decode_region(&Region { x: 0, y: 0, width, height })
        });
        told(region);
        let Some(picture) = told(image::decode(bytes, "a.jpg")) else { return false };
        assert_eq!(picture.rgb.len(), 3 * picture.width * picture.height);
        true
    },
    samples: || {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/aim-media/tests/pictures");
        PICTURES.iter().map(|name| std::fs::read(format!("{folder}/{name}")).expect("a picture")).collect()
    },
    words: &["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "eXIf", "iCCP", "Exif\0\0", "JFIF\0", "Adobe", "MM\0*", "II*\0"],
    cost: 3,
};

/// A text of which a vocabulary is made, or a tokenizer with texts that it splits.
pub(super) const TEXT: Target = Target {
    name: "text",
    about: "texts and tokenizers",
    run: |bytes| {
        let (kind, rest) = choice(bytes, 2);
        let Some(read) = told(text::decode(rest, "a.txt")) else { return false };
        if kind == 0 {
            let limits = VocabularyLimits { at_least: 1, ..VocabularyLimits::default() };
            let Some(vocabulary) = told(Vocabulary::build([read.as_str()], limits)) else { return false };
            return vocabulary.encode(&read, 16).ids.len() == 16;
        }
        let Some(tokenizer) = told(Tokenizer::from_json(&read, "tokenizer.json", 8)) else { return false };
        let texts = ["a good ab", "", "\u{1f600} ein Wörterbuch\u{301} a\0b"];
        texts.iter().filter_map(|text| told(tokenizer.encode(text))).all(|encoding| encoding.ids.len() == 8)
    },
    samples: || {
        let texts = ["It's a good film, isn't it?\r\n我 \u{1f600} don't", "\u{feff}one"];
        let tokenizers = [PAIRS, PIECES];
        let texts = texts.iter().map(|text| chosen(0, text.as_bytes()));
        texts.chain(tokenizers.iter().map(|json| chosen(1, json.as_bytes()))).collect()
    },
    words: &[
        "\"type\"",
        "\"vocab\"",
        "\"merges\"",
        "\"model\"",
        "BPE",
        "Unigram",
        "WordPiece",
        "WordLevel",
        "ByteLevel",
        "Metaspace",
        "Split",
        "Regex",
        "Sequence",
        "NFKC",
        "Replace",
        "Precompiled",
        "TemplateProcessing",
        "added_tokens",
        "truncation",
        "padding",
        "unk_id",
        "byte_fallback",
        "\"id\": 1",
        "(a+)+$",
        "'",
        "\u{2019}",
    ],
    cost: 4,
};

/// Byte pairs.
const PAIRS: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{"id": 5, "content": "<pad>",
"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}], "normalizer": {"type": "NFC"},
"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}, "post_processor": null,
"decoder": null, "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
"fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "Ġ": 4, "<pad>": 5}, "merges": [["a", "b"]]}}"#;

/// Pieces of words.
const PIECES: &str = r###"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type":
"BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}, "pre_tokenizer":
{"type": "BertPreTokenizer"}, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, "decoder":
{"type": "WordPiece", "prefix": "##", "cleanup": true}, "model": {"type": "WordPiece", "unk_token": "[UNK]",
"continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3,
"good": 4, "##s": 5, "a": 6}}}"###;
