//! How long something takes.

use std::time::{Duration, Instant};

use aim_core::Result;

/// Durations of one thing done several times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Half of the runs took at most this long.
    pub median_ms: f64,
    /// The fastest run.
    pub min_ms: f64,
    /// The mean of all runs.
    pub mean_ms: f64,
}

impl Timing {
    /// Times `f` as often as asked, after `warmup` runs that do not count.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn of_runs(warmup: usize, runs: usize, mut f: impl FnMut() -> Result<()>) -> Result<Self> {
        (0..warmup).try_for_each(|_| f())?;
        let times = (0..runs.max(1)).map(|_| timed(&mut f)).collect::<Result<_>>()?;
        Ok(Self::of(times))
    }

    /// Times `f` and `g` in turns, so that both meet the same disturbances; otherwise as [`of_runs`](Self::of_runs).
    ///
    /// # Errors
    /// Those of `f` and `g`.
    pub fn of_turns(
        warmup: usize,
        runs: usize,
        mut f: impl FnMut() -> Result<()>,
        mut g: impl FnMut() -> Result<()>,
    ) -> Result<[Self; 2]> {
        (0..warmup).try_for_each(|_| f().and_then(|()| g()))?;
        let turns = (0..runs.max(1)).map(|_| Ok((timed(&mut f)?, timed(&mut g)?)));
        let (f, g) = turns.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok([Self::of(f), Self::of(g)])
    }

    /// Times `f` until `budget` is spent, five times at least, after a run that does not count.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn within(budget: Duration, mut f: impl FnMut() -> Result<()>) -> Result<Self> {
        f()?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < 5 || start.elapsed() < budget {
            times.push(timed(&mut f)?);
        }
        Ok(Self::of(times))
    }

    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let (low, high) = (times.get((times.len() - 1) / 2), times.get(times.len() / 2));
        let median_ms = low.zip(high).map_or(f64::NAN, |(a, b)| (a + b) / 2.);
        let mean_ms = times.iter().sum::<f64>() / times.len() as f64;
        Self { median_ms, min_ms: times.first().copied().unwrap_or(f64::NAN), mean_ms }
    }
}

fn timed(f: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    f()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Timing::of(vec![4., 1., 9.]), Timing { median_ms: 4., min_ms: 1., mean_ms: 14. / 3. });
        assert_eq!(Timing::of(vec![4., 1., 9., 6.]), Timing { median_ms: 5., min_ms: 1., mean_ms: 5. });
    }

    #[test]
    fn turns_alternate() {
        let calls = std::cell::RefCell::new(vec![]);
        let call = |name: char| {
            calls.borrow_mut().push(name);
            Ok(())
        };
        Timing::of_turns(1, 2, || call('f'), || call('g')).unwrap();
        assert_eq!(calls.take(), ['f', 'g', 'f', 'g', 'f', 'g']);
    }

    #[test]
    fn warm_up_runs_do_not_count() {
        let mut calls = 0;
        Timing::of_runs(2, 3, || {
            calls += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(calls, 5);
    }
}
