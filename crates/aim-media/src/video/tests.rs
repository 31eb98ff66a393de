//! Tests with media that the program itself makes; without it they pass with a word.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{Frames, Limits, Moments, available, frames, probe, recording, sound};
use crate::audio::{self, Format, Options, Part, Sound};
use crate::image::Picture;

/// Two seconds of a tone.
const TONE: &str = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=2";
/// Two seconds of pictures; picture `n` of 50 has luma `20 + 4 n` everywhere.
const SHADES: &str = "-f lavfi -i nullsrc=size=64x48:rate=25:duration=2,geq=lum='20+4*N':cb=128:cr=128";

/// A folder of media, where there is a program to make them.
fn studio() -> Option<TempDir> {
    if available() {
        return Some(tempfile::tempdir().unwrap());
    }
    eprintln!("skipped: no ffmpeg on the PATH");
    None
}

/// A file made by the program from arguments without blanks inside; `None` where it lacks an encoder.
fn made(folder: &TempDir, name: &str, arguments: &str) -> Option<PathBuf> {
    let path = folder.path().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split(' '));
    let done = command.arg(format!("file:{}", path.display())).output().unwrap();
    if done.status.success() {
        return Some(path);
    }
    eprintln!("skipped: {name}: {}", String::from_utf8_lossy(&done.stderr).trim());
    None
}

/// The containers that recipes meet: FLV, MPEG-1 and MP4, with sound and pictures.
fn clips(folder: &TempDir) -> Vec<PathBuf> {
    let kinds = [
        ("a.flv", "-c:v flv1 -q:v 1 -c:a pcm_s16le"),
        ("a.mpg", "-c:v mpeg1video -q:v 1 -c:a mp2"),
        ("a.mp4", "-c:v mpeg4 -q:v 1 -c:a aac"),
    ];
    kinds.iter().filter_map(|(name, coding)| made(folder, name, &format!("{SHADES} {TONE} {coding}"))).collect()
}

fn heard(path: &Path, start: Option<f64>, end: Option<f64>) -> Vec<f32> {
    let options = Options { part: Part { start, end }, ..Options::default() };
    sound(path, None, &options, &Limits::default()).unwrap().mono()
}

fn seen(path: &Path, moments: Moments, start: Option<f64>, end: Option<f64>) -> Vec<Picture> {
    frames(path, &Frames { moments, part: Part { start, end }, short_side: None }, &Limits::default()).unwrap()
}

/// Number of the picture of `SHADES` that this is: luma 16 to 235 are values 0 to 255.
fn number(picture: &Picture) -> usize {
    let middle = picture.row(24)[3 * 32 + 1];
    ((f64::from(middle) * 219.0 / 255.0 + 16.0 - 20.0) / 4.0).round() as usize
}

fn numbers(pictures: &[Picture]) -> Vec<usize> {
    pictures.iter().map(number).collect()
}

fn fault<T: std::fmt::Debug>(outcome: crate::Result<T>) -> String {
    let message = outcome.unwrap_err().to_string();
    assert!(message.lines().count() == 1 && message.contains("; "), "{message}");
    message
}

#[test]
fn a_clip_says_what_it_holds() {
    let Some(folder) = studio() else { return };
    for path in clips(&folder) {
        let about = probe(&path, &Limits::default()).unwrap();
        let video = about.video.unwrap();
        assert_eq!((video.width, video.height, about.sound), (64, 48, Some(44_100)), "{path:?}");
        assert!((video.rate.unwrap() - 25.0).abs() < 0.5, "{path:?}: {video:?}");
        assert!((about.seconds.unwrap() - 2.0).abs() < 0.15, "{path:?}: {about:?}");
    }
    let path = made(&folder, "a.wav", TONE).unwrap();
    let about = probe(&path, &Limits::default()).unwrap();
    assert_eq!((about.video, about.sound), (None, Some(44_100)));
}

#[test]
fn sound_of_a_video_is_that_which_went_in_at_any_part() {
    let Some(folder) = studio() else { return };
    let tone = audio::read(&made(&folder, "a.wav", TONE).unwrap(), &Options::default()).unwrap().mono();
    let Some(path) = made(&folder, "a.flv", &format!("{SHADES} {TONE} -c:v flv1 -c:a pcm_s16le")) else { return };
    assert_eq!(heard(&path, None, None), tone);
    // 44,100 a second: 0.5 s is sample 22,050, 1.25 s is 55,125.
    assert_eq!(heard(&path, Some(0.5), Some(1.25)), tone[22_050..55_125]);
    assert_eq!(heard(&path, Some(1.25), None), tone[55_125..]);
    let part = Part { start: Some(3.5), end: None };
    let message = fault(sound(&path, None, &Options { part, ..Options::default() }, &Limits::default()));
    assert!(message.contains("begins at 3.500 s"), "{message}");
}

