//! Time of the filter bank of ten seconds at 16 kHz with 128 filters, on one thread and two; `fbank.py` times
//! torchaudio.

use std::time::Instant;

use aim_media::{Result, front::Fbank};

/// Recordings of one measurement.
const CLIPS: usize = 64;

fn main() -> Result<()> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536. - 0.5
    };
    let clip: Vec<f32> = (0..160_000).map(|_| noise()).collect();
    let fbank = Fbank::new(16_000, 128)?;
    fbank.compute(&clip)?;
    for threads in [1, 2] {
        let time = || {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..CLIPS / threads).filter(|_| fbank.compute(&clip).is_ok()).count());
                }
            });
            start.elapsed().as_secs_f64() * 1e3 / CLIPS as f64
        };
        let mut times: Vec<f64> = (0..15).map(|_| time()).collect();
        times.sort_by(f64::total_cmp);
        println!("{threads} threads: {:.3} ms a clip in the median, {:.3} at best", times[7], times[0]);
    }
    Ok(())
}
