//! Helpers of the tests that cross crates: small bundles of data and short runs.

pub mod book;
pub mod cases;
mod course;
mod design;
mod small;
mod world;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::Duration,
};

use aim_balance::MethodInfo;
use aim_core::{Prepared, Result, Rng, capability};
use aim_data::{Dataset, Reading};
use aim_report::Written;
use aim_train::{
    config::{RunConfig, Scale, Source, TableConfig},
    experiment::{Options, Results, run},
    run::{Checkpoint, Control, EpochLog, Folder, Outcome, Program, PublicWeights, Run, Stop, Watch, train},
    standard,
};
use candle_core::{Device, Tensor};

pub use course::Course;
pub use design::{Design, Pair, covering};
pub use small::{
    Descent, One, Still, answers, assert_close, at, data, flat, gradient, mean_loss, method, number, scalar, small,
    spec, step,
};
pub use world::{World, at_most_two, fusion, requires};

/// Modalities of [`write_bundle`]: the first is easy, the last hard.
pub const MODALITIES: [&str; 3] = ["heart", "breath", "motion"];
/// Classes of [`write_bundle`].
pub const CLASSES: usize = 3;

/// Tensors of one split: every modality is noise around a centre of the sample's class.
pub fn split(name: &str, samples: usize) -> HashMap<String, Tensor> {
    let labels: Vec<u32> = (0..samples).map(|i| (i % CLASSES) as u32).collect();
    let mut tensors = HashMap::new();
    for (m, modality) in MODALITIES.iter().enumerate() {
        let (width, strength) = (4 + m, 2. - 0.6 * m as f64);
        let mut rng = Rng::keyed(0, &format!("{name}.{modality}"));
        let value = |i: usize, j: usize, rng: &mut Rng| {
            (rng.normal() + strength * f64::from(j % CLASSES == labels[i] as usize)) as f32
        };
        let data: Vec<f32> = (0..samples * width).map(|k| value(k / width, k % width, &mut rng)).collect();
        let x = Tensor::from_vec(data, (samples, width), &Device::Cpu).unwrap();
        tensors.insert(format!("x.{modality}"), x);
    }
    tensors.insert("y".into(), Tensor::new(labels, &Device::Cpu).unwrap());
    tensors
}

/// A bundle of three modalities in a folder.
pub fn write_bundle(folder: &Path) {
    for (name, samples) in [("train", 90), ("validation", 30), ("test", 45)] {
        write_split(folder, name, &split(name, samples));
    }
}

/// One split of a bundle.
pub fn write_split(folder: &Path, name: &str, tensors: &HashMap<String, Tensor>) {
    candle_core::safetensors::save(tensors, folder.join(format!("{name}.safetensors"))).unwrap();
}

/// A table on the bundle of a folder; `rows` is the YAML of the rows.
pub fn bundle_text(rows: &str) -> String {
    format!(
        "name: test\n\
         data: {{name: bundle, train: train.safetensors, validation: validation.safetensors, test: test.safetensors}}\n\
         model:\n  encoders:\n    heart: {{name: mlp, widths: [8, 8]}}\n    breath: {{name: mlp, widths: [8, 8]}}\n    \
         motion: {{name: mlp, widths: [8, 8]}}\n\
         optimizer: {{name: adam, lr: 0.01}}\n\
         train: {{epochs: 3, batch: 32}}\nseeds: 1\nrows:\n{rows}\n"
    )
}

/// A configuration on the bundle of a folder: `rest` replaces or extends what [`bundle_text`] says.
pub fn bundle_config(rows: &str, rest: &[&str]) -> Source {
    let text = bundle_text(rows);
    let mut source = Source::parse(Path::new("test.yaml"), &text).unwrap();
    rest.iter().for_each(|r| source.set(r).unwrap());
    source
}

/// The rows of all methods that work with three modalities and a head on all features.
pub fn every_method(train: &str) -> String {
    let row = |info: &MethodInfo| {
        let (name, heads) = (info.name, info.requires.wants(capability::UNI_HEADS));
        let modality = if name == "unimodal" { ", modality: heart" } else { "" };
        let encoders = if info.requires.wants(capability::ADAPTERS) { "heart: {lora: {rank: 2}}" } else { "" };
        let model = format!("{{uni_heads: {heads}, encoders: {{{encoders}}}}}");
        format!("  - {{name: {name}, method: {{name: {name}{modality}}}, model: {model}, train: {train}}}")
    };
    let works = |row: &String| TableConfig::new(bundle_config(row, &[]), Scale::Normal, standard()).is_ok();
    let infos = aim_balance::builtin().iter().map(|card| card.defaults().info());
    infos.map(row).filter(works).collect::<Vec<_>>().join("\n")
}

