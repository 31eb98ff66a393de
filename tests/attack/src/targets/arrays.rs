//! Arrays: bundles, NumPy's files, and MNIST's.

use std::path::Path;

use aim_core::{Error, Result};
use aim_data::Dataset;
use candle_core::Device;

use super::{
    Target, choice, chosen, loose, safetensors,
    samples::{archive, floats, gzip, idx, npy, tensors},
    told,
};
use crate::place::{put, within};

/// Reads a data set, and of each split a few samples and the checksum.
pub(super) fn load(section: &str, root: &Path) -> Result<Dataset> {
    let section = aim_config::yaml::parse(section)?;
    let set = aim_data::load(&aim_data::builtin().read(&section, "data")?, Some(root))?;
    for split in [&set.train, &set.validation, &set.test] {
        let few: Vec<usize> = (0..split.len().min(3)).collect();
        for modality in 0..set.modalities.len() {
            split.input(modality, &few, &Device::Cpu)?;
        }
        split.digest(&mut |_| ())?;
    }
    Ok(set)
}

/// Whether the files of a set are read, if only to find then that they hold another number of samples than the set, or
/// the same ones in two splits.
pub(super) fn read_whole(read: Result<Dataset>) -> bool {
    let late = [", but the set has ", " have the content of samples of "];
    let found = read.as_ref().is_err_and(|error| late.iter().any(|part| error.to_string().contains(part)));
    told(read).is_some() || found
}

/// A bundle's split.
pub(super) const BUNDLE: Target = Target {
    name: "bundle",
    about: "a split of a bundle in safetensors",
    run: |bytes| {
        let make = |folder: &Path| {
            let others = [("train", 0.25), ("other", 0.75)];
            others.iter().for_each(|(name, value)| put(&folder.join(format!("{name}.safetensors")), &split(*value)));
        };
        within("bundle", make, |folder| {
            put(&folder.join("attack.safetensors"), &safetensors(bytes));
            let files = "train: train.safetensors, validation: attack.safetensors, test: other.safetensors";
            let as_training = "train: attack.safetensors, validation: train.safetensors, test: other.safetensors";
            let load = |files| told(load(&format!("{{name: bundle, {files}}}"), folder)).is_some();
            load(files) | load(as_training)
        })
    },
    samples: || {
        let numbers = [
            ("x.a", "F16", &[2, 1][..], vec![0; 4]),
            ("x.b", "I64", &[2, 2, 1], vec![0; 32]),
            ("y", "U8", &[2], vec![0, 1]),
        ];
        vec![loose(&split(0.5)), split(0.5), loose(&tensors(&numbers))]
    },
    words: &[
        "x.a",
        "x.b",
        "\"y\"",
        "\"id\"",
        "dtype",
        "shape",
        "data_offsets",
        "__metadata__",
        "F32",
        "F64",
        "BF16",
        "BOOL",
        "I64",
        "U64",
        "[0,0]",
        "[]",
        "[1099511627776,0]",
        "[4611686018427387904,4,0]",
    ],
    cost: 4,
};

/// Three samples of two modalities; those of the first hold this value.
fn split(value: f32) -> Vec<u8> {
    tensors(&[
        ("x.a", "F32", &[3, 2], floats(&[value; 6])),
        ("x.b", "F32", &[3, 1, 2], floats(&[-1.; 6])),
        ("y", "I64", &[3], [0i64, 1, 1].iter().flat_map(|label| label.to_le_bytes()).collect()),
    ])
}

const NUMPY: &[&str] = &[
    "'descr'",
    "'fortran_order'",
    "True",
    "False",
    "'shape'",
    "|u1",
    "<i2",
    "<f2",
    "<f4",
    "<f8",
    ">f8",
    "<U3",
    "|S2",
    "|O",
    "()",
    "(0, )",
    "(4611686018427387904, 4, )",
    "(9223372036854775808, 2, )",
    "[('a', '<f4')]",
    "\u{93}NUMPY",
];

const MANIFEST: &str = "split,label,a\ntrain,x,0\ntrain,y,1\nvalidation,x,2\ntest,y,3\n";

/// Reads an array by the rows of a manifest.
fn by_rows(name: &str, content: &[u8], entry: &str) -> bool {
    within(
        "npy",
        |folder| put(&folder.join("m.csv"), MANIFEST.as_bytes()),
        |folder| {
            put(&folder.join(name), content);
            let modality = format!("{{a: {{array: {{file: {name}{entry}}}}}}}");
            told(load(&format!("{{name: manifest, file: {}/m.csv, modalities: {modality}}}", folder.display()), folder))
                .is_some()
        },
    )
}