#[test]
fn sound_comes_at_the_wanted_rate_and_in_channels() {
    let Some(folder) = studio() else { return };
    let path = made(&folder, "a.mka", &format!("{TONE} -ac 2 -c:a pcm_s16le")).unwrap();
    let options = Options { mono: false, ..Options::default() };
    let Sound { rate, channels } = sound(&path, Some(16_000), &options, &Limits::default()).unwrap();
    assert_eq!((rate, channels.len(), channels[0].len()), (16_000, 2, 32_000));
    let mono = sound(&path, Some(16_000), &Options::default(), &Limits::default()).unwrap();
    assert_eq!(recording(&path, Some(16_000), &Options::default(), &Limits::default()).unwrap(), mono);
    // A tone of 440 Hz passes zero upwards 440 times a second.
    let mono = mono.mono();
    let upwards = mono.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    assert!((879..=881).contains(&upwards), "{upwards}");
}

#[test]
fn formats_decoded_here_agree_with_the_program_sample_by_sample() {
    let Some(folder) = studio() else { return };
    let sweep = "-f lavfi -i aevalsrc=0.5*sin(2*PI*(200+400*t)*t)|0.3*sin(2*PI*300*t):s=44100:d=1.7";
    let kinds = [
        ("a.flac", "-c:a flac", Format::Flac, 1e-6),
        ("b.flac", "-c:a flac -sample_fmt s32", Format::Flac, 1e-6),
        ("a.mp3", "-c:a libmp3lame -b:a 128k", Format::Mp3, 1e-4),
        ("b.mp3", "-c:a libmp3lame -q:a 4 -ar 22050 -ac 1", Format::Mp3, 1e-4),
        ("a.ogg", "-c:a libvorbis", Format::Vorbis, 1e-4),
        ("a.aiff", "-c:a pcm_s16be", Format::Aiff, 1e-6),
        ("b.aiff", "-c:a pcm_s24be", Format::Aiff, 1e-6),
        ("a.wav", "-c:a adpcm_ms", Format::Wav, 1e-6),
        ("b.wav", "-c:a adpcm_ima_wav", Format::Wav, 1e-6),
        ("c.wav", "-c:a pcm_u8", Format::Wav, 1e-6),
        ("d.wav", "-c:a pcm_s24le", Format::Wav, 1e-6),
        ("e.wav", "-c:a pcm_s32le", Format::Wav, 1e-6),
        ("f.wav", "-c:a pcm_f32le", Format::Wav, 1e-6),
        ("g.wav", "-c:a pcm_f64le", Format::Wav, 1e-6),
        ("h.wav", "-c:a pcm_alaw", Format::Wav, 1e-6),
        ("i.wav", "-c:a pcm_mulaw", Format::Wav, 1e-6),
        ("j.wav", "-c:a pcm_s16le -ac 6", Format::Wav, 1e-6),
    ];
    let options = Options { mono: false, ..Options::default() };
    for (name, coding, format, most) in kinds {
        let Some(path) = made(&folder, name, &format!("{sweep} {coding}")) else { continue };
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(Format::of(&bytes), Some(format), "{name}");
        let ours = audio::decode(&bytes, name, &options).unwrap();
        let theirs = sound(&path, None, &options, &Limits::default()).unwrap();
        assert_eq!(
            (ours.rate, ours.channels.len(), ours.frames()),
            (theirs.rate, theirs.channels.len(), theirs.frames()),
            "{name}"
        );
        let pairs = ours.channels.iter().flatten().zip(theirs.channels.iter().flatten());
        let worst = pairs.fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst <= most, "{name}: {worst}");
        // A part is cut from the same samples.
        let part = Part { start: Some(0.6), end: Some(1.1) };
        let piece = audio::decode(&bytes, name, &Options { part, ..options }).unwrap();
        let borders = part.frames(ours.rate);
        let whole = &ours.channels[0][borders.start as usize..borders.end as usize];
        assert_eq!(piece.channels[0], whole, "{name}");
    }
}

