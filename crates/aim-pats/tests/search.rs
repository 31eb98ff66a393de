//! The search with scripted policies and rewards.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use aim_pats::{
    Continuation, Error, Mode, Outcome, Pats, Penalty, Policy, ProcessReward, Result, Solution, Switching, Thresholds,
    random,
};
use rand::Rng as _;

/// Writes a step of its own for every call; the last one ends the solution.
#[derive(Default)]
struct Writer {
    calls: usize,
    ends: usize,
}

impl Policy for Writer {
    fn sample(&mut self, _: &str, _: &[String], n: usize, _: u64) -> Result<Vec<Continuation>> {
        self.calls += 1;
        let last = self.calls == self.ends;
        let text = |at: usize| format!("step {}.{at}\n", self.calls);
        Ok((0..n).map(|at| Continuation { text: text(at), last, tokens: 3 }).collect())
    }
}

/// The best of the candidates scores what is next in the script; the others 0.1 less.
struct Script(Vec<f64>);

impl ProcessReward for Script {
    fn score(&mut self, _: &str, _: &[String], candidates: &[String]) -> Result<Vec<f64>> {
        let best = if self.0.is_empty() { 0.8 } else { self.0.remove(0) };
        let mut scores = vec![best - 0.1; candidates.len()];
        *scores.last_mut().unwrap() = best;
        Ok(scores)
    }
}

fn run(pats: Pats, script: &[f64]) -> Solution {
    let mut writer = Writer { calls: 0, ends: script.len() };
    pats.solve(&mut writer, &mut Script(script.to_vec()), "question").unwrap()
}

/// Widths of the iterations of a script of scores.
fn widths(pats: Pats, script: &[f64]) -> Vec<usize> {
    run(pats, script).widths()
}

#[test]
fn good_steps_make_the_next_simpler() {
    let found = run(Pats::default(), &[0.9, 0.9, 0.9, 0.9]);
    assert_eq!(found.widths(), [8, 4, 2, 2]);
    assert_eq!(found.text(), "step 1.7\n\nstep 2.3\n\nstep 3.1\n\nstep 4.1");
    assert!(found.finished);
    assert_eq!((found.tokens, found.reward_calls), (3 * 16, 16));
}

#[test]
fn a_low_step_brings_back_the_complex_mode() {
    assert_eq!(widths(Pats::default(), &[0.9, 0.7, 0.9]), [8, 4, 8]);
    assert_eq!(widths(Pats::default(), &[0.9, 0.9, 0.74, 0.9]), [8, 4, 2, 8]);
}

#[test]
fn a_step_between_keeps_the_width() {
    assert_eq!(widths(Pats::default(), &[0.9, 0.8, 0.75, 0.9]), [8, 4, 4, 4]);
    // A threshold is reached by equality.
    assert_eq!(widths(Pats::default(), &[0.85, 0.9]), [8, 4]);
}

#[test]
fn a_bad_step_is_thrown_away_once() {
    let found = run(Pats::default(), &[0.3, 0.3, 0.9]);
    assert_eq!(found.widths(), [8, 8, 8]);
    let outcomes: Vec<Outcome> = found.rounds.iter().map(|round| round.outcome).collect();
    assert_eq!(outcomes, [Outcome::Rejected, Outcome::Accepted, Outcome::Accepted]);
    assert_eq!(found.steps, ["step 2.7", "step 3.7"]);
    // In a simpler mode the second try is in the complex one, and what follows a good one counts anew.
    let found = run(Pats::default(), &[0.9, 0.3, 0.9, 0.3, 0.3, 0.9]);
    assert_eq!(found.widths(), [8, 4, 8, 4, 8, 8]);
    assert_eq!(found.steps.len(), 4);
    // 0.4 itself is not bad.
    assert_eq!(run(Pats::default(), &[0.4, 0.9]).steps.len(), 2);
}

#[test]
fn penalties_are_none_once_or_infinite() {
    let with = |penalty| run(Pats { penalty, ..Pats::default() }, &[0.3, 0.2, 0.1, 0.9]).steps.len();
    assert_eq!([with(Penalty::None), with(Penalty::Once), with(Penalty::Infinite)], [4, 2, 1]);
    let pats = Pats { penalty: Penalty::Infinite, ..Pats::default() };
    let found = run(pats, &[0.1; 50]);
    assert_eq!((found.rounds.len(), found.steps.len(), found.finished), (35, 0, false));
}

#[test]
fn the_first_mode_is_a_setting() {
    let with = |first| widths(Pats { first, ..Pats::default() }, &[0.9, 0.9]);
    assert_eq!([with(Mode::Medium), with(Mode::Simple)], [[4, 2], [2, 2]]);
}

#[test]
fn fixed_widths_stay_whatever_the_scores() {
    let pats = Pats { switching: Switching::Fixed(3), ..Pats::default() };
    assert_eq!(widths(pats, &[0.9, 0.1, 0.1, 0.5, 0.9]), [3; 5]);
}

