//! A finished run, and what is exported of it, answer for new files in the bits of an evaluation; what cannot be
//! answered is named, and nothing is written.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use aim_core::Result;
use aim_data::{Dataset, Loader};
use aim_ops::softmax;
use aim_tests::{bundle_config, bundle_text, log, run_folder, run_table, split, write_bundle, write_split};
use aim_train::{
    config::{Identity, Source},
    experiment::restrict,
    run::{Predicted, Trained, chosen, export, export_merged, network, predict},
    standard,
};
use candle_core::{Device, Tensor};

/// A 16-bit recording at 8 kHz.
fn sound(path: &Path, samples: u32, pitch: f64) {
    let value = |i: u32| (8000. * (f64::from(i) * 0.1 * pitch).sin()) as i16;
    let data: Vec<u8> = (0..samples).flat_map(|i| value(i).to_le_bytes()).collect();
    let size = data.len() as u32;
    let mut file = fs::File::create(path).unwrap();
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    file.write_all(b"RIFF").unwrap();
    file.write_all(&words(&[36 + size])).unwrap();
    file.write_all(b"WAVEfmt ").unwrap();
    // 16 bytes: PCM with one channel, the rate, bytes a second, 2 bytes a frame of 16 bits.
    file.write_all(&words(&[16, 1 + (1 << 16), 8000, 16_000, 2 + (16 << 16)])).unwrap();
    file.write_all(b"data").unwrap();
    file.write_all(&words(&[size])).unwrap();
    file.write_all(&data).unwrap();
}

/// Rows of a manifest with their files; the sound of every seventh sample is missing.
fn rows(folder: &Path, split: &str, count: usize) -> Vec<[String; 6]> {
    let row = |i: usize| {
        let (id, low) = (format!("{split}{i}"), i.is_multiple_of(2));
        // No two recordings are alike, of whatever split.
        let pitch = if low { 1. } else { 3. } + 0.01 * i as f64 + 0.0001 * split.len() as f64;
        sound(&folder.join(format!("{id}.wav")), 3000 + 10 * i as u32, pitch);
        let lines: String = (0..=i % 3).map(|t| format!("{t},{}\n", i + t)).collect();
        fs::write(folder.join(format!("{id}.csv")), format!("a,b\n{lines}")).unwrap();
        let wav = if i % 7 == 3 { String::new() } else { format!("{id}.wav") };
        let words = format!("{} word{} {id}", if low { "deep down" } else { "up, high" }, i % 5);
        [id.clone(), split.into(), if low { "low" } else { "high" }.into(), wav, words, format!("{id}.csv")]
    };
    (0..count).map(row).collect()
}

fn manifest(path: &Path, columns: &[usize], rows: &[[String; 6]]) {
    let names = ["id", "split", "label", "sound", "words", "track"].map(ToOwned::to_owned);
    let line = |row: &[String; 6]| columns.iter().map(|c| format!("\"{}\"", row[*c])).collect::<Vec<_>>().join(",");
    let text: Vec<String> = std::iter::once(&names).chain(rows).map(line).collect();
    fs::write(path, text.join("\n") + "\n").unwrap();
}

/// A folder with a run of `joint` on sounds, texts and series, and the rows of its test split.
fn media(piece: &str) -> (tempfile::TempDir, Vec<[String; 6]>) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let test = rows(at, "test", 20);
    let all = [rows(at, "train", 24), rows(at, "validation", 8), test.clone()].concat();
    manifest(&at.join("all.csv"), &[0, 1, 2, 3, 4, 5], &all);
    let text = format!(
        "name: test\n\
         data:\n  name: manifest\n  file: all.csv\n  modalities:\n    \
           sound: {{audio: {{rate: 8000, seconds: 0.25, front: log-stft, n_fft: 64, hop: 100, piece: {piece}}}, standardise: channel}}\n    \
           words: {{text: {{length: 4, at_least: 2}}}}\n    \
           track: {{series: {{length: 3, columns: 2}}, standardise: entry}}\n\
         model:\n  uni_heads: true\n  encoders:\n    sound: {{name: cnn, widths: [4]}}\n    \
           words: {{name: transformer, vocabulary: 40, width: 8, layers: 1, heads: 2, blocks: 1}}\n    \
           track: {{name: mlp, widths: [6]}}\n\
         optimizer: {{name: adam, lr: 0.01}}\ntrain: {{epochs: 2, batch: 8}}\nseeds: 1\nrows:\n  \
           - {{name: joint, method: joint}}\n  \
           - {{name: aim, method: {{name: aim, warmup: 0}}}}\n"
    );
    let results = run_table(Source::parse(Path::new("test.yaml"), &text).unwrap(), at).unwrap();
    assert_eq!(results.failures, [""; 0]);
    (folder, test)
}

