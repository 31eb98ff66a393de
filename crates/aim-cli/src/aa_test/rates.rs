//! The test of the tests: joint training against joint training with other seeds, where every rejection is a false one.
//!
//! Two modalities of noise around class centres, a small network, and a test split so large that what differs between
//! two trainings shows. No two arms share a seed, so all pairs are independent given the data.

use std::{ops::ControlFlow::Continue, sync::Arc};

use aim_backbones::{MlpConfig, encoder};
use aim_balance::{joint::Joint, method};
use aim_core::{Net, Result, Rng};
use aim_data::{Dataset, Source, Splits, Subset};
use aim_fusion::{ConcatConfig, LateFusion, ModelConfig, fusion};
use aim_optim::{Adam, OptimizerSettings};
use aim_report::{combined, sign_flips};
use aim_stats::{
    interval::{Interval, share_interval},
    paired::mcnemar,
    table::{Cell, Column, Table},
};
use aim_train::{
    Learner,
    metrics::{self, statistics},
    run::Stop,
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::drawn::drawn;

const CLASSES: usize = 3;
const EPOCHS: usize = 4;
const BATCH: usize = 16;
/// Level of the tests, and of the intervals around their rates.
pub(crate) const ALPHA: f64 = 0.05;
pub(crate) const LEVEL: f64 = 0.95;
/// Seeds of most tables, with which sign flips cannot reject at [`ALPHA`].
const FEW: usize = 5;

/// How much is tested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AaPlan {
    /// Pairs of arms.
    pub(crate) pairs: usize,
    /// Seeds of an arm; with fewer than 6 sign flips cannot reject.
    pub(crate) seeds: usize,
    /// Samples of the test split.
    pub(crate) samples: usize,
    /// Seed of everything.
    pub(crate) seed: u64,
}

/// A test and how often it rejected.
pub(crate) struct Rate {
    /// The test.
    pub(crate) name: String,
    /// Seeds of an arm that it sees.
    pub(crate) seeds: usize,
    /// How often it was tried.
    pub(crate) of: usize,
    /// How often it rejected.
    pub(crate) rejected: usize,
    /// The share of rejections with its exact interval.
    pub(crate) interval: Interval,
    /// The share that there should be.
    pub(crate) promise: Promise,
}

/// What a test promises of its rejections where nothing differs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise {
    /// Nothing about methods.
    Nothing,
    /// This share, which the interval must hold.
    Share(f64),
    /// A share between these.
    Near((f64, f64)),
}

/// What came out.
pub(crate) struct Rates {
    plan: AaPlan,
    /// One a test.
    pub(crate) tests: Vec<Rate>,
}

/// What each training of two arms has right.
struct Pair(Vec<Vec<bool>>, Vec<Vec<bool>>);

/// Trains all pairs and tests each.
///
/// # Errors
/// If a training fails or someone asked to stop.
pub(crate) fn aa_test(plan: AaPlan, stop: &Stop) -> Result<Rates> {
    let data = data(plan)?;
    let arm = |arm: usize| -> Result<Vec<Vec<bool>>> {
        stop.check()?;
        (0..plan.seeds).map(|i| train(&data, plan.seed.wrapping_add(((arm * plan.seeds) + i) as u64))).collect()
    };
    let pair = |i: usize| Ok(Pair(arm(2 * i)?, arm(2 * i + 1)?));
    let pairs: Vec<Pair> = (0..plan.pairs).into_par_iter().map(pair).collect::<Result<_>>()?;
    let over_seeds = |n: usize| {
        let name = "sign flips of the seeds' differences";
        rate(name, n, Promise::Share(attainable(n)), &pairs, move |pair: &Pair| pair.over_seeds(n))
    };
    let over_samples =
        |n: usize, name| rate(name, n, Promise::Nothing, &pairs, move |pair: &Pair| pair.over_samples(n));
    let mut tests = vec![over_seeds(plan.seeds)?];
    if plan.seeds > FEW {
        tests.insert(0, over_seeds(FEW)?);
    }
    tests.push(over_samples(1, "McNemar over the samples of one seed")?);
    tests.push(over_samples(plan.seeds, "McNemar, twice the median over the seeds")?);
    let pool: Vec<f64> =
        pairs.iter().flat_map(|pair| pair.0.iter().chain(&pair.1)).map(|right| accuracy(right)).collect();
    tests.extend(drawn(&pool, plan.seed)?);
    Ok(Rates { plan, tests })
}

