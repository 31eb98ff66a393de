//! The search: best of w steps, and a width w that follows the score of the step that was chosen.

use std::{collections::HashSet, mem, time::Instant};

use rand::Rng as _;

use crate::{Continuation, Error, Policy, ProcessReward, Result, allowed, random};

/// A thinking mode: how many continuations are sampled for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Eight.
    Complex,
    /// Four.
    Medium,
    /// Two.
    Simple,
}

impl Mode {
    /// From the widest to the narrowest.
    pub const ALL: [Self; 3] = [Self::Complex, Self::Medium, Self::Simple];

    /// Continuations a step.
    pub fn width(self) -> usize {
        match self {
            Self::Complex => 8,
            Self::Medium => 4,
            Self::Simple => 2,
        }
    }

    fn simpler(self) -> Self {
        if self == Self::Complex { Self::Medium } else { Self::Simple }
    }

    fn harder(self) -> Self {
        if self == Self::Simple { Self::Medium } else { Self::Complex }
    }
}

/// What the width follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Switching {
    /// The score of each chosen step: PATS.
    Process,
    /// Nothing: this width throughout.
    Fixed(usize),
    /// Chance: complex, medium and simple drawn anew for each step with these weights. With the shares that PATS used
    /// the mean width is the same.
    Random([f64; 3]),
    /// The whole solution: it is written in one mode, and if any of its steps scores below `low`, written again in the
    /// next harder one. If what is written again comes to no end, the one before stays. The authors compare with a
    /// control of this kind whose details are not public; this form is ours.
    Solution,
}

/// Most continuations of a step: more would be a mistake.
const MOST_WIDTH: usize = 1024;

/// How often in a row a bad step is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// Never.
    None,
    /// Once; the second is taken whatever its score.
    Once,
    /// Always.
    Infinite,
}

impl Penalty {
    fn times(self) -> usize {
        match self {
            Self::None => 0,
            Self::Once => 1,
            Self::Infinite => usize::MAX,
        }
    }
}

/// Scores at which the mode changes. They depend on the reward: the defaults are the authors' for Qwen2.5-Math-PRM-7B;
/// see [`Thresholds::calibrated`] for another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// From here one mode simpler.
    pub good: f64,
    /// Below complex.
    pub low: f64,
    /// Below thrown away.
    pub bad: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { good: 0.85, low: 0.75, bad: 0.4 }
    }
}

impl Thresholds {
    /// The 70th, 40th and 10th percentile (nearest rank) of scores of chosen steps on a development set.
    ///
    /// # Errors
    /// If there is no score, or one is no number.
    pub fn calibrated(scores: &[f64]) -> Result<Self> {
        if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            let problem = "thresholds need scores that are numbers";
            return Err(Error::invalid("calibration", problem, "give the scores of a development set"));
        }
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1];
        Ok(Self { good: rank(70), low: rank(40), bad: rank(10) })
    }
}

/// The search with its settings; the defaults are the authors' (arXiv 2505.19250, code of 2025).
///
/// ```
/// use aim_pats::{Continuation, Pats, Policy, ProcessReward, Result};
///
/// /// Counts to three.
/// struct Counter;
/// impl Policy for Counter {
///     fn sample(&mut self, _: &str, steps: &[String], n: usize, _: u64) -> Result<Vec<Continuation>> {
///         let next = steps.len() + 1;
///         Ok(vec![Continuation { text: next.to_string(), last: next == 3, tokens: 2 }; n])
///     }
/// }
/// struct Kind;
/// impl ProcessReward for Kind {
///     fn score(&mut self, _: &str, _: &[String], candidates: &[String]) -> Result<Vec<f64>> {
///         Ok(vec![0.9; candidates.len()])
///     }
/// }
///
/// let solution = Pats::default().solve(&mut Counter, &mut Kind, "Count to three.")?;
/// assert_eq!(solution.text(), "1\n\n2\n\n3");
/// assert_eq!(solution.widths(), [8, 4, 2]);
/// assert_eq!((solution.tokens, solution.reward_calls), (2 * (8 + 4 + 2), 3));
/// # Ok::<(), aim_pats::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pats {
    /// Scores at which the mode changes.
    pub thresholds: Thresholds,
    /// What the width follows.
    pub switching: Switching,
    /// Mode of the first step.
    pub first: Mode,
    /// How often in a row a bad step is thrown away.
    pub penalty: Penalty,
    /// Most steps that are tried, those thrown away included.
    pub iterations: usize,
    /// Seed of all draws.
    pub seed: u64,
}