#[test]
fn damaged_recordings_give_sound_or_one_error() {
    let Some(folder) = studio() else { return };
    let kinds = [
        ("a.mp3", "-c:a libmp3lame"),
        ("a.ogg", "-c:a libvorbis"),
        ("a.aiff", "-c:a pcm_s16be"),
        ("a.wav", "-c:a adpcm_ms"),
    ];
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (name, coding) in kinds {
        let Some(path) = made(&folder, name, &format!("-t 0.4 {TONE} {coding}")) else { continue };
        let bytes = std::fs::read(&path).unwrap();
        for round in 0..200 {
            let mut bytes = bytes.clone();
            // Half of the changes hit the header.
            let within = if round % 2 == 0 { bytes.len().min(400) } else { bytes.len() };
            for _ in 0..1 + draw(4) {
                bytes[draw(within)] = draw(256) as u8;
            }
            if round % 5 == 0 {
                bytes.truncate(1 + draw(bytes.len()));
            }
            if let Err(error) = audio::decode(&bytes, name, &Options::default()) {
                assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
    // Cut in the middle, those that say how long they are say so.
    for (name, coding) in [("b.ogg", "-c:a libvorbis"), ("b.mp3", "-c:a libmp3lame"), ("b.aiff", "-c:a pcm_s16be")] {
        let Some(path) = made(&folder, name, &format!("{TONE} {coding}")) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let message = fault(audio::decode(&bytes[..bytes.len() / 2], name, &Options::default()));
        assert!(message.contains("cut short"), "{message}");
    }
}

#[test]
fn pictures_are_those_shown_at_the_wanted_times() {
    let Some(folder) = studio() else { return };
    for path in clips(&folder) {
        // 25 a second: picture n is shown from n / 25 s on. 0.3 s is in picture 7, 1.999 and 2.5 s in the last.
        let times = vec![1.0, 0.0, 0.3, 0.0, 1.999, 2.5];
        assert_eq!(numbers(&seen(&path, Moments::Times(times), None, None)), [25, 0, 7, 0, 49, 49], "{path:?}");
        let all = seen(&path, Moments::Rate(25.0), None, None);
        assert_eq!(numbers(&all), (0..50).collect::<Vec<_>>(), "{path:?}");
        // Within a part, times count from its start.
        let part = seen(&path, Moments::Times(vec![0.0, 0.4]), Some(1.0), Some(1.6));
        assert_eq!(numbers(&part), [25, 35], "{path:?}");
        let part = seen(&path, Moments::Rate(5.0), Some(1.0), Some(1.6));
        assert_eq!(part.len(), 3, "{path:?}");
        let late = Frames { moments: Moments::Times(vec![9.0]), part: Part::default(), short_side: None };
        assert!(fault(frames(&path, &late, &Limits::default())).contains("at 0 of 1 wanted times"));
    }
}

#[test]
fn pictures_are_reduced_and_never_enlarged() {
    let Some(folder) = studio() else { return };
    let path = &clips(&folder)[0];
    for (side, size) in [(None, (64, 48)), (Some(24), (32, 24)), (Some(480), (64, 48))] {
        let wanted = Frames { moments: Moments::Rate(1.0), part: Part::default(), short_side: side };
        let pictures = frames(path, &wanted, &Limits::default()).unwrap();
        assert_eq!((pictures[0].width, pictures[0].height, pictures.len()), (size.0, size.1, 2));
    }
}

#[test]
fn names_of_files_are_no_options() {
    let Some(folder) = studio() else { return };
    let path = made(&folder, "-y %03d it's:x,[a]\n;.mp4", &format!("{SHADES} {TONE} -c:v mpeg4 -c:a aac")).unwrap();
    assert_eq!(seen(&path, Moments::Rate(1.0), None, None).len(), 2);
    // As a path without a folder in front: only in the test's own folder, which is the crate's.
    let name = format!("-aim-media-test-{}.mp4", std::process::id());
    std::fs::copy(&path, &name).unwrap();
    let about = probe(Path::new(&name), &Limits::default());
    std::fs::remove_file(&name).unwrap();
    assert!(about.unwrap().video.is_some());
}

#[test]
fn what_is_no_clip_is_refused() {
    let Some(folder) = studio() else { return };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let tone = made(&folder, "tone.mka", &format!("{TONE} -c:a pcm_s16le")).unwrap();
    let silent = made(&folder, "silent.mp4", &format!("{SHADES} -c:v mpeg4")).unwrap();
    let whole = std::fs::read(&silent).unwrap();
    let cases = [
        (write("a.mp4", b""), "0 bytes"),
        (write("b.mp4", b"version https://git-lfs.github.com/spec/v1\n"), "git lfs"),
        (write("c.mp4", b"<!DOCTYPE html><html></html>"), "web page"),
        (write("d.mp4", &[7; 5000]), "ffmpeg cannot decode it ("),
        (write("e.mp4", &whole[..whole.len() / 2]), "ffmpeg cannot decode it ("),
        (folder.path().to_path_buf(), "not a regular file"),
        (folder.path().join("none.mp4"), "No such file"),
    ];
    let wanted = Frames { moments: Moments::Rate(1.0), part: Part::default(), short_side: None };
    let (options, limits) = (Options::default(), Limits::default());
    for (path, words) in cases {
        let faults = [
            fault(probe(&path, &limits)),
            fault(sound(&path, None, &options, &limits)),
            fault(frames(&path, &wanted, &limits)),
        ];
        for message in faults {
            assert!(message.starts_with(&path.display().to_string()) && message.contains(words), "{message}");
        }
    }
    assert!(fault(frames(&tone, &wanted, &limits)).contains("no stream of the wanted kind"));
    assert!(fault(sound(&silent, None, &options, &limits)).contains("no stream of the wanted kind"));
}

#[test]
fn a_clip_that_names_an_address_reaches_nothing() {
    let Some(folder) = studio() else { return };
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    let list = format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n");
    let path = folder.path().join("a.m3u8");
    std::fs::write(&path, list).unwrap();
    assert!(fault(sound(&path, None, &Options::default(), &Limits::default())).contains("playlist"));
    // Past the first look, as a program would meet it.
    let tools = super::tools::Tools::found("a").unwrap();
    let mut command = std::process::Command::new(&tools.ffmpeg);
    command.args(["-v", "error", "-protocol_whitelist", "file,pipe", "-i"]).arg(&path).args(["-f", "null", "-"]);
    assert!(!command.output().unwrap().status.success());
    assert!(server.accept().is_err(), "something connected");
}

#[test]
fn a_clip_cut_short_is_refused_though_it_plays() {
    let Some(folder) = studio() else { return };
    let Some(path) = made(&folder, "a.flv", &format!("{SHADES} {TONE} -c:v flv1 -c:a pcm_s16le")) else { return };
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 4]).unwrap();
    let wanted = Frames { moments: Moments::Rate(25.0), part: Part::default(), short_side: None };
    let faults = [
        fault(sound(&path, None, &Options::default(), &Limits::default())),
        fault(frames(&path, &wanted, &Limits::default())),
    ];
    for message in faults {
        assert!(message.contains("cut short: the header promises 2.0"), "{message}");
    }
}

#[test]
fn sound_that_ends_before_the_pictures_do_is_whole() {
    let Some(folder) = studio() else { return };
    let arguments = format!("{SHADES} -f lavfi -i sine=duration=0.5 -c:v flv1 -c:a pcm_s16le");
    let Some(path) = made(&folder, "a.flv", &arguments) else { return };
    assert_eq!(heard(&path, None, None).len(), 22_050);
    let arguments = format!("-t 0.2 {SHADES} {TONE} -c:v flv1 -c:a pcm_s16le");
    let Some(path) = made(&folder, "b.flv", &arguments) else { return };
    assert_eq!(seen(&path, Moments::Rate(25.0), None, None).len(), 5);
}

#[test]
fn thousands_of_times_are_looked_up_at_once() {
    let Some(folder) = studio() else { return };
    let Some(path) = made(&folder, "a.mp4", &format!("{SHADES} -c:v mpeg4 -q:v 1")) else { return };
    let times: Vec<_> = (0..2000).map(|tick| f64::from(tick) / 1000.0).collect();
    let wanted: Vec<_> = (0..2000).map(|tick| tick / 40).collect();
    assert_eq!(numbers(&seen(&path, Moments::Times(times), None, None)), wanted);
}

#[test]
fn limits_hold() {
    let Some(folder) = studio() else { return };
    let path = &clips(&folder)[0];
    let wanted = Frames { moments: Moments::Rate(25.0), part: Part::default(), short_side: None };
    let quick = Limits { time: Duration::from_millis(1), ..Limits::default() };
    assert!(fault(frames(path, &wanted, &quick)).contains("limit of 0.001 s"));
    // 50 pictures of 64 x 48 x 3 bytes are 460,800.
    let small = Limits { bytes: 100_000, ..Limits::default() };
    assert!(fault(frames(path, &wanted, &small)).contains("limit of 100000 bytes"));
    let short = Options { longest: 1.0, ..Options::default() };
    assert!(fault(sound(path, None, &short, &Limits::default())).contains("longer than the limit of 1 s"));
}
