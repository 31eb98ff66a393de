//! Signals that ask for an end.

use std::{
    process::exit,
    sync::Arc,
    time::{Duration, Instant},
};

use aim_core::{Error, Result};
use aim_train::run::Stop;

use crate::{INTERRUPTED, tell};

/// How often it is looked whether someone has asked.
const TICK: Duration = Duration::from_millis(50);
/// What a command without a run in training still has for its last words.
const IDLE: Duration = Duration::from_millis(800);
/// Longest wait for a run's step; schedulers kill 30 seconds after they have asked.
const LONGEST: Duration = Duration::from_secs(20);

/// A signal (Ctrl-C, an end asked for, a terminal that is closed) stops runs after their current step; a second one
/// ends the process at once. Signals that were ignored when the process started, as under `nohup`, stay so.
pub(crate) fn stop_on_interrupt() -> Result<Arc<Stop>> {
    let stop = Arc::new(Stop::default());
    let asked = Arc::clone(&stop);
    let handler = move || {
        if asked.asked() {
            exit(INTERRUPTED.into());
        }
        asked.ask();
    };
    let failed = |e: String| Error::invalid("Ctrl-C", e, "report this fault with the command that met it");
    let ignored = ignored::signals();
    ctrlc::set_handler(handler).map_err(|e| failed(e.to_string()))?;
    ignored.into_iter().for_each(ignored::ignore);
    let watched = Arc::clone(&stop);
    std::thread::Builder::new().spawn(move || watch(&watched)).map_err(|e| failed(e.to_string()))?;
    Ok(stop)
}

/// Ends the process where nothing else does: what is written is whole at any moment, and whatever is not training is
/// done again by the same command.
fn watch(stop: &Stop) {
    let (mut asked, mut idle) = (None, None);
    loop {
        std::thread::sleep(TICK);
        if !stop.asked() {
            continue;
        }
        let asked: Instant = *asked.get_or_insert_with(Instant::now);
        if stop.is_training() {
            idle = None;
        } else {
            idle.get_or_insert_with(Instant::now);
        }
        if idle.is_some_and(|idle: Instant| idle.elapsed() > IDLE) || asked.elapsed() > LONGEST {
            tell(&format!("{}\n", Error::Stopped));
            exit(INTERRUPTED.into());
        }
    }
}

#[cfg(unix)]
mod ignored {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    fn action() -> SigAction {
        SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty())
    }

    /// Those of the signals heard here that are ignored; for a moment all of them are.
    pub fn signals() -> Vec<Signal> {
        let was = |signal: &Signal| {
            // SAFETY: a signal that is ignored runs no code.
            let before = unsafe { sigaction(*signal, &action()) };
            before.is_ok_and(|before| matches!(before.handler(), SigHandler::SigIgn))
        };
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().filter(was).collect()
    }

    /// Ignores a signal again.
    pub fn ignore(signal: Signal) {
        // SAFETY: as above. Best effort: it was possible before.
        let _before = unsafe { sigaction(signal, &action()) };
    }
}

#[cfg(not(unix))]
mod ignored {
    /// None is known of elsewhere.
    pub fn signals() -> Vec<()> {
        vec![]
    }

    /// Nothing to do.
    pub fn ignore((): ()) {}
}
