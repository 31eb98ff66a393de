//! What counts as one value where a row has several runs: a seed, or of a table over folds a fold.

use std::collections::BTreeMap;

use aim_stats::paired::Repeats;
use aim_train::{config::TableConfig, experiment::RunResults};

/// Means of the numbers of the runs with the same key, in the order of the keys.
pub(crate) fn means<K: Ord, const N: usize>(runs: impl Iterator<Item = (K, [f64; N])>) -> Vec<[f64; N]> {
    let mut sums: BTreeMap<K, (f64, [f64; N])> = BTreeMap::new();
    for (key, numbers) in runs {
        let (count, sum) = sums.entry(key).or_insert((0., [0.; N]));
        *count += 1.;
        sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
    }
    sums.into_values().map(|(count, sum)| sum.map(|sum| sum / count)).collect()
}

/// Which value a run belongs to: its fold's, because all seeds share a fold and so are no further evidence about other
/// data, or its seed's where there are no folds.
pub(crate) fn value_of(run: &RunResults) -> u64 {
    run.fold.map_or(run.outcome.seed, |fold| fold as u64)
}

/// One number a value of [`value_of`].
pub(crate) fn values<'a>(
    runs: impl IntoIterator<Item = &'a RunResults>,
    of: impl Fn(&RunResults) -> Option<f64>,
) -> Vec<f64> {
    means(runs.into_iter().filter_map(|run| Some((value_of(run), [of(run)?])))).as_flattened().to_vec()
}

/// How these values depend on each other.
pub(crate) fn repeats(table: &TableConfig) -> Repeats {
    table.test_to_train().map_or(Repeats::Independent, |test_to_train| Repeats::Overlapping { test_to_train })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_what_has_the_same_key() {
        let runs = [(1, [0.5, 1.]), (0, [0.25, 3.]), (1, [1., 2.])];
        assert_eq!(means(runs.into_iter()), [[0.25, 3.], [0.75, 1.5]]);
    }
}
