//! Leases: who works on a folder of a file system that several machines share, without locks across machines.
//!
//! A lease is a file `.lease.<n>` that its holder creates exclusively, and then writes anew every few seconds with a
//! number that has risen: its heartbeat. Whoever sees no new heartbeat for [`Terms::dead`] *by its own clock* takes the
//! folder over by creating `.lease.<n + 1>`, which only one of several can. A holder whose heartbeats do not get
//! through for [`Terms::fence`] writes nothing before it has claimed the folder anew in the same way, so that it has
//! ceased before another may begin. So no machine reads another's clock, and what the file system must do is little:
//! create a file exclusively, rename within a folder, and show what was written elsewhere after `dead - fence - beat`
//! at the latest (attribute caches of network file systems: 60 s by default).
//!
//! Processes of one kernel are kept apart by `flock` where the file system has it: who gets that lock knows that a
//! lease that was taken with it by the same kernel has been left by a process that is gone. Who does not get it waits
//! for the lease all the same: a server of files may keep the lock of a machine that is no more.

mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

use aim_core::{Error, Result};
use serde::{Deserialize, Serialize};

use store::{Disk, Store};

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// From one heartbeat to the next.
    pub beat: Duration,
    /// How old the last heartbeat may be when its holder writes.
    pub fence: Duration,
    /// After how long without a new heartbeat a lease counts as left.
    pub dead: Duration,
}

const TERMS: Terms =
    Terms { beat: Duration::from_secs(10), fence: Duration::from_secs(40), dead: Duration::from_secs(120) };

/// A process that can hold leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of its machine.
    pub host: String,
    /// What no two machines have in common, nor one before and after it is started anew.
    kernel: String,
    /// Its number there.
    process: u32,
    /// In what the number counts: containers of one machine count for themselves. Empty where the system does not say.
    #[serde(default)]
    numbers: String,
    /// The task of a cluster that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

impl Holder {
    /// This process.
    fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let variable = |name: &str| std::env::var(name).ok();
        let host = read("/proc/sys/kernel/hostname").or_else(|| variable("HOSTNAME")).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/random/boot_id").unwrap_or_else(|| host.clone());
        let task = || Some(format!("{}_{}", variable("SLURM_ARRAY_JOB_ID")?, variable("SLURM_ARRAY_TASK_ID")?));
        let numbers = std::fs::read_link("/proc/self/ns/pid").map(|path| path.display().to_string());
        let (numbers, job) = (numbers.unwrap_or_default(), task().or_else(|| variable("SLURM_JOB_ID")));
        Self { host, kernel, process: std::process::id(), numbers, job }
    }

    /// Whether it was a process of this kernel that is there no more. One whose number another has now is not told.
    fn has_ended(&self, here: &Self) -> bool {
        let same = self.kernel == here.kernel && self.numbers == here.numbers && !self.numbers.is_empty();
        same && !Path::new("/proc").join(self.process.to_string()).exists()
    }

    /// It in words.
    pub fn words(&self) -> String {
        let job = self.job.as_ref().map_or(String::new(), |job| format!(", job {job}"));
        format!("process {} on {}{job}", self.process, self.host)
    }
}

/// What a lease's file holds.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    holder: Holder,
    /// No other lease's.
    token: String,
    /// Whether its process has the folder's `flock`, too.
    #[serde(default)]
    locked: bool,
    /// A number in as many digits as any other, so that a heartbeat needs no room that a full disk has not.
    beat: String,
}

/// Who has a folder's `flock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locked {
    /// This process.
    Here,
    /// Another process, of this kernel or a remote one.
    Elsewhere,
    /// Nobody: the file system has no locks.
    Never,
}

/// What came of asking for a folder.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is this process's.
    Held(Lease),
    /// Another process is at work there.
    Busy(String),
    /// Another process was at work there, and it is not known yet whether it still is.
    Unclear(String),
}

/// What was seen of leases, and since when they are as they are.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<PathBuf, Sight>>);

struct Sight {
    content: Vec<u8>,
    since: Instant,
    /// Whether it has changed since it was first seen.
    alive: bool,
}

impl Seen {
    /// How long a lease has been as it is, and whether it was ever another.
    fn look(&self, path: &Path, content: Vec<u8>) -> (Duration, bool) {
        let mut all = relocked(&self.0);
        let now = Instant::now();
        let sight =
            all.entry(path.into()).or_insert_with(|| Sight { content: content.clone(), since: now, alive: false });
        if sight.content != content {
            *sight = Sight { content, since: now, alive: true };
        }
        (sight.since.elapsed(), sight.alive)
    }

