//! The command line and what it does.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
};

use aim_pats::{
    Error, LanguageModel, MathReward, Mode, Pats, Penalty, Result, Sampling, Solution, Switching, Thresholds,
    gsm8k::{self, Problem},
    hub,
};
use candle_core::Device;
use clap::{Args, Parser, ValueEnum};
use serde_json::json;

/// Process-level switching of thinking modes for language models that reason step by step.
#[derive(Debug, Parser)]
#[command(name = "aim-pats", version)]
pub enum Program {
    /// Solve the questions of a file and count what is right and what it cost.
    Eval(Eval),
}

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub struct Eval {
    /// File of GSM8K: a JSON object a line, with question and answer.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Language model (Qwen2 or Llama): a folder, or hf://OWNER/NAME[@REVISION].
    #[arg(long, value_name = "DIR")]
    model: String,
    /// Process reward of the form of Qwen2.5-Math-PRM: a folder, or hf://OWNER/NAME[@REVISION].
    #[arg(long, value_name = "DIR")]
    reward: String,
    /// Solve the first N questions only.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Write a JSON object for each question: text, answer, widths, scores, cost.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Seed of all draws.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Mode of the first step.
    #[arg(long, value_enum, default_value_t = First::Complex)]
    first: First,
    /// How often in a row a bad step is thrown away.
    #[arg(long, value_enum, default_value_t = Bad::Once)]
    penalty: Bad,
    /// Sample this many continuations throughout, instead of switching.
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Scores at which the mode changes: good, low and bad.
    #[arg(long, value_name = "G,L,B", default_value = "0.85,0.75,0.4", value_parser = thresholds)]
    thresholds: Thresholds,
    /// Temperature of sampling; 0 takes the most probable token.
    #[arg(long, default_value_t = Sampling::default().temperature)]
    temperature: f64,
    /// Most tokens of a step.
    #[arg(long, value_name = "N", default_value_t = Sampling::default().max_tokens)]
    max_tokens: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum First {
    Complex,
    Medium,
    Simple,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bad {
    None,
    Once,
    Infinite,
}

/// Three numbers with commas between them.
fn thresholds(text: &str) -> Result<Thresholds, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[good, low, bad]) => Ok(Thresholds { good, low, bad }),
        _ => Err("give three numbers such as 0.85,0.75,0.4".into()),
    }
}

impl Program {
    /// Does what the arguments say.
    pub fn run(&self) -> Result<()> {
        let Self::Eval(eval) = self;
        eval.run()
    }
}

impl Eval {
    fn pats(&self) -> Pats {
        Pats {
            thresholds: self.thresholds,
            switching: self.width.map_or(Switching::Process, Switching::Fixed),
            first: match self.first {
                First::Complex => Mode::Complex,
                First::Medium => Mode::Medium,
                First::Simple => Mode::Simple,
            },
            penalty: match self.penalty {
                Bad::None => Penalty::None,
                Bad::Once => Penalty::Once,
                Bad::Infinite => Penalty::Infinite,
            },
            seed: self.seed,
            ..Pats::default()
        }
    }

    fn run(&self) -> Result<()> {
        let sampling = Sampling { temperature: self.temperature, max_tokens: self.max_tokens };
        self.pats().check()?;
        sampling.check()?;
        let mut problems = gsm8k::read(&self.data)?;
        problems.truncate(self.limit.unwrap_or(usize::MAX));
        let device = Device::cuda_if_available(0)?;
        let mut policy = LanguageModel::load(&hub::folder(&self.model)?, &device, sampling)?;
        let mut reward = MathReward::load(&hub::folder(&self.reward)?, &device)?;
        let mut out =
            self.out.as_ref().map(|path| File::create(path).map(BufWriter::new)).transpose().map_err(written)?;
        let mut sums = Sums::default();
        for (at, problem) in problems.iter().enumerate() {
            let solution = self.pats().solve(&mut policy, &mut reward, &problem.question)?;
            let right = sums.add(problem, &solution);
            println!("{} of {}: {}", at + 1, problems.len(), if right { "right" } else { "wrong" });
            if let Some(out) = &mut out {
                writeln!(out, "{}", record(problem, &solution, right)).map_err(written)?;
            }
        }
        out.as_mut().map_or(Ok(()), BufWriter::flush).map_err(written)?;
        println!("{}", sums.told());
        Ok(())
    }
}

