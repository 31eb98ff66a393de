//! Sets of a user's own files: what is right is read, what is wrong is listed with its line.
#![cfg(feature = "media")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use aim_core::Result;
use aim_data::{Dataset, Source, builtin, data_card, load};
use candle_core::Device;
use serde_json::{Value, json};

/// Two sounds and two pictures a split, texts, vectors and a series.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for k in 0..6u8 {
        sound(&at.join(format!("{k}.wav")), 4000, k);
        picture(&at.join(format!("{k}.png")), k);
        let lines: String = (0..=k).map(|t| format!("{t},{}\n", 10 * t)).collect();
        fs::write(at.join(format!("{k}.csv")), format!("a,b\n{lines}")).unwrap();
    }
    folder
}

fn sound(path: &Path, samples: u32, pitch: u8) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    let value = |i: u32| (8000. * (f64::from(i) * 0.1 * f64::from(pitch + 1)).sin()) as i16;
    (0..samples).for_each(|i| file.write_sample(value(i)).unwrap());
    file.finalize().unwrap();
}

/// A picture of one grey.
fn picture(path: &Path, grey: u8) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, 6, 4);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[grey * 51; 24]).unwrap();
}

/// The manifest of [`folder`], with what stands in the columns of sounds and pictures of each sample.
const ROWS: &str = "id,split,label,sound,picture,words,row,track,group\n\
    a,train,low,0.wav,0.png,up and down and up,0,0.csv,g0\n\
    b,train,high,1.wav,1.png,\"up, \"\"up\"\"\",1,1.csv,g1\n\
    c,val,low,2.wav,2.png,down,2,2.csv,g2\n\
    d,dev,high,3.wav,3.png,left,0,3.csv,g3\n\
    e,test,low,4.wav,4.png,up down,1,4.csv,g4\n\
    f,test,high,5.wav,5.png,down,2,5.csv,g5\n";

fn modalities() -> Value {
    json!({
        "sound": {"audio": {"rate": 8000, "seconds": 0.5, "front": "waveform"}},
        "picture": {"image": {"size": 4, "normalise": "unit"}},
        "words": {"text": {"length": 4}},
        "track": {"series": {"length": 3, "columns": 2}},
    })
}

fn read(folder: &Path, name: &str, text: impl AsRef<[u8]>, settings: Value) -> Result<Dataset> {
    fs::write(folder.join(name), text).unwrap();
    let mut section = json!({"name": "manifest", "file": folder.join(name), "modalities": modalities()});
    for (key, value) in settings.as_object().unwrap() {
        section[key] = value.clone();
    }
    load(&builtin().read(&section, "data")?, None)
}