fn trained(run: &Path) -> Result<Trained> {
    Trained::load(run, standard(), &Device::Cpu)
}

/// Predicts into `out.csv` of the folder of the file.
fn answer(run: &Path, file: &Path) -> Result<(Predicted, String)> {
    let out = file.with_file_name("out.csv");
    let done = predict(&trained(run)?, run, file, &out, &mut |_, _| {})?;
    Ok((done, fs::read_to_string(out).unwrap()))
}

/// Why it does not.
fn refusal(run: &Path, file: &Path) -> String {
    let said = answer(run, file).err().map_or("no error".into(), |e| e.to_string());
    for left in ["out.csv", "out.csv.part"] {
        assert!(!file.with_file_name(left).exists(), "{left} is left after: {said}");
    }
    said
}

fn assert_says(error: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(error.contains(part), "{error}\nshould contain\n{part}"));
}

/// Fused and unimodal probabilities of the test split by sample, as `eval` answers.
fn evaluated(run: &Path, data: &Dataset) -> Vec<Vec<f32>> {
    let identity = Identity::load(run, standard()).unwrap();
    let data = restrict(&identity.config, data).unwrap();
    let net = network(&identity.config, &data, identity.seed, &Device::Cpu).unwrap();
    let mut method = identity.config.method.build(aim_core::Net::spec(&net)).unwrap();
    let params = aim_core::Net::params(&net);
    chosen(run, identity.config.train.select).unwrap().put(params, method.as_mut()).unwrap();
    let mut all = vec![];
    for batch in Loader::new(&*data.test, 256, &Device::Cpu).in_order() {
        let out = method.infer(&net, &batch.unwrap()).unwrap();
        let own = std::iter::once(&out.logits).chain(&out.unimodal);
        let own: Vec<Tensor> = own.map(|logits| softmax(logits).unwrap()).collect();
        all.extend(Tensor::cat(&own, 1).unwrap().to_vec2::<f32>().unwrap());
    }
    all
}

/// Panics where probabilities of a file are not these, bit for bit; empty cells are those of `lacks`.
fn assert_bits(csv: &str, want: &[Vec<f32>], lacks: &dyn Fn(usize, usize) -> bool) {
    let lines: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), want.len());
    for (i, (cells, want)) in lines.iter().zip(want).enumerate() {
        assert_eq!(cells.len(), 2 + want.len(), "{cells:?}");
        for (k, (cell, want)) in cells[2..].iter().zip(want).enumerate() {
            match cell.parse::<f32>() {
                Ok(got) => assert_eq!(got.to_bits(), want.to_bits(), "sample {i}, column {k}"),
                Err(_) => assert!(cell.is_empty() && lacks(i, k), "sample {i}, column {k}: {cell:?}"),
            }
        }
    }
}

fn load(folder: &Path, run: &Path) -> Dataset {
    aim_data::load(&Identity::load(run, standard()).unwrap().config.data, Some(folder)).unwrap()
}

#[test]
fn aim_learns_prototypes_of_words_as_of_numbers() {
    let (folder, _) = media("start");
    for epoch in log(&run_folder(folder.path(), "aim")) {
        for modality in ["sound", "words", "track"] {
            let performance = epoch[&format!("s.{modality}")];
            assert!(performance > 0. && performance <= 1., "{modality}: {performance}");
        }
    }
}

