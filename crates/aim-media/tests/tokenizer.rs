//! Tokenizers from small `tokenizer.json` files, by hand.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use aim_media::text::Tokenizer;
use serde_json::{Value, json};

fn special(id: u32, content: &str) -> Value {
    let flags = json!({"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let mut token = json!({"id": id, "content": content});
    token.as_object_mut().unwrap().extend(flags.as_object().unwrap().clone());
    token
}

/// Word pieces as BERT has them.
fn pieces() -> Value {
    let vocabulary =
        json!({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "play": 4, "##ing": 5, "good": 6, "!": 7, "我": 8});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary
        }
    })
}

/// Byte pairs as GPT-2 has them: `Ġ` stands for a blank.
fn pairs() -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(7, "<|endoftext|>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false,
            "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġa": 4, "Ġab": 5, "c": 6, "<|endoftext|>": 7},
            "merges": [["a", "b"], ["Ġ", "ab"]]
        }
    })
}

fn tokenizer(json: &Value, length: usize) -> aim_media::Result<Tokenizer> {
    Tokenizer::from_json(&json.to_string(), "t/tokenizer.json", length)
}

#[test]
fn word_pieces_stand_between_their_special_tokens() {
    let tokenizer = tokenizer(&pieces(), 8).unwrap();
    let encoding = tokenizer.encode("Playing GOOD! dog").unwrap();
    assert_eq!(encoding.ids, [2, 4, 5, 6, 7, 1, 3, 0]);
    assert_eq!(encoding.mask, [true, true, true, true, true, true, true, false]);
    assert_eq!(tokenizer.encode("我good").unwrap().ids, [2, 8, 6, 3, 0, 0, 0, 0]);
    assert_eq!(tokenizer.size(), 9);
}

#[test]
fn a_long_text_is_cut_before_its_last_special_token() {
    let encoding = tokenizer(&pieces(), 4).unwrap().encode("playing good").unwrap();
    assert_eq!(encoding.ids, [2, 4, 5, 3]);
    assert!(encoding.mask.iter().all(|&mask| mask));
}

#[test]
fn byte_pairs_merge_in_order_and_pad_with_the_end_of_text() {
    let tokenizer = tokenizer(&pairs(), 5).unwrap();
    // "ab", then " ab", then "c": the pattern parts words before a blank, and merges do the rest.
    let encoding = tokenizer.encode("ab abc").unwrap();
    assert_eq!(encoding.ids, [3, 5, 6, 7, 7]);
    assert_eq!(encoding.mask, [true, true, true, false, false]);
}

#[test]
fn the_file_names_padding_and_the_side_to_cut() {
    let mut json = pieces();
    json["padding"] = json!({
        "strategy": {"Fixed": 32}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 1, "pad_type_id": 0,
        "pad_token": "[UNK]"
    });
    json["truncation"] = json!({"direction": "Left", "max_length": 99, "strategy": "LongestFirst", "stride": 0});
    assert_eq!(tokenizer(&json, 5).unwrap().encode("good").unwrap().ids, [2, 6, 3, 1, 1]);
    assert_eq!(tokenizer(&json, 4).unwrap().encode("good playing").unwrap().ids, [2, 4, 5, 3]);
}

#[test]
fn a_length_without_room_and_a_file_that_is_no_tokenizer_are_refused() {
    let error = tokenizer(&pieces(), 2).err().unwrap().to_string();
    assert_eq!(error, "t/tokenizer.json: a length of 2 cannot hold 2 special tokens and a text; choose 3 to 1048576");
    assert!(tokenizer(&pieces(), usize::MAX).is_err());
    // The crate panics where a decoder is no JSON.
    let damaged = pieces().to_string().replace("\"cleanup\":true", "\"cleanup\":tru");
    for json in ["", "{}", "[PAD]\n[UNK]\n", "{\"model\": {\"type\": \"BPE\"}}", &damaged] {
        let error = Tokenizer::from_json(json, "vocab.txt", 8).err().unwrap().to_string();
        assert!(error.starts_with("vocab.txt: not a tokenizer (") && error.contains("`tokenizer.json`"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