/// Runs a table, with data and run folders in `folder`.
///
/// # Errors
/// Those of the configuration and the data.
pub fn run_table(source: Source, folder: &Path) -> Result<Results> {
    run_with(source, &run_options(folder))
}

/// The same with other options.
///
/// # Errors
/// Those of the configuration and the data.
pub fn run_with(source: Source, options: &Options) -> Result<Results> {
    run(&TableConfig::new(source, Scale::Normal, standard())?, options, &Stop::default(), standard())
}

/// How [`run_table`] runs.
pub fn run_options(folder: &Path) -> Options {
    Options {
        data_root: Some(folder.into()),
        out: folder.join("runs"),
        jobs: 1,
        threads: 1,
        device: Device::Cpu,
        quiet: true,
        ledger: None,
        checkpoint_every: Duration::from_secs(5),
        reading: Reading::default(),
        program: Program::here("cargo xtask", None),
    }
}

/// Trains a run that needs no preparation, on the CPU, with a checkpoint as often as `every` says.
///
/// # Errors
/// Those of the run.
pub fn train_run(
    (config, seed): (&RunConfig, u64),
    data: &Dataset,
    folder: &Folder,
    (watch, stop): (&dyn Watch, &Stop),
    every: Duration,
) -> Result<Outcome> {
    let (prepared, device, program) = (&Prepared::default(), &Device::Cpu, &Program::here("cargo xtask", None));
    let (weights, metrics) = (&PublicWeights::default(), &standard().metrics);
    let run = Run { config, seed, data, lacking: &[], device, prepared, weights, metrics };
    train(run, folder, Control { watch, stop, checkpoint_every: every, program })
}

/// Writes the tables and pages of a table.
///
/// # Panics
/// If they cannot be written.
pub fn write_report(results: &Results, out: &Path) -> Written {
    aim_report::write(results, out, standard(), &aim_report::page::builtin()).unwrap()
}

/// Folder of a row's run with seed 0.
pub fn run_folder(folder: &Path, row: &str) -> PathBuf {
    let rows = fs::read_dir(folder.join("runs/test")).unwrap().map(|e| e.unwrap().path());
    let prefix = format!("{row}.");
    let found = rows.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(&prefix)).last();
    found.expect("the row has a folder").join("seed0")
}

/// Waits for a process; how it ended, and the most memory that it had, in MiB, as Linux tells it.
///
/// # Panics
/// If it cannot be waited for.
pub fn peak_of(mut child: Child) -> (ExitStatus, usize) {
    let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(kib.unwrap_or(0_usize) / 1024);
        if let Some(done) = child.try_wait().unwrap() {
            return (done, most);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a run's log says of its steps, epoch by epoch: of a list its first number.
pub fn log(run: &Path) -> Vec<BTreeMap<String, f64>> {
    let epoch = |line: &str| -> BTreeMap<String, f64> {
        let log: EpochLog = serde_yaml::from_str(line).unwrap();
        log.train.into_iter().map(|(key, quantity)| (key, quantity.values()[0])).collect()
    };
    fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().map(epoch).collect()
}

/// Weights and predictions of a run, which must be the same bits every time. The method's own state is left out.
pub fn bits(run: &Path) -> Vec<Vec<u8>> {
    let file = run.join("best.safetensors");
    let best = Checkpoint::from_bytes(&file, &fs::read(&file).unwrap()).unwrap();
    let weights = Checkpoint { state: best.state.part("net"), log: Vec::new(), ..best };
    vec![weights.to_bytes().unwrap(), fs::read(run.join("predictions.csv")).unwrap()]
}

/// Everything below a folder but what tells times or who holds it: parameters, metrics, predictions, results, tables,
/// and any file that a kill left behind.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if ![".lease", "timing", "diagnosis", "report", "log", "events.out"].contains(&name.as_str()) {
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// Panics with the name of a file that is not the same in both.
pub fn assert_same(alone: &BTreeMap<PathBuf, Vec<u8>>, other: &BTreeMap<PathBuf, Vec<u8>>) {
    assert_eq!(alone.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (path, bytes) in alone {
        let [one, two] = [bytes, &other[path]];
        if one != two {
            let line =
                |bytes: &[u8], at: usize| String::from_utf8_lossy(bytes).lines().nth(at).unwrap_or("").to_owned();
            let lines = String::from_utf8_lossy(one).lines().count();
            let at = (0..=lines).find(|at| line(one, *at) != line(two, *at)).unwrap_or(0);
            panic!("{} differs in line {}:\n{:.300}\n{:.300}", path.display(), at + 1, line(one, at), line(two, at));
        }
    }
}
