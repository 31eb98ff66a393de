//! Epochs that show every stratum, a class or a group, equally often.

use std::collections::BTreeMap;

use aim_core::Rng;

/// As many samples as there are, so that every stratum has the same share: the quotient, and by chance one more where
/// it does not come out even. Within a stratum some samples are shown once more than others, by chance. `strata` is
/// the stratum of each sample.
pub(crate) fn shares(strata: &[u32], rng: &mut Rng) -> Vec<usize> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    strata.iter().enumerate().for_each(|(sample, stratum)| members.entry(*stratum).or_default().push(sample));
    let count = members.len().max(1);
    let (share, more) = (strata.len() / count, strata.len() % count);
    let places = rng.permutation(members.len());
    let mut shown = Vec::with_capacity(strata.len());
    for (samples, place) in members.values().zip(places) {
        let share = share + usize::from(place < more);
        let whole = share / samples.len() * samples.len();
        shown.extend(samples.iter().cycle().take(whole));
        shown.extend(rng.permutation(samples.len()).into_iter().take(share - whole).map(|i| samples[i]));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(strata: &[u32], seed: u64) -> Vec<usize> {
        let mut counts = vec![0; strata.len()];
        shares(strata, &mut Rng::keyed(seed, "shares")).into_iter().for_each(|sample| counts[sample] += 1);
        counts
    }

    #[test]
    fn strata_are_shown_equally_often_and_their_samples_nearly_so() {
        // 8 samples of two strata, 6 and 2: 4 showings each, of the larger 4 of 6 once, of the smaller both twice.
        let (strata, mut seen) = ([0, 0, 7, 0, 0, 7, 0, 0], std::collections::BTreeSet::new());
        for seed in 0..20 {
            let counts = counts(&strata, seed);
            assert_eq!((counts[2], counts[5]), (2, 2));
            let mut large: Vec<usize> = [0, 1, 3, 4, 6, 7].map(|sample: usize| counts[sample]).into();
            seen.insert(large.clone());
            large.sort_unstable();
            assert_eq!(large, [0, 0, 1, 1, 1, 1]);
        }
        assert!(seen.len() > 5, "which ones is drawn by the seed: {seen:?}");
    }

    #[test]
    fn a_remainder_goes_to_strata_by_chance() {
        // 7 samples of three strata: 2, 2 and 3 showings.
        let strata = [0, 0, 0, 0, 1, 1, 2];
        let mut most = [0; 3];
        for seed in 0..30 {
            let counts = counts(&strata, seed);
            let by = [counts[..4].iter().sum::<usize>(), counts[4..6].iter().sum(), counts[6]];
            let mut sorted = by;
            sorted.sort_unstable();
            assert_eq!(sorted, [2, 2, 3]);
            by.iter().position(|n| *n == 3).into_iter().for_each(|stratum| most[stratum] += 1);
        }
        assert!(most.iter().all(|n| *n > 2), "{most:?}");
    }

    #[test]
    fn even_strata_are_shown_once_each() {
        assert_eq!(counts(&[3, 1, 1, 3], 0), [1; 4]);
        assert_eq!(counts(&[], 0), [0; 0]);
    }
}
