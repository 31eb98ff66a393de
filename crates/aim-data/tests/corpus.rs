//! Published sets in their folders: how they are split, and what is prepared of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aim_core::Result;
use aim_data::{Dataset, DatasetSpec, PrepareOptions, Reading, builtin, load, load_by, prepare};
use serde_json::{Value, json};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn spec(section: &Value) -> Result<DatasetSpec> {
    builtin().read(section, "data")
}

fn read(section: &Value) -> Result<Dataset> {
    load(&spec(section)?, None)
}

/// Prepares a set and tells its folder.
fn made(section: &Value) -> PathBuf {
    let options = PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) };
    prepare(&spec(section).unwrap(), None, &options).unwrap().folder
}

fn digest(set: &Dataset) -> Vec<u8> {
    let mut all = vec![];
    [&set.train, &set.validation, &set.test].iter().for_each(|s| s.digest(&mut |b| all.extend_from_slice(b)).unwrap());
    all
}

/// MOSI's list with these texts.
fn mosi(folder: &Path, texts: impl Iterator<Item = String>) -> Value {
    let row = |(k, text): (usize, String)| {
        format!("v{k},1,{text},{},Positive,{}\n", [-2, 2][k % 2], ["train", "train", "valid", "test"][k % 4])
    };
    let rows: String = texts.enumerate().map(row).collect();
    write(&folder.join("label.csv"), &format!("video_id,clip_id,text,label,annotation,mode\n{rows}"));
    json!({
        "name": "corpus", "layout": "mosi", "labels": "has0", "folder": folder,
        "modalities": {"text": {"column": "{text}", "text": {"length": 4, "at_least": 1}}},
    })
}

/// Two words that say a number, of few, so that those of one split occur in another.
fn number(k: usize) -> String {
    format!("tens{} ones{}", k / 10, k % 10)
}

/// Every k-th text of some number says k, or another number.
fn numbers(other: Option<(usize, usize)>) -> impl Iterator<Item = String> {
    (0..70).map(move |k| match other {
        Some((at, other)) if at == k => format!("it is {}", number(other)),
        _ => format!("it is {}", number(k)),
    })
}

/// MVSA with a text a post, whose classes take turns.
fn mvsa(folder: &Path) -> Value {
    let class = |k: usize| ["positive", "negative", "neutral"][k % 3];
    let posts: String = (0..15).map(|k| format!("{k}\t{},{}\n", class(k), class(k))).collect();
    write(&folder.join("labelResultAll.txt"), &format!("ID\ttext,image\n{posts}"));
    (0..15).for_each(|k| {
        write(&folder.join(format!("data/{k}.txt")), &format!("a post of shape{} and colour{}", k / 4, k % 4))
    });
    json!({
        "name": "corpus", "layout": "mvsa", "labels": "agree", "folder": folder,
        "split": {"by": "sample", "folds": 5, "fold": 0},
        "modalities": {"text": {"column": "data/{id}.txt", "text": {"files": true, "length": 8}}},
    })
}

/// Kinetics-Sounds in folders, with a text a clip.
fn kinetics(folder: &Path) -> Value {
    for class in ["a", "b"] {
        for k in 0..11 {
            let part = if k < 10 { "train_img" } else { "val_img" };
            fs::create_dir_all(folder.join(format!("visual/{part}/Image-01-FPS/{class}/{class}{k}"))).unwrap();
            write(&folder.join(format!("texts/{class}{k}.txt")), &format!("{class} shape{} colour{}", k / 4, k % 4));
        }
    }
    json!({
        "name": "corpus", "layout": "kinetics-folders", "folder": folder,
        "modalities": {"text": {"column": "texts/{id}.txt", "text": {"files": true, "length": 3}}},
    })
}

fn with(section: &Value, key: &str, value: Value) -> Value {
    let mut section = section.clone();
    section[key] = value;
    section
}

