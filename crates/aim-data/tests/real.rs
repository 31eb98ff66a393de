//! The real sets as their splits promise them; skipped where `AIM_DATA` is not set.
#![allow(
    clippy::unwrap_used,
    clippy::explicit_write,
    reason = "helpers of tests; the macro for stderr would be captured"
)]

use std::{collections::BTreeSet, io::Write, sync::Arc};

use aim_config::yaml::parse;
use aim_data::{Dataset, Source, builtin, load, root};
use candle_core::{Device, Tensor};

/// Loads a set from the folder of the data, or says visibly why not.
fn real(settings: &str) -> Option<Dataset> {
    let Some(root) = root(None) else {
        // Past the capture of test output, which swallows what passing tests print.
        writeln!(std::io::stderr(), "skipped: AIM_DATA is not set").unwrap();
        return None;
    };
    Some(load(&builtin().read(&parse(settings).unwrap(), "data").unwrap(), Some(&root)).unwrap())
}

/// Samples of each split; every class is trained and tested.
fn sizes(set: &Dataset) -> [usize; 3] {
    for split in [&set.train, &set.test] {
        assert_eq!(split.labels().iter().collect::<BTreeSet<_>>().len(), set.classes(), "{}", set.name);
    }
    [set.train.len(), set.validation.len(), set.test.len()]
}

/// The part of an id before the dot: what must not be in two splits.
fn groups(split: &Arc<dyn Source>) -> BTreeSet<&str> {
    split.ids().iter().filter_map(|id| id.split('.').next()).collect()
}

/// One modality of a whole split.
fn whole(split: &Arc<dyn Source>, modality: usize) -> Tensor {
    split.input(modality, &(0..split.len()).collect::<Vec<_>>(), &Device::Cpu).unwrap().values
}

/// Mean and standard deviation of a modality's training samples.
fn moments(set: &Dataset, modality: usize) -> (f64, f64) {
    let x = whole(&set.train, modality).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
    (mean, variance.sqrt())
}

#[test]
fn grid_is_split_by_sentence() {
    let Some(set) = real("name: grid") else { return };
    assert_eq!(sizes(&set), [4200, 600, 1200]);
    assert_eq!((set.classes(), set.shapes()), (51, vec![vec![1, 32, 16], vec![6, 26, 52]]));
    assert!(groups(&set.train).is_disjoint(&groups(&set.test)));
    assert!(groups(&set.train).is_disjoint(&groups(&set.validation)));
    for modality in 0..2 {
        let (mean, std) = moments(&set, modality);
        assert!(mean.abs() < 1e-3 && (std - 1.).abs() < 1e-3, "{mean} {std}");
    }
}

#[test]
fn grid_noise_is_the_same_in_every_run_and_as_large_as_asked_for() {
    let Some(set) = real("{name: grid, noise: 1.5}") else { return };
    let audio = |set: &Dataset| whole(&set.test, 0).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(audio(&set), audio(&real("{name: grid, noise: 1.5}").unwrap()));
    assert!((moments(&set, 0).1 - (1f64 + 1.5 * 1.5).sqrt()).abs() < 0.01);
}

#[test]
fn grid_slots_are_tasks_of_their_own() {
    for (slot, classes) in [("command", 4), ("colour", 4), ("preposition", 4), ("letter", 25), ("digit", 10)] {
        let Some(set) = real(&format!("{{name: grid, slot: {slot}}}")) else { return };
        assert_eq!((set.classes(), sizes(&set)), (classes, [700, 100, 200]), "{slot}");
    }
}

#[test]
fn geotec_tests_on_subjects_never_seen() {
    let Some(set) = real("name: geotec") else { return };
    assert_eq!(sizes(&set).iter().sum::<usize>(), 2992);
    assert_eq!((set.classes(), set.shapes()), (5, vec![vec![6, 100]; 2]));
    let subjects = [&set.train, &set.validation, &set.test].map(groups);
    assert_eq!(subjects.each_ref().map(BTreeSet::len), [14, 3, 6]);
    assert_eq!(subjects.iter().flatten().collect::<BTreeSet<_>>().len(), 23);
}

