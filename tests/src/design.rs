//! Covering designs: few rows in which every two levels of two factors meet.

use std::collections::BTreeSet;

use aim_core::Rng;

/// Two levels of two factors, each a factor and a level of it, the first factor before the second.
pub type Pair = [(usize, usize); 2];

/// Rows in which every two levels meet that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    /// Rows, a level of each factor.
    pub rows: Vec<Vec<usize>>,
    /// Pairs that no row was found for.
    pub refused: Vec<Pair>,
}

/// Rows that are tried for a pair before it counts as refused.
const TRIALS: usize = 40;

/// Rows, of those that `accepts` takes, in which every pair of levels of two factors stands at least once, made
/// greedily: each row begins with a pair that is still missing and takes what brings most further ones, in an order and
/// with a choice among equals that `seed` draws. Where such a row is refused others are drawn.
pub fn covering(levels: &[usize], seed: u64, mut accepts: impl FnMut(&[usize]) -> bool) -> Design {
    let mut rng = Rng::keyed(seed, "covering");
    let factors = |second: usize| (0..second).map(move |first| (first, second));
    let of = |(a, b): (usize, usize)| (0..levels[a]).flat_map(move |i| (0..levels[b]).map(move |j| [(a, i), (b, j)]));
    let mut missing: BTreeSet<Pair> = (0..levels.len()).flat_map(factors).flat_map(of).collect();
    let mut design = Design { rows: vec![], refused: vec![] };
    while let Some(first) = missing.first().copied() {
        let mut rows = (0..TRIALS).map(|trial| match trial {
            0 => row(levels, first, Some(&missing), &mut rng),
            _ if trial % 2 == 0 => row(levels, first, None, &mut rng),
            _ => near(&design.rows, first[trial / 2 % 2], first, &mut rng)
                .unwrap_or_else(|| row(levels, first, None, &mut rng)),
        });
        match rows.find(|row| accepts(row)) {
            Some(row) => {
                let all: Vec<Option<usize>> = row.iter().copied().map(Some).collect();
                let met = row.iter().enumerate().flat_map(|own| pairs(&all, (own.0, *own.1)));
                let met: BTreeSet<Pair> = met.collect();
                missing.retain(|pair| !met.contains(pair));
                design.rows.push(row);
            }
            None => {
                missing.remove(&first);
                design.refused.push(first);
            }
        }
    }
    design
}

/// A row with this pair: the rest brings most of the pairs that are missing, or is drawn.
fn row(levels: &[usize], first: Pair, missing: Option<&BTreeSet<Pair>>, rng: &mut Rng) -> Vec<usize> {
    let mut row: Vec<Option<usize>> = vec![None; levels.len()];
    first.iter().for_each(|(factor, level)| row[*factor] = Some(*level));
    for factor in rng.permutation(levels.len()) {
        let new = |level: usize| {
            missing.map_or(0, |missing| pairs(&row, (factor, level)).filter(|pair| missing.contains(pair)).count())
        };
        let order = rng.permutation(levels[factor]);
        row[factor] = row[factor].or_else(|| order.into_iter().max_by_key(|level| new(*level)));
    }
    row.into_iter().flatten().collect()
}

/// One of the rows with this level, made to have a pair.
fn near(rows: &[Vec<usize>], (factor, level): (usize, usize), pair: Pair, rng: &mut Rng) -> Option<Vec<usize>> {
    let with: Vec<_> = rows.iter().filter(|row| row[factor] == level).collect();
    let mut row = (!with.is_empty()).then(|| with[rng.below(with.len())].clone())?;
    pair.iter().for_each(|(factor, level)| row[*factor] = *level);
    Some(row)
}

/// The pairs that a level makes with those of a row.
fn pairs(row: &[Option<usize>], own: (usize, usize)) -> impl Iterator<Item = Pair> {
    let others = row.iter().enumerate().filter(move |(factor, _)| *factor != own.0);
    others.filter_map(move |(factor, level)| {
        let other = (factor, (*level)?);
        Some(if other < own { [other, own] } else { [own, other] })
    })
}

#[cfg(test)]
mod tests {
    use super::{Design, covering};

    #[test]
    fn every_pair_stands_in_few_rows() {
        let levels = [7, 5, 4, 3, 2];
        let Design { rows, refused } = covering(&levels, 0, |_| true);
        assert_eq!((&rows, refused), (&covering(&levels, 0, |_| true).rows, vec![]));
        assert!((35..=45).contains(&rows.len()), "{} rows, of at least 35", rows.len());
        for (a, m) in levels.iter().enumerate() {
            for (b, n) in levels.iter().enumerate().skip(a + 1) {
                for pair in (0..*m).flat_map(|i| (0..*n).map(move |j| (i, j))) {
                    assert!(rows.iter().any(|row| (row[a], row[b]) == pair), "{a} and {b}: {pair:?}");
                }
            }
        }
    }
    #[test]
    fn pairs_that_no_row_may_have_are_refused_and_all_others_stand() {
        // The last level of the first factor goes with the first of the second alone.
        let Design { rows, refused } = covering(&[3, 3, 2], 0, |row| row[0] < 2 || row[1] == 0);
        assert_eq!(refused, [[(0, 2), (1, 1)], [(0, 2), (1, 2)]]);
        assert!((0..2).all(|level| rows.iter().any(|row| (row[0], row[2]) == (2, level))));
    }
}
