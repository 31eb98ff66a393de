//! Runs the variants of the search on the same problems.

use aim_pats::{
    Mode, Pats, Penalty, Policy, Solution, Switching, Thresholds,
    arithmetic::{self, Checker},
    random,
};

use crate::train::Result;

/// Standard deviation of the checker's noise.
pub const NOISE: f64 = 0.3;
/// Problems of a seed.
pub const PROBLEMS: usize = 80;
/// Widths that are tried throughout.
pub const WIDTHS: [usize; 4] = [1, 2, 4, 8];
/// Seed of the development set; those of the comparison are smaller.
const DEVELOPMENT: u64 = 1000;

/// A variant of the search with its name.
#[derive(Clone)]
pub struct Variant {
    pub name: String,
    pub pats: Pats,
}

/// What a variant reached on the problems of one seed.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// Share of right answers.
    pub accuracy: f64,
    /// Tokens a problem.
    pub tokens: f64,
    /// Candidates scored a problem.
    pub reward_calls: f64,
    /// Continuations an iteration.
    pub width: f64,
    /// Iterations at width 8, 4 and 2, by the iteration's place in its run.
    pub modes: Vec<[usize; 3]>,
}

/// Problems of a seed, none of which was trained on.
fn problems(seed: u64) -> impl Iterator<Item = String> {
    let keys = (0..).map(move |at: usize| random::key(seed, &["test", &at.to_string()]));
    keys.map(arithmetic::expression).filter(|question| arithmetic::held_out(question)).take(PROBLEMS)
}

/// Solutions of the problems of a seed.
fn solve<P: Policy>(policy: &mut P, pats: Pats, seed: u64) -> Result<Vec<(String, Solution)>> {
    let pats = Pats { seed, ..pats };
    let mut reward = Checker { noise: NOISE, seed };
    let solved = problems(seed).map(|question| Ok((question.clone(), pats.solve(policy, &mut reward, &question)?)));
    solved.collect()
}

fn reached(solved: &[(String, Solution)]) -> Reached {
    let mean = |of: &dyn Fn(&(String, Solution)) -> f64| solved.iter().map(of).sum::<f64>() / solved.len() as f64;
    let right = |(question, solution): &(String, Solution)| {
        solution.finished && solution.steps.last() == arithmetic::steps(question).last()
    };
    let rounds = || solved.iter().flat_map(|(_, solution)| solution.rounds.iter().enumerate());
    let mut modes = vec![[0; 3]; rounds().map(|(at, _)| at + 1).max().unwrap_or_default()];
    for (at, round) in rounds() {
        for (count, mode) in modes[at].iter_mut().zip(Mode::ALL) {
            *count += usize::from(round.width == mode.width());
        }
    }
    Reached {
        accuracy: mean(&|one| f64::from(u8::from(right(one)))),
        tokens: mean(&|(_, solution)| solution.tokens as f64),
        reward_calls: mean(&|(_, solution)| solution.reward_calls as f64),
        width: rounds().map(|(_, round)| round.width as f64).sum::<f64>() / rounds().count() as f64,
        modes,
    }
}

/// Thresholds from the scores of the best of four on the development set, and the shares of the three modes that PATS
/// with published thresholds used there.
pub fn develop<P: Policy>(policy: &mut P) -> Result<(Thresholds, [f64; 3])> {
    let best_of_4 = Pats { switching: Switching::Fixed(4), penalty: Penalty::None, ..Pats::default() };
    let solved = solve(policy, best_of_4, DEVELOPMENT)?;
    let scores = solved.iter().flat_map(|(_, solution)| solution.rounds.iter().filter_map(|round| round.score));
    let thresholds = Thresholds::calibrated(&scores.collect::<Vec<_>>())?;
    let modes = reached(&solve(policy, Pats::default(), DEVELOPMENT)?).modes;
    let total = |mode: usize| modes.iter().map(|counts| counts[mode]).sum::<usize>() as f64;
    let sum = total(0) + total(1) + total(2);
    Ok((thresholds, [0, 1, 2].map(|mode| total(mode) / sum)))
}