#[test]
fn random_widths_have_the_weights_given() {
    let pats = Pats { switching: Switching::Random([1., 0., 3.]), iterations: 4000, ..Pats::default() };
    let found = pats.solve(&mut Writer::default(), &mut Script(vec![]), "question").unwrap();
    let share = |width| found.widths().iter().filter(|w| **w == width).count() as f64 / 4000.;
    assert!((share(8) - 0.25).abs() < 0.03 && share(4) == 0., "{} {}", share(8), share(4));
    assert_eq!(widths(Pats { switching: Switching::Random([0., 2., 0.]), ..pats }, &[0.9, 0.1, 0.9]), [4; 3]);
}

#[test]
fn whole_solutions_are_written_again_in_a_harder_mode() {
    /// Two steps, then the end, whatever the steps say.
    struct Pairs;
    impl Policy for Pairs {
        fn sample(&mut self, _: &str, steps: &[String], n: usize, key: u64) -> Result<Vec<Continuation>> {
            Ok(vec![Continuation { text: format!("{key}"), last: steps.len() == 1, tokens: 1 }; n])
        }
    }
    let pats = Pats { switching: Switching::Solution, first: Mode::Simple, ..Pats::default() };
    let solve = |script: &[f64]| pats.solve(&mut Pairs, &mut Script(script.to_vec()), "question").unwrap();
    let found = solve(&[0.9, 0.7, 0.9, 0.9]);
    assert_eq!((found.widths(), found.steps.len()), (vec![2, 2, 4, 4], 2));
    // The complex mode is the last.
    let found = solve(&[0.7; 6]);
    assert_eq!((found.widths(), found.finished), (vec![2, 2, 4, 4, 8, 8], true));
    assert_eq!(solve(&[0.75, 0.75]).widths(), [2, 2]);
    // Where the iterations are over, or every further step is thrown away, the one before stays.
    let first = solve(&[0.9, 0.9]).steps;
    for pats in [Pats { iterations: 3, ..pats }, Pats { penalty: Penalty::Infinite, ..pats }] {
        let script = [vec![0.9, 0.7], vec![0.1; 40]].concat();
        let found = pats.solve(&mut Pairs, &mut Script(script), "question").unwrap();
        assert_eq!((&found.steps, found.finished, found.rounds.len()), (&first, true, pats.iterations));
    }
}

