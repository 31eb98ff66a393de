//! A program that is started, listened to, and ended in time.

use std::io::{ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Limits;

/// Bytes of a program's complaints that are kept, from the end.
const COMPLAINT: usize = 8192;

/// Reason for which a program gave nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be started.
    Start,
    /// It ran longer than allowed.
    Time,
    /// It wrote more than allowed.
    Size,
    /// It gave up, with these last lines.
    Failed(String),
}

/// A program that does not outlive its use.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Of a program that has ended there is nothing left to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Output of a program that is started without input.
pub(super) fn run(mut command: Command, limits: &Limits) -> Result<Vec<u8>, Fault> {
    // A time beyond what a clock can tell is none.
    let now = Instant::now();
    let until = now.checked_add(limits.time).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().map_err(unstarted)?);
    let most = limits.bytes;
    // On threads of their own, which are not waited for: a child of the program may keep the pipes open after it.
    let output = listen(running.0.stdout.take(), move |pipe| upto(pipe, most));
    let words = listen(running.0.stderr.take(), last_words);
    let output = output.recv_timeout(left(until)).map_err(|_| Fault::Time)?.ok_or(Fault::Size)?;
    let status = ended(&mut running.0, until)?;
    if status.success() {
        return Ok(output);
    }
    let words = words.recv_timeout(left(until).min(Duration::from_secs(1))).unwrap_or_default();
    Err(Fault::Failed(if words.is_empty() { status.to_string() } else { words }))
}

/// A program that is not there, or a machine that has no room for another one.
fn unstarted(error: std::io::Error) -> Fault {
    if error.kind() == ErrorKind::NotFound { Fault::Start } else { Fault::Failed(error.to_string()) }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// What `hear` makes of a pipe, once it has.
fn listen<P, T>(pipe: Option<P>, hear: impl FnOnce(P) -> T + Send + 'static) -> Receiver<T>
where
    P: Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = channel();
    if let Some(pipe) = pipe {
        // The receiver may have given up.
        thread::spawn(move || drop(sender.send(hear(pipe))));
    }
    receiver
}

/// All bytes of a pipe, unless they are more than `most`.
fn upto(pipe: impl Read, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // A pipe that breaks ends what was written; the program's status tells why.
    let _ = pipe.take((most as u64).saturating_add(1)).read_to_end(&mut bytes);
    (bytes.len() <= most).then_some(bytes)
}

/// Last lines of a pipe.
fn last_words(mut pipe: impl Read) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = pipe.read(&mut piece) {
        kept.extend_from_slice(&piece[..count]);
        kept.drain(..kept.len().saturating_sub(COMPLAINT));
    }
    String::from_utf8_lossy(&kept).trim().into()
}

/// Status of a program that has closed its output.
fn ended(child: &mut Child, until: Instant) -> Result<ExitStatus, Fault> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if left(until).is_zero() => return Err(Fault::Time),
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(Fault::Failed(error.to_string())),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{Fault, Limits, run};

    fn shell(script: &str, milliseconds: u64, bytes: usize) -> Result<Vec<u8>, Fault> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, &Limits { time: Duration::from_millis(milliseconds), bytes })
    }

    #[test]
    fn output_is_that_of_the_program() {
        assert_eq!(shell("printf abc; echo aside >&2", 20_000, 3).unwrap(), b"abc");
        let mut command = Command::new("sh");
        command.args(["-c", "printf abc"]);
        assert_eq!(run(command, &Limits { time: Duration::MAX, bytes: usize::MAX }).unwrap(), b"abc");
    }

    #[test]
    fn a_program_that_hangs_is_ended_whoever_holds_its_pipes() {
        let start = Instant::now();
        // The second leaves a child with the pipes behind; the third has closed its output.
        for script in ["exec sleep 20", "sleep 20; echo", "exec >&-; exec sleep 20"] {
            assert!(matches!(shell(script, 200, 9), Err(Fault::Time)), "{script}");
        }
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_never_stops_writing_is_ended() {
        assert!(matches!(shell("while :; do echo abcdefgh; done", 20_000, 1000), Err(Fault::Size)));
    }

    #[test]
    fn the_last_words_of_a_program_that_gives_up_are_kept() {
        let Err(Fault::Failed(words)) = shell("echo first >&2; printf 'the reason\\n\\n' >&2; exit 3", 20_000, 9)
        else {
            panic!("it did not fail");
        };
        assert_eq!(words, "first\nthe reason");
        let Err(Fault::Failed(words)) = shell("exit 3", 20_000, 9) else { panic!("it did not fail") };
        assert!(words.contains('3'), "{words}");
        let long = "i=0; while [ $i -lt 3000 ]; do echo 0123456789 >&2; i=$((i+1)); done; echo last >&2; exit 1";
        assert!(
            matches!(shell(long, 20_000, 9), Err(Fault::Failed(words)) if words.ends_with("\nlast") && words.len() < 9000)
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_told_apart() {
        let outcome = run(Command::new("no-program-of-this-name"), &Limits::default());
        assert!(matches!(outcome, Err(Fault::Start)));
    }
}
