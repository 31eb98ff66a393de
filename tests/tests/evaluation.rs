//! Scores depend on no batch, and making them keeps nothing that a gradient would need.

use std::{cell::RefCell, path::Path};

use aim_balance::Requirements;
use aim_core::{Batch, Infer, Input, Net, Output, Pass, Result};
use aim_data::{PrepareOptions, Reading};
use aim_tests::World;
use aim_train::{
    config::RunConfig,
    experiment::fits,
    metrics::{evaluate, features},
    run::{PublicWeights, network},
    standard,
};
use candle_core::{Device, Tensor};

/// Answers as the network does, and notes batches and what is held for gradients.
#[derive(Default)]
struct Looks(RefCell<Vec<usize>>);

impl Infer for Looks {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        let held = out.features.iter().chain(&out.unimodal).chain([&out.logits]).any(Tensor::track_op);
        assert!(!held, "a graph is kept");
        self.0.borrow_mut().push(batch.len());
        Ok(out)
    }
}

fn bits(tensors: &[Tensor]) -> Vec<u32> {
    let one = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    tensors.iter().flat_map(one).map(f32::to_bits).collect()
}

/// Scores and features of a training split in batches as large as `memory` MiB allow, and their sizes.
fn judged(encoder: &str, memory: usize) -> (Vec<u64>, Vec<usize>, Vec<u32>, Vec<usize>) {
    let world = World::two(300, encoder, "{epochs: 1, batch: 20}");
    let config = world.config("joint", Requirements::UNI_HEADS, "concat").unwrap();
    world.data.read_by(&Reading::new(memory, 0));
    let net = network(&config, &world.data, 0, &Device::Cpu).unwrap();
    let looks = Looks::default();
    let scores = evaluate(&net, &looks, &*world.data.train, &Device::Cpu).unwrap();
    let features = features(&net, &*world.data.train, &Device::Cpu).unwrap();
    let numbers = scores.confidence.iter().chain([&scores.mean_loss()]).map(|v| v.to_bits()).collect();
    let classes = scores.unimodal.concat().into_iter().chain(scores.predicted).collect();
    (numbers, classes, bits(&features.of), looks.0.into_inner())
}

#[test]
fn scores_and_features_are_the_same_bits_whatever_the_batch() {
    for encoder in ["name: cnn, widths: [4, 8]", "name: cnn, widths: [16, 32, 16]"] {
        let whole = judged(encoder, 1024);
        assert_eq!(whole.3, [256, 44]);
        for memory in [0, 1] {
            let small = judged(encoder, memory);
            assert!(small.3.iter().all(|batch| *batch < 64), "{:?}", small.3);
            assert!((&small.0, &small.1, &small.2) == (&whole.0, &whole.1, &whole.2), "{encoder}, {memory} MiB");
        }
    }
}

const VECTORS: &str = "name: transformer, width: 8, layers: 2, heads: 2, blocks: 2, layout: time-first";
const WORDS: &str = "name: transformer, width: 8, layers: 2, heads: 2, blocks: 2, vocabulary: 9";

/// Recordings of one to three moments, and transformers that read them.
fn series(folder: &Path) -> RunConfig {
    with(folder, VECTORS, WORDS)
}

/// The same read by these encoders.
fn with(folder: &Path, track: &str, words: &str) -> RunConfig {
    let mut rows = String::from("id,split,label,track,words\n");
    for k in 0..12 {
        let lines: String = (0..1 + k % 3).map(|t| format!("{}.5,{t},-{k}\n", k + t)).collect();
        std::fs::write(folder.join(format!("{k}.csv")), lines).unwrap();
        let split = ["train", "train", "validation", "test"][k % 4];
        rows += &format!("s{k},{split},{},{k}.csv,{}\n", k % 2, ["one", "one two", "one two one"][k % 3]);
    }
    std::fs::write(folder.join("set.csv"), rows).unwrap();
    let text = format!(
        "name: series
data:
  name: manifest
  file: '{}'
  modalities:
    track: {{series: {{length: 4, columns: 3, header: false}}}}
    words: {{text: {{length: 5, at_least: 1}}}}
model: {{encoders: {{track: {{{track}}}, words: {{{words}}}}}}}
optimizer: {{name: adam, lr: 0.005}}
train: {{epochs: 1, batch: 6}}
method: joint
",
        folder.join("set.csv").display()
    );
    RunConfig::read(serde_yaml::from_str(&text).unwrap(), standard()).unwrap()
}

/// Without a word they would be read wrongly, and worse answers be all that tells of it.
#[test]
fn what_a_network_cannot_read_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |track: &str, words: &str| {
        let config = with(folder.path(), track, words);
        let data = aim_data::load(&config.data, None).unwrap();
        fits(&config, &data, &PublicWeights::default()).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(VECTORS, WORDS), "");
    let track = refused("name: cnn, widths: [4]", WORDS);
    assert!(track.contains("encoder of modality `track`: ") && track.contains("`layout` of the data"), "{track}");
    let words = refused(VECTORS, &WORDS.replace("vocabulary: 9", "vocabulary: 3"));
    assert!(words.contains("is none of a vocabulary of 3; raise the encoder's `vocabulary`"), "{words}");
}

/// Both as files and as a prepared set.
#[test]
fn what_stands_behind_the_end_of_a_series_has_no_influence() {
    let folder = tempfile::tempdir().unwrap();
    let config = series(folder.path());
    let raw = aim_data::load(&config.data, None).unwrap();
    aim_data::prepare(
        &config.data,
        None,
        &PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) },
    )
    .unwrap();
    for data in [raw, aim_data::load(&config.data, None).unwrap()] {
        let net = network(&config, &data, 0, &Device::Cpu).unwrap();
        let net: &dyn Net = &net;
        let batch = data.train.batch(&(0..data.train.len()).collect::<Vec<_>>(), &Device::Cpu).unwrap();
        let lengths = |input: &Input| input.valid.as_ref().unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap();
        // Samples 0, 1, 4, 5, 8, 9 of the rows.
        for input in &batch.inputs {
            assert_eq!(lengths(input), [1., 2., 2., 3., 3., 1.]);
        }
        let logits = |change: Option<(usize, bool)>| {
            let mut batch = batch.clone();
            if let Some((m, real)) = change {
                let Input { values, valid } = &batch.inputs[m];
                let valid = valid.clone().unwrap();
                let chosen = if real { valid.clone() } else { valid.ones_like().unwrap().sub(&valid).unwrap() };
                let chosen = if values.rank() == 3 { chosen.unsqueeze(2).unwrap() } else { chosen };
                let other = values.broadcast_add(&(chosen * 2.).unwrap()).unwrap();
                batch.inputs[m] = Input::padded(other, valid).unwrap();
            }
            bits(&[net.forward(&batch, &mut Pass::eval()).unwrap().logits])
        };
        let plain = logits(None);
        for m in 0..2 {
            assert!(logits(Some((m, false))) == plain, "padding of modality {m} has an influence");
            assert!(logits(Some((m, true))) != plain, "modality {m} has none");
        }
    }
}