/// The largest share of rejections that sign flips of n seeds can have without being more than [`ALPHA`]: their p is a
/// multiple of 2^(1-n).
fn attainable(n: usize) -> f64 {
    let patterns = 2f64.powi(n as i32 - 1);
    (ALPHA * patterns).floor() / patterns
}

fn rate(name: &str, seeds: usize, promise: Promise, pairs: &[Pair], p: impl Fn(&Pair) -> Option<f64>) -> Result<Rate> {
    let rejected = pairs.iter().filter_map(p).filter(|p| *p <= ALPHA).count();
    let interval = share_interval(rejected, pairs.len(), LEVEL).map_err(statistics)?;
    Ok(Rate { name: name.into(), seeds, of: pairs.len(), rejected, interval, promise })
}

/// Share of the test samples that a training has right.
fn accuracy(right: &[bool]) -> f64 {
    right.iter().filter(|r| **r).count() as f64 / right.len() as f64
}

impl Pair {
    fn over_seeds(&self, n: usize) -> Option<f64> {
        let of = |arm: &[Vec<bool>]| arm.iter().take(n).map(|right| accuracy(right)).collect::<Vec<_>>();
        sign_flips(&of(&self.0), &of(&self.1))
    }

    fn over_samples(&self, n: usize) -> Option<f64> {
        let p = |(a, b): (&Vec<bool>, &Vec<bool>)| mcnemar(a, b).ok().map(|test| test.p);
        combined(&self.0.iter().zip(&self.1).take(n).map(p).collect::<Option<Vec<_>>>()?)
    }
}

impl Rate {
    /// Whether it keeps its promise, if it makes one.
    pub(crate) fn holds(&self) -> bool {
        match self.promise {
            Promise::Nothing => true,
            Promise::Share(share) => (self.interval.low..=self.interval.high).contains(&share),
            Promise::Near((low, high)) => (low..=high).contains(&self.share()),
        }
    }

    pub(crate) fn share(&self) -> f64 {
        self.rejected as f64 / self.of as f64
    }

    /// What the rate says of the test.
    fn verdict(&self) -> &'static str {
        match self.promise {
            _ if !self.holds() => "WRONG",
            Promise::Share(0.) => "right: too few seeds to reject",
            Promise::Share(_) | Promise::Near(_) => "right",
            Promise::Nothing if self.interval.low > ALPHA => "compares networks, not methods",
            Promise::Nothing if self.interval.high < ALPHA => "compares networks; rejects too seldom here",
            Promise::Nothing => "compares networks",
        }
    }
}

impl Rates {
    /// Whether every test keeps its promise.
    pub(crate) fn hold(&self) -> bool {
        self.tests.iter().all(Rate::holds)
    }

    /// As a table.
    ///
    /// # Errors
    /// Never, unless a row is too short.
    pub(crate) fn table(&self) -> Result<Table> {
        let AaPlan { pairs, seeds, samples, seed } = self.plan;
        let mut table = Table::new(vec![
            Column::text("test"),
            Column::number("seeds an arm", 0),
            Column::number("tries", 0),
            Column::number("rejected", 0),
            Column::number("share, 95 % interval", 3),
            Column::text("should be"),
            Column::text("verdict"),
        ])
        .with_caption("Joint training against joint training with other seeds: false rejections at .05");
        for test in &self.tests {
            let promise = match test.promise {
                Promise::Nothing => String::new(),
                Promise::Share(share) => format!("{share:.3}"),
                Promise::Near((low, high)) => format!("{low} to {high}"),
            };
            let cells = vec![
                Cell::text(&test.name),
                Cell::number(test.seeds as f64),
                Cell::number(test.of as f64),
                Cell::number(test.rejected as f64),
                Cell::estimate(test.share(), None, Some(test.interval)),
                Cell::text(promise),
                Cell::text(test.verdict()),
            ];
            table.push(cells).map_err(statistics)?;
        }
        table.note(format!(
            "{pairs} pairs of arms of {seeds} trainings each, all with other seeds (from {seed} on), on the same generated \
             data with {samples} test samples. Intervals are exact (Clopper and Pearson)."
        ));
        table.note(
            "Sign flips of n seeds have p values that are multiples of 2^(1-n), so that what they should reject is the \
             largest such multiple up to .05: nothing with 5 seeds, and more seeds come closer to .05.",
        );
        table.note(
            "McNemar's test asks whether two trained networks differ on further samples like these. Two trainings of one \
             method are two networks that do differ, the more visibly the larger the test split, so that its rejections \
             are no evidence that methods differ.",
        );
        table.note(
            "Families, paired t and sets: runs are drawn from the accuracies of all these trainings, so that arms differ in \
             nothing, and the accuracies of a set are those times its number. Folds: normal differences, of which the said part \
             of the variance is the fold's, shared by all seeds on it, with the correlation that overlapping training sets \
             have by the assumption of the corrected test; tested are the means by fold.",
        );
        Ok(table)
    }
}

