//! Low-rank additions to convolutions over sequences, in a run of the method that trains them.

use std::{collections::HashMap, path::Path};

use aim_core::{Batch, Net, Part, Rng};
use aim_fusion::LateFusion;
use aim_tests::{One, bundle_text, flat, gradient, run_folder, run_table, write_split};
use aim_train::{
    config::{RunConfig, Source},
    run::{Trained, export, export_merged, predict},
    standard,
};
use candle_core::{DType, Device, Tensor};

/// Encoders of three modalities with one setting more, and the shapes of their samples.
const MODALITIES: [(&str, &str, &[usize]); 3] = [
    ("heart", "name: cnn, widths: [3, 4]", &[9]),
    ("breath", "name: cnn, widths: [3, 4]", &[2, 9]),
    // Wide enough that some units of every layer are above 0.
    ("motion", "name: tcn, widths: [8, 9], feature: mean", &[2, 9]),
];

/// The encoders' section, with low-rank additions.
fn encoders() -> String {
    let one = |(name, encoder, _): &(&str, &str, _)| format!("{name}: {{{encoder}, lora: {{rank: 2, scale: 0.5}}}}");
    format!("{{{}}}", MODALITIES.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Samples of three classes, each a level of its own.
fn samples(name: &str, count: usize) -> (Vec<Tensor>, Tensor) {
    let labels: Vec<u32> = (0..count as u32).map(|i| i % 3).collect();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    let level = labels.to_dtype(DType::F32).unwrap();
    let input = |(modality, _, shape): &(&str, _, &[usize])| {
        let mut rng = Rng::keyed(0, &format!("{name}.{modality}"));
        let noise = rng.normal_tensor(&[&[count], *shape].concat(), 1., &Device::Cpu).unwrap();
        let level = level.reshape([vec![count], vec![1; shape.len()]].concat()).unwrap();
        noise.broadcast_add(&level).unwrap()
    };
    (MODALITIES.iter().map(input).collect(), labels)
}

fn save(folder: &Path, name: &str, count: usize) {
    let (inputs, labels) = samples(name, count);
    let named = MODALITIES.iter().zip(inputs).map(|((modality, ..), x)| (format!("x.{modality}"), x));
    write_split(folder, name, &named.chain([("y".to_owned(), labels)]).collect::<HashMap<_, _>>());
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn only_additions_and_the_head_have_a_gradient() {
    let section = serde_yaml::from_str(&format!("{{encoders: {}, fusion: concat}}", encoders())).unwrap();
    let model = RunConfig::read_model(section, standard()).unwrap();
    let shapes = MODALITIES.map(|(name, _, shape)| (name.to_owned(), shape.to_vec()));
    let net = LateFusion::new(&model, &shapes, 3, 0, &Device::Cpu).unwrap();
    let (inputs, labels) = samples("batch", 12);
    let (grads, _) = gradient("lora", &net, &One(Batch::new(inputs, labels).unwrap()), 0);
    let mut moved = 0;
    for (name, grad) in flat(&grads) {
        match net.params().get(&name).unwrap().role.part {
            Part::Adapter { .. } => moved += usize::from(name.ends_with("lora_b") && grad.iter().any(|g| *g != 0.)),
            part => assert!(matches!(part, Part::Head { .. }), "{name} has a gradient"),
        }
    }
    // Two convolutions in each `cnn`; in `tcn` two in each of two blocks, and two shortcuts.
    assert_eq!(moved, 2 + 2 + 6);
}

#[test]
fn a_run_trains_them_and_merged_they_answer_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, count) in [("train", 60), ("validation", 15), ("test", 15), ("new", 15)] {
        save(at, name, count);
    }
    let text = bundle_text("  - {name: lora, method: lora}");
    let mut source = Source::parse(Path::new("test.yaml"), &text).unwrap();
    source.value["model"]["encoders"] = serde_yaml::from_str(&encoders()).unwrap();
    assert_eq!(run_table(source, at).unwrap().failures, [""; 0]);
    let run = run_folder(at, "lora");
    let [beside, merged] = ["beside", "merged"].map(|name| at.join(name));
    export(&run, &beside, standard()).unwrap();
    export_merged(&run, &merged, standard()).unwrap();
    let weights =
        |folder: &Path| candle_core::safetensors::load(folder.join("weights.safetensors"), &Device::Cpu).unwrap();
    let (plain, whole) = (weights(&merged), weights(&beside));
    let layers: Vec<&str> = whole.keys().filter_map(|name| name.strip_suffix(".lora_b")).collect();
    assert_eq!(layers.len(), 2 + 2 + 6);
    for layer in layers {
        let trained = numbers(&whole[&format!("{layer}.lora_b")]);
        assert!(trained.iter().any(|b| *b != 0.), "{layer} begins at zeros and stays there");
        let weight = format!("{layer}.weight");
        assert_ne!(numbers(&plain[&weight]), numbers(&whole[&weight]));
    }
    assert!(plain.keys().all(|name| !name.contains("lora")));
    let answers = |folder: &Path| -> Vec<f64> {
        let out = at.join("answers.csv");
        let trained = Trained::load(folder, standard(), &Device::Cpu).unwrap();
        predict(&trained, folder, &at.join("new.safetensors"), &out, &mut |_, _| {}).unwrap();
        let csv = std::fs::read_to_string(out).unwrap();
        csv.lines().skip(1).flat_map(|line| line.split(',').skip(2).map(|cell| cell.parse().unwrap())).collect()
    };
    assert!(answers(&merged).iter().zip(answers(&beside)).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs()));
}