#[test]
fn files_are_answered_in_the_bits_of_an_evaluation_whatever_was_learnt() {
    for piece in ["start", "random"] {
        let (folder, test) = media(piece);
        let (at, run) = (folder.path(), run_folder(folder.path(), "joint"));
        let want = evaluated(&run, &load(at, &run));
        // Nothing but the run and the new files is needed: neither the manifest nor the training's recordings.
        fs::remove_file(at.join("all.csv")).unwrap();
        (0..24).for_each(|i| fs::remove_file(at.join(format!("train{i}.wav"))).unwrap());
        manifest(&at.join("new.csv"), &[0, 3, 4, 5], &test);
        let (done, csv) = answer(&run, &at.join("new.csv")).unwrap();
        assert_eq!(done, Predicted { samples: 20, labelled: 0, right: 0 });
        let header = csv.lines().next().unwrap();
        let [own, classes] = [["", "sound.", "track.", "words."], ["high", "low", "", ""]];
        let names = own.iter().flat_map(|m| classes[..2].iter().map(move |c| format!("{m}probability.{c}")));
        assert_eq!(header, format!("id,predicted,{}", names.collect::<Vec<_>>().join(",")));
        // The sound is the first modality, behind the fused probabilities; samples 3, 10 and 17 lack it.
        assert_bits(&csv, &want, &|i, k| i % 7 == 3 && (2..4).contains(&k));
        assert_eq!(csv.lines().filter(|line| line.contains(",,")).count(), 3, "{piece}");
    }
}

#[test]
fn an_export_answers_in_the_same_bits_and_notices_damage() {
    let (folder, test) = media("start");
    let (at, run) = (folder.path(), run_folder(folder.path(), "joint"));
    let (file, out) = (at.join("new.csv"), at.join("exported"));
    manifest(&file, &[0, 2, 3, 4, 5], &test);
    let (done, csv) = answer(&run, &file).unwrap();
    assert_eq!((done.samples, done.labelled), (20, 20));
    export(&run, &out, standard()).unwrap();
    fs::remove_dir_all(at.join("runs")).unwrap();
    assert_eq!(answer(&out, &file).unwrap(), (done, csv));
    fs::remove_file(at.join("out.csv")).unwrap();
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    let shown = ["set `all`", "`joint`", "on the test split", "`encoders.sound.blocks.0.conv.weight` | [4, 1, 3, 3]"];
    assert_says(&card, &shown);
    for name in ["weights.safetensors", "config.yaml", "preprocessing.json", "export.json"] {
        let (path, bytes) = (out.join(name), fs::read(out.join(name)).unwrap());
        let mut damaged = bytes.clone();
        damaged.truncate(bytes.len() / 2);
        for content in [&damaged[..], b""] {
            fs::write(&path, content).unwrap();
            assert_says(&refusal(&out, &file), &[name, "is damaged", "export the run again"]);
        }
        fs::remove_file(&path).unwrap();
        let without = refusal(&out, &file);
        // Without its index the folder is taken for a run's.
        let said = if name == "export.json" { "holds a run that is not done" } else { "is damaged" };
        assert_says(&without, &[said]);
        fs::write(&path, &bytes).unwrap();
    }
    assert!(answer(&out, &file).is_ok(), "whole again");
    let text = fs::read_to_string(out.join("export.json")).unwrap();
    fs::write(out.join("export.json"), text.replace("\"version\": 1", "\"version\": 9")).unwrap();
    fs::remove_file(at.join("out.csv")).unwrap();
    assert_says(&refusal(&out, &file), &["has version 9", "use the newer program"]);
}

