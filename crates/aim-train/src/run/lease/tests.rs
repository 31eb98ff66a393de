use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread::{scope, sleep},
};

use super::*;

/// How long a machine may be shown what was, as attribute caches do.
const DELAY: Duration = Duration::from_millis(100);
const SHORT: Terms =
    Terms { beat: Duration::from_millis(15), fence: Duration::from_millis(100), dead: Duration::from_millis(400) };

/// What was seen by path, and when.
type Looks<T> = Mutex<HashMap<PathBuf, (Instant, T)>>;

/// A machine that is shown a file or folder as it was when it last looked, for as long as [`DELAY`]; what it does
/// itself it sees at once, and creating goes past the cache.
#[derive(Default)]
struct Cached {
    files: Looks<io::Result<Vec<u8>>>,
    folders: Looks<Vec<u64>>,
    /// Calls that arrive no longer, as if the network were gone.
    cut: Mutex<bool>,
}

fn copy(result: &io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match result {
        Ok(content) => Ok(content.clone()),
        Err(e) => Err(e.kind().into()),
    }
}

impl Cached {
    fn changed<T>(&self, path: &Path, result: T) -> T {
        relocked(&self.files).remove(path);
        relocked(&self.folders).remove(path.parent().unwrap());
        result
    }

    fn connected(&self) -> io::Result<()> {
        if *relocked(&self.cut) { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl Store for Cached {
    fn list(&self, folder: &Path) -> Result<Vec<u64>> {
        self.connected().map_err(|e| Error::io(folder, e))?;
        let mut folders = relocked(&self.folders);
        match folders.get(folder).filter(|(since, _)| since.elapsed() < DELAY) {
            Some((_, seen)) => Ok(seen.clone()),
            None => {
                let seen = Disk.list(folder)?;
                folders.insert(folder.into(), (Instant::now(), seen.clone()));
                Ok(seen)
            }
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.connected()?;
        let mut files = relocked(&self.files);
        let fresh = files.get(path).filter(|(since, _)| since.elapsed() < DELAY);
        if fresh.is_none() {
            files.insert(path.into(), (Instant::now(), Disk.read(path)));
        }
        copy(&files[path].1)
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.connected()?;
        self.changed(path, Disk.create(path, content))
    }

    fn update(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.connected()?;
        self.changed(path, Disk.update(path, content))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.connected()?;
        self.changed(path, Disk.remove(path))
    }
}

fn holder(host: &str) -> Holder {
    let (kernel, numbers) = (format!("kernel of {host}"), String::new());
    Holder { host: host.into(), kernel, process: 7, numbers, job: Some("12_3".into()) }
}

fn desk(host: &str) -> (Desk, Arc<Cached>) {
    let store = Arc::new(Cached::default());
    (Desk { holder: holder(host), terms: SHORT, seen: Arc::default(), store: Arc::clone(&store) as _ }, store)
}

/// Asks again until the folder is this machine's.
fn wait(desk: &Desk, folder: &Path) -> Lease {
    let begin = Instant::now();
    loop {
        if let Taken::Held(lease) = desk.take(folder, Locked::Here).unwrap() {
            return lease;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "never free");
        sleep(Duration::from_millis(3));
    }
}

/// Leaves a lease as a process does that is killed.
fn leave(desk: &Desk, folder: &Path, locked: bool) {
    let state = State::new(desk, folder, (1, locked));
    Disk.create(&state.path(), &state.record().unwrap()).unwrap();
}

fn leases(folder: &Path) -> Vec<u64> {
    Disk.list(folder).unwrap()
}

#[test]
fn a_lease_keeps_other_machines_out_until_it_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (desk("a").0, desk("b").0);
    let Taken::Held(lease) = a.take(folder.path(), Locked::Here).unwrap() else { panic!("it was free") };
    assert_eq!(super::holder(folder.path()).unwrap().words(), "process 7 on a, job 12_3");
    assert!(matches!(b.take(folder.path(), Locked::Here).unwrap(), Taken::Unclear(by) if by.contains("on a")));
    sleep(2 * SHORT.dead);
    assert!(matches!(b.take(folder.path(), Locked::Here).unwrap(), Taken::Busy(by) if by.contains("on a")));
    lease.check().unwrap();
    drop(lease);
    assert_eq!(leases(folder.path()), [] as [u64; 0]);
    wait(&b, folder.path()).check().unwrap();
}

#[test]
fn a_clock_an_hour_off_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (desk("a").0, desk("b").0);
    let lease = wait(&a, folder.path());
    for shift in [-3600., 3600.] {
        let begin = Instant::now();
        while begin.elapsed() < 2 * SHORT.dead {
            // What a machine with such a clock would leave as the time of its heartbeat.
            let off = std::time::SystemTime::now().checked_add(Duration::from_secs(7200)).unwrap();
            let time = off - Duration::from_secs_f64(7200. - shift);
            std::fs::File::options()
                .write(true)
                .open(folder.path().join(".lease.1"))
                .unwrap()
                .set_modified(time)
                .unwrap();
            assert!(!matches!(b.take(folder.path(), Locked::Here).unwrap(), Taken::Held(_)), "{shift}");
            sleep(Duration::from_millis(5));
        }
    }
    lease.check().unwrap();
}

#[test]
fn a_machine_that_is_cut_off_writes_nothing_any_more_and_another_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ((a, cable), b) = (desk("a"), desk("b").0);
    let lease = wait(&a, folder.path());
    *relocked(&cable.cut) = true;
    assert!(lease.check().is_err());
    let taken = wait(&b, folder.path());
    *relocked(&cable.cut) = false;
    // What the machine knew may be as old as the delay; it is past the fence.
    let error = lease.check().unwrap_err();
    assert!(error.is_elsewhere() && error.to_string().contains("was taken over by process 7 on b"), "{error}");
    drop(lease);
    taken.check().unwrap();
    assert_eq!(leases(folder.path()), [2]);
}

#[test]
fn a_machine_that_was_cut_off_for_a_moment_claims_its_folder_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (a, cable) = desk("a");
    let lease = wait(&a, folder.path());
    *relocked(&cable.cut) = true;
    sleep(2 * SHORT.fence);
    *relocked(&cable.cut) = false;
    lease.check().unwrap();
    assert_eq!(leases(folder.path()), [2]);
    sleep(2 * SHORT.beat);
    lease.check().unwrap();
    drop(lease);
    assert_eq!(leases(folder.path()), [] as [u64; 0]);
}