/// PATS, its variants, and its controls.
pub fn variants((calibrated, shares): (Thresholds, [f64; 3])) -> Vec<Variant> {
    let new = |name: &str, pats: Pats| Variant { name: name.to_owned(), pats };
    let pats = Pats::default();
    let fixed = |width: usize| {
        // One sample is a sample: nothing is thrown away.
        let penalty = if width == 1 { Penalty::None } else { Penalty::Once };
        new(&format!("width {width}"), Pats { switching: Switching::Fixed(width), penalty, ..pats })
    };
    let mut variants: Vec<Variant> = WIDTHS.into_iter().map(fixed).collect();
    variants.extend([
        new("PATS", pats),
        new("PATS, calibrated", Pats { thresholds: calibrated, ..pats }),
        new("random widths", Pats { switching: Switching::Random(shares), ..pats }),
        new("whole solutions", Pats { switching: Switching::Solution, first: Mode::Simple, ..pats }),
        new("first medium", Pats { first: Mode::Medium, ..pats }),
        new("first simple", Pats { first: Mode::Simple, ..pats }),
        new("no penalty", Pats { penalty: Penalty::None, ..pats }),
        new("infinite penalty", Pats { penalty: Penalty::Infinite, ..pats }),
    ]);
    variants
}

/// What every variant reached with every seed; two seeds at a time.
pub fn compare<P: Policy + Clone + Send>(policy: &P, variants: &[Variant], seeds: u64) -> Result<Vec<Vec<Reached>>> {
    let work = |parity: u64| {
        let mut policy = policy.clone();
        move || -> Result<Vec<Vec<Reached>>> {
            let mut one = |seed, variant: &Variant| Ok(reached(&solve(&mut policy, variant.pats, seed)?));
            let seeds = (0..seeds).filter(|seed| seed % 2 == parity);
            seeds.map(|seed| variants.iter().map(|variant| one(seed, variant)).collect()).collect()
        }
    };
    let [even, odd] = std::thread::scope(|scope| {
        let halves = [0, 1].map(|parity| scope.spawn(work(parity)));
        halves.map(|half| half.join().unwrap_or_else(|_| Err("a thread stopped".into())))
    });
    let (mut even, mut odd) = (even?.into_iter(), odd?.into_iter());
    let rows = (0..seeds).filter_map(|seed| if seed % 2 == 0 { even.next() } else { odd.next() });
    Ok(rows.collect())
}

/// What fixed widths reach at this many tokens: on the line between the two around it, which is what taking either by
/// chance reaches.
pub fn line(fixed: &[Reached], tokens: f64) -> Option<f64> {
    let between = fixed.windows(2).find(|pair| pair[0].tokens <= tokens && tokens <= pair[1].tokens)?;
    let [low, high] = between else { return None };
    let part = (tokens - low.tokens) / (high.tokens - low.tokens);
    Some(low.accuracy + part * (high.accuracy - low.accuracy))
}

#[cfg(test)]
pub mod tests {
    use aim_pats::Continuation;
    use rand::Rng as _;

    use super::*;

    /// Works every step out and errs in one of three.
    #[derive(Clone)]
    pub struct Careless;

    impl Policy for Careless {
        fn sample(
            &mut self,
            question: &str,
            steps: &[String],
            n: usize,
            key: u64,
        ) -> aim_pats::Result<Vec<Continuation>> {
            let before = steps.last().map_or(question, String::as_str);
            let right = arithmetic::steps(before).first().cloned().unwrap_or_default();
            let mut rng = random::generator(key);
            let mut one = || {
                let text =
                    if rng.random_bool(0.7) { right.clone() } else { format!("{right}{}", rng.random_range(0..9)) };
                let last = !text.contains(['+', '-', '*']);
                Continuation { tokens: text.len() + 1, last, text }
            };
            Ok((0..n).map(|_| one()).collect())
        }
    }

    #[test]
    fn wider_is_better_and_costs_more() {
        let developed = develop(&mut Careless).unwrap();
        assert!((developed.1.iter().sum::<f64>() - 1.).abs() < 1e-9);
        let variants = variants(developed);
        let table = compare(&Careless, &variants, 3).unwrap();
        assert_eq!((table.len(), table[0].len()), (3, variants.len()));
        for seed in &table {
            assert!(seed[0].accuracy < seed[3].accuracy && seed[0].tokens < seed[1].tokens, "{seed:?}");
            let widths: Vec<f64> = seed[..WIDTHS.len()].iter().map(|reached| reached.width).collect();
            assert_eq!(widths, WIDTHS.map(|width| width as f64));
        }
        // The same whichever thread works.
        let again = compare(&Careless, &variants[..2], 2).unwrap();
        assert_eq!(again[1][1].accuracy, table[1][1].accuracy);
    }

    #[test]
    fn the_line_by_hand() {
        let at = |tokens: f64, accuracy: f64| Reached { tokens, accuracy, ..Reached::default() };
        let fixed = [at(10., 0.5), at(20., 0.7), at(40., 0.8)];
        assert_eq!([10., 15., 30., 40.].map(|tokens| line(&fixed, tokens).unwrap()), [0.5, 0.6, 0.75, 0.8]);
        assert!(line(&fixed, 9.).is_none() && line(&fixed, 41.).is_none());
    }
}