impl Default for Pats {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            switching: Switching::Process,
            first: Mode::Complex,
            penalty: Penalty::Once,
            iterations: 35,
            seed: 42,
        }
    }
}

/// What became of the candidates of one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// None was left to choose from.
    Empty,
    /// The best was thrown away.
    Rejected,
    /// The best became a step.
    Accepted,
}

/// One iteration of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Continuations sampled.
    pub width: usize,
    /// Score of the best, if any was left to score.
    pub score: Option<f64>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a search found and what it cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Solution {
    /// The steps.
    pub steps: Vec<String>,
    /// Whether the last of them ends the solution.
    pub finished: bool,
    /// Whether a full context ended the search.
    pub full: bool,
    /// Every iteration.
    pub rounds: Vec<Round>,
    /// Tokens generated, those of candidates that were not chosen included.
    pub tokens: usize,
    /// Candidates scored.
    pub reward_calls: usize,
    /// Wall-clock time in seconds.
    pub seconds: f64,
}

impl Solution {
    /// The steps with blank lines between them.
    pub fn text(&self) -> String {
        self.steps.join("\n\n")
    }

    /// Continuations sampled in each iteration.
    pub fn widths(&self) -> Vec<usize> {
        self.rounds.iter().map(|round| round.width).collect()
    }
}

impl Pats {
    /// Solves one question. Settings, question, policy and reward being the same, so is the solution (its seconds
    /// excepted). A full context ends the search.
    ///
    /// # Errors
    /// Settings that mean nothing (see [`Pats::check`]), a failure of the policy or of the reward, a score that is no
    /// number.
    pub fn solve<P, R>(&self, policy: &mut P, reward: &mut R, question: &str) -> Result<Solution>
    where
        P: Policy + ?Sized,
        R: ProcessReward + ?Sized,
    {
        self.check()?;
        let start = Instant::now();
        let mut state = State::new(self.first);
        let mut found = Solution::default();
        for iteration in 0..self.iterations {
            let key = random::key(self.seed, &[question, &iteration.to_string()]);
            let width = self.width(state.mode, key);
            let sampled = policy.sample(question, &found.steps, width, key);
            let Some(sampled) = unless_full(sampled, &mut found.full)? else { break };
            found.tokens += sampled.iter().map(|candidate| candidate.tokens).sum::<usize>();
            let candidates = state.candidates(sampled);
            found.reward_calls += candidates.len();
            let best = best(reward, question, &found.steps, candidates);
            let Some(best) = unless_full(best, &mut found.full)? else { break };
            let score = best.as_ref().map(|(_, score)| *score);
            let (outcome, done) = self.decide(&mut state, &mut found, best);
            found.rounds.push(Round { width, score, outcome });
            if done {
                break;
            }
        }
        if let (false, Some(steps)) = (found.finished, state.written) {
            (found.steps, found.finished) = (steps, true);
        }
        found.seconds = start.elapsed().as_secs_f64();
        Ok(found)
    }

    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// Thresholds that do not fall, no iterations, a width of 0 or of more than 1024, weights that are none, whole
    /// solutions that begin in the hardest mode.
    pub fn check(&self) -> Result<()> {
        let Thresholds { good, low, bad } = self.thresholds;
        let problem = match self.switching {
            _ if !(bad <= low && low <= good) => format!("thresholds good {good}, low {low}, bad {bad} do not fall"),
            _ if self.iterations == 0 => "0 iterations solve nothing".into(),
            Switching::Fixed(0) => "a width of 0 samples nothing".into(),
            Switching::Fixed(width) if width > MOST_WIDTH => format!("a width of {width} is more than {MOST_WIDTH}"),
            Switching::Solution if self.first == Mode::Complex => {
                "whole solutions whose first mode is the complex one are never written again".into()
            }
            Switching::Random(weights) if !weighs(&weights) => format!("{weights:?} are no weights of three modes"),
            _ => return Ok(()),
        };
        Err(Error::invalid("settings of PATS", problem, "see `aim_pats::Pats` for what they mean"))
    }

