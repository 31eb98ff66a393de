//! Lists of samples, and what their rows name.

use std::{fs, path::Path};

use aim_data::{PrepareOptions, prepare};

use super::{
    Target,
    arrays::{load, read_whole},
    choice, chosen, told,
};
use crate::place::{put, within};

/// A CSV file of features with a label in the last column.
pub(super) const FEATURES: Target = Target {
    name: "features",
    about: "a CSV file of features",
    run: |bytes| {
        let make = |folder: &Path| {
            for name in ["text", "audio", "video"] {
                fs::create_dir_all(folder.join("mosi").join(name)).expect("a folder");
                let file = |split: &str| folder.join("mosi").join(name).join(format!("{name}_{split}0.csv"));
                put(&file("train"), FEATURE_ROWS.as_bytes());
                put(&file("test"), b"7,-1,0\n8,0.5,1\n9,4,1\n");
            }
        };
        within("mosi", make, |folder| {
            put(&folder.join("mosi/text/text_train0.csv"), bytes);
            read_whole(load("{name: mosi}", folder))
        })
    },
    samples: || vec![FEATURE_ROWS.into(), FEATURE_ROWS.replace(',', " , ").into()],
    words: &["\"", "\"\"", ",", "\r\n", "1e39", "-0", "inf", "2", "\t"],
    cost: 5,
};

const FEATURE_ROWS: &str = "0.5,-1,0\n1,2.5e-1,1\n\"3\",4,1\n";

const ROWS: &str = "id,split,label,group,start,end,words,note\na,train,x,g,0,1,one two,one\nb,train,y,h,,,two,\n\
                    c,validation,x,i,0.5,,one,\"two\nlines\"\nd,test,y,j,,2,two two,one\n";
const LINES: &str = "{\"id\": \"a\", \"split\": \"train\", \"label\": 0, \"words\": \"one\", \"note\": \"one\"}\n\
                     {\"split\": \"val\", \"label\": 1, \"words\": \"two\", \"note\": null}\n\
                     {\"split\": \"test\", \"label\": 1, \"words\": \"one\", \"start\": 1.5}\n";

/// A manifest.
pub(super) const MANIFEST: Target = Target {
    name: "manifest",
    about: "a manifest in CSV or JSONL, by splits and by folds",
    run: |bytes| {
        within(
            "manifest",
            |_| (),
            |folder| {
                let path = folder.join("m.csv");
                put(&path, bytes);
                let text = "{text: {length: 3, at_least: 1}}";
                let rest = format!("file: {}, modalities: {{words: {text}, note: {text}}}", path.display());
                let by_folds = "folds: {folds: 3, by_group: true}";
                let load = |rest: &str| told(load(&format!("{{name: manifest, {rest}}}"), folder)).is_some();
                load(&rest) | load(&format!("{rest}, {by_folds}"))
            },
        )
    },
    samples: || vec![ROWS.into(), ROWS.replace(',', ";").into(), ROWS.replace(',', "\t").into(), LINES.into()],
    words: &[
        "id",
        "split",
        "label",
        "group",
        "start",
        "end",
        "train",
        "validation",
        "test",
        "dev",
        "words",
        "note",
        ";",
        "\t",
        "\"\"",
        "{\"split\": \"train\", ",
        "1e308",
        "-1",
        "line2",
    ],
    cost: 4,
};

/// A file of numbers over time, or of a text, that a manifest names.
pub(super) const SERIES: Target = Target {
    name: "series",
    about: "a series of numbers or a text in a file of its own",
    run: |bytes| {
        let (kind, content) = choice(bytes, 2);
        let rows = "split,label,a\ntrain,x,a.csv\nvalidation,x,b.csv\ntest,x,c.csv\n";
        let make = |folder: &Path| {
            put(&folder.join("m.csv"), rows.as_bytes());
            put(&folder.join("b.csv"), b"x,y\n5,6\n");
        };
        within("series", make, |folder| {
            put(&folder.join("a.csv"), content);
            // The folder is that of the thread's first input, of whatever kind.
            put(&folder.join("c.csv"), [&b"x,y\n7,8\n"[..], b"two one"][kind]);
            let decoder = ["series: {length: 4, columns: 2}", "text: {files: true, at_least: 1, length: 3}"][kind];
            let file = folder.join("m.csv");
            let section = format!("{{name: manifest, file: {}, modalities: {{a: {{{decoder}}}}}}}", file.display());
            told(load(&section, folder)).is_some()
        })
    },
    samples: || vec![chosen(0, b"x,y\n1,2\n-0.5,3e2\n"), chosen(1, "one two, süß".as_bytes())],
    words: &["\"", ",", "\r\n", "1e39", "inf", "\u{feff}"],
    cost: 5,
};