fn samples() -> Vec<Vec<u8>> {
    vec![
        npy("<f4", &[4, 2], &floats(&[0.25, 0., -1., 0.5, 2., 1e-3, 7., 0.75])),
        npy("<f8", &[4], &[0.5f64, -1., 3., 0.].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()),
        npy("|u1", &[5, 1, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        npy("<f2", &[4, 1], &[0, 0, 0, 60, 0, 64, 0, 66]),
    ]
}

/// An array of NumPy.
pub(super) const NPY: Target = Target {
    name: "npy",
    about: "a NumPy array",
    run: |bytes| by_rows("a.npy", bytes, ""),
    samples,
    words: NUMPY,
    cost: 3,
};

/// An archive of NumPy, or a member of one.
pub(super) const NPZ: Target = Target {
    name: "npz",
    about: "a NumPy archive, or an array in one",
    run: |bytes| {
        let whole = bytes.starts_with(b"PK");
        let file = if whole { bytes.to_vec() } else { archive(&[("x", bytes)]) };
        by_rows("a.npz", &file, ", entry: x")
    },
    samples: || {
        let mut all = samples();
        let archives: Vec<Vec<u8>> = all.iter().map(|array| archive(&[("x", array)])).collect();
        all.extend(archives);
        all
    },
    words: NUMPY,
    cost: 3,
};

/// A column of labels or of texts in the archive of `lis`.
pub(super) const COLUMNS: Target = Target {
    name: "columns",
    about: "labels and texts in a NumPy archive",
    run: |bytes| {
        let (which, column) = choice(bytes, 2);
        let (labels, times) = columns();
        let (y, ts) = if which == 0 { (column, times.as_slice()) } else { (labels.as_slice(), column) };
        let sensor = |channels: usize| {
            let values: Vec<u8> = (0..SIGNS * 400 * channels).map(|i| (i / (400 * channels)) as u8).collect();
            npy("|u1", &[SIGNS, 400, channels], &values)
        };
        let members = [("y", y), ("ts", ts), ("emg", &sensor(8)), ("gyro", &sensor(3)), ("acc", &sensor(3))];
        within(
            "lis",
            |folder| std::fs::create_dir(folder.join("lis")).expect("a folder"),
            |folder| {
                put(&folder.join("lis/lis.npz"), &archive(&members));
                read_whole(load("{name: lis}", folder))
            },
        )
    },
    samples: || {
        let (labels, times) = columns();
        vec![chosen(0, &labels), chosen(1, &times)]
    },
    words: NUMPY,
    cost: 20,
};

/// Signs of one letter, enough for three splits.
const SIGNS: usize = 12;

fn columns() -> (Vec<u8>, Vec<u8>) {
    let labels: Vec<u8> = (0..SIGNS).flat_map(|_| 0i64.to_le_bytes()).collect();
    let time = |i: usize| format!("{:02}/7/2019/9h", i + 1);
    let texts: Vec<u8> =
        (0..SIGNS).flat_map(|i| time(i).chars().flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<_>>()).collect();
    (npy("<i8", &[SIGNS], &labels), npy(&format!("<U{}", time(0).len()), &[SIGNS], &texts))
}

/// MNIST's images. A file that is read whole is accepted, though the set wants more images of it.
pub(super) const IDX: Target = Target {
    name: "idx",
    about: "MNIST's images, packed or not",
    run: |bytes| {
        let packed = bytes.starts_with(&[0x1f, 0x8b]);
        let file = if packed { bytes.to_vec() } else { gzip(bytes) };
        within(
            "idx",
            |folder| std::fs::create_dir(folder.join("avmnist")).expect("a folder"),
            |folder| {
                put(&folder.join("avmnist/train-images-idx3-ubyte.gz"), &file);
                let read = load("{name: avmnist}", folder);
                let whole = matches!(&read, Err(Error::Shape { got, .. }) if got.len() == 3);
                told(read);
                whole
            },
        )
    },
    samples: || {
        let plain = idx(&[2, 28, 28], &[3; 2 * 28 * 28]);
        vec![gzip(&plain), plain, gzip(&vec![0; 1 << 20])]
    },
    words: &["\0\0\u{8}\u{3}", "\0\0\u{8}\u{1}"],
    cost: 3,
};
