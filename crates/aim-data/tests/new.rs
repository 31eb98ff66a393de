//! New samples are read as the training split was, by what was learnt there, whatever form they come in.
#![cfg(feature = "media")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, io::Write, path::Path};

use aim_core::{Batch, Result};
use aim_data::{Dataset, DatasetSpec, Modality, NewSamples, PrepareOptions, builtin, load, prepare};
use candle_core::{Device, Tensor};
use npyz::{AutoSerialize, WriteOptions, WriterBuilder};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "up": 1, "down": 2}, "unk_token": "[UNK]"}}"#;

const ROWS: &str = "id,split,label,picture,words,said,row\n\
    a,train,low,0.png,up and down,one one two two,0\nb,train,high,1.png,up up,two three,1\n\
    c,train,low,2.png,left,one,2\nd,dev,high,3.png,down,two,3\n\
    e,test,low,4.png,up down,two one four,4\nf,test,high,,down,one,5\ng,test,high,5.png,,two,6\n";

fn npy<T: AutoSerialize + Clone>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = vec![];
    let mut array = WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    array.extend(values.iter().cloned()).unwrap();
    array.finish().unwrap();
    bytes
}

/// Pictures of two grey halves, an array, a tokenizer and a manifest.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for k in 0..6u8 {
        let mut encoder = png::Encoder::new(fs::File::create(at.join(format!("{k}.png"))).unwrap(), 8, 6);
        encoder.set_color(png::ColorType::Grayscale);
        let pixels: Vec<u8> = (0..48u8).map(|i| if i % 8 < 4 { 20 * k } else { 255 - i }).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    }
    let numbers: Vec<f32> = (0..14).map(|i| (i as f32).sqrt() * 3.).collect();
    fs::write(at.join("rows.npy"), npy(&[7, 2], &numbers)).unwrap();
    fs::write(at.join("tokenizer.json"), TOKENIZER).unwrap();
    fs::write(at.join("all.csv"), ROWS).unwrap();
    folder
}

fn spec(folder: &Path, augment: &str) -> DatasetSpec {
    let section: Value = json!({"name": "manifest", "file": folder.join("all.csv"), "modalities": {
        "picture": {"image": {"size": 4, "augment": augment}, "standardise": "channel"},
        "words": {"text": {"length": 4, "tokenizer": "tokenizer.json"}},
        "said": {"text": {"length": 3, "at_least": 2}},
        "row": {"array": {"file": "rows.npy"}, "standardise": "entry"},
    }});
    builtin().read(&section, "data").unwrap()
}