    fn forget(&self, path: &Path) {
        relocked(&self.0).remove(path);
    }
}

/// What leases are taken with: everything that a test has another of.
#[derive(Clone)]
pub(super) struct Desk {
    holder: Holder,
    terms: Terms,
    seen: Arc<Seen>,
    store: Arc<dyn Store>,
}

impl Desk {
    /// This process's.
    fn here() -> &'static Self {
        static HERE: LazyLock<Desk> = LazyLock::new(|| Desk {
            holder: Holder::here(),
            terms: TERMS,
            seen: Arc::default(),
            store: Arc::new(Disk),
        });
        &HERE
    }

    /// Asks for a folder.
    pub fn take(&self, folder: &Path, locked: Locked) -> Result<Taken> {
        let leases = self.store.list(folder)?;
        let here = locked == Locked::Here;
        let Some(last) = leases.iter().max().copied() else {
            // Whoever has the lock is about to take its lease, or has just given it back, or is a machine that is gone.
            let lock = place(folder, 0);
            if locked == Locked::Elsewhere && self.seen.look(&lock, vec![]).0 < self.terms.dead {
                return Ok(Taken::Unclear("another process".into()));
            }
            self.seen.forget(&lock);
            return self.claim(folder, (1, here), &[]);
        };
        self.seen.forget(&place(folder, 0));
        let path = place(folder, last);
        let content = match self.store.read(&path) {
            // Given back this moment: the next time it is asked for it is free.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Taken::Unclear("another process".into())),
            content => content.map_err(|e| Error::io(&path, e))?,
        };
        let record: Option<Record> = serde_json::from_slice(&content).ok();
        // What the lock says of a lease that was taken with it by a process of this kernel.
        let tells = record.as_ref().is_some_and(|r| r.locked && r.holder.kernel == self.holder.kernel);
        let gone = tells && here || record.as_ref().is_some_and(|r| r.holder.has_ended(&self.holder));
        let by = record.map_or_else(|| "another process".into(), |record| record.holder.words());
        let (unchanged, alive) = self.seen.look(&path, content);
        if gone || unchanged >= self.terms.dead {
            self.seen.forget(&path);
            return self.claim(folder, (last + 1, here), &leases);
        }
        let alive = alive || tells && locked == Locked::Elsewhere;
        Ok(if alive { Taken::Busy(by) } else { Taken::Unclear(by) })
    }

    /// Creates a lease of this number after those that are left, with the lock or without it; only one process can.
    fn claim(&self, folder: &Path, (number, locked): (u64, bool), left: &[u64]) -> Result<Taken> {
        let state = State::new(self, folder, (number, locked));
        let path = state.path();
        match self.store.create(&path, &state.record()?) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(Taken::Unclear("another process".into())),
            created => created.map_err(|e| Error::io(&path, e))?,
        }
        // Who slept between looking and creating may find that others have come and gone, and come again.
        let others = self.store.list(folder)?.into_iter().any(|other| other != number && !left.contains(&other));
        if others {
            self.store.remove(&path).ok();
            return Ok(Taken::Unclear("another process".into()));
        }
        // Best effort: a lease that is left stands in nobody's way.
        left.iter().for_each(|old| drop(self.store.remove(&place(folder, *old))));
        Lease::begin(state).map(Taken::Held)
    }
}

/// Asks for a folder on behalf of this process.
pub(super) fn take(folder: &Path, locked: Locked) -> Result<Taken> {
    Desk::here().take(folder, locked)
}

/// Who holds a folder, as far as its lease says; none if it has none, or only that of a process of this machine that is
/// gone. Whether one of another machine is alive is not known.
pub fn holder(folder: &Path) -> Option<Holder> {
    let last = Disk.list(folder).ok()?.into_iter().max()?;
    let record: Record = serde_json::from_slice(&Disk.read(&place(folder, last)).ok()?).ok()?;
    Some(record.holder).filter(|holder| !holder.has_ended(&Desk::here().holder))
}

fn place(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{}{number}", store::NAME))
}

/// A folder that is this process's as long as this value lives and [`check`](Self::check) says so.
pub(super) struct Lease {
    state: Arc<Mutex<State>>,
    /// Ends the heartbeat when it is dropped.
    _end: Sender<()>,
}

/// A lease as holder and heartbeat know it.
struct State {
    desk: Desk,
    folder: PathBuf,
    number: u64,
    token: String,
    locked: bool,
    beat: u64,
    /// Before the last heartbeat that got through.
    renewed: Instant,
}

