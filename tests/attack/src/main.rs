//! The attack as a command: `cargo run --release -p aim-attack -- --inputs 1000000 --seed 0`.
//!
//! `--only NAME` attacks one target, `--first N` begins at another input, so that what was stopped goes on and a fault
//! is met again; `--write FOLDER` writes samples and dictionaries for the fuzzer of `fuzz/` instead.

use std::{fs, io, path::Path, process::ExitCode};

use aim_attack::{Counting, Figures, Plan, Target, attack, dictionary, targets};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(Arguments { write: Some(folder), .. }) => match write(Path::new(&folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{folder}: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(arguments) => run(&arguments),
        Err(problem) => {
            eprintln!("{problem}; aim-attack [--inputs N] [--seed S] [--first N] [--only NAME] [--write FOLDER]");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    plan: Plan,
    only: Option<String>,
    write: Option<String>,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan { seed: 0, first: 0, inputs: 1_000_000, threads };
    let mut all = Arguments { plan, only: None, write: None };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} {value} is no number"));
        match word.as_str() {
            "--inputs" => all.plan.inputs = number()?,
            "--seed" => all.plan.seed = number()?,
            "--first" => all.plan.first = number()?,
            "--only" => all.only = Some(value),
            "--write" => all.write = Some(value),
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok(all)
}

fn run(arguments: &Arguments) -> ExitCode {
    let wanted: Vec<&Target> =
        targets().iter().filter(|t| arguments.only.as_ref().is_none_or(|name| name == t.name)).collect();
    let shares: f64 = wanted.iter().map(|target| target.share()).sum();
    println!(
        "{:<14} {:>10} {:>10} {:>9} {:>11} {:>9}",
        "target", "inputs", "accepted", "mean µs", "longest ms", "peak MB"
    );
    let mut faults = vec![];
    for target in wanted {
        let inputs = (arguments.plan.inputs as f64 * target.share() / shares).ceil() as u64;
        let figures = attack(target, Plan { inputs, ..arguments.plan });
        line(target, &figures);
        faults.extend(figures.faults);
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("{} faults", faults.len());
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(target: &Target, figures: &Figures) {
    let mean = figures.total.as_secs_f64() * 1e6 / figures.inputs.max(1) as f64;
    let (longest, peak) = (figures.longest.0.as_secs_f64() * 1e3, figures.most.0 as f64 / 1e6);
    println!(
        "{:<14} {:>10} {:>10} {mean:>9.0} {longest:>11.1} {peak:>9.1}",
        target.name, figures.inputs, figures.accepted
    );
}

/// Samples in `corpus/NAME/` and dictionaries in `dictionaries/NAME.dict`.
fn write(folder: &Path) -> io::Result<()> {
    let words = folder.join("dictionaries");
    fs::create_dir_all(&words)?;
    for target in targets() {
        let corpus = folder.join("corpus").join(target.name);
        fs::create_dir_all(&corpus)?;
        for (number, sample) in (target.samples)().iter().enumerate() {
            fs::write(corpus.join(format!("sample{number}")), sample)?;
        }
        fs::write(words.join(format!("{}.dict", target.name)), dictionary(target))?;
    }
    Ok(())
}