#[test]
fn a_lease_of_a_process_that_is_gone_is_taken_over_by_its_own_machine_at_once_and_by_others_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let left = |host: &str| leave(&desk(host).0, folder.path(), true);
    left("a");
    let (a, b) = (desk("a").0, desk("b").0);
    assert!(matches!(a.take(folder.path(), Locked::Never).unwrap(), Taken::Unclear(_)), "another process may be alive");
    let Taken::Held(lease) = a.take(folder.path(), Locked::Here).unwrap() else { panic!("it is known to be gone") };
    drop(lease);
    left("a");
    let begin = Instant::now();
    drop(wait(&b, folder.path()));
    assert!(begin.elapsed() >= SHORT.dead);
    // One that was being written when its machine died.
    std::fs::write(folder.path().join(".lease.1"), "").unwrap();
    drop(wait(&b, folder.path()));
    assert_eq!(leases(folder.path()), [] as [u64; 0]);
}

#[test]
fn a_lock_of_this_machine_says_who_is_alive_and_one_of_another_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (desk("a").0, desk("b").0);
    leave(&a, folder.path(), true);
    let busy = a.take(folder.path(), Locked::Elsewhere).unwrap();
    assert!(matches!(busy, Taken::Busy(by) if by.contains("on a")), "at once");
    // The lock of a machine that is gone may stay with the server of files.
    let begin = Instant::now();
    let lease = loop {
        match b.take(folder.path(), Locked::Elsewhere).unwrap() {
            Taken::Held(lease) => break lease,
            Taken::Busy(by) => panic!("{by}"),
            Taken::Unclear(_) => sleep(Duration::from_millis(3)),
        }
    };
    assert!(begin.elapsed() >= SHORT.dead);
    // Between the lock and the lease nobody comes first.
    let other = tempfile::tempdir().unwrap();
    assert!(matches!(b.take(other.path(), Locked::Elsewhere).unwrap(), Taken::Unclear(_)));
    assert!(matches!(a.take(other.path(), Locked::Here).unwrap(), Taken::Held(_)));
    // It was taken without the lock, which another process of the machine may get meanwhile.
    assert!(!matches!(b.take(folder.path(), Locked::Here).unwrap(), Taken::Held(_)));
    drop(lease);
    drop(wait(&b, folder.path()));
}

#[test]
fn who_is_told_to_hold_a_folder_is_not_a_process_of_this_machine_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let here = || (Desk::here().clone(), Holder::here());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    for (process, told) in [(std::process::id(), true), (child.id(), false)] {
        let (mut desk, holder) = here();
        desk.holder = Holder { process, ..holder };
        leave(&desk, folder.path(), true);
        // Where the system does not number processes in namespaces nothing is known of them.
        assert_eq!(super::holder(folder.path()).is_some(), told || desk.holder.numbers.is_empty());
        std::fs::remove_file(folder.path().join(".lease.1")).unwrap();
    }
}

#[test]
fn three_machines_that_stall_are_never_two_in_one_folder_and_all_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, written) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let machine = |host: &'static str, seed: u64| {
        let (desk, cable) = desk(host);
        let mut moments = aim_core::Rng::keyed(seed, "stalls");
        let mut done = 0;
        while done < 4 {
            let lease = wait(&desk, folder.path());
            for _ in 0..5 {
                // The network is gone for a time: at times for less than the fence, at times for longer than the others
                // wait.
                if moments.range(0., 1.) < 0.3 {
                    *relocked(&cable.cut) = true;
                    sleep(Duration::from_secs_f64(moments.range(0., 0.8)));
                    *relocked(&cable.cut) = false;
                }
                if lease.check().is_err() {
                    break;
                }
                assert_eq!(inside.fetch_add(1, SeqCst), 0, "two machines write");
                sleep(Duration::from_millis(2));
                relocked(&written).push(host);
                inside.fetch_sub(1, SeqCst);
            }
            done += 1;
        }
    };
    scope(|scope| {
        for (host, seed) in [("a", 1), ("b", 2), ("c", 3)] {
            scope.spawn(move || machine(host, seed));
        }
    });
    let written = relocked(&written);
    assert!(["a", "b", "c"].iter().all(|host| written.contains(host)), "{written:?}");
}

#[test]
fn a_process_of_this_machine_that_has_ended_is_not_waited_for() {
    let here = Holder::here();
    assert!(!here.has_ended(&here));
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let process = child.id();
    child.wait().unwrap();
    let ended = Holder { process, ..here.clone() };
    assert_eq!(ended.has_ended(&here), !here.numbers.is_empty());
    // The number says nothing elsewhere.
    assert!(!Holder { kernel: "another".into(), ..ended.clone() }.has_ended(&here));
    assert!(!Holder { numbers: "pid:[1]".into(), ..ended }.has_ended(&here));
}
