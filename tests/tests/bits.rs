//! Bit for bit: neutral settings equal joint training, the same seed gives the same run, a resumed run equals one left
//! alone.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aim_core::{Input, Result};
use aim_data::{Dataset, Showing, Source};
use aim_tests::{bits, bundle_config, run_folder, run_table, train_run, write_bundle};
use aim_train::{
    config::{Identity, RunConfig},
    run::{EpochLog, Folder, Stop, Watch},
    standard,
};
use candle_core::Device;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    folder
}

fn run(rows: &str, folder: &Path) {
    let results = run_table(bundle_config(rows, &[]), folder).unwrap();
    assert_eq!(results.failures, [""; 0]);
}

const NEUTRAL: &str = "  - {name: joint, method: {name: joint}}
  - {name: beta0, method: {name: aim, beta: 0}}
  - {name: dominant-beta0, method: {name: aim, scope: dominant, beta: 0}}
  - {name: alpha0, method: {name: aim, alpha: 0, lambda_min: 0}}
  - {name: ogm0, method: {name: ogm, alpha: 0}}
  - {name: opm0, method: {name: opm, q_base: 0, warmup: 0}}
  - {name: sam0, method: {name: sam, rho: 0}}
  - {name: msam0, method: {name: msam, rho: 0}}";

#[test]
fn neutral_settings_equal_joint_training_of_three_modalities() {
    let folder = folder();
    run(NEUTRAL, folder.path());
    compare_with_joint(folder.path());
}

fn compare_with_joint(folder: &Path) {
    let joint = bits(&run_folder(folder, "joint"));
    for row in ["beta0", "dominant-beta0", "alpha0", "ogm0", "opm0", "sam0", "msam0"] {
        assert!(bits(&run_folder(folder, row)) == joint, "{row} differs from joint training");
    }
}

#[test]
fn a_wrapper_of_radius_zero_is_the_method_that_it_wraps() {
    // AGM has state that each step changes.
    let rows = "  - {name: agm, method: {name: agm, alpha: 5}}
  - {name: sam, method: {name: sam, rho: 0, inner: {name: agm, alpha: 5}}}
  - {name: joint, method: {name: joint}}";
    let folder = folder();
    run(rows, folder.path());
    let agm = bits(&run_folder(folder.path(), "agm"));
    assert!(agm == bits(&run_folder(folder.path(), "sam")), "SAM of radius 0 is not AGM");
    assert!(agm != bits(&run_folder(folder.path(), "joint")), "AGM does nothing");
}

#[test]
fn neutral_settings_equal_joint_training_of_cnns() {
    let folder = folder();
    // For two modalities alone.
    let pmr = "\n  - {name: pmr0, method: {name: pmr, alpha: 0, mu: 0}}";
    let mut source = bundle_config(&format!("{NEUTRAL}{pmr}"), &[]);
    source.value["data"] = serde_yaml::from_str("{name: synth-av, train: 160, validation: 40, test: 40}").unwrap();
    let cnn = "{name: cnn, widths: [4, 8]}";
    source.value["model"] = serde_yaml::from_str(&format!("{{encoders: {{sound: {cnn}, image: {cnn}}}}}")).unwrap();
    assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0]);
    compare_with_joint(folder.path());
    let [joint, pmr] = ["joint", "pmr0"].map(|row| bits(&run_folder(folder.path(), row)));
    assert!(joint == pmr, "PMR without its losses differs from joint training");
}

#[test]
fn modulation_changes_the_run_and_the_same_seed_repeats_it() {
    let rows = "  - {name: joint, method: {name: joint}}\n  - {name: aim, method: {name: aim}}";
    let (a, b) = (folder(), folder());
    run(rows, a.path());
    run(rows, b.path());
    let aim = bits(&run_folder(a.path(), "aim"));
    assert!(aim == bits(&run_folder(b.path(), "aim")));
    assert!(aim != bits(&run_folder(a.path(), "joint")), "AIM does nothing");
}

/// A training split that asks to stop when so many batches have been read of it; their last step is the run's last.
struct Asks {
    of: Arc<dyn Source>,
    stop: Arc<Stop>,
    left: AtomicUsize,
}

impl Source for Asks {
    fn labels(&self) -> &[u32] {
        self.of.labels()
    }
    fn ids(&self) -> &[String] {
        self.of.ids()
    }
    fn shapes(&self) -> &[Vec<usize>] {
        self.of.shapes()
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.of.input(modality, index, device)
    }
    fn shown(&self, modality: usize, index: &[usize], showing: Showing, device: &Device) -> Result<Input> {
        if modality == 0 && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.ask();
        }
        self.of.shown(modality, index, showing, device)
    }
}

struct Listens;

impl Watch for Listens {
    fn epoch(&self, _: &EpochLog, _: usize, _: f64) {}
    fn say(&self, line: &str) {
        assert!(
            ["goes on after epoch", "ONE CLASS ONLY: after epoch"].iter().any(|start| line.starts_with(start)),
            "{line}"
        );
    }
}

#[test]
fn a_run_that_was_stopped_behind_any_step_goes_on_there_with_the_same_bits() {
    let folder = folder();
    let rows = "  - {name: aim, method: {name: aim, warmup: 0, refresh: 2}, schedule: {name: plateau, patience: 0}}
  - {name: valuation, method: {name: valuation, warmup: 1}}
  - {name: agm, method: agm, train: {accumulate: 2}}
  - name: grouped
    method: joint
    train: {groups: [{part: encoder, schedule: {name: plateau, patience: 0, threshold: 0.9}}]}";
    let mut source = bundle_config(rows, &["train.epochs=5"]);
    for split in ["train", "validation", "test"] {
        let path = folder.path().join(format!("{split}.safetensors"));
        source.set(&format!("data.{split}={}", path.display())).unwrap();
    }
    for row in ["aim", "valuation", "agm", "grouped"] {
        let (config, _) = RunConfig::single(&source, Some(row), standard()).unwrap();
        let data = aim_data::load(&config.data, None).unwrap();
        let mut places = vec![];
        let mut run = |name: &str, stops: &[usize]| {
            let path = folder.path().join(row).join(name);
            for reads in stops.iter().chain([&usize::MAX]) {
                let open = Folder::open(&path, &Identity::new(&config, 3, 0), standard()).unwrap();
                let stop = Arc::new(Stop::default());
                let asks = Asks { of: data.train.clone(), stop: stop.clone(), left: AtomicUsize::new(*reads) };
                let data = Dataset { train: Arc::new(asks), ..data.clone() };
                let done = train_run((&config, 3), &data, &open, (&Listens, &stop), Duration::from_secs(5));
                assert_eq!(done.is_ok(), *reads == usize::MAX);
                places.extend(open.restore(&|_| ()).unwrap().map(|last| (last.epochs(), last.steps())));
            }
            let file = |f: &str| std::fs::read(path.join(f)).unwrap();
            ["last.safetensors", "best.safetensors", "metrics.jsonl", "predictions.csv", "result.json"].map(file)
        };
        // Epochs have three batches, and more where `valuation` adds some.
        assert!(run("alone", &[]) == run("stopped", &[1, 1, 1, 2, 3]), "{row}");
        assert_eq!(places[..5], [(5, 0), (0, 1), (0, 2), (1, 0), (1, 2)], "{row}");
        assert!(places[5].1 > 0 && places[6] == (5, 0), "{row}: {places:?}");
    }
}