/// The index of a prepared set, or one of its shards.
pub(super) const PREPARED: Target = Target {
    name: "prepared",
    about: "the index and a shard of a prepared set",
    run: |bytes| {
        let (which, content) = choice(bytes, FILES.len());
        within(
            "prepared",
            |folder| drop(prepared(folder)),
            |folder| {
                let file = set(folder).join(FILES[which]);
                let before = fs::read(&file).expect("a prepared set");
                put(&file, content);
                let accepted = told(load(&section(folder), folder)).is_some();
                put(&file, &before);
                accepted
            },
        )
    },
    samples: || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = prepared(folder.path());
        files.iter().enumerate().map(|(which, content)| chosen(which as u8, content)).collect()
    },
    words: &[
        "format", "section", "rows", "places", "shard", "offset", "bytes", "crc32", "null", "[null]", "[]", "cells",
        "Train",
    ],
    cost: 5,
};

const FILES: [&str; 2] = ["index.json", "shard-00000.safetensors"];

fn section(folder: &Path) -> String {
    let text = "{text: {length: 3, at_least: 1}}";
    let file = folder.join("m.csv");
    format!(
        "{{name: manifest, file: {}, store: {}, modalities: {{words: {text}, note: {text}}}}}",
        file.display(),
        folder.join("store").display()
    )
}

/// Prepares a set in a folder, and gives its files.
fn prepared(folder: &Path) -> Vec<Vec<u8>> {
    put(&folder.join("m.csv"), ROWS.as_bytes());
    let section = aim_config::yaml::parse(&section(folder)).expect("it is YAML");
    let spec = aim_data::builtin().read(&section, "data").expect("it is a set");
    let options = PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) };
    prepare(&spec, Some(folder), &options).expect("it can be prepared");
    FILES.iter().map(|name| fs::read(set(folder).join(name)).expect("a prepared set")).collect()
}

/// The folder of the prepared set.
fn set(folder: &Path) -> std::path::PathBuf {
    let mut sets = fs::read_dir(folder.join("store")).expect("a prepared set");
    sets.next().expect("a prepared set").expect("a folder").path()
}

/// A published set's list: where it lies, its layout, and a sample of it.
const LISTS: [(&str, &str, &str); 7] = [
    (
        "trainSet.txt",
        "layout: ave",
        "Category&VideoID&Quality&StartTime&EndTime\nbell&v1&good&0&10\nbell&v1&good&0&9\n",
    ),
    ("ucfTrainTestlist/trainlist01.txt", "layout: ucf101", "Bow/v_Bow_g08_c01.avi 1\nBow/v_Bow_g09_c01.avi 1\n"),
    ("vggsound.csv", "layout: vggsound", "v1,30,\"bell, small\",train\nv2,5,dog,train\nv3,5,dog,test\n"),
    ("texts/train_titles.csv", "layout: food101", "a_1.jpg,\"pie, \"\"good\"\"\",pie\na_2.jpg,soup,soup\n"),
    (
        "labelResultAll.txt",
        "layout: mvsa, labels: merge, split: {by: sample, folds: 3}",
        "ID\ttext,image\n1\tpositive,neutral\n2\tneutral,neutral\n3\tpositive,positive\n4\tnegative,negative\n",
    ),
    (
        "s1.align",
        "layout: grid, split: {by: sample, folds: 3}",
        "0 10 sil\n10 20 bin\n20 30 blue\n30 40 at\n40 50 f\n50 60 two\n60 70 now\n70 80 sil\n",
    ),
    (
        "label.csv",
        "layout: mosi, labels: seven",
        "video_id,clip_id,text,label,mode\nv,1,good,2.4,train\nv,2,bad,-1,train\nw,1,so,0,valid\nx,1,so,1,test\n",
    ),
];

/// A list of a published set.
pub(super) const CORPUS: Target = Target {
    name: "corpus",
    about: "the lists of published sets",
    run: |bytes| {
        let (which, content) = choice(bytes, LISTS.len());
        within("corpus", others, |folder| {
            let (file, layout, whole) = LISTS[which];
            put(&folder.join(file), content);
            let column = ["v", "v", "v", "{text}", "v", "{sentence}", "{text}"][which];
            let text = format!("a: {{column: '{column}', text: {{length: 2, at_least: 1}}}}");
            let section = format!("{{name: corpus, {layout}, folder: {}, modalities: {{{text}}}}}", folder.display());
            let accepted = read_whole(load(&section, folder));
            put(&folder.join(file), whole.as_bytes());
            accepted
        })
    },
    samples: || LISTS.iter().zip(0..).map(|((_, _, list), which)| chosen(which, list.as_bytes())).collect(),
    words: &[
        "&", "\t", "\"", "train", "test", "valid", "mode", "label", ".avi", "/", "_c", "_g", ".jpg", "sil", "VideoID",
        "nan",
    ],
    cost: 5,
};

/// The lists beside that of an input.
fn others(folder: &Path) {
    for (file, _, content) in LISTS {
        fs::create_dir_all(folder.join(file).parent().expect("a folder")).expect("a folder");
        put(&folder.join(file), content.as_bytes());
    }
    put(&folder.join("valSet.txt"), b"bell&v2&good&0&10\n");
    put(&folder.join("testSet.txt"), b"bell&v3&good&0&10\n");
    put(&folder.join("ucfTrainTestlist/testlist01.txt"), b"Bow/v_Bow_g01_c01.avi\n");
    put(&folder.join("texts/test_titles.csv"), b"b_1.jpg,a pie,pie\n");
}
