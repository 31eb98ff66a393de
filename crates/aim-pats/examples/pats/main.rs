//! PATS on arithmetic: a small policy is trained on generated solutions (once; it is kept under `target/pats`), then
//! the search, its variants and its controls solve the same held-out problems, and what came out is told as a page.
//!
//! ```text
//! cargo run --release -p aim-pats --example pats                # 12 seeds
//! cargo run --release -p aim-pats --example pats -- 2 FOLDER    # 2 seeds; the page in FOLDER, too
//! ```

mod compare;
mod page;
mod train;

use std::{fs, path::Path, time::Instant};

use aim_pats::{LanguageModel, Sampling};
use candle_core::Device;

/// Steps of training: few enough that a single sample solves about half of the problems.
const STEPS: usize = 1000;
const SEEDS: u64 = 12;
/// Longest line, an expression of six numbers, and its end.
const LONGEST: usize = 24;

fn main() -> train::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().map_or(Ok(SEEDS), |text| text.parse())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pats").join(train::name(STEPS));
    let start = Instant::now();
    train::make(&folder, STEPS)?;
    eprintln!("policy: {:.0} s", start.elapsed().as_secs_f64());

    let sampling = Sampling { max_tokens: LONGEST, ..Sampling::default() };
    let mut policy = LanguageModel::load(&folder, &Device::Cpu, sampling)?;
    let developed = compare::develop(&mut policy)?;
    let variants = compare::variants(developed);
    let reached = compare::compare(&policy, &variants, seeds)?;
    eprintln!("comparison: {:.0} s", start.elapsed().as_secs_f64());
    let page = page::write(&variants, &reached, developed)?;
    print!("{page}");
    if let Some(out) = arguments.next() {
        fs::create_dir_all(&out)?;
        fs::write(Path::new(&out).join("pats.md"), page)?;
    }
    Ok(())
}
