//! The loop over inputs.

use std::{
    cell::RefCell,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{LIMIT, Target, input, memory};

/// Longest time that an input may take.
const SLOW: Duration = Duration::from_secs(5);
/// Time after which an input is taken for one that never ends.
const HANGS: Duration = Duration::from_secs(120);
/// Faults after which a target is left.
const ENOUGH: usize = 20;

/// Which inputs are tried.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seed of the changes.
    pub seed: u64,
    /// Number of the first input.
    pub first: u64,
    /// How many.
    pub inputs: u64,
    /// Threads beside this one.
    pub threads: usize,
}

/// An input that was not read as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The target.
    pub target: &'static str,
    /// The input's number.
    pub number: u64,
    /// Seed of the changes.
    pub seed: u64,
    /// What went wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, number, seed, what } = self;
        write!(f, "{target}: {what}; again: --only {target} --seed {seed} --first {number} --inputs 1")
    }
}

/// What came of a target's inputs.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Inputs tried.
    pub inputs: u64,
    /// Those of them that were read without an error.
    pub accepted: u64,
    /// Time of all threads together.
    pub total: Duration,
    /// The longest time of an input, and its number.
    pub longest: (Duration, u64),
    /// The most memory that an input held, in bytes, and its number.
    pub most: (usize, u64),
    /// What went wrong.
    pub faults: Vec<Fault>,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.accepted += other.accepted;
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
        self.most = self.most.max(other.most);
        self.faults.extend(other.faults);
    }
}

thread_local! {
    /// Where and how this thread panicked last.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Tries a target's inputs.
///
/// # Panics
/// If a thread cannot be had. Ends the process if an input never ends.
pub fn attack(target: &'static Target, plan: Plan) -> Figures {
    notice_panics();
    let samples = (target.samples)();
    let (next, busy) = (AtomicU64::new(plan.first), AtomicUsize::new(plan.threads));
    let (all, faults) = (Mutex::new(Figures::default()), AtomicUsize::new(0));
    let doing: Vec<Mutex<Option<(u64, Instant)>>> = (0..plan.threads).map(|_| Mutex::new(None)).collect();
    let work = |doing: &Mutex<Option<(u64, Instant)>>| {
        // Readers that spread their work over a pool find one of this thread alone, whose memory is counted.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        let mut own = Figures::default();
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= plan.first.saturating_add(plan.inputs) || faults.load(Relaxed) >= ENOUGH {
                break;
            }
            let bytes = input(target, &samples, plan.seed, number);
            *locked(doing) = Some((number, Instant::now()));
            let fault = own.one(target, number, &bytes);
            *locked(doing) = None;
            if let Some(what) = fault {
                faults.fetch_add(1, Relaxed);
                own.faults.push(Fault { target: target.name, number, seed: plan.seed, what });
            }
        }
        drop(pool);
        locked(&all).add(own);
        busy.fetch_sub(1, Relaxed);
    };
    thread::scope(|scope| {
        let work = &work;
        for doing in &doing {
            // The name is what is told of a stack that overflows.
            let named = thread::Builder::new().name(target.name.into());
            named.spawn_scoped(scope, move || work(doing)).expect("a thread");
        }
        watch(target, &doing, &busy);
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the threads, and ends the process where one never ends.
fn watch(target: &Target, doing: &[Mutex<Option<(u64, Instant)>>], busy: &AtomicUsize) {
    let mut pause = Duration::from_millis(1);
    while busy.load(Relaxed) > 0 {
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(50));
        for (number, since) in doing.iter().filter_map(|doing| *locked(doing)) {
            if since.elapsed() > HANGS {
                eprintln!("target {}, input {number} does not end", target.name);
                std::process::exit(1);
            }
        }
    }
}

impl Figures {
    /// Tries one input, and says what is wrong with how it is read.
    fn one(&mut self, target: &'static Target, number: u64, bytes: &[u8]) -> Option<String> {
        let before = memory::held();
        memory::begin(target.name, number);
        let start = Instant::now();
        let read = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
        let (time, most) = (start.elapsed(), memory::most(before));
        self.inputs += 1;
        self.accepted += u64::from(matches!(read, Ok(true)));
        self.total += time;
        self.longest = self.longest.max((time, number));
        self.most = self.most.max((most, number));
        match read {
            Err(_) => Some(PANIC.take()),
            _ if time > SLOW => Some(format!("takes {:.1} s", time.as_secs_f64())),
            _ if most > LIMIT => Some(format!("holds {} MB", most >> 20)),
            _ => None,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps panics for the report in place of printing them.
fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let attacks = thread::current().name().is_some_and(|name| crate::find(name).is_some());
            if attacks { PANIC.set(info.to_string().replace('\n', " ")) } else { before(info) }
        }));
    });
}