#[test]
fn every_fault_of_new_rows_is_listed_and_nothing_is_written() {
    let (folder, mut test) = media("start");
    let (at, run) = (folder.path(), run_folder(folder.path(), "joint"));
    let file = at.join("new.csv");
    let refused = |columns: &[usize], rows: &[[String; 6]]| {
        manifest(&file, columns, rows);
        refusal(&run, &file)
    };
    assert_says(&refused(&[0, 3, 5], &test), &["there is no column `words`", "with empty cells"]);
    test[4][2] = "middle".into();
    test[6][2] = String::new();
    let unknown = refused(&[0, 2, 3, 4, 5], &test);
    assert_says(&unknown, &["a fault", "line 6: label `middle` is none of the network's classes"]);
    test[1][3] = "none.wav".into();
    test[2][5] = "../test2.csv".into();
    fs::write(at.join("test5.csv"), "a,b,c\n1,2,3\n").unwrap();
    let faults = refused(&[0, 3, 4, 5], &test);
    assert_says(
        &faults,
        &["3 faults", "line 3: sound:", "none.wav: does not exist", "line 4: track:", "line 7: track:"],
    );
    test[8] = ["x", "", "", "", "", ""].map(ToOwned::to_owned);
    assert_says(&refused(&[0, 3, 4, 5], &test), &["line 10: has none of the modalities"]);
    fs::write(at.join("new.safetensors"), "").unwrap();
    assert_says(&refusal(&run, &at.join("new.safetensors")), &["holds tensors", "give a CSV or JSONL file"]);
    assert_says(&refusal(&run, &at.join("absent.csv")), &["absent.csv: does not exist"]);
    manifest(&file, &[0, 3, 4, 5], &test[..1]);
    let inside = predict(&trained(&run).unwrap(), &run, &file, &run.join("predictions.csv"), &mut |_, _| {});
    assert_says(&inside.unwrap_err().to_string(), &["lies in the run's own folder"]);
    let over = predict(&trained(&run).unwrap(), &run, &file, &file, &mut |_, _| {});
    assert_says(&over.unwrap_err().to_string(), &["is the file of the samples, too"]);
}

/// A folder with runs on a bundle.
fn arrays(rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    folder
}

#[test]
fn tensors_are_answered_as_each_method_answers() {
    let folder = arrays(
        "  - {name: joint, method: joint}\n  - {name: ema, method: {name: ema, decay: 0.5}}\n  \
         - {name: alone, method: {name: unimodal, modality: breath}}\n  - {name: ensemble, method: ensemble, model: {fusion: separate}}",
    );
    let at = folder.path();
    // More than a batch of samples, with rows that a file of labels may have, too.
    let many = split("many", 600);
    write_split(at, "test", &many);
    let mut unlabelled = many.clone();
    unlabelled.remove("y");
    write_split(at, "new", &unlabelled);
    write_split(at, "known", &many);
    for row in ["joint", "ema", "alone", "ensemble"] {
        let run = run_folder(at, row);
        let (done, csv) = answer(&run, &at.join("new.safetensors")).unwrap();
        assert_eq!(done, Predicted { samples: 600, labelled: 0, right: 0 }, "{row}");
        assert!(csv.lines().nth(1).unwrap().starts_with("0,"), "samples without ids are counted");
        assert_bits(&csv, &evaluated(&run, &load(at, &run)), &|_, _| false);
        let (known, same) = answer(&run, &at.join("known.safetensors")).unwrap();
        assert_eq!((known.labelled, &same), (600, &csv), "{row}");
        let right = |(i, line): (usize, &str)| line.split(',').nth(1) == Some(&*(i % 3).to_string());
        assert_eq!(known.right, csv.lines().skip(1).enumerate().filter(|(i, line)| right((*i, line))).count());
        let out = at.join(format!("exported-{row}"));
        export(&run, &out, standard()).unwrap();
        assert_eq!(out.join("method.safetensors").exists(), row == "ema", "{row}");
        assert_eq!(answer(&out, &at.join("new.safetensors")).unwrap(), (done, csv), "{row}");
        assert_says(&export(&run, &out, standard()).unwrap_err().to_string(), &["exists already"]);
    }
}