fn values(split: &dyn Source, modality: usize) -> Vec<f32> {
    let index: Vec<usize> = (0..split.len()).collect();
    split.input(modality, &index, &Device::Cpu).unwrap().values.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_kind_of_file_becomes_numbers() {
    let folder = folder();
    let set = read(folder.path(), "all.csv", ROWS, json!({})).unwrap();
    assert_eq!(set.modalities, ["picture", "sound", "track", "words"]);
    assert_eq!(set.class_names, ["high", "low"]);
    assert_eq!(set.shapes(), [vec![3, 4, 4], vec![1, 4000], vec![3, 2], vec![4]]);
    assert_eq!((set.train.labels(), set.train.ids()), (&[1, 0][..], &["a".to_owned(), "b".into()][..]));
    assert_eq!([set.validation.len(), set.test.len()], [2, 2]);
    // Grey 51 of 255 is 0.2.
    assert!(values(&*set.train, 0)[48..].iter().all(|v| (v - 0.2).abs() < 1e-6));
    let heard = values(&*set.train, 1);
    assert!((heard[1] - (8000. * 0.1f32.sin()).trunc() / 32768.).abs() < 1e-6, "{}", heard[1]);
    // Sample a has one moment, b two; a third is padding.
    assert_eq!(values(&*set.train, 2), [0., 0., 0., 0., 0., 0., 0., 0., 1., 10., 0., 0.]);
    let valid = set.train.input(2, &[0, 1], &Device::Cpu).unwrap().valid.unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(valid, [[1., 0., 0.], [1., 1., 0.]]);
    // Of the training texts `up` (4 times) and `and` (twice) occur twice: 2 and 3; `down` once: 1, unknown.
    assert_eq!(values(&*set.train, 3), [2., 3., 1., 3., 2., 2., 0., 0.]);
}

#[test]
fn separators_marks_and_line_ends_do_not_matter() {
    let folder = folder();
    let want = read(folder.path(), "all.csv", ROWS, json!({})).unwrap();
    let rows = ROWS.replace("\"up, \"\"up\"\"\"", "up up");
    let semicolons = rows.replace(',', ";");
    let lines: Vec<String> = rows
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let names = ["id", "split", "label", "sound", "picture", "words", "row", "track", "group"];
            serde_json::to_string(&names.iter().zip(cells).collect::<std::collections::BTreeMap<_, _>>()).unwrap()
        })
        .collect();
    for (name, text) in [
        ("bom.csv", format!("\u{feff}{rows}")),
        ("crlf.csv", rows.replace('\n', "\r\n")),
        ("semicolons.csv", semicolons),
        ("tabs.tsv", rows.replace(',', "\t")),
        ("lines.jsonl", lines.join("\n")),
    ] {
        let got = read(folder.path(), name, text, json!({})).unwrap();
        for m in 0..4 {
            assert_eq!(values(&*got.test, m), values(&*want.test, m), "{name}, modality {m}");
        }
        assert_eq!(got.train.labels(), want.train.labels(), "{name}");
    }
}

#[test]
fn all_faults_are_listed_at_once_with_their_lines() {
    let folder = folder();
    fs::write(folder.path().join("bad.png"), "<html>").unwrap();
    let rows = ROWS
        .replace("a,train", "a,training set")
        .replace("b,train,high", "b,train,")
        .replace("c,val,low,2.wav,2.png", "c,val,low,2.wav,bad.png")
        .replace("d,dev,high,3.wav", "d,dev,high,none.wav")
        .replace("e,test,low,4.wav", "e,test,low,../4.wav");
    let first = read(folder.path(), "bad.csv", &rows, json!({})).unwrap_err().to_string();
    assert!(first.contains("2 faults") && first.contains("line 2: split `training set`"), "{first}");
    assert!(first.contains("line 3: has no label"), "{first}");
    let rows = rows.replace("training set", "train").replace("b,train,", "b,train,high");
    let error = read(folder.path(), "bad.csv", rows, json!({})).unwrap_err().to_string();
    for part in [
        "3 faults",
        "line 4: picture:",
        "line 5: sound:",
        "none.wav: does not exist",
        "line 6: sound: ../4.wav: leaves",
    ] {
        assert!(error.contains(part), "{error}\nshould contain {part}");
    }
}

