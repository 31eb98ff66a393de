//! Tests of families, sets and folds where nothing differs: arms that are drawn from the accuracies of trained
//! networks, thousands of times.

use aim_core::{Result, Rng};
use aim_report::sign_flips;
use aim_stats::{
    adjust::holm,
    interval::share_interval,
    paired::{Repeats, stratified_sign_flip, t_test},
    summary::mean,
};
use aim_train::metrics::statistics;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::rates::{ALPHA, LEVEL, Promise, Rate};

/// How often each is tried.
const TRIES: usize = 4000;
/// Seeds of an arm.
const SEEDS: usize = 10;
/// Planned comparisons of one arm with others, and sets, each with so many seeds.
const PLANNED: usize = 6;
const SETS: usize = 4;
const SEEDS_OF_A_SET: usize = 6;
/// Folds, one testing and one validating, and seeds that are all run on the same folds.
const FOLDS: usize = 5;
const SEEDS_OF_A_FOLD: usize = 3;
/// Parts of a difference's variance that are its fold's and not its seed's.
const OF_THE_FOLD: [f64; 2] = [0.5, 0.9];
/// Sign patterns of a test over sets, whose pairs are too many to list all of them.
const DRAWS: usize = 999;
/// Shares of false rejections that are near enough to [`ALPHA`].
const NEAR: (f64, f64) = (0.03, 0.07);

/// Tries every test on arms whose runs are drawn from these accuracies, so that nothing differs by construction.
///
/// # Errors
/// If the accuracies are no numbers.
pub(crate) fn drawn(pool: &[f64], seed: u64) -> Result<Vec<Rate>> {
    let planned = format!("{PLANNED} planned comparisons with one arm, sign flips, Holm: any rejection");
    let sets = format!("sign flips within each of {SETS} sets");
    let mut rates = vec![
        rate(&planned, SEEDS, seed, |rng| family(pool, rng))?,
        rate("paired t", SEEDS, seed, |rng| t_test(&arm(pool, SEEDS, rng), &arm(pool, SEEDS, rng)).ok().map(|t| t.p))?,
        rate(&sets, SEEDS_OF_A_SET, seed, |rng| stratified(pool, rng))?,
    ];
    for part in OF_THE_FOLD {
        let folds = format!("corrected t over {FOLDS} folds, {part} of the variance theirs");
        rates.push(rate(&folds, SEEDS_OF_A_FOLD, seed, |rng| corrected(&by_fold(part, rng)))?);
    }
    Ok(rates)
}

fn rate(name: &str, seeds: usize, seed: u64, p: impl Fn(&mut Rng) -> Option<f64> + Sync) -> Result<Rate> {
    let rejects = |i: &usize| p(&mut Rng::keyed(seed, &format!("{name}.{i}"))).is_some_and(|p| p <= ALPHA);
    let rejected = (0..TRIES).into_par_iter().filter(rejects).count();
    let interval = share_interval(rejected, TRIES, LEVEL).map_err(statistics)?;
    Ok(Rate { name: name.into(), seeds, of: TRIES, rejected, interval, promise: Promise::Near(NEAR) })
}

/// Accuracies of an arm.
fn arm(pool: &[f64], seeds: usize, rng: &mut Rng) -> Vec<f64> {
    (0..seeds).map(|_| pool[rng.below(pool.len())]).collect()
}

/// The smallest adjusted p of a planned family.
fn family(pool: &[f64], rng: &mut Rng) -> Option<f64> {
    let own = arm(pool, SEEDS, rng);
    let p: Option<Vec<f64>> = (0..PLANNED).map(|_| sign_flips(&own, &arm(pool, SEEDS, rng))).collect();
    holm(&p?).ok()?.into_iter().min_by(f64::total_cmp)
}

/// The p of several sets, each of whose accuracies vary more than those of the one before.
fn stratified(pool: &[f64], rng: &mut Rng) -> Option<f64> {
    let mut of_set = |set: usize| {
        let mut arm = || arm(pool, SEEDS_OF_A_SET, rng).iter().map(|a| a * (1 + set) as f64).collect::<Vec<f64>>();
        (arm(), arm())
    };
    let sets: Vec<_> = (0..SETS).map(&mut of_set).collect();
    let mut signs = ChaCha8Rng::seed_from_u64(rng.below(1 << 30) as u64);
    stratified_sign_flip(&sets, DRAWS, &mut signs).ok().map(|test| test.p)
}

/// Differences of every seed on every fold. `part` of their variance is what the fold brings, the same for all seeds
/// and alike between folds as overlapping training sets make it: normal, every two with the correlation n_test /
/// (n_test + n_train), for which Nadeau and Bengio made their correction. The rest is each run's own.
fn by_fold(part: f64, rng: &mut Rng) -> Vec<Vec<f64>> {
    let alike = 1. / (FOLDS - 1) as f64;
    let common = (part * alike).sqrt() * rng.normal();
    let mut fold = || {
        let fold = common + (part * (1. - alike)).sqrt() * rng.normal();
        (0..SEEDS_OF_A_FOLD).map(|_| fold + (1. - part).sqrt() * rng.normal()).collect()
    };
    (0..FOLDS).map(|_| fold()).collect()
}

/// The p of each fold's mean, as planned comparisons over folds have it.
fn corrected(folds: &[Vec<f64>]) -> Option<f64> {
    over_folds(&folds.iter().map(|seeds| mean(seeds)).collect::<Result<Vec<_>, _>>().ok()?)
}

fn over_folds(differences: &[f64]) -> Option<f64> {
    let folds = Repeats::Overlapping { test_to_train: 1. / (FOLDS - 2) as f64 };
    folds.t_test(differences, &vec![0.; differences.len()]).ok().map(|test| test.p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_differs_every_test_rejects_about_as_often_as_its_level_says() {
        let mut rng = Rng::keyed(0, "pool");
        let pool: Vec<f64> = (0..800).map(|_| ((0.8 + 0.02 * rng.normal()) * 1000.).round() / 1000.).collect();
        for rate in drawn(&pool, 0).unwrap() {
            assert!(rate.holds(), "{}: {} of {}", rate.name, rate.rejected, rate.of);
        }
    }

    #[test]
    fn tests_that_ignore_what_depends_on_what_are_found_out() {
        // Student's t on folds whose training sets overlap rejects far too often.
        let plain = |rng: &mut Rng| {
            let means: Vec<f64> = by_fold(0.9, rng).iter().map(|seeds| mean(seeds).unwrap()).collect();
            t_test(&means, &[0.; FOLDS]).ok().map(|test| test.p)
        };
        assert!(!rate("t", 3, 0, plain).unwrap().holds());
        // So does the corrected t if it takes each seed on the same folds for a fold of its own.
        let runs = rate("runs", 3, 0, |rng| over_folds(&by_fold(0.9, rng).concat())).unwrap();
        assert!(!runs.holds() && runs.share() > 0.07, "{} of {}", runs.rejected, runs.of);
        // So does a family without correction.
        let uncorrected = |rng: &mut Rng| (0..6).map(|_| rng.uniform()).min_by(f64::total_cmp);
        assert!(!rate("family", 1, 0, uncorrected).unwrap().holds());
    }
}