/// All batches of a file, as far as it can be read.
fn read(spec: &DatasetSpec, file: &Path, set: &Dataset, modalities: &[Modality], size: usize) -> Result<Vec<Batch>> {
    let mut all = vec![];
    let samples = NewSamples::open(spec, file, modalities, &set.class_names)?;
    samples.batches(size, &Device::Cpu, &mut |batch| {
        all.push(batch);
        Ok(())
    })?;
    Ok(all)
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// Panics where inputs of samples that have the modality differ.
fn assert_same(new: &Batch, test: &Batch) {
    let present = |b: &Batch| b.present.as_ref().map(|p| p.to_vec2::<f32>().unwrap());
    assert_eq!(present(new), present(test));
    for (m, (new, want)) in new.inputs.iter().zip(&test.inputs).enumerate() {
        let valid = |x: &aim_core::Input| x.valid.as_ref().map(bits);
        assert_eq!(valid(new), valid(want), "modality {m}");
        for i in 0..new.values.dim(0).unwrap() {
            let has = present(test).is_none_or(|p| p[i][m] > 0.);
            let [new, want] = [new, want].map(|x| bits(&x.values.get(i).unwrap()));
            assert!(!has || new == want, "sample {i}, modality {m}: {new:?}, not {want:?}");
        }
    }
}

#[test]
fn rows_are_read_as_the_test_split_from_memory_by_showings_and_from_a_prepared_set() {
    for (augment, prepared) in [("none", false), ("each", false), ("none", true)] {
        let folder = folder();
        let (at, spec) = (folder.path(), spec(folder.path(), augment));
        if prepared {
            let options = PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) };
            prepare(&spec, None, &options).unwrap();
        }
        let set = load(&spec, None).unwrap();
        assert_eq!(set.modalities, ["picture", "row", "said", "words"]);
        // What travels is text; the tokenizer and the training's files may be gone.
        let stored = serde_json::to_string(&set.fitted()).unwrap();
        let modalities: Vec<Modality> = serde_json::from_str(&stored).unwrap();
        assert_eq!(modalities, set.fitted());
        assert!(stored.contains(r#"{"words":["one","two"]}"#), "{stored}");
        let test = set.test.batch(&[0, 1, 2], &Device::Cpu).unwrap();
        for gone in ["all.csv", "tokenizer.json", "0.png"] {
            fs::remove_file(at.join(gone)).unwrap();
        }
        let new = "id,picture,words,said,row\ne,4.png,up down,two one four,4\nf,,down,one,5\ng,5.png,,two,6\n";
        fs::write(at.join("new.csv"), new).unwrap();
        let batches = read(&spec, &at.join("new.csv"), &set, &modalities, 3).unwrap();
        assert_eq!((batches.len(), &batches[0].ids), (1, &vec![0, 1, 2]));
        assert_same(&batches[0], &test);
        let single = read(&spec, &at.join("new.csv"), &set, &modalities, 1).unwrap();
        assert_same(&single[2], &set_of(&test, 2));
        assert_eq!(single[2].ids, [2]);
        // Some modalities, in another order, as a view of the set has them.
        let some: Vec<String> = ["words", "row"].map(ToOwned::to_owned).into();
        let view = set.clone().project(&some).unwrap();
        assert_eq!(view.fitted(), [modalities[3].clone(), modalities[1].clone()]);
        fs::write(at.join("some.jsonl"), "{\"id\": \"e\", \"words\": \"up down\", \"row\": 4, \"label\": null}")
            .unwrap();
        let some = read(&spec, &at.join("some.jsonl"), &set, &view.fitted(), 9).unwrap();
        assert_same(&some[0], &view.test.batch(&[0], &Device::Cpu).unwrap());
    }
}

fn set_of(batch: &Batch, row: u32) -> Batch {
    batch.rows(&Tensor::new(&[row], &Device::Cpu).unwrap()).unwrap()
}

#[test]
fn behind_a_fault_the_rest_is_looked_at_and_nothing_is_handed_out() {
    let folder = folder();
    let (at, spec) = (folder.path(), spec(folder.path(), "none"));
    let set = load(&spec, None).unwrap();
    let new = "picture,words,said,row,label\n4.png,up,one,4,low\n5.png,up,one,77,\nnone.png,up,one,-1,high\n";
    fs::write(at.join("new.csv"), new).unwrap();
    let (fitted, file) = (set.fitted(), at.join("new.csv"));
    let samples = NewSamples::open(&spec, &file, &fitted, &set.class_names).unwrap();
    assert_eq!(
        (samples.ids(), samples.labels()),
        (&["line2", "line3", "line4"].map(ToOwned::to_owned)[..], &[Some(1), None, Some(0)][..])
    );
    let mut seen = vec![];
    let error = samples.batches(1, &Device::Cpu, &mut |batch| {
        seen.push(batch.ids);
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert_eq!(seen, [[0]]);
    for part in ["3 faults", "line 3: row: 77", "line 4: picture:", "line 4: row: -1"] {
        assert!(error.contains(part), "{error}\nshould contain {part}");
    }
    let shape = vec![3, 5, 5];
    let other: Vec<Modality> = fitted.into_iter().map(|m| Modality { shape: shape.clone(), ..m }).collect();
    let error = NewSamples::open(&spec, &file, &other[..1], &set.class_names).map(drop).unwrap_err().to_string();
    assert!(error.contains("data.modalities.picture` has shape [3, 4, 4]") && error.contains("in training"), "{error}");
}

#[test]
fn an_archive_holds_what_a_safetensors_file_does() {
    let folder = tempfile::tempdir().unwrap();
    let (at, settings) = (folder.path(), json!({"name": "bundle", "train": "a", "validation": "b", "test": "c"}));
    let (spec, path) = (builtin().read(&settings, "data").unwrap(), at.join("new.npz"));
    let write = |arrays: &[(&str, Vec<u8>)]| {
        let mut file = ZipWriter::new(fs::File::create(&path).unwrap());
        for (name, bytes) in arrays {
            file.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            file.write_all(bytes).unwrap();
        }
        file.finish().unwrap();
    };
    let modality = |name: &str, shape: &[usize]| Modality { name: name.into(), shape: shape.into(), fitted: None };
    let modalities = [modality("heart", &[2]), modality("breath", &[1, 3])];
    let classes = ["x".to_owned(), "y".into()];
    let (heart, breath) = (npy(&[2, 2], &[1f32, 2., 3., 4.]), npy(&[2, 1, 3], &[1i16, 2, 3, 4, 5, 6]));
    write(&[("x.heart", heart.clone()), ("x.breath", breath.clone()), ("id", npy(&[2], &[7i64, 9]))]);
    let samples = NewSamples::open(&spec, &path, &modalities, &classes).unwrap();
    assert_eq!((samples.ids(), samples.labels()), (&["7".to_owned(), "9".into()][..], &[None, None][..]));
    let mut values = vec![];
    let mut see = |batch: Batch| {
        values.extend(batch.inputs.iter().map(|x| x.values.flatten_all().unwrap().to_vec1::<f32>().unwrap()));
        Ok(())
    };
    samples.batches(9, &Device::Cpu, &mut see).unwrap();
    assert_eq!(values, [vec![1., 2., 3., 4.], vec![1., 2., 3., 4., 5., 6.]]);
    // What is not finite stands where nothing was measured.
    let gaps = npy(&[2, 2], &[1f32, 2., f32::NAN, 4.]);
    write(&[("x.heart", gaps), ("x.breath", breath.clone()), ("present.heart", npy(&[2], &[1u8, 0]))]);
    let samples = NewSamples::open(&spec, &path, &modalities, &classes).unwrap();
    assert_eq!([(0, 0), (1, 0), (1, 1)].map(|(sample, m)| samples.has(sample, m)), [true, false, true]);
    let mut masks = vec![];
    let mut see = |batch: Batch| {
        masks.push(batch.present.unwrap().to_vec2::<f32>().unwrap());
        Ok(())
    };
    samples.batches(9, &Device::Cpu, &mut see).unwrap();
    assert_eq!(masks, [[[1., 1.], [0., 1.]]]);
    for (arrays, said) in [
        (
            vec![("x.heart", heart.clone()), ("x.breath", breath.clone()), ("present.heart", npy(&[2], &[1i64, 2]))],
            "present.heart is 2 in row 1",
        ),
        (vec![("x.heart", heart.clone())], "has no `x.breath`, only x.heart"),
        (vec![("x.heart", heart.clone()), ("x.breath", heart.clone())], "x.breath` has shape [2, 2], but [2, 1, 3]"),
        (vec![("x.heart", npy(&[2, 2], &[1f32, 2., f32::NAN, 4.])), ("x.breath", breath.clone())], "in samples 1"),
        (
            vec![("x.heart", heart.clone()), ("x.breath", breath.clone()), ("y", npy(&[2], &[0i64, 2]))],
            "y of row 1 is 2",
        ),
        (vec![("x.heart", npy::<f32>(&[0, 2], &[])), ("x.breath", npy::<f32>(&[0, 1, 3], &[]))], "holds no samples"),
    ] {
        write(&arrays);
        let error = NewSamples::open(&spec, &path, &modalities, &classes).map(drop).unwrap_err().to_string();
        assert!(error.contains("new.npz") && error.contains(said), "{error}\nshould contain {said}");
    }
}
