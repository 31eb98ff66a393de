//! A covering design over everything that a configuration can name: each two of method, encoder, fusion, optimizer,
//! schedule and number of modalities meet in a run. It is refused with a place and a remedy, or it trains two steps to
//! a finite loss, and one that is saved between them and resumed ends with the same bits.
//!
//! The test command makes the design over all methods and trains a tenth of its runs, which the seed `SEED` draws.
//! `AIM_COVER_SEED=N` draws another tenth, `AIM_COVER=1` trains the whole design.

use std::{collections::HashMap, path::Path};

use aim_config::yaml::parse;
use aim_core::{Error, Result, Rng};
use aim_data::Dataset;
use aim_tests::{Course, Design, Pair, cases::active, covering, requires, write_split};
use aim_train::{
    config::{RunConfig, Source},
    standard,
};
use candle_core::{Device, Tensor};

/// The test command trains one run of so many.
const PART: usize = 10;

/// Draws the runs that the test command trains, unless `AIM_COVER_SEED` says another seed.
const SEED: u64 = 0;

/// Names of the modalities.
const MODALITIES: [&str; 3] = ["one", "two", "three"];

/// Small settings of the encoders that have large ones by default, and whether they read sequences.
const ENCODERS: [(&str, &str, bool); 7] = [
    ("mlp", "widths: [6, 6]", false),
    ("cnn", "widths: [4, 6]", false),
    ("resnet18", "base_width: 4", false),
    ("vit", "patch: 4, width: 8, heads: 2, layers: 2, blocks: 2", false),
    ("transformer", "layout: time-first, width: 8, heads: 2, layers: 2, blocks: 2", true),
    ("tcn", "widths: [4, 6]", true),
    ("sequence", "widths: [4, 4]", true),
];

/// Names of what a configuration can choose, factor by factor; the last is the number of modalities.
struct Factors {
    names: [Vec<String>; 5],
}

impl Factors {
    fn all() -> Self {
        let names = |names: String| names.split(", ").map(ToOwned::to_owned).collect::<Vec<_>>();
        let all = standard();
        let names = [
            names(all.methods.names()),
            // Presets are encoders of other sizes.
            all.encoders.iter().filter(|c| c.name() == c.defaults().info().name).map(|c| c.name().into()).collect(),
            names(all.fusions.names()),
            names(all.optimizers.names()),
            names(all.schedules.names()),
        ];
        Self { names }
    }

    fn levels(&self) -> Vec<usize> {
        self.names.iter().map(Vec::len).chain([MODALITIES.len()]).collect()
    }

