//! The command line of the workspace, with what a process decides: the allocator and the environment.

use std::process::ExitCode;

/// A training step allocates every activation anew; the system's allocator gives such memory back to the kernel each time,
/// and faulting it in again takes a sixth of a small network's step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `.cargo/config.toml` sets for `cargo xtask` and says why.
const ENVIRONMENT: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("MIMALLOC_PURGE_DELAY", "-1")];

/// Starts a binary that was called by itself once more with [`ENVIRONMENT`], which candle and the allocator read only as they start.
/// Where that cannot be done everything is as right, but slower.
fn with_environment() {
    let missing = ENVIRONMENT.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let (missing, program) = (missing.collect::<Vec<_>>(), std::env::current_exe());
    if let (false, Ok(program)) = (missing.is_empty(), program) {
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).envs(missing);
        #[cfg(unix)]
        let _refused = std::os::unix::process::CommandExt::exec(&mut again);
    }
}

fn main() -> ExitCode {
    with_environment();
    aim_cli::main()
}
