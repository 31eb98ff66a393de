//! Real recordings and clips, where `AIM_DATA` names the folder that holds them.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use aim_media::audio::{self, Options, Part};
use aim_media::image;
use aim_media::video::{self, Frames, Limits, Moments};

/// Files of a folder of the data with an ending, in order; none without the data.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let Some(data) = std::env::var_os("AIM_DATA") else {
        eprintln!("skipped: AIM_DATA names no folder");
        return Vec::new();
    };
    let entries = std::fs::read_dir(Path::new(&data).join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == ending)).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no .{ending}");
    files
}

/// Clips, where there is a program that decodes them.
fn clips(folder: &str, ending: &str) -> Vec<PathBuf> {
    if video::available() {
        return files(folder, ending);
    }
    eprintln!("skipped: no ffmpeg on the PATH");
    Vec::new()
}

/// Correlation of two sounds.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let product: f64 = pairs().map(|(a, b)| a * b).sum();
    let squares = pairs().fold((0.0, 0.0), |sum, (a, b)| (sum.0 + a * a, sum.1 + b * b));
    product / (squares.0 * squares.1).sqrt()
}

#[test]
fn ravdess_is_read_bit_for_bit() {
    for path in files("ravdess/audio", "flac") {
        // The checksum of the samples is compared as they are decoded.
        let sound = audio::read(&path, &Options::default()).unwrap();
        assert_eq!(sound.rate, 16_000, "{path:?}");
        assert!((2.8..5.5).contains(&sound.seconds()), "{path:?}: {} s", sound.seconds());
    }
}

#[test]
fn a_part_of_a_flac_is_that_of_the_whole() {
    for path in files("ravdess/audio", "flac").into_iter().step_by(97) {
        let part = Part { start: Some(1.234), end: Some(2.345) };
        let piece = audio::read(&path, &Options { part, ..Options::default() }).unwrap();
        let whole = audio::read(&path, &Options::default()).unwrap().mono();
        // 1.234 * 16,000 = 19,744; 2.345 * 16,000 = 37,520.
        assert_eq!(piece.mono(), whole[19_744..37_520], "{path:?}");
    }
}

#[test]
fn sound_of_cremad_clips_is_that_of_the_official_recordings() {
    for path in clips("cremad/flv", "flv") {
        let name = path.with_extension("wav");
        let official = path.with_file_name("../wav16").join(name.file_name().unwrap());
        let official = audio::read(&official, &Options::default()).unwrap();
        let ours = video::recording(&path, Some(official.rate), &Options::default(), &Limits::default()).unwrap();
        assert!((ours.seconds() - official.seconds()).abs() < 0.2, "{path:?}");
        let alike = correlation(&ours.mono(), &official.mono());
        assert!(alike > 0.999, "{path:?}: {alike}");
    }
}

#[test]
fn pictures_of_cremad_clips_come_at_any_rate() {
    for path in clips("cremad/flv", "flv") {
        let about = video::probe(&path, &Limits::default()).unwrap();
        let moving = about.video.unwrap();
        assert_eq!((moving.width, moving.height, about.sound), (480, 360, Some(44_100)), "{path:?}");
        for rate in [1.0, 5.0] {
            let wanted = Frames { moments: Moments::Rate(rate), part: Part::default(), short_side: None };
            let pictures = video::frames(&path, &wanted, &Limits::default()).unwrap();
            assert!(
                (pictures.len() as f64 - rate * about.seconds.unwrap()).abs() <= 1.0,
                "{path:?}: {}",
                pictures.len()
            );
            assert!(pictures.iter().all(|picture| (picture.width, picture.height) == (480, 360)));
        }
        let times = Moments::Times(vec![0.2, 1.0]);
        let wanted = Frames { moments: times, part: Part::default(), short_side: Some(224) };
        let pictures = video::frames(&path, &wanted, &Limits::default()).unwrap();
        assert_eq!((pictures.len(), pictures[0].height), (2, 224), "{path:?}");
    }
}

#[test]
fn pictures_of_cremad_clips_are_those_of_the_folders() {
    for path in clips("cremad/flv", "flv") {
        let wanted = Frames { moments: Moments::Rate(5.0), part: Part::default(), short_side: None };
        let pictures = video::frames(&path, &wanted, &Limits::default()).unwrap();
        let folder = path.with_file_name("../frames").join(path.file_stem().unwrap());
        for (number, picture) in (1..).zip(&pictures) {
            let stored = image::read(&folder.join(format!("{number:03}.jpg"))).unwrap();
            let apart = picture.rgb.iter().zip(&stored.rgb).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
            let apart = apart / picture.rgb.len() as f64;
            assert!(apart < 2.0, "{path:?}, picture {number}: {apart} of 255 apart on average");
        }
        assert!(!folder.join(format!("{:03}.jpg", pictures.len() + 1)).exists(), "{path:?}");
    }
}

#[test]
fn sentences_of_grid_have_75_pictures_and_three_seconds_of_sound() {
    for path in clips("grid/raw", "mpg").into_iter().step_by(8) {
        let wanted = Frames { moments: Moments::Rate(25.0), part: Part::default(), short_side: None };
        let pictures = video::frames(&path, &wanted, &Limits::default()).unwrap();
        assert!((74..=76).contains(&pictures.len()), "{path:?}: {}", pictures.len());
        assert_eq!((pictures[0].width, pictures[0].height), (360, 288), "{path:?}");
        let sound = video::recording(&path, None, &Options::default(), &Limits::default()).unwrap();
        assert_eq!(sound.rate, 44_100, "{path:?}");
        assert!((2.7..3.1).contains(&sound.seconds()), "{path:?}: {} s", sound.seconds());
    }
}