    /// The configuration of a row, which may be refused.
    fn config(&self, row: &[usize], section: &str) -> (String, Result<RunConfig>) {
        let [method, encoder, fusion, optimizer, schedule] = [0, 1, 2, 3, 4].map(|k| self.names[k][row[k]].as_str());
        let modalities = &MODALITIES[..=row[5]];
        let card = standard().methods.find(method).unwrap();
        let needs = requires(card);
        let lora = if needs.wants(aim_core::capability::ADAPTERS) { ", lora: {rank: 2}" } else { "" };
        let settings = ENCODERS.iter().find(|(name, ..)| *name == encoder).map_or("", |(_, settings, _)| settings);
        let comma = if settings.is_empty() { "" } else { ", " };
        let of = |m: &&str| format!("{m}: {{name: {encoder}{comma}{settings}{lora}}}");
        let encoders = modalities.iter().map(of).collect::<Vec<_>>().join(", ");
        let places = ["FIRST", "SECOND", "THIRD"].iter().zip(MODALITIES);
        let method = places.fold(active(method), |text, (place, name)| text.replace(place, name));
        let text = format!(
            "name: cover\ndata: {section}\nmodel: {{modalities: [{}], encoders: {{{encoders}}}, fusion: {}, uni_heads: {}}}\n\
             optimizer: {{name: {optimizer}}}\nschedule: {}\ntrain: {{epochs: 1, batch: 12}}\nmethod: {method}\n",
            modalities.join(", "),
            small(fusion),
            needs.wants(aim_core::capability::UNI_HEADS),
            scheduled(schedule),
        );
        let source = Source::parse(Path::new("cover.yaml"), &text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        let config = RunConfig::single(&source, None, standard()).map(|(config, _)| config);
        (text, config)
    }
}

/// The section of a fusion.
fn small(fusion: &str) -> String {
    let settings = match fusion {
        "mmtm" => "squeeze: 4",
        "inner-mmtm" => "from: 0",
        "inner-bottleneck" => "from: 0, tokens: 2",
        "scheduled" | "memory" | "boosted" => "hidden: 6",
        "growing" => "hidden: 6, most: 3",
        "deep" => "hidden: [6, 6]",
        "cross-attention" | "bottleneck" => "width: 8, layers: 1, heads: 2",
        "tensor" => "width: 4",
        "low-rank" => "rank: 2, width: 4",
        "mods" => "width: 8, tokens: 2, layers: 2, heads: 2",
        _ => return fusion.into(),
    };
    format!("{{{fusion}: {{{settings}}}}}")
}

/// The section of a schedule.
fn scheduled(schedule: &str) -> String {
    let settings = match schedule {
        "step" => ", every: 1",
        "multi-step" => ", milestones: [1]",
        "linear-warmup" => ", warmup: 1",
        "warmup-cosine" => ", warmup_steps: 1",
        _ => "",
    };
    format!("{{name: {schedule}{settings}}}")
}

/// Samples of three classes, every modality of one shape.
fn data(folder: &Path, shape: &[usize]) -> (String, Dataset) {
    for (name, samples) in [("train", 24), ("validation", 9), ("test", 9)] {
        let mut tensors = HashMap::new();
        for modality in MODALITIES {
            let mut rng = Rng::keyed(0, &format!("{name}.{modality}"));
            let x = rng.normal_tensor(&[&[samples], shape].concat(), 1., &Device::Cpu).unwrap();
            tensors.insert(format!("x.{modality}"), x);
        }
        let labels: Vec<u32> = (0..samples as u32).map(|i| i % 3).collect();
        tensors.insert("y".into(), Tensor::new(labels, &Device::Cpu).unwrap());
        write_split(folder, name, &tensors);
    }
    let file = |split: &str| format!("{split}: '{}'", folder.join(format!("{split}.safetensors")).display());
    let section = format!("{{name: bundle, {}}}", ["train", "validation", "test"].map(file).join(", "));
    let spec = aim_data::builtin().read(&parse(&section).unwrap(), "data").unwrap();
    let data = aim_data::load(&spec, None).unwrap();
    (section, data)
}

/// A refusal says where something is wrong, and what to do or what is needed.
fn check_refusal(error: &Error, place: &str) {
    let text = error.to_string();
    let told = match error {
        Error::Invalid { place, remedy, .. } => !place.is_empty() && !remedy.is_empty(),
        Error::Shape { name, want, .. } => !name.is_empty() && !want.is_empty(),
        _ => false,
    };
    assert!(told, "{place}\nis refused by: {text}");
}

/// Trains two steps, and the second of them once more from what was saved behind the first.
fn train(config: &RunConfig, data: &Dataset) -> Result<()> {
    let mut course = Course::new(config, data, 0)?;
    course.train(1)?;
    let saved = course.save()?;
    course.finish()?;
    assert!(course.loss()?.is_finite());
    let mut resumed = Course::resumed(config, data, 0, &saved)?;
    resumed.finish()?;
    assert!(resumed.save()? == course.save()?, "other bits after it was resumed");
    Ok(())
}

/// The rows of a design that are trained: all of them, or the part that a seed draws.
fn chosen(rows: &[Vec<usize>]) -> Vec<&Vec<usize>> {
    if std::env::var_os("AIM_COVER").is_some() {
        return rows.iter().collect();
    }
    let seed = std::env::var("AIM_COVER_SEED")
        .map_or(SEED, |seed| seed.parse().expect("AIM_COVER_SEED should be a whole number"));
    let order = Rng::keyed(seed, "cover").permutation(rows.len());
    order.into_iter().take(rows.len().div_ceil(PART)).map(|at| &rows[at]).collect()
}

#[test]
fn every_two_choices_meet_in_a_run_that_resumes_with_the_same_bits_or_are_refused() {
    let factors = Factors::all();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let sets = [data(folders[0].path(), &[1, 8, 8]), data(folders[1].path(), &[6, 5])];
    let set = |row: &[usize]| {
        let sequences = ENCODERS.iter().any(|(name, _, sequences)| *sequences && *name == factors.names[1][row[1]]);
        &sets[usize::from(sequences)]
    };
    let Design { rows, refused } = covering(&factors.levels(), 0, |row| {
        let (text, config) = factors.config(row, &set(row).0);
        config.map_err(|error| check_refusal(&error, &text)).is_ok()
    });
    let trained = chosen(&rows);
    for row in &trained {
        let (section, data) = set(row);
        let (text, config) = factors.config(row, section);
        train(&config.unwrap(), data).unwrap_or_else(|error| panic!("{text}\n{error}"));
    }
    let absent = |(method, _): &(usize, &String)| trained.iter().all(|row| row[0] != *method);
    let absent: Vec<&str> = factors.names[0].iter().enumerate().filter(absent).map(|(_, name)| name.as_str()).collect();
    println!("{} of {} runs, {} pairs are refused", trained.len(), rows.len(), refused.len());
    println!("methods that are not among these runs: {absent:?}");
    // What a method cannot have is a fusion, an encoder or a number of modalities, and it has a run with one of each.
    let told = |pair: &&Pair| pair[0].0 == 0 && ![1, 2, 5].contains(&pair[1].0);
    let wrong = refused.iter().filter(told).map(|[(_, method), (of, level)]| (&factors.names[0][*method], *of, *level));
    assert_eq!(wrong.collect::<Vec<_>>(), [], "methods go with every optimizer and schedule");
    for (method, name) in factors.names[0].iter().enumerate() {
        assert!(rows.iter().any(|row| row[0] == method), "{name} never ran");
    }
}