#[test]
fn texts_without_published_splits_are_prepared_once_for_all_folds() {
    let folder = tempfile::tempdir().unwrap();
    let section = mvsa(folder.path());
    let fold = |fold: usize| with(&section, "split", json!({"by": "sample", "folds": 5, "fold": fold}));
    let raw = [0, 1].map(|k| digest(&read(&fold(k)).unwrap()));
    assert!(raw[0] != raw[1]);
    assert_eq!(made(&fold(0)), made(&fold(1)));
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    assert!([0, 1].map(|k| digest(&read(&fold(k)).unwrap())) == raw, "a prepared set is other data than its files");
}

#[test]
fn shards_of_other_rows_are_made_anew_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let section = mosi(folder.path(), numbers(None));
    let at = made(&section);
    let written = |k: usize| fs::metadata(at.join(format!("shard-0000{k}.safetensors"))).unwrap().modified().unwrap();
    let before = [0, 1].map(written);
    // The same number of rows of the same names; one of the second shard says something else.
    mosi(folder.path(), numbers(Some((68, 1))));
    assert_eq!(made(&section), at);
    assert_eq!((written(0), written(1) == before[1]), (before[0], false));
    let prepared = digest(&read(&section).unwrap());
    fs::remove_dir_all(&at).unwrap();
    assert!(prepared == digest(&read(&section).unwrap()));
}

#[test]
fn sets_of_two_folders_share_a_store() {
    let [one, two, store] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let of = |section| with(&section, "store", json!(store.path()));
    let one = of(mosi(one.path(), numbers(None)));
    let two = of(mosi(two.path(), numbers(Some((0, 1)))));
    let raw = [&one, &two].map(|section| digest(&read(section).unwrap()));
    assert_ne!(made(&one), made(&two));
    assert!([&one, &two].map(|section| digest(&read(section).unwrap())) == raw);
}

#[test]
fn the_seed_draws_who_is_held_out_of_each_class() {
    let folder = tempfile::tempdir().unwrap();
    let held = |seed: u64| -> BTreeSet<String> {
        let section = with(&kinetics(folder.path()), "split", json!({"held_out": 0.2, "seed": seed}));
        let ids = read(&section).unwrap().validation.ids().to_vec();
        ["a", "b"].iter().for_each(|class| assert_eq!(ids.iter().filter(|id| id.contains(class)).count(), 2));
        ids.into_iter().collect()
    };
    assert_eq!(held(0), held(0));
    assert!((1..5).any(|seed| held(seed) != held(0)));
}

#[test]
fn a_setting_that_splits_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let say = |section: &Value, split: Value| read(&with(section, "split", split)).unwrap_err().to_string();
    let lists = mosi(folder.path(), numbers(None));
    for (key, value) in [("folds", json!(4)), ("fold", json!(1)), ("seed", json!(1)), ("held_out", json!(0.2))] {
        let error = say(&lists, json!({key: value}));
        assert!(error.contains(&format!("data.split.{key}: has no effect")), "{error}");
        assert!(error.contains("which have a validation split"), "{error}");
    }
    let error = say(&kinetics(folder.path()), json!({"folds": 4}));
    assert!(error.contains("data.split.folds: has no effect"), "{error}");
    let error = say(&lists, json!({"by": "group", "held_out": 0.2}));
    assert!(
        error.contains("data.split.held_out: has no effect") && error.contains("one of which validates"),
        "{error}"
    );
    let error = say(&mvsa(folder.path()), json!({"by": "list"}));
    assert!(error.contains("the set has no published lists"), "{error}");
}

#[test]
fn what_a_corpus_takes_of_the_memory_is_known_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let section = mosi(folder.path(), numbers(None));
    let bytes = || load_by(&spec(&section).unwrap(), None, &Reading::new(1024, 0)).unwrap().1.bytes;
    // 70 texts of 4 words, which are decoded as a whole and then split, and checked together.
    assert_eq!(bytes(), 2 * 2 * 70 * 4 * 4);
    made(&section);
    // A text of 16 letters behind a byte that says what it is, and 20 of them one of 15.
    let texts: u64 = numbers(None).map(|text| text.len() as u64 + 1).sum();
    assert_eq!(bytes(), 2 * texts);
}