#[test]
fn lis_is_split_by_time() {
    let Some(set) = real("name: lis") else { return };
    assert_eq!((sizes(&set), set.classes()), ([546, 78, 156], 26));
    assert_eq!(set.shapes(), [vec![8, 400], vec![3, 400], vec![3, 400]]);
    let with = real("{name: lis, orientation: true}").unwrap();
    assert_eq!(with.modalities, ["emg", "gyro", "acc", "ori"]);
    // The signs of the 9th of July are the latest there are, though their dates sort first as texts.
    let late = |split: &Arc<dyn Source>| split.ids().iter().filter(|id| id.contains("09/07/20")).count();
    assert_eq!(late(&set.train) + late(&set.validation) + late(&set.test), 78);
    assert!(late(&set.test) > late(&set.train));
}

#[test]
fn mosi_keeps_its_test_file() {
    let Some(set) = real("name: mosi") else { return };
    assert_eq!((sizes(&set), set.classes()), ([1302, 145, 752], 2));
    assert_eq!(set.shapes(), [vec![100], vec![73], vec![100]]);
    assert_eq!(set.test.labels().iter().filter(|l| **l == 1).count(), 467);
}

#[test]
fn mfeat_has_six_views_and_equal_classes() {
    let Some(set) = real("name: mfeat") else { return };
    assert_eq!((sizes(&set), set.classes()), ([1400, 200, 400], 10));
    assert_eq!(set.shapes(), [76, 216, 64, 240, 47, 6].map(|width| vec![width]));
    for class in 0..10 {
        assert_eq!(set.test.labels().iter().filter(|l| **l == class).count(), 40);
    }
}

#[test]
fn avmnist_pairs_images_with_recordings_of_their_split() {
    let Some(set) = real("name: avmnist") else { return };
    assert_eq!((sizes(&set), set.classes()), ([6000, 1000, 1000], 10));
    assert_eq!(set.shapes()[1], [1, 28, 28]);
    for (split, indices) in [(&set.train, 10..50), (&set.validation, 5..10), (&set.test, 0..5)] {
        for (label, id) in split.labels().iter().zip(split.ids()) {
            let (digit, index) = id.split_once('+').unwrap().1.split_once('_').unwrap();
            assert_eq!(digit, label.to_string());
            assert!(indices.contains(&index.rsplit_once('_').unwrap().1.parse::<u32>().unwrap()), "{id}");
        }
    }
    assert_eq!(set.train.ids(), real("name: avmnist").unwrap().train.ids());
}

#[test]
fn avmnist_without_its_top_components_has_neither_mean_nor_large_directions() {
    let Some(set) = real("{name: avmnist, low: 32, noise: 1.5}") else { return };
    let (mean, std) = moments(&set, 1);
    assert!(mean.abs() < 1e-3 && (std - 1.).abs() < 1e-3, "{mean} {std}");
    assert!((moments(&set, 0).1 - (1f64 + 1.5 * 1.5).sqrt()).abs() < 0.01);
    // The 32 components hold 75 % of the variance, so what stays has no direction with as much as 3 %.
    let x = whole(&set.train, 1).flatten_from(1).unwrap();
    let covariance = x.t().unwrap().matmul(&x).unwrap();
    let mut v = candle_core::Tensor::ones((784, 1), candle_core::DType::F32, x.device()).unwrap();
    let mut norm = 0f32;
    for _ in 0..60 {
        v = covariance.matmul(&v).unwrap();
        norm = v.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        v = (v / f64::from(norm)).unwrap();
    }
    let share = norm / x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(share < 0.03, "{share}");
}

#[test]
fn avmnist_can_be_whole() {
    let Some(set) = real("{name: avmnist, full: true}") else { return };
    assert_eq!(sizes(&set), [55_000, 5_000, 10_000]);
    assert_eq!(set.validation.labels().iter().collect::<BTreeSet<_>>().len(), 10);
}

#[test]
#[cfg(feature = "media")]
fn words_of_raw_films_are_cut_at_their_times_and_stay_with_their_sentence() {
    let settings = "{name: corpus, layout: grid, folder: grid/raw, split: {by: group}, modalities: {\
        audio: {column: \"{sentence}.mpg\", audio: {seconds: 0.5, front: fbank, bins: 40}},\
        video: {column: \"{sentence}.mpg\", video: {rate: 25, image: {size: 24}}}}}";
    let Some(set) = real(settings) else { return };
    // 40 sentences of six words in five folds.
    assert_eq!(sizes(&set), [144, 48, 48]);
    assert_eq!(set.shapes(), [vec![1, 48, 40], vec![9, 24, 24]]);
    let [train, validation, test] = [&set.train, &set.validation, &set.test].map(groups);
    assert!(train.is_disjoint(&test) && train.is_disjoint(&validation) && validation.is_disjoint(&test));
}
