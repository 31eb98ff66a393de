//! What sets say that reading takes of the memory, against what it takes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{alloc::System, fs, path::Path};

use aim_data::{DatasetSpec, Demand, PrepareOptions, Reading, builtin, load_by, prepare};
use aim_ops::memory::{Counted, Held, peak};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: Counted<System> = Counted(System);

/// Values of a sample.
const SIZE: usize = 4096;

/// All in one: there is one count in a process.
#[test]
fn reading_takes_about_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, bytes) in [(Dtype::U8, 1), (Dtype::F16, 2), (Dtype::F32, 4), (Dtype::F64, 8)] {
        for (split, samples) in [("train", 3000), ("validation", 700), ("test", 700)] {
            bundle(&folder.path().join(split), kind, bytes, samples);
        }
        let at = |split| folder.path().join(split);
        let section =
            json!({"name": "bundle", "train": at("train"), "validation": at("validation"), "test": at("test")});
        compare(&format!("{kind:?}"), &spec(&section));
    }
    rows(folder.path(), 4400);
    for kind in ["<f8", "<f4", "|u1"] {
        npy(&folder.path().join("x.npy"), kind, 4400);
        compare(kind, &manifest(folder.path()));
    }
    // Of a prepared set no more than may stay, whatever its array takes.
    let options = PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) };
    prepare(&manifest(folder.path()), None, &options).unwrap();
    fs::remove_file(folder.path().join("x.npy")).unwrap();
    compare("prepared", &manifest(folder.path()));
    let (_, Demand { bytes, .. }) = load_by(&manifest(folder.path()), None, &Reading::new(1, 0)).unwrap();
    assert_eq!(bytes, 2 << 20);
    // Without it the array is missed.
    fs::remove_dir_all(folder.path().join("prepared")).unwrap();
    let error = load_by(&manifest(folder.path()), None, &Reading::new(1024, 0)).unwrap_err().to_string();
    assert!(error.contains("x.npy"), "{error}");
}

/// Reading every sample takes no more than is said, and not less than half of it.
fn compare(what: &str, spec: &DatasetSpec) {
    let (said, Held { most: took, .. }) = peak(|| {
        let (set, demand) = load_by(spec, None, &Reading::new(1024, 0)).unwrap();
        [&set.train, &set.validation, &set.test].iter().for_each(|split| split.digest(&mut |_| ()).unwrap());
        demand.bytes
    });
    assert!(took <= said && said <= 2 * took, "{what}: said {said}, took {took}");
}

fn spec(section: &Value) -> DatasetSpec {
    builtin().read(section, "data").unwrap()
}

fn manifest(folder: &Path) -> DatasetSpec {
    let modalities = json!({"x": {"array": {"file": "x.npy"}}});
    spec(&json!({"name": "manifest", "file": folder.join("rows.csv"), "modalities": modalities}))
}

/// The bytes of a little-endian number of a type.
fn number(kind: &str, value: usize) -> Vec<u8> {
    match kind {
        "<f8" => (value as f64).to_le_bytes().to_vec(),
        "<f4" => (value as f32).to_le_bytes().to_vec(),
        _ => vec![value as u8],
    }
}

fn bundle(path: &Path, kind: Dtype, bytes: usize, samples: usize) {
    // Their own content each: bytes that are finite numbers of any type.
    let value = |i: usize| if bytes > 1 && i % bytes > bytes - 2 { 0x3f } else { (i / 3 * (samples + i)) as u8 };
    let x: Vec<u8> = (0..samples * SIZE * bytes).map(value).collect();
    let y: Vec<u8> = (0..samples).map(|i| (i % 2) as u8).collect();
    let x = TensorView::new(kind, vec![samples, SIZE], &x).unwrap();
    let y = TensorView::new(Dtype::U8, vec![samples], &y).unwrap();
    fs::write(path, safetensors::serialize([("x.a", x), ("y", y)], None).unwrap()).unwrap();
}

fn npy(path: &Path, kind: &str, samples: usize) {
    let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({samples}, {SIZE}), }}");
    let head = format!("{head:117}\n");
    let mut bytes = [&b"\x93NUMPY\x01\0"[..], &(head.len() as u16).to_le_bytes(), head.as_bytes()].concat();
    (0..samples * SIZE).for_each(|i| bytes.extend(number(kind, i * (i / SIZE + 1) % 251)));
    fs::write(path, bytes).unwrap();
}

fn rows(folder: &Path, samples: usize) {
    let split = |i: usize| ["train", "train", "validation", "test"][i % 4];
    let rows: String = (0..samples).map(|i| format!("{i},{},{},{i}\n", split(i), i % 3)).collect();
    fs::write(folder.join("rows.csv"), format!("id,split,label,x\n{rows}")).unwrap();
}