/// Candidates of a list, whatever is asked.
struct Given(Vec<(&'static str, bool)>);

impl Policy for Given {
    fn sample(&mut self, _: &str, _: &[String], _: usize, _: u64) -> Result<Vec<Continuation>> {
        let made = |(text, last): &(&str, bool)| Continuation { text: (*text).to_owned(), last: *last, tokens: 1 };
        Ok(self.0.iter().map(made).collect())
    }
}

/// Remembers what it was asked.
#[derive(Default)]
struct Listener(Vec<Vec<String>>);

impl ProcessReward for Listener {
    fn score(&mut self, _: &str, _: &[String], candidates: &[String]) -> Result<Vec<f64>> {
        self.0.push(candidates.to_vec());
        Ok(vec![0.8; candidates.len()])
    }
}

#[test]
fn candidates_are_trimmed_distinct_and_allowed() {
    let mut listener = Listener::default();
    let given = vec![(" a\n", false), ("a", false), ("答", false), ("b", false), ("a", true)];
    let pats = Pats { iterations: 3, ..Pats::default() };
    let found = pats.solve(&mut Given(given), &mut listener, "question").unwrap();
    // Of equal scores the first is taken; a step is not taken twice.
    assert_eq!(listener.0, [vec!["a", "b", "a"], vec!["b", "a"], vec!["a"]]);
    assert_eq!(found.steps, ["a", "b", "a"]);
    assert!(found.finished);
    assert_eq!((found.tokens, found.reward_calls), (15, 6));
}

#[test]
fn an_empty_set_spends_an_iteration() {
    for (given, first) in [(vec![], Mode::Complex), (vec![("答", false)], Mode::Complex), (vec![], Mode::Simple)] {
        let (mut listener, pats) = (Listener::default(), Pats { first, ..Pats::default() });
        let found = pats.solve(&mut Given(given), &mut listener, "question").unwrap();
        assert_eq!((found.rounds.len(), found.steps.len(), listener.0.len()), (35, 0, 0));
        assert!(found.rounds.iter().all(|round| round.outcome == Outcome::Empty && round.width == first.width()));
    }
    // So does one of which everything was used.
    let found = Pats::default().solve(&mut Given(vec![("a", false)]), &mut Listener::default(), "question").unwrap();
    assert_eq!((found.rounds.len(), found.steps.len()), (35, 1));
}

/// Steps, ends, forbidden characters and scores by chance.
struct Chance;

impl Policy for Chance {
    fn sample(&mut self, _: &str, _: &[String], n: usize, key: u64) -> Result<Vec<Continuation>> {
        let mut rng = random::generator(key);
        let mut one = || {
            let text = if rng.random_bool(0.2) { "字".into() } else { rng.random_range(0..40).to_string() };
            Continuation { text, last: rng.random_bool(0.03), tokens: rng.random_range(1..9) }
        };
        Ok((0..n).map(|_| one()).collect())
    }
}

impl ProcessReward for Chance {
    fn score(&mut self, question: &str, steps: &[String], candidates: &[String]) -> Result<Vec<f64>> {
        let key = |candidate: &str| random::key(7, &[question, &steps.len().to_string(), candidate]);
        Ok(candidates.iter().map(|candidate| random::generator(key(candidate)).random()).collect())
    }
}

#[test]
fn no_run_passes_its_iterations_and_a_seed_gives_one_text() {
    let random = Switching::Random([1., 1., 1.]);
    let mut texts = std::collections::HashSet::new();
    for seed in 0..200 {
        for switching in [Switching::Process, Switching::Fixed(1), random, Switching::Solution] {
            for (first, penalty) in
                [(Mode::Complex, Penalty::Once), (Mode::Simple, Penalty::None), (Mode::Medium, Penalty::Infinite)]
            {
                if switching == Switching::Solution && first == Mode::Complex {
                    continue;
                }
                let pats = Pats { switching, first, penalty, seed, ..Pats::default() };
                let solve = || Solution { seconds: 0., ..pats.solve(&mut Chance, &mut Chance, "question").unwrap() };
                let found = solve();
                assert_eq!(found, solve());
                assert!(found.rounds.len() <= 35 && found.steps.len() <= found.rounds.len());
                assert!(found.finished || found.rounds.len() == 35);
                texts.insert(found.text());
            }
        }
    }
    assert!(texts.len() > 500, "{}", texts.len());
}

#[test]
fn a_full_context_ends_the_search() {
    /// Has room for some more calls.
    struct Narrow(usize);
    impl Narrow {
        fn call(&mut self) -> Result<()> {
            self.0 = self.0.checked_sub(1).ok_or(Error::Full { tokens: 9, positions: 8 })?;
            Ok(())
        }
    }
    impl Policy for Narrow {
        fn sample(&mut self, _: &str, steps: &[String], n: usize, _: u64) -> Result<Vec<Continuation>> {
            self.call()?;
            Ok(vec![Continuation { text: steps.len().to_string(), last: false, tokens: 1 }; n])
        }
    }
    impl ProcessReward for Narrow {
        fn score(&mut self, _: &str, _: &[String], candidates: &[String]) -> Result<Vec<f64>> {
            self.call()?;
            Ok(vec![0.8; candidates.len()])
        }
    }
    for (policy, reward, tokens) in [(2, 9, 16), (9, 2, 24), (0, 9, 0)] {
        let found = Pats::default().solve(&mut Narrow(policy), &mut Narrow(reward), "question").unwrap();
        let steps = policy.min(reward);
        assert_eq!((found.steps.len(), found.rounds.len(), found.tokens), (steps, steps, tokens));
        assert!(found.full && !found.finished);
    }
    assert!(!Pats::default().solve(&mut Narrow(99), &mut Narrow(99), "question").unwrap().full);
}

#[test]
fn settings_and_rewards_that_mean_nothing_are_refused() {
    let told = |pats: Pats| pats.solve(&mut Chance, &mut Chance, "question").unwrap_err().to_string();
    let thresholds = Thresholds { good: 0.5, low: 0.6, bad: 0.4 };
    assert!(told(Pats { thresholds, ..Pats::default() }).contains("do not fall"));
    assert!(told(Pats { thresholds: Thresholds { good: f64::NAN, ..thresholds }, ..Pats::default() }).contains("NaN"));
    assert!(told(Pats { iterations: 0, ..Pats::default() }).contains("0 iterations"));
    assert!(told(Pats { switching: Switching::Fixed(0), ..Pats::default() }).contains("width of 0"));
    assert!(told(Pats { switching: Switching::Fixed(1025), ..Pats::default() }).contains("1025 is more than 1024"));
    assert!(Pats { switching: Switching::Fixed(1024), ..Pats::default() }.check().is_ok());
    assert!(told(Pats { switching: Switching::Solution, ..Pats::default() }).contains("never written again"));
    assert!(told(Pats { switching: Switching::Random([0.; 3]), ..Pats::default() }).contains("no weights"));

    struct Bad(Vec<f64>);
    impl ProcessReward for Bad {
        fn score(&mut self, _: &str, _: &[String], _: &[String]) -> Result<Vec<f64>> {
            Ok(self.0.clone())
        }
    }
    for scores in [vec![], vec![f64::NAN], vec![1.5], vec![0.5, 0.5]] {
        let error = Pats::default().solve(&mut Given(vec![("a", false)]), &mut Bad(scores), "question").unwrap_err();
        assert!(error.to_string().contains("a probability for each"), "{error}");
    }
}

#[test]
fn thresholds_are_percentiles() {
    let scores: Vec<f64> = (1..=10).rev().map(|score| f64::from(score) / 10.).collect();
    assert_eq!(Thresholds::calibrated(&scores).unwrap(), Thresholds { good: 0.7, low: 0.4, bad: 0.1 });
    assert_eq!(Thresholds::calibrated(&[0.5]).unwrap(), Thresholds { good: 0.5, low: 0.5, bad: 0.5 });
    assert!(Thresholds::calibrated(&[]).is_err() && Thresholds::calibrated(&[f64::NAN]).is_err());
}
