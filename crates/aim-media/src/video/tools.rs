//! The programs, looked for once.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Limits;
use super::process::{Fault, run};
use crate::{Error, Result, disguise};

/// Characters of a program's last line that are quoted.
const QUOTED: usize = 200;

/// The two programs of the package `ffmpeg`.
pub(super) struct Tools {
    pub(super) ffmpeg: PathBuf,
    pub(super) ffprobe: PathBuf,
}

static FOUND: OnceLock<Option<Tools>> = OnceLock::new();

impl Tools {
    /// The programs on the PATH; `place` names in the error what they are needed for.
    ///
    /// # Errors
    /// A program that is not there or cannot be started.
    pub(super) fn found(place: impl ToString) -> Result<&'static Self> {
        let look = || Some(Self { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into() }).filter(Self::start);
        FOUND.get_or_init(look).as_ref().ok_or_else(|| missing(place))
    }

    fn start(&self) -> bool {
        [&self.ffmpeg, &self.ffprobe].into_iter().all(|program| {
            let mut command = Command::new(program);
            command.arg("-version");
            run(command, &Limits::default()).is_ok()
        })
    }

    /// Output of a program about a file; arguments stand before it and behind it.
    ///
    /// # Errors
    /// No such file, no content that the program decodes, a limit that is reached.
    pub(super) fn output(
        program: &Path,
        before: &[&str],
        path: &Path,
        behind: &[&str],
        limits: &Limits,
    ) -> Result<Vec<u8>> {
        disguise::refuse(&disguise::head(path, 512)?, &path.display().to_string())?;
        let mut command = Command::new(program);
        // Without the protocol, a name that begins with a dash would be an option, one with a colon a protocol.
        command.args(["-v", "error", "-protocol_whitelist", "file,pipe"]).args(before);
        command.arg("-i").arg(named(path)).args(behind);
        run(command, limits).map_err(|fault| told(fault, path, limits))
    }
}

fn named(path: &Path) -> OsString {
    [OsStr::new("file:"), path.as_os_str()].into_iter().collect()
}

fn missing(place: impl ToString) -> Error {
    let remedy = "install the package `ffmpeg` (apt, dnf, brew and conda know it by this name)";
    Error::new(place, "the programs ffmpeg and ffprobe are needed and are not on the PATH", remedy)
}

fn told(fault: Fault, path: &Path, limits: &Limits) -> Error {
    let (problem, remedy) = match fault {
        Fault::Start => return missing(path.display()),
        Fault::Time => (
            format!("decoding took longer than the limit of {} s and was ended", limits.time.as_secs_f64()),
            "leave the file out, or raise the limit",
        ),
        Fault::Size => (
            format!("decoded, it is larger than the limit of {} bytes", limits.bytes),
            "ask for a shorter part, fewer or smaller pictures, or raise the limit",
        ),
        Fault::Failed(words) if words.contains("matches no streams") => {
            ("it has no stream of the wanted kind (sound, or moving pictures)".into(), "leave the file out")
        }
        Fault::Failed(words) => {
            (format!("ffmpeg cannot decode it ({})", quoted(&words)), "fetch the file again, or leave it out")
        }
    };
    Error::new(path.display(), problem, remedy)
}

/// Last line, as far as it is quoted.
fn quoted(words: &str) -> String {
    let line = words.lines().last().unwrap_or_default().trim();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Fault, Limits, missing, named, told};

    #[test]
    fn the_file_is_named_so_that_it_is_no_option_and_no_address() {
        for name in ["-y.mp4", "http://a/b.mp4", "a b'%03d.mp4"] {
            assert_eq!(named(Path::new(name)), format!("file:{name}").as_str());
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert!(missing("clip.flv").to_string().starts_with("clip.flv: the programs ffmpeg and ffprobe are needed"));
        assert!(missing("clip.flv").remedy.contains("the package `ffmpeg`"));
    }

    #[test]
    fn every_fault_is_one_line_with_a_remedy() {
        let limits = Limits { time: Duration::from_millis(1500), bytes: 10 };
        let faults = [
            (Fault::Time, "limit of 1.5 s"),
            (Fault::Size, "limit of 10 bytes"),
            (
                Fault::Failed("Stream map '0:a:0' matches no streams.\nTo ignore this, ...".into()),
                "no stream of the wanted kind",
            ),
            (Fault::Failed("first\nmoov atom\x1b not found".into()), "(moov atom  not found)"),
        ];
        for (fault, words) in faults {
            let message = told(fault, Path::new("a.mp4"), &limits).to_string();
            assert!(message.starts_with("a.mp4: ") && message.contains(words), "{message}");
        }
    }
}