#[test]
fn what_a_manifest_lacks_is_named() {
    let folder = folder();
    let told = |text: &str, settings: Value, part: &str| {
        let error = read(folder.path(), "m.csv", text, settings).map_or_else(|e| e.to_string(), |_| "none".into());
        assert!(error.contains(part), "{error}\nshould contain {part}");
    };
    told(&ROWS.replace("split", "part"), json!({}), "there is no column `split`, only group");
    told(ROWS, json!({"columns": {"group": "actor"}}), "there is no column `actor`");
    told(&ROWS.replace("b,train", "a,train"), json!({}), "line 3: id `a` is that of line 2, too");
    let mixed = &ROWS.replace(",g2\n", ",g0\n");
    told(
        mixed,
        json!({}),
        "line 4: group `g0` is in several splits (1 rows in train, 1 rows in validation): give all of it",
    );
    told(mixed, json!({}), "a fault\n");
    told(ROWS, json!({"class_names": ["low"]}), "line 3: label `high` is none of class_names");
    let long = json!({"sound": {"audio": {"seconds": 1e9}}});
    told(ROWS, json!({"modalities": long}), "choose a length of 1 to 67108864 samples");
    fs::write(folder.path().join("0.csv"), "a,b\n").unwrap();
    told(ROWS, json!({}), "line 2: track:");
    told(&ROWS.replace("test", "val"), json!({}), "has no row of the test split");
    told(ROWS, json!({"modalities": {"words": {}}}), "names 0 decoders; give one of audio, image");
    told(ROWS, json!({"folds": {"folds": 7}}), "has 6 groups, fewer than the 7 folds");
    told(ROWS, json!({"folds": {"fold": 5}}), "is 5; use 0 to 4");
    told("", json!({}), "m.csv: is empty (0 bytes)");
    told("\n", json!({}), "there is no column");
}

#[test]
fn what_is_more_than_the_memory_is_decoded_when_it_is_asked_for() {
    let folder = folder();
    let set = |bytes: f64| read(folder.path(), "m.csv", ROWS, json!({"memory": bytes / f64::from(1 << 30)})).unwrap();
    let digest = |set: &Dataset| {
        let mut all = vec![];
        set.train.digest(&mut |bytes| all.extend_from_slice(bytes)).unwrap();
        all
    };
    // 6 rows of 48 + 4000 + 6 + 4 numbers are 97,392 bytes, each modality alone is less than 96,100.
    let [whole, few] = [97_392., 96_100.].map(set);
    for (a, b) in [(&whole.train, &few.train), (&whole.test, &few.test)] {
        (0..4).for_each(|m| assert_eq!(values(&**a, m), values(&**b, m)));
    }
    // As with a prepared set that would not fit, checksums of what is kept stand for it.
    assert!(digest(&few) != digest(&whole) && digest(&few) == digest(&set(100.)));
    fs::remove_file(folder.path().join("4.csv")).unwrap();
    let error = few.test.input(2, &[0], &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("line 6, track") && error.contains("4.csv: does not exist"), "{error}");
    let all = read(folder.path(), "m.csv", ROWS, json!({"memory": 1e-7})).map(drop).unwrap_err().to_string();
    assert!(all.contains("line 6: track: ") && all.contains("does not exist"), "{all}");
}

#[test]
fn a_group_may_be_in_two_splits_if_that_is_said() {
    let folder = folder();
    let rows = ROWS.replace(",g2\n", ",g0\n");
    assert!(read(folder.path(), "m.csv", rows, json!({"groups_across_splits": true})).is_ok());
}