    fn width(&self, mode: Mode, key: u64) -> usize {
        match self.switching {
            Switching::Process | Switching::Solution => mode.width(),
            Switching::Fixed(width) => width,
            Switching::Random(weights) => drawn(&weights, random::key(key, &["width"])).width(),
        }
    }

    /// Takes the best candidate or throws it away, and says what became of it and whether the search is done.
    fn decide(&self, state: &mut State, found: &mut Solution, best: Option<(Continuation, f64)>) -> (Outcome, bool) {
        let Some((step, score)) = best else { return (Outcome::Empty, false) };
        let Thresholds { good, low, bad } = self.thresholds;
        let by_process = self.switching == Switching::Process;
        if score < bad && state.rejected < self.penalty.times() {
            state.rejected += 1;
            if by_process {
                state.mode = Mode::Complex;
            }
            return (Outcome::Rejected, false);
        }
        state.rejected = 0;
        state.lowest = state.lowest.min(score);
        found.steps.push(step.text.clone());
        found.finished = step.last;
        let done = step.last;
        state.used.insert((step.text, step.last));
        if by_process && score >= good {
            state.mode = state.mode.simpler();
        } else if by_process && score < low {
            state.mode = Mode::Complex;
        }
        if done && self.switching == Switching::Solution && state.lowest < low && state.mode != Mode::Complex {
            *state = State { written: Some(mem::take(&mut found.steps)), ..State::new(state.mode.harder()) };
            found.finished = false;
            return (Outcome::Accepted, false);
        }
        (Outcome::Accepted, done)
    }
}

fn weighs(weights: &[f64; 3]) -> bool {
    weights.iter().all(|weight| weight.is_finite() && *weight >= 0.) && weights.iter().sum::<f64>() > 0.
}

/// A mode drawn by weight.
fn drawn(weights: &[f64; 3], key: u64) -> Mode {
    let mut left = random::generator(key).random::<f64>() * weights.iter().sum::<f64>();
    for (mode, weight) in Mode::ALL.into_iter().zip(weights) {
        if left < *weight {
            return mode;
        }
        left -= weight;
    }
    Mode::Simple
}

/// What the search remembers besides its steps.
struct State {
    mode: Mode,
    /// Bad steps thrown away in a row.
    rejected: usize,
    /// Lowest score of a step.
    lowest: f64,
    /// Steps taken so far, each with whether it was a last one.
    used: HashSet<(String, bool)>,
    /// The last whole solution, where one is being written again.
    written: Option<Vec<String>>,
}

impl State {
    fn new(mode: Mode) -> Self {
        Self { mode, rejected: 0, lowest: f64::INFINITY, used: HashSet::new(), written: None }
    }

    /// Continuations that may become a step: of allowed characters, each once, none that is a step already.
    fn candidates(&self, sampled: Vec<Continuation>) -> Vec<Continuation> {
        let mut seen = HashSet::new();
        let trimmed = sampled
            .into_iter()
            .filter(|candidate| allowed(&candidate.text))
            .map(|candidate| Continuation { text: candidate.text.trim().to_owned(), ..candidate });
        trimmed
            .filter(|candidate| {
                let step = (candidate.text.clone(), candidate.last);
                !self.used.contains(&step) && seen.insert(step)
            })
            .collect()
    }
}

/// What a model gave; none if its context is full, which is noted.
fn unless_full<T>(result: Result<T>, full: &mut bool) -> Result<Option<T>> {
    *full = matches!(result, Err(Error::Full { .. }));
    if *full { Ok(None) } else { result.map(Some) }
}

/// The candidate with the highest score, the first of equals.
fn best<R: ProcessReward + ?Sized>(
    reward: &mut R,
    question: &str,
    steps: &[String],
    candidates: Vec<Continuation>,
) -> Result<Option<(Continuation, f64)>> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let texts: Vec<String> = candidates.iter().map(|candidate| candidate.text.clone()).collect();
    let scores = reward.score(question, steps, &texts)?;
    if scores.len() != texts.len() || scores.iter().any(|score| !(0. ..=1.).contains(score)) {
        let problem = format!("gave {scores:?} for {} candidates", texts.len());
        return Err(Error::invalid("process reward", problem, "it must give a probability for each"));
    }
    let pairs = candidates.into_iter().zip(scores);
    Ok(pairs.reduce(|best, next| if next.1 > best.1 { next } else { best }))
}
