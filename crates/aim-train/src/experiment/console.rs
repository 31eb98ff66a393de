//! Progress: a live view on a terminal, plain lines elsewhere, and in any case a log in each run's folder.
//!
//! Colours follow `NO_COLOR`; the terminal library looks for it.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::run::{EpochLog, Watch};

/// Where there is no live view, an epoch is told of at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// What each run says of itself, in its folder. It holds times, and nothing is read from it.
const LOG: &str = "log.txt";

/// Shows how several runs proceed at once.
pub struct Console {
    quiet: bool,
    /// The bars of the running runs, and below them that of all.
    live: Option<(MultiProgress, ProgressBar)>,
    start: Instant,
    last_line: Mutex<Instant>,
    runs: Count,
    epochs: Count,
    /// Folders of preparations that are among the runs.
    preparations: Mutex<BTreeSet<PathBuf>>,
    running: AtomicUsize,
    failed: AtomicUsize,
}

/// How much there is, and how much of it is done.
#[derive(Default)]
struct Count {
    all: AtomicUsize,
    done: AtomicUsize,
}

impl Console {
    /// Nothing is expected yet.
    pub fn new(quiet: bool) -> Self {
        let start = Instant::now();
        let live = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bars = MultiProgress::new();
            let total = bars.add(bar("{bar:30.green} {percent:>3} %  {msg}"));
            (bars, total)
        });
        Self {
            quiet,
            live,
            start,
            last_line: Mutex::new(start),
            runs: Count::default(),
            epochs: Count::default(),
            preparations: Mutex::default(),
            running: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        }
    }

    /// Prints a line, above the bars if there are any.
    pub fn say(&self, line: &str) {
        match &self.live {
            _ if self.quiet => {}
            Some((bars, _)) => drop(bars.println(line)),
            // Whoever read this may be gone, which is no reason to end a run.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// A run begins, or goes on, whose folder this is.
    pub fn begin<'a>(&'a self, title: &'a str, seed: u64, epochs: usize, folder: &Path) -> RunWatch<'a> {
        self.running.fetch_add(1, Relaxed);
        let name = format!("{title}, seed {seed}");
        let bar = self.live.as_ref().map(|(bars, total)| {
            let bar = bars.insert_before(total, bar("  {bar:12.cyan} {pos:>3}/{len} {msg}"));
            bar.set_length(epochs as u64);
            bar.set_message(name.clone());
            bar
        });
        self.refresh();
        // Best effort: a run does not depend on its log.
        let log = OpenOptions::new().create(true).append(true).open(folder.join(LOG)).ok();
        RunWatch { console: self, name, bar, log: log.map(Mutex::new), seen: AtomicBool::new(false) }
    }

    /// Work that is to be done.
    pub fn expect(&self, runs: usize, epochs: usize) {
        self.runs.all.fetch_add(runs, Relaxed);
        self.epochs.all.fetch_add(epochs, Relaxed);
    }

    /// A preparation that is to be made, which several runs may need.
    pub(super) fn expect_preparation(&self, folder: &Path, epochs: usize) {
        if self.preparations.lock().is_ok_and(|mut known| known.insert(folder.into())) {
            self.expect(1, epochs);
        }
    }

    /// Epochs that need not be done, because they have been before.
    pub fn skip(&self, epochs: usize) {
        self.epochs.all.fetch_sub(epochs.min(self.epochs.all.load(Relaxed)), Relaxed);
    }

    /// A run is done.
    pub fn done(&self) {
        self.runs.done.fetch_add(1, Relaxed);
        self.refresh();
    }

    /// A run has failed.
    pub fn failed(&self, failure: &str) {
        self.failed.fetch_add(1, Relaxed);
        self.say(&format!("FAILED: {failure}"));
        self.done();
    }

    /// Where everything stands.
    fn summary(&self) -> String {
        let (runs, running, failed) = (&self.runs, self.running.load(Relaxed), self.failed.load(Relaxed));
        let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
        let (done, all) = (runs.done.load(Relaxed), runs.all.load(Relaxed));
        format!("runs {done}/{all}, {running} running{failed}; {}", self.left())
    }

    /// Time left, judged by the epochs done by this process.
    fn left(&self) -> String {
        let (done, all) = (self.epochs.done.load(Relaxed), self.epochs.all.load(Relaxed));
        match done {
            0 => "time left unknown".into(),
            _ => {
                let each = self.start.elapsed().as_secs_f64() / done as f64;
                format!("about {} left", clock(each * all.saturating_sub(done) as f64))
            }
        }
    }

    fn refresh(&self) {
        if let Some((_, total)) = &self.live {
            total.set_length(self.epochs.all.load(Relaxed) as u64);
            total.set_position(self.epochs.done.load(Relaxed) as u64);
            total.set_message(self.summary());
        }
    }

    /// Whether a line is due where there is no live view.
    fn line_due(&self) -> bool {
        let Ok(mut last) = self.last_line.lock() else { return false };
        let due = self.live.is_none() && last.elapsed() >= LINE_EVERY;
        if due {
            *last = Instant::now();
        }
        due
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some((_, total)) = &self.live {
            total.finish_and_clear();
        }
    }
}

fn bar(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Shows how one run proceeds.
pub struct RunWatch<'a> {
    console: &'a Console,
    name: String,
    bar: Option<ProgressBar>,
    log: Option<Mutex<File>>,
    /// Whether an epoch is done; those before the first were done by another process.
    seen: AtomicBool,
}

impl RunWatch<'_> {
    /// A line in the log of the run.
    pub fn log(&self, line: &str) {
        if let Some(Ok(mut log)) = self.log.as_ref().map(Mutex::lock) {
            writeln!(log, "{line}").ok();
        }
    }
}