#[test]
fn each_fold_tests_other_groups_and_all_together_test_everything() {
    let folder = folder();
    let rows = ROWS.replace(",g3\n", ",g2\n");
    let mut decoded = modalities();
    decoded["words"]["text"]["at_least"] = 1.into();
    let mut tested = vec![];
    for fold in 0..3 {
        let set =
            read(folder.path(), "m.csv", &rows, json!({"folds": {"folds": 3, "fold": fold}, "modalities": decoded}))
                .unwrap();
        let parts = [&set.train, &set.validation, &set.test];
        assert_eq!(parts.iter().map(|split| split.len()).sum::<usize>(), 6);
        let with = |id: &str| parts.iter().position(|split| split.ids().iter().any(|own| own == id));
        assert_eq!(with("c"), with("d"), "one group, one split");
        tested.extend(set.test.ids().to_vec());
    }
    tested.sort();
    assert_eq!(tested, ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn an_empty_cell_is_a_missing_modality() {
    let folder = folder();
    let set = read(folder.path(), "m.csv", ROWS.replace("e,test,low,4.wav", "e,test,low,"), json!({})).unwrap();
    assert_eq!([set.test.has(0, 1), set.test.has(1, 1), set.test.has(0, 0)], [false, true, true]);
    assert!(data_card(&set).unwrap().contains("1 of 2 test samples lack sound"));
}

#[test]
fn a_data_card_names_samples_of_equal_content() {
    let folder = folder();
    let copy =
        ROWS.replace("e,test,low,4.wav,4.png,up down,1,4.csv", "e,test,low,0.wav,0.png,up and down and up,0,0.csv");
    let card = data_card(&read(folder.path(), "m.csv", copy, json!({})).unwrap()).unwrap();
    assert!(card.contains("1 groups of samples have the same content, 1 of them across splits"), "{card}");
    assert!(card.contains("a (train) = e (test)"), "{card}");
}

#[test]
fn standardised_over_the_training_split() {
    let folder = folder();
    let mut with = modalities();
    with["picture"]["standardise"] = "whole".into();
    let set = read(folder.path(), "m.csv", ROWS, json!({"modalities": with})).unwrap();
    // Greys 0 and 0.2 have mean 0.1 and deviation 0.1.
    let (train, test) = (values(&*set.train, 0), values(&*set.test, 0));
    assert!((train[0] + 1.).abs() < 1e-5 && (train[48] - 1.).abs() < 1e-5, "{} {}", train[0], train[48]);
    assert!((test[0] - 7.).abs() < 1e-4, "0.8 is 7 deviations above: {}", test[0]);
}

#[test]
fn a_card_tells_groups_lengths_and_names_that_are_alike() {
    let folder = folder();
    let card = |rows: &str| data_card(&read(folder.path(), "m.csv", rows, json!({})).unwrap()).unwrap();
    let said = card(ROWS);
    for part in ["groups: 2 in train, 2 in validation, 2 in test", "; 1 to 3 positions, 2 of 6 samples padded"] {
        assert!(said.contains(part), "{said}\nshould contain {part}");
    }
    assert!(!said.contains("different classes"), "{said}");
    let alike = card(&ROWS.replace("f,test,high", "f,test,Hi gh").replace("group", "other"));
    let rare = "ATTENTION: fewer than two training samples of Hi gh, high, low\n";
    for part in ["ATTENTION: Hi gh and high are different classes", "groups: none are named", rare] {
        assert!(alike.contains(part), "{alike}\nshould contain {part}");
    }
}

#[test]
fn what_the_settings_of_a_series_say_wrongly_is_told_with_the_right_setting() {
    let folder = folder();
    let told = |files: &str, settings: Value, part: &str| {
        (0..6).for_each(|k| fs::write(folder.path().join(format!("{k}.csv")), files).unwrap());
        let settings = json!({"modalities": {"track": {"series": settings}}});
        let error = read(folder.path(), "m.csv", ROWS, settings).map_or_else(|e| e.to_string(), |_| "none".into());
        assert!(error.contains(part), "{error}\nshould contain {part}");
    };
    let (with, without) = (json!({"columns": 2}), json!({"columns": 2, "header": false}));
    told(
        "1,2\n3,4\n",
        with.clone(),
        "begins with numbers, which would be passed over as a header; set `header: false`",
    );
    told("a,b\n3,4\n", without.clone(), "begins with names; set `header: true`");
    told("a,b,c\n3,4,5\n", with.clone(), "has 3 columns, `columns` says 2; set `columns: 3`");
    told("3,4\n5,x\n", without.clone(), "`x` is no finite number");
    // Columns that were numbered in place of names, and what is right.
    told("0,1\n3,4\n", with.clone(), "none");
    told("1,2\n", without, "none");
    told("a,b\n3,4\n", with, "none");
}

#[test]
fn a_series_is_read_by_either_layout_and_standardised_without_its_padding() {
    let folder = folder();
    // The columns of the training split's three moments are 0, 0, 1 and ten times that: means 1/3 and 10/3.
    let (low, high) = (-0.5f32.sqrt(), 2f32.sqrt());
    let by = |layout: &str, share: &str| {
        let track = json!({"series": {"length": 3, "columns": 2, "layout": layout}, "standardise": share});
        let picture = modalities()["picture"].clone();
        let section = json!({"modalities": {"picture": picture, "track": track}});
        read(folder.path(), "m.csv", ROWS, section).unwrap()
    };
    let near = |set: &Dataset, want: &[f32]| {
        let got = values(&*set.train, 1);
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6) && got.len() == want.len(), "{got:?}");
    };
    let time_first = by("time-first", "channel");
    assert_eq!(time_first.shapes()[1], [3, 2]);
    near(&time_first, &[low, low, 0., 0., 0., 0., low, low, high, high, 0., 0.]);
    let channels_first = by("channels-first", "channel");
    assert_eq!(channels_first.shapes()[1], [2, 3]);
    near(&channels_first, &[low, 0., 0., low, 0., 0., low, high, 0., low, high, 0.]);
    // Entries of one moment each: the second one has a single value, which is its own mean.
    near(&by("time-first", "entry"), &[0.; 12]);
    for set in [time_first, channels_first] {
        let input = set.train.input(1, &[0, 1], &Device::Cpu).unwrap();
        assert_eq!(input.valid.unwrap().to_vec2::<f32>().unwrap(), [[1., 0., 0.], [1., 1., 0.]]);
    }
}