fn written(error: std::io::Error) -> Error {
    Error::invalid("--out", error, "give the path of a file that can be written")
}

fn record(problem: &Problem, solution: &Solution, right: bool) -> serde_json::Value {
    let scores: Vec<Option<f64>> = solution.rounds.iter().map(|round| round.score).collect();
    json!({
        "question": problem.question,
        "expected": problem.answer,
        "answer": gsm8k::extract(&solution.text()),
        "right": right,
        "finished": solution.finished,
        "full": solution.full,
        "steps": solution.steps,
        "widths": solution.widths(),
        "scores": scores,
        "tokens": solution.tokens,
        "reward_calls": solution.reward_calls,
        "seconds": solution.seconds,
    })
}

/// What all questions took together.
#[derive(Debug, Default)]
struct Sums {
    questions: usize,
    right: usize,
    finished: usize,
    /// Searches that a full context ended.
    full: usize,
    tokens: usize,
    reward_calls: usize,
    seconds: f64,
    /// Iterations of each mode.
    modes: [usize; 3],
}

impl Sums {
    /// Adds a question and says whether its answer is right.
    fn add(&mut self, problem: &Problem, solution: &Solution) -> bool {
        let right = gsm8k::extract(&solution.text()).is_some_and(|answer| gsm8k::same(&answer, &problem.answer));
        self.questions += 1;
        self.right += usize::from(right);
        self.finished += usize::from(solution.finished);
        self.full += usize::from(solution.full);
        self.tokens += solution.tokens;
        self.reward_calls += solution.reward_calls;
        self.seconds += solution.seconds;
        for (count, mode) in self.modes.iter_mut().zip(Mode::ALL) {
            *count += solution.rounds.iter().filter(|round| round.width == mode.width()).count();
        }
        right
    }

    fn told(&self) -> String {
        let each = |sum: f64| sum / self.questions.max(1) as f64;
        format!(
            "{} of {} right ({:.1} %), {} finished, {} ended by a full context; a question: {:.1} tokens, {:.1} scores, \
             {:.2} s; iterations 8/4/2: {:?}",
            self.right,
            self.questions,
            100. * each(self.right as f64),
            self.finished,
            self.full,
            each(self.tokens as f64),
            each(self.reward_calls as f64),
            each(self.seconds),
            self.modes,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::Parser as _;

    use super::*;

    fn parsed(line: &str) -> Option<Result<Program, clap::Error>> {
        let arguments = line.strip_prefix("cargo run --release -p aim-pats")?.split_once(" -- ")?.1;
        (!line.contains("--example"))
            .then(|| Program::try_parse_from(["aim-pats"].into_iter().chain(arguments.split_whitespace())))
    }

    #[test]
    fn every_command_line_in_the_documentation_is_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut tried = 0;
        for page in ["README.md", "../../docs/book/src/pats.md"] {
            let text = fs::read_to_string(root.join(page)).unwrap();
            let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end());
            for (line, program) in lines.filter_map(|line| Some((line, parsed(line)?))) {
                tried += 1;
                assert!(program.is_ok(), "{page}: {line}: {}", program.unwrap_err());
            }
        }
        assert!(tried >= 4, "{tried}");
        assert!(parsed("cargo run --release -p aim-pats -- eval --data x").unwrap().is_err());
    }

    #[test]
    fn arguments_are_the_settings() {
        let line = "cargo run --release -p aim-pats -- eval --data d --model m --reward r";
        let pats = |more: &str| {
            let Program::Eval(eval) = parsed(&format!("{line} {more}")).unwrap().unwrap();
            eval.pats()
        };
        assert_eq!(pats(""), Pats::default());
        assert!(parsed(&format!("{line} --thresholds 0.9,0.8")).unwrap().is_err());
        let all = pats("--seed 1 --first simple --penalty infinite --width 3 --thresholds 0.9,0.8,0.1");
        let expected = Pats {
            thresholds: Thresholds { good: 0.9, low: 0.8, bad: 0.1 },
            switching: Switching::Fixed(3),
            first: Mode::Simple,
            penalty: Penalty::Infinite,
            seed: 1,
            ..Pats::default()
        };
        assert_eq!(all, expected);
    }
}
