//! Progress: bars on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::run::{EpochLog, Watch};

/// Where there are no bars, an epoch is told of at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how several runs proceed at once.
pub struct Console {
    quiet: bool,
    bars: Option<(MultiProgress, ProgressBar)>,
    start: Instant,
    last_line: Mutex<Instant>,
    /// Epochs of all runs that are to be done, and those done by this process.
    epochs: AtomicUsize,
    done: AtomicUsize,
}

impl Console {
    /// For work of so many epochs in all.
    pub fn new(epochs: usize, quiet: bool) -> Self {
        let start = Instant::now();
        let bars = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
            let all = MultiProgress::new();
            let total = all.add(ProgressBar::new(epochs as u64));
            total.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            (all, total)
        });
        let last_line = Mutex::new(start);
        Self { quiet, bars, start, last_line, epochs: AtomicUsize::new(epochs), done: AtomicUsize::new(0) }
    }

    /// Prints a line, above the bars if there are any.
    pub fn say(&self, line: &str) {
        match &self.bars {
            _ if self.quiet => {}
            Some((all, _)) => drop(all.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// A run begins.
    pub fn begin<'a>(&'a self, title: &'a str, seed: u64) -> RunWatch<'a> {
        let bar = self.bars.as_ref().map(|(all, _)| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let bar = all.add(ProgressBar::new_spinner());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message(format!("{title}, seed {seed}"));
            bar
        });
        RunWatch { console: self, title, seed, bar }
    }

    /// Epochs that are to be done as well.
    pub fn expect(&self, epochs: usize) {
        self.epochs.fetch_add(epochs, Ordering::Relaxed);
    }

    /// Epochs that need not be done after all.
    pub fn skip(&self, epochs: usize) {
        self.epochs.fetch_sub(epochs, Ordering::Relaxed);
    }

    /// Time left, judged by the epochs done so far.
    fn eta(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let left = self.epochs.load(Ordering::Relaxed).saturating_sub(done);
        match done {
            0 => "unknown".into(),
            _ => clock(self.start.elapsed().as_secs_f64() * left as f64 / done as f64),
        }
    }

    fn advance(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((_, total)) = &self.bars {
            total.set_length(self.epochs.load(Ordering::Relaxed) as u64);
            total.set_position(done as u64);
            total.set_message(format!("about {} left", self.eta()));
        }
    }

    /// Whether a line is due where there are no bars.
    fn line_due(&self) -> bool {
        let Ok(mut last) = self.last_line.lock() else { return false };
        let due = self.bars.is_none() && last.elapsed() >= LINE_EVERY;
        if due {
            *last = Instant::now();
        }
        due
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some((_, total)) = &self.bars {
            total.finish_and_clear();
        }
    }
}

/// Shows how one run proceeds.
pub struct RunWatch<'a> {
    console: &'a Console,
    title: &'a str,
    seed: u64,
    bar: Option<ProgressBar>,
}

impl Watch for RunWatch<'_> {
    fn epoch(&self, log: &EpochLog, epochs: usize, seconds: f64) {
        self.console.advance();
        let loss = log.train.get("loss").or_else(|| log.train.get("loss.fused")).and_then(|q| q.values().first());
        let loss = loss.map_or(String::new(), |l| format!("loss {l:.3}, "));
        let (v, epoch) = (&log.validation, log.epoch + 1);
        let scores = format!("{loss}validation loss {:.3}, accuracy {:.3}", v.loss, v.accuracy);
        let line = format!("{}, seed {}: epoch {epoch}/{epochs}, {scores}, {seconds:.1} s", self.title, self.seed);
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None if self.console.line_due() => self.console.say(&format!("{line}; about {} left", self.console.eta())),
            None => {}
        }
    }

    fn say(&self, line: &str) {
        self.console.say(&format!("{}, seed {}: {line}", self.title, self.seed));
    }
}

impl Drop for RunWatch<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as people say it.
pub(super) fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_as_people_say_them() {
        let said = [4.4, 65., 7265.].map(super::clock);
        assert_eq!(said, ["4 s", "1 min 05 s", "2 h 01 min"]);
    }
}