fn npy(path: &Path, shape: &[u64], values: &[f32]) {
    use npyz::WriterBuilder;
    let file = npyz::WriteOptions::new().default_dtype().shape(shape).writer(fs::File::create(path).unwrap());
    let mut file = file.begin_nd().unwrap();
    file.extend(values.iter().copied()).unwrap();
    file.finish().unwrap();
}

#[test]
fn rows_of_arrays_are_named_by_their_index() {
    let folder = folder();
    npy(&folder.path().join("matrix.npy"), &[3, 2], &[0., 1., 10., 11., 20., 21.]);
    npy(&folder.path().join("vector.npy"), &[3], &[5., 6., 7.]);
    let with = |file: &str| json!({"modalities": {"face": {"column": "row", "array": {"file": file}}}});
    let set = read(folder.path(), "m.csv", ROWS, with("matrix.npy")).unwrap();
    assert_eq!((set.shapes(), values(&*set.validation, 0)), (vec![vec![2]], vec![20., 21., 0., 1.]));
    let set = read(folder.path(), "m.csv", ROWS, with("vector.npy")).unwrap();
    assert_eq!((set.shapes(), values(&*set.train, 0)), (vec![vec![1]], vec![5., 6.]));
    let beyond = ROWS.replace("down,2,2.csv", "down,3,2.csv");
    let error = read(folder.path(), "m.csv", beyond, with("matrix.npy")).unwrap_err().to_string();
    assert!(error.contains("line 4: face: 3: is no row of an array of 3 rows"), "{error}");
}

/// Real files, where the environment's `AIM_DATA` names their folder.
fn real(section: Value) -> Option<Dataset> {
    let root = std::env::var_os("AIM_DATA")?;
    Some(load(&builtin().read(&section, "data").unwrap(), Some(Path::new(&root))).unwrap())
}

#[test]
fn true_clips_are_read_from_video_and_pictures() {
    let sound = json!({"column": "audio", "audio": {"rate": 22050, "seconds": 3, "short": "tile"}});
    let frames = json!({"frames": {"count": 1, "choose": "first", "image": {"size": 32, "fit": "squash"}}});
    let section = json!({
        "name": "manifest", "file": "cremad/labels.csv", "folds": {"folds": 3, "by_group": false},
        "modalities": {"sound": sound, "frames": frames},
    });
    let Some(set) = real(section) else { return eprintln!("skipped: needs AIM_DATA") };
    // OGM-GE's recipe: 66,150 samples, 257 frequencies, 188 frames.
    assert_eq!(set.shapes(), [vec![3, 32, 32], vec![1, 257, 188]]);
}