/// Two modalities, the second one harder.
fn data(plan: AaPlan) -> Result<Dataset> {
    let split = |name: &str, samples: usize| -> Result<Arc<dyn Source>> {
        let labels: Vec<u32> = (0..samples).map(|i| (i % CLASSES) as u32).collect();
        let input = |(width, strength): (usize, f64)| {
            let mut rng = Rng::keyed(plan.seed, &format!("{name}.{width}"));
            let centre = |k: usize| strength * f64::from(u8::from(k % width % CLASSES == labels[k / width] as usize));
            let values: Vec<f32> = (0..samples * width).map(|k| (rng.normal() + centre(k)) as f32).collect();
            Ok(Tensor::from_vec(values, (samples, width), &Device::Cpu)?)
        };
        let inputs = [(4, 1.2), (5, 0.8)].into_iter().map(input).collect::<Result<_>>()?;
        Ok(Arc::new(Subset::new(inputs, labels, (0..samples).map(|i| format!("{name}{i}")).collect())?))
    };
    Ok(Dataset {
        name: "aa".into(),
        modalities: ["first", "second"].map(Into::into).into(),
        class_names: (0..CLASSES).map(|c| c.to_string()).collect(),
        train: split("train", 96)?,
        validation: split("validation", CLASSES)?,
        test: split("test", plan.samples)?,
    })
}

/// Trains a network jointly; which test samples it has right.
fn train(data: &Dataset, seed: u64) -> Result<Vec<bool>> {
    let mlp = || encoder(MlpConfig { widths: vec![8], ..Default::default() });
    let encoders = ["first", "second"].map(|name| (name.to_owned(), mlp()));
    let model = ModelConfig::new(encoders, fusion(ConcatConfig {}));
    let net = LateFusion::new(&model, &data.named_shapes(), data.classes(), seed, &Device::Cpu)?;
    let method = method(Joint {}, net.spec())?;
    let opt = Adam { lr: 0.01, ..Adam::default() }.build();
    let mut learner = Learner::new(Box::new(net), method, opt, seed, EPOCHS);
    learner.run(&Splits::new(data, BATCH, &Device::Cpu), |_, _| Ok(Continue(())))?;
    Ok(metrics::evaluate(learner.net(), learner.method(), &*data.test, &Device::Cpu)?.correct())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attainable_levels_of_sign_flips() {
        assert_eq!([5, 6, 8, 10].map(attainable), [0., 1. / 32., 6. / 128., 25. / 512.]);
    }

    #[test]
    fn the_same_seed_gives_the_same_rates_and_arms_differ() {
        let plan = AaPlan { pairs: 4, seeds: 6, samples: 300, seed: 0 };
        let table = |plan| aa_test(plan, &Stop::default()).unwrap().table().unwrap().to_plain();
        assert_eq!(table(plan), table(plan));
        let data = data(plan).unwrap();
        let (a, b) = (train(&data, 0).unwrap(), train(&data, 1).unwrap());
        let right = a.iter().filter(|r| **r).count() as f64 / 300.;
        assert!(a != b && right > 0.5 && right < 0.98, "{right}");
    }

    #[test]
    fn a_test_that_rejects_too_often_is_found_out() {
        let pair = |p: f64| Pair(vec![vec![p > 0.5]], vec![vec![true]]);
        let pairs: Vec<Pair> = (0..100).map(|i| pair(f64::from(i) / 100.)).collect();
        let tenth =
            rate("t", 1, Promise::Share(ALPHA), &pairs, |pair| Some(f64::from(u8::from(pair.0[0][0])))).unwrap();
        assert!(tenth.rejected == 51 && !tenth.holds() && tenth.verdict() == "WRONG");
    }
}
