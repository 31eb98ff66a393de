//! Moving averages of what prototypes measure.

use aim_core::{Result, State};

use super::measure::{self, Grid, Measure};

/// How much slower the average is that performance is compared with to tell its pace.
const SLOWER: f64 = 10.;

/// Moving averages over steps; all are `None` before the first measurement.
#[derive(Default)]
pub(super) struct Averages {
    rho: Option<Grid<f64>>,
    s: Option<Grid<f64>>,
    slow: Option<Grid<f64>>,
}

impl Averages {
    /// Takes in a batch's performance, where `ema` is the share of the old average.
    pub fn take(&mut self, s: &Grid<f64>, ema: f64) -> Grid<Measure> {
        let rho = blend(&mut self.rho, measure::relative(s), ema);
        let fast = blend(&mut self.s, s.clone(), ema);
        let slow = blend(&mut self.slow, s.clone(), 1. - (1. - ema) / SLOWER);
        let growth = |(fast, slow): (&Vec<f64>, &Vec<f64>)| fast.iter().zip(slow).map(|(f, s)| f / s).collect();
        let pace = measure::relative(&fast.iter().zip(slow).map(growth).collect());
        let at = |m: usize, d: usize| Measure { rho: rho[m][d], s: s[m][d], pace: pace[m][d] };
        (0..s.len()).map(|m| (0..s[m].len()).map(|d| at(m, d)).collect()).collect()
    }

    /// Stores them.
    pub fn save(&self, state: &mut State) -> Result<()> {
        for (name, grid) in [("rho", &self.rho), ("fast", &self.s), ("slow", &self.slow)] {
            for (m, row) in grid.iter().flatten().enumerate() {
                state.put(format!("{name}.{m}"), row)?;
            }
        }
        Ok(())
    }

    /// What was stored for so many modalities; a state without them is that before the first measurement.
    pub fn load(state: &State, modalities: usize) -> Result<Self> {
        let grid = |name: &str| -> Result<Option<Grid<f64>>> {
            let key = |m| format!("{name}.{m}");
            let saved = (0..modalities).all(|m| state.0.contains_key(&key(m)));
            saved.then(|| (0..modalities).map(|m| state.numbers(&key(m))).collect()).transpose()
        };
        Ok(Self { rho: grid("rho")?, s: grid("fast")?, slow: grid("slow")? })
    }
}

/// `old = ema old + (1 - ema) new`; the first value stands for itself.
fn blend(old: &mut Option<Grid<f64>>, new: Grid<f64>, ema: f64) -> &Grid<f64> {
    let Some(average) = old else { return old.insert(new) };
    let pairs = average.iter_mut().flatten().zip(new.into_iter().flatten());
    pairs.for_each(|(old, new)| *old = ema * *old + (1. - ema) * new);
    average
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_of_two_batches_by_hand() {
        let mut averages = Averages::default();
        let first = averages.take(&vec![vec![0.4], vec![0.2]], 0.5);
        assert_eq!((first[0][0].rho, first[1][0].rho, first[0][0].pace), (2., 0.5, 1.));
        let second = averages.take(&vec![vec![0.4], vec![0.4]], 0.5);
        assert_eq!((second[0][0].rho, second[1][0].rho), (1.5, 0.75));
        // The second one's averages are 0.3 and 0.21, the first one's have not moved.
        assert!((second[1][0].pace - 0.3 / 0.21).abs() < 1e-12 && (second[0][0].pace - 0.21 / 0.3).abs() < 1e-12);
        assert_eq!(second[1][0].s, 0.4);
    }

    #[test]
    fn averages_survive_their_state() {
        let mut averages = Averages::default();
        averages.take(&vec![vec![0.4, 0.1], vec![0.2, 0.3]], 0.9);
        let mut state = State::default();
        averages.save(&mut state).unwrap();
        let mut again = Averages::load(&state, 2).unwrap();
        let next = vec![vec![0.5, 0.2], vec![0.3, 0.3]];
        let numbers = |grid: Grid<Measure>| format!("{grid:?}");
        assert_eq!(numbers(averages.take(&next, 0.9)), numbers(again.take(&next, 0.9)));
        assert!(Averages::load(&State::default(), 2).unwrap().rho.is_none());
    }
}
