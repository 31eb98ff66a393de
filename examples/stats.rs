//! `aim-stats` alone: two methods with eight seeds each, compared as the tables compare them.
//!
//! ```text
//! cargo run --release -p aim-examples --bin stats
//! ```

use aim_stats::{Result, adjust, paired, summary::Summary};

/// Accuracies on the same eight seeds.
const JOINT: [f64; 8] = [0.701, 0.713, 0.695, 0.708, 0.699, 0.704, 0.711, 0.698];
const OTHERS: [(&str, [f64; 8]); 2] = [
    ("better", [0.722, 0.731, 0.718, 0.725, 0.716, 0.727, 0.729, 0.720]),
    ("noisy", [0.742, 0.688, 0.731, 0.690, 0.745, 0.679, 0.720, 0.712]),
];

fn main() -> Result<()> {
    let joint = Summary::of(&JOINT)?;
    println!("joint: {:.3} +- {:.3} over {} seeds", joint.mean, joint.std.unwrap_or(0.), joint.n);
    // Paired: seed k of one method against seed k of the other, which share data order and initial weights.
    let tests = OTHERS.iter().map(|(_, runs)| Ok(paired::t_test(runs, &JOINT)?.p)).collect::<Result<Vec<f64>>>()?;
    // Two questions were asked, so each answer must be twice as sure.
    let adjusted = adjust::holm(&tests)?;
    for (((name, runs), p), adjusted) in OTHERS.iter().zip(&tests).zip(adjusted) {
        let Summary { mean, std, .. } = Summary::of(runs)?;
        let verdict = if adjusted < 0.05 { "differs from joint" } else { "no difference established" };
        println!("{name}: {mean:.3} +- {:.3}, p {p:.4}, adjusted {adjusted:.4}: {verdict}", std.unwrap_or(0.));
    }
    Ok(())
}