#[test]
fn merged_additions_answer_as_those_beside_the_weights() {
    let encoders = "model: {encoders: {heart: {lora: {rank: 2, scale: 0.5}}, breath: {lora: {rank: 1}}}}";
    let folder = arrays(&format!(
        "  - {{name: joint, method: joint}}\n  - {{name: adapted, method: joint, {encoders}}}\n  \
         - {{name: lora, method: lora, {encoders}}}\n  - {{name: ema, method: {{name: ema, decay: 0.5}}, {encoders}}}"
    ));
    let at = folder.path();
    let file = at.join("new.safetensors");
    write_split(at, "new", &split("many", 100));
    for row in ["adapted", "lora"] {
        let (run, [beside, merged]) =
            (run_folder(at, row), ["beside", "merged"].map(|name| at.join(format!("{row}-{name}"))));
        export(&run, &beside, standard()).unwrap();
        export_merged(&run, &merged, standard()).unwrap();
        let weights =
            |folder: &Path| candle_core::safetensors::load(folder.join("weights.safetensors"), &Device::Cpu).unwrap();
        let (plain, whole) = (weights(&merged), weights(&beside));
        assert!(plain.keys().all(|name| !name.contains("lora")) && whole.len() > plain.len(), "{row}");
        let changed = |name: &str| {
            let change = (&plain[name] - &whole[name]).unwrap().abs().unwrap().sum_all().unwrap();
            change.to_scalar::<f32>().unwrap() > 1e-3
        };
        assert!(changed("encoders.heart.blocks.0.weight") && changed("encoders.breath.blocks.1.weight"), "{row}");
        assert!(!changed("encoders.heart.blocks.0.bias") && !changed("encoders.motion.blocks.0.weight"), "{row}");
        let ((done, merged), (same, beside)) = (answer(&merged, &file).unwrap(), answer(&beside, &file).unwrap());
        assert_eq!(done, same);
        let values = |csv: &str| -> Vec<f64> {
            csv.lines().skip(1).flat_map(|line| line.split(',').skip(2).map(|cell| cell.parse().unwrap())).collect()
        };
        for (a, b) in values(&merged).into_iter().zip(values(&beside)) {
            assert!((a - b).abs() <= 1e-5 * b.abs(), "{row}: {a} {b}");
        }
    }
    for (row, problem) in [("joint", "the network has none"), ("ema", "a state of its own")] {
        let error = export_merged(&run_folder(at, row), &at.join("none"), standard()).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("leave it out") && !at.join("none").exists(), "{error}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let folder = arrays("  - {name: joint, method: joint}");
    let (at, run) = (folder.path(), run_folder(folder.path(), "joint"));
    let refused = |name: &str, tensor: Option<Tensor>| {
        let mut tensors = split("new", 4);
        match tensor {
            Some(tensor) => drop(tensors.insert(name.into(), tensor)),
            None => drop(tensors.remove(name)),
        }
        write_split(at, "new", &tensors);
        refusal(&run, &at.join("new.safetensors"))
    };
    let zeros = |shape: &[usize]| Some(Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap());
    assert_says(&refused("x.breath", None), &["has no `x.breath`, only", "a run on the set that this file is of"]);
    assert_says(&refused("x.breath", zeros(&[4, 6])), &["x.breath` has shape [4, 6]", "[4, 5], 4 samples"]);
    assert_says(&refused("x.motion", zeros(&[3, 6])), &["x.motion` has shape [3, 6]"]);
    let hole = Tensor::new(&[[1f32, 2., 3., 4.], [0., f32::NAN, 0., 0.], [0.; 4], [f32::INFINITY; 4]], &Device::Cpu);
    assert_says(&refused("x.heart", Some(hole.unwrap())), &["x.heart", "not finite in samples 1, 3"]);
    let labels = |y: [f32; 4]| Some(Tensor::new(&y, &Device::Cpu).unwrap());
    assert_says(&refused("y", labels([0., 1., 3., 2.])), &["y of row 2 is 3", "has 3 classes"]);
    assert_says(&refused("id", zeros(&[3])), &["id` has shape [3]"]);
}

#[test]
fn sets_with_a_loader_of_their_own_take_no_new_samples() {
    let folder = tempfile::tempdir().unwrap();
    let text = bundle_text("  - {name: joint, method: joint}").replace("heart", "sound").replace("breath", "image");
    let text = text.lines().filter(|line| !line.contains("motion")).collect::<Vec<_>>().join("\n");
    let text = text.replace(
        "data: {name: bundle, train: train.safetensors, validation: validation.safetensors, test: test.safetensors}",
        "data: {name: synth-av, train: 40, validation: 10, test: 10}",
    );
    run_table(Source::parse(Path::new("test.yaml"), &text).unwrap(), folder.path()).unwrap();
    let file = folder.path().join("new.csv");
    fs::write(&file, "id,sound,image\n").unwrap();
    assert_says(&refusal(&run_folder(folder.path(), "joint"), &file), &["`synth-av`", "read by its own loader alone"]);
}

#[test]
fn a_run_that_lacks_what_it_takes_names_the_action_and_the_same_command_adds_it() {
    let rows = "  - {name: joint, method: joint}";
    let folder = arrays(rows);
    let (at, run) = (folder.path(), run_folder(folder.path(), "joint"));
    write_split(at, "new", &split("new", 4));
    let (file, stored) = (at.join("new.safetensors"), run.join("preprocessing.json"));
    let first = answer(&run, &file).unwrap();
    let whole = fs::read(&stored).unwrap();
    let again = || {
        fs::remove_file(at.join("out.csv")).ok();
        let said = refusal(&run, &file);
        run_table(bundle_config(rows, &[]), at).unwrap();
        assert_eq!(answer(&run, &file).unwrap(), first);
        assert_eq!(fs::read(&stored).unwrap(), whole);
        said
    };
    let before: Vec<PathBuf> = vec![run.join("best.safetensors"), run.join("result.json")];
    let untouched: Vec<_> = before.iter().map(|path| fs::metadata(path).unwrap().modified().unwrap()).collect();
    fs::remove_file(&stored).unwrap();
    assert_says(&again(), &["preprocessing.json: is missing", "older program", "adds it without training"]);
    let text = String::from_utf8(whole.clone()).unwrap();
    for (damaged, said) in
        [(text.replace("\"1\"", "\"one\""), "wrong checksum"), (text[..text.len() / 2].to_owned(), "is damaged")]
    {
        assert_ne!(damaged, text);
        fs::write(&stored, damaged).unwrap();
        assert_says(&again(), &[said]);
    }
    let newer = text.replace("\"version\":1", "\"version\":7");
    fs::write(&stored, &newer).unwrap();
    run_table(bundle_config(rows, &[]), at).unwrap();
    assert_eq!(fs::read_to_string(&stored).unwrap(), newer, "what a newer program stored stays");
    fs::remove_file(at.join("out.csv")).unwrap();
    assert_says(&refusal(&run, &file), &["has version 7", "use the newer program"]);
    fs::write(&stored, &whole).unwrap();
    let now: Vec<_> = before.iter().map(|path| fs::metadata(path).unwrap().modified().unwrap()).collect();
    assert_eq!(now, untouched, "nothing is trained or written again");
    fs::rename(run.join("result.json"), run.join("kept")).unwrap();
    assert_says(&refusal(&run, &file), &["holds a run that is not done"]);
    assert_says(&export(&run, &at.join("exported"), standard()).unwrap_err().to_string(), &["that is not done"]);
    assert!(!at.join("exported").exists());
    assert_says(&refusal(at, &file), &["is no run's folder"]);
}

#[test]
fn pytorch_answers_the_same_with_the_exported_weights() {
    let torch = std::process::Command::new("python3").args(["-c", "import torch"]).output();
    if !torch.is_ok_and(|output| output.status.success()) {
        // Past the capture of test output, which swallows what passing tests print.
        writeln!(std::io::stderr(), "skipped: there is no python3 with torch").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_bundle(at);
    // A vector for the MLP, a sequence and a picture for the convolutions.
    for (name, samples) in [("train", 90), ("validation", 30), ("test", 45)] {
        let mut tensors = split(name, samples);
        let wide = |x: &Tensor, shape: &[usize]| {
            let repeated = x.repeat((1, shape.iter().product::<usize>() / x.dim(1).unwrap())).unwrap();
            repeated.reshape([&[samples], shape].concat()).unwrap()
        };
        let (sequence, picture) = (wide(&tensors["x.breath"], &[2, 10]), wide(&tensors["x.motion"], &[1, 6, 8]));
        tensors.extend([("x.breath".to_owned(), sequence), ("x.motion".to_owned(), picture)]);
        write_split(at, name, &tensors);
    }
    let rows = "  - {name: joint, method: joint, model: {encoders: {breath: {name: cnn, widths: [4, 6]}, motion: {name: cnn, widths: [5]}}}}";
    run_table(bundle_config(rows, &[]), at).unwrap();
    let (run, out, file) = (run_folder(at, "joint"), at.join("exported"), at.join("test.safetensors"));
    export(&run, &out, standard()).unwrap();
    answer(&out, &file).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/load_export.py");
    let said =
        std::process::Command::new("python3").arg(script).args([&out, &file, &at.join("out.csv")]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && text.contains("45 samples"), "{text}");
}