impl Lease {
    fn begin(state: State) -> Result<Self> {
        let (beat, (end, ended)) = (state.desk.terms.beat, channel());
        let state = Arc::new(Mutex::new(state));
        let beating = Arc::clone(&state);
        let heart = move || {
            while ended.recv_timeout(beat).is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout) {
                // One that does not get through is missed by `check`.
                drop(relocked(&beating).renew());
            }
        };
        let failed = |e| Error::io("a thread", e);
        std::thread::Builder::new().stack_size(64 << 10).spawn(heart).map_err(failed)?;
        Ok(Self { state, _end: end })
    }

    /// What no other lease has, for names of files that nobody else writes.
    pub fn token(&self) -> String {
        relocked(&self.state).token.clone()
    }

    /// Whether the folder is still this process's; to be asked right before anything is written there.
    ///
    /// # Errors
    /// [`Error::Lost`] if another process has taken it over; if the folder cannot be read.
    pub fn check(&self) -> Result<()> {
        relocked(&self.state).check()
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({})", relocked(&self.state).path().display())
    }
}

impl Drop for Lease {
    /// Gives the folder back, if it has not been lost.
    fn drop(&mut self) {
        let state = relocked(&self.state);
        if state.is_own().unwrap_or(false) {
            // Best effort: a lease that stays is taken over later.
            drop(state.desk.store.remove(&state.path()));
        }
    }
}

impl State {
    fn new(desk: &Desk, folder: &Path, (number, locked): (u64, bool)) -> Self {
        let token = format!("{:016x}", RandomState::new().build_hasher().finish());
        Self { desk: desk.clone(), folder: folder.into(), number, token, locked, beat: 0, renewed: Instant::now() }
    }

    fn path(&self) -> PathBuf {
        place(&self.folder, self.number)
    }

    fn record(&self) -> Result<Vec<u8>> {
        let (holder, token) = (self.desk.holder.clone(), self.token.clone());
        let record = Record { holder, token, locked: self.locked, beat: format!("{:020}", self.beat) };
        serde_json::to_vec(&record)
            .map_err(|e| Error::invalid("lease", e.to_string(), "report this fault with the command that met it"))
    }

    /// Whether the lease's file is there and this process's, and nobody has gone beyond it.
    fn is_own(&self) -> Result<bool> {
        let (store, path) = (&self.desk.store, self.path());
        let own = match store.read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            own => own.map_err(|e| Error::io(&path, e))?,
        };
        let own = serde_json::from_slice(&own).is_ok_and(|record: Record| record.token == self.token);
        let next = place(&self.folder, self.number + 1);
        Ok(own && !store.exists(&next).map_err(|e| Error::io(&next, e))?)
    }

    fn lost(&self) -> Error {
        let by = self.desk.store.read(&place(&self.folder, self.number + 1)).ok();
        let by = by.and_then(|content| serde_json::from_slice(&content).ok());
        let by = by.map_or_else(|| "another process".into(), |record: Record| record.holder.words());
        Error::Lost { path: self.folder.clone(), by }
    }

    /// Writes a heartbeat.
    fn renew(&mut self) -> Result<()> {
        let before = Instant::now();
        if before.duration_since(self.renewed) > self.desk.terms.fence {
            // Too late: others may be claiming the folder, and it is claimed as they do.
            return self.check();
        }
        if !self.is_own()? {
            return Err(self.lost());
        }
        self.beat += 1;
        let path = self.path();
        self.desk.store.update(&path, &self.record()?).map_err(|e| Error::io(&path, e))?;
        self.renewed = before;
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        if !self.is_own()? {
            return Err(self.lost());
        }
        if self.renewed.elapsed() <= self.desk.terms.fence {
            return Ok(());
        }
        let number = self.number + 1;
        let next = Self { token: self.token.clone(), ..Self::new(&self.desk, &self.folder, (number, self.locked)) };
        let path = next.path();
        match self.desk.store.create(&path, &next.record()?) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(self.lost()),
            created => created.map_err(|e| Error::io(&path, e))?,
        }
        // As after any claim: while this process slept others may have come, gone and come again.
        if self.desk.store.list(&self.folder)?.into_iter().any(|other| other != self.number && other != next.number) {
            self.desk.store.remove(&path).ok();
            return Err(self.lost());
        }
        self.desk.store.remove(&self.path()).ok();
        *self = next;
        Ok(())
    }
}

/// A lock whose value is whole at any moment.
fn relocked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