impl Watch for RunWatch<'_> {
    fn epoch(&self, log: &EpochLog, epochs: usize, seconds: f64) {
        let Self { console, name, bar, .. } = self;
        if !self.seen.swap(true, Relaxed) {
            console.skip(log.epoch);
        }
        console.epochs.done.fetch_add(1, Relaxed);
        let loss = log.train.get("loss").or_else(|| log.train.get("loss.fused")).and_then(|q| q.values().first());
        let loss = loss.map_or(String::new(), |l| format!("loss {l:.3}, "));
        let (v, epoch) = (&log.validation, log.epoch + 1);
        let scores = format!("{loss}validation loss {:.3}, accuracy {:.3}, {seconds:.1} s", v.loss(), v.accuracy());
        self.log(&format!("epoch {epoch}/{epochs}: {scores}"));
        if let Some(bar) = bar {
            bar.set_position(epoch as u64);
            bar.set_message(format!("{name}: {scores}"));
        } else if console.line_due() {
            console.say(&format!("{name}: epoch {epoch}/{epochs}, {scores}; {}", console.summary()));
        }
        console.refresh();
    }

    fn say(&self, line: &str) {
        self.log(line);
        self.console.say(&format!("{}: {line}", self.name));
    }
}

impl Drop for RunWatch<'_> {
    fn drop(&mut self) {
        self.console.running.fetch_sub(1, Relaxed);
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
    use super::*;

    #[test]
    fn durations_as_people_say_them() {
        let said = [4.4, 65., 7265.].map(clock);
        assert_eq!(said, ["4 s", "1 min 05 s", "2 h 01 min"]);
    }

    #[test]
    fn the_summary_counts_runs_and_what_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(true);
        console.expect(2, 20);
        ["a", "a"].iter().for_each(|folder| console.expect_preparation(Path::new(folder), 10));
        assert_eq!(console.summary(), "runs 0/3, 0 running; time left unknown");
        let watch = console.begin("joint", 0, 10, folder.path());
        console.skip(10);
        console.done();
        console.failed("ogm, seed 0: why");
        assert_eq!(console.summary(), "runs 2/3, 1 running, 1 failed; time left unknown");
        watch.say("goes on after epoch 4");
        console.skip(1000);
        console.epochs.done.fetch_add(1, Relaxed);
        assert!(console.summary().ends_with("about 0 s left"), "{}", console.summary());
        assert_eq!(std::fs::read_to_string(folder.path().join(LOG)).unwrap(), "goes on after epoch 4\n");
    }
}
