use super::testing::{chunk, flac, format, riff, wav, wav16};
use super::{Format, Options, Part, Sound, decode};

fn all(bytes: &[u8]) -> Sound {
    decode(bytes, "a.wav", &Options { mono: false, ..Options::default() }).unwrap()
}

fn mono(bytes: &[u8], start: Option<f64>, end: Option<f64>) -> Vec<f32> {
    let options = Options { part: Part { start, end }, ..Options::default() };
    decode(bytes, "a.wav", &options).unwrap().mono()
}

fn fault(bytes: &[u8], options: &Options) -> String {
    let message = decode(bytes, "a.wav", options).unwrap_err().to_string();
    assert!(message.starts_with("a.wav: ") && message.contains("; ") && message.lines().count() == 1, "{message}");
    message
}

fn refused(bytes: &[u8]) -> String {
    fault(bytes, &Options::default())
}

/// 600 samples, each its own number, so that a shift by one is seen.
fn ramp() -> Vec<i16> {
    (0..600).map(|i| i * 7 - 1000).collect()
}

fn scaled(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&x| f32::from(x) / 32_768.0).collect()
}

#[test]
fn integers_of_every_width_are_divided_by_half_their_range() {
    // 8 bits are unsigned around 128: 0 -> -1, 128 -> 0, 255 -> 127/128.
    assert_eq!(all(&wav(1, 1, 8000, 8, &[0, 128, 255])).channels, [[-1.0, 0.0, 127.0 / 128.0]]);
    let sixteen = [i16::MIN, -1, 0, 16_384, i16::MAX];
    assert_eq!(all(&wav16(8000, &sixteen)).channels, [[-1.0, -1.0 / 32_768.0, 0.0, 0.5, 32_767.0 / 32_768.0]]);
    // 0x800000 = -2^23, 0x400000 = 2^22, 0xffffff = -1.
    let bytes = [0, 0, 0x80, 0, 0, 0x40, 0xff, 0xff, 0xff];
    assert_eq!(all(&wav(1, 1, 8000, 24, &bytes)).channels, [[-1.0, 0.5, -1.0 / 8_388_608.0]]);
    let bytes = [i32::MIN, 1 << 30, -2].map(i32::to_le_bytes).concat();
    assert_eq!(all(&wav(1, 1, 8000, 32, &bytes)).channels, [[-1.0, 0.5, -2.0 / 2_147_483_648.0]]);
}

#[test]
fn floats_are_taken_as_they_are_beyond_one_too() {
    let bytes = [0.25f32, -1.5].map(f32::to_le_bytes).concat();
    assert_eq!(all(&wav(3, 1, 8000, 32, &bytes)).channels, [[0.25, -1.5]]);
    let bytes = [0.25f64, -1.5].map(f64::to_le_bytes).concat();
    assert_eq!(all(&wav(3, 1, 8000, 64, &bytes)).channels, [[0.25, -1.5]]);
}

#[test]
fn a_length_that_leaves_sound_behind_is_refused() {
    let whole = wav16(8000, &ramp());
    for length in [0u32, 600] {
        let mut bytes = whole.clone();
        bytes[40..44].copy_from_slice(&length.to_le_bytes());
        let told = refused(&bytes);
        let part = format!("the sound has {length} bytes, behind which {} more are no part", 1200 - length);
        assert!(told.contains(&part), "{told}");
    }
    // Chunks behind the sound, and a byte that fills up, are none of it.
    let mut more = whole.clone();
    more.extend(chunk(b"LIST", b"INFO"));
    more.push(0);
    assert_eq!(all(&more).channels, all(&whole).channels);
}

#[test]
fn the_laws_of_telephony_are_those_of_g711() {
    // A-law: 0xd5 is the smallest positive step, 8; 0xaa the greatest, (15*16 + 0x108) << 6 = 32,256; 0x2a is its
    // negative.
    let samples = [8.0, 32_256.0, -32_256.0, -8.0].map(|x| x / 32_768.0);
    assert_eq!(all(&wav(6, 1, 8000, 8, &[0xd5, 0xaa, 0x2a, 0x55])).channels, [samples]);
    // Mu-law: 0xff is zero; 0x80 the greatest, ((15*8 + 132) << 7) - 132 = 32,124; 0x00 its negative.
    let samples = [0.0, 32_124.0, -32_124.0].map(|x| x / 32_768.0);
    assert_eq!(all(&wav(7, 1, 8000, 8, &[0xff, 0x80, 0x00])).channels, [samples]);
}

#[test]
fn the_extended_header_and_other_chunks_change_nothing() {
    let samples = [5, -6, 7];
    let data = samples.iter().flat_map(|x: &i16| x.to_le_bytes()).collect::<Vec<_>>();
    // 22 more bytes: 16 valid bits, no mask of channels, identifier of PCM.
    let identifier = [1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
    let extended = [format(0xfffe, 1, 8000, 16), vec![22, 0, 16, 0, 0, 0, 0, 0], identifier.to_vec()].concat();
    // A chunk of odd length has a byte of padding behind it.
    let list = chunk(b"LIST", b"INFOxyz");
    let file = riff(&[list.clone(), chunk(b"fmt ", &extended), list.clone(), chunk(b"data", &data), list]);
    assert_eq!(all(&file).channels, [scaled(&samples)]);
}

#[test]
fn a_program_that_wrote_into_a_pipe_left_no_length() {
    let mut file = wav16(8000, &ramp());
    for at in [4, 40] {
        file[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    }
    assert_eq!(mono(&file, None, None), scaled(&ramp()));
}

#[test]
fn channels_stay_apart_or_become_their_mean() {
    let file = wav(1, 2, 8000, 16, &[100i16, 300, -100, 0].map(i16::to_le_bytes).concat());
    assert_eq!(all(&file).channels, [scaled(&[100, -100]), scaled(&[300, 0])]);
    assert_eq!(mono(&file, None, None), scaled(&[200, -50]));
}

#[test]
fn flac_gives_the_samples_that_went_in_at_any_part() {
    let file = flac(8000, &ramp());
    assert_eq!(Format::of(&file), Some(Format::Flac));
    let whole = scaled(&ramp());
    assert_eq!(mono(&file, None, None), whole);
    // 8,000 a second: 0.025 s is sample 200, in the second block of 192; 0.0625 s is 500, in the third.
    assert_eq!(mono(&file, Some(0.025), Some(0.0625)), whole[200..500]);
    assert_eq!(mono(&file, Some(0.07), None), whole[560..]);
    assert_eq!(mono(&file, None, Some(0.001)), whole[..8]);
}

#[test]
fn a_part_of_a_wav_is_exact_and_ends_with_the_recording() {
    let (file, whole) = (wav16(8000, &ramp()), scaled(&ramp()));
    assert_eq!(mono(&file, Some(0.025), Some(0.0625)), whole[200..500]);
    assert_eq!(mono(&file, Some(0.025), Some(9.0)), whole[200..]);
    let late = Options { part: Part { start: Some(0.075), end: None }, ..Options::default() };
    let message = fault(&file, &late);
    assert!(message.contains("begins at 0.075 s, the recording ends at 0.075 s"), "{message}");
    assert!(fault(&flac(8000, &ramp()), &late).contains("ends at 0.075 s"));
}

#[test]
fn content_decides_and_names_do_not() {
    for name in ["a.mp3", "a", "a.jpg"] {
        assert_eq!(decode(&wav16(8000, &[1, 2]), name, &Options::default()).unwrap().rate, 8000);
        assert_eq!(decode(&flac(8000, &[1, 2]), name, &Options::default()).unwrap().rate, 8000);
    }
}

#[test]
fn a_file_cut_short_is_refused_with_both_lengths() {
    let file = wav16(8000, &ramp());
    // 44 bytes of header and 1,200 of samples.
    let message = refused(&file[..1000]);
    assert!(message.contains("promises 1244 bytes, the file has 1000"), "{message}");
    let file = flac(8000, &ramp());
    let message = refused(&file[..900]);
    assert!(message.contains("promises 600 samples, ") && message.contains("in the 900 bytes"), "{message}");
}

#[test]
fn every_length_of_a_truncated_file_is_an_error() {
    for file in [wav16(8000, &ramp()), flac(8000, &ramp())] {
        for length in 0..file.len() {
            refused(&file[..length]);
        }
    }
}

#[test]
fn damage_in_a_flac_is_an_error_not_a_gap() {
    let file = flac(8000, &ramp());
    // In the second of the frames of 42 + 396 bytes or so: its checksum no longer fits.
    for at in [500, 600, 700] {
        let mut file = file.clone();
        file[at] ^= 0x10;
        refused(&file);
    }
}

#[test]
fn samples_that_are_no_numbers_are_refused() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bytes = [0.5, odd, 0.5].map(f32::to_le_bytes).concat();
        let message = refused(&wav(3, 1, 8000, 32, &bytes));
        assert!(message.contains("sample 1 is"), "{message}");
    }
    // Too great for 32 bits.
    assert!(refused(&wav(3, 1, 8000, 64, &1e300f64.to_le_bytes())).contains("sample 0 is inf"));
}

#[test]
fn headers_that_say_nothing_of_use_are_refused() {
    assert!(refused(&wav(1, 1, 0, 16, &[0; 4])).contains("0 samples a second"));
    assert!(refused(&wav(1, 0, 8000, 16, &[0; 4])).contains("0 channels"));
    assert!(refused(&wav(0x55, 1, 8000, 16, &[0; 4])).contains("coding 85"));
    assert!(refused(&wav(1, 1, 8000, 40, &[0; 10])).contains("40 bits"));
    assert!(refused(&wav16(8000, &[])).contains("no samples"));
    assert!(refused(&riff(&[chunk(b"data", &[0; 4])])).contains("does not say how"));
    assert!(refused(&riff(&[chunk(b"fmt ", &format(1, 1, 8000, 16))])).contains("no data"));
    // A chunk of 4 GB in a file of 44 bytes.
    let mut file = wav16(8000, &[]);
    file[16..20].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    assert!(refused(&file).contains("promises 4294967300 bytes, the file has 44"));
}

#[test]
fn what_is_no_recording_is_named() {
    assert!(refused(b"").contains("0 bytes"));
    assert!(refused(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs"));
    assert!(refused(b"<!DOCTYPE html>").contains("web page"));
    assert!(refused(&[7; 1000]).contains("no recording of a known format"));
}

#[test]
fn a_sound_beyond_the_limit_is_refused_before_it_is_decoded() {
    // 600 samples at 8,000 a second are 0.075 s.
    let short = Options { longest: 0.05, ..Options::default() };
    for file in [wav16(8000, &ramp()), flac(8000, &ramp())] {
        assert!(fault(&file, &short).contains("longer than the limit of 0.05 s"));
        let part = Part { start: Some(0.025), end: Some(0.0625) };
        assert_eq!(decode(&file, "", &Options { part, ..short }).unwrap().frames(), 300);
    }
    // A header that promises 2^36 - 1 samples allocates nothing.
    let mut file = flac(8000, &ramp());
    file[21] |= 0x0f;
    file[22..26].fill(0xff);
    assert!(refused(&file).contains("longer than the limit of 3600 s"));
    // Within any limit of seconds there is one of samples: 2^36 of them take 256 GiB.
    let patient = Options { longest: f64::MAX, ..Options::default() };
    assert!(fault(&file, &patient).contains("more than 2 GiB"));
}

#[test]
fn a_part_shorter_than_a_sample_is_told_apart_from_a_silent_recording() {
    // At 8,000 Hz both times are sample 0.
    let part = Part { start: Some(0.00001), end: Some(0.00002) };
    let message = fault(&wav16(8000, &ramp()), &Options { part, ..Options::default() });
    assert!(message.contains("shorter than a sample at 8000 Hz"), "{message}");
}

#[test]
fn a_wav_behind_a_tag_is_read_behind_it() {
    let file = wav16(8000, &ramp());
    let tagged = [b"ID3\x04\0\0\0\0\0\x0a".as_slice(), &[0; 10], &file].concat();
    let of = |bytes: &[u8]| decode(bytes, "a.wav", &Options::default()).unwrap();
    assert_eq!(of(&tagged), of(&file));
}

#[test]
fn changed_bytes_give_sound_or_one_error() {
    let files = [wav16(8000, &ramp()), flac(8000, &ramp())];
    for file in files {
        for at in 0..file.len().min(800) {
            for flip in [0x01, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] ^= flip;
                if let Err(error) = decode(&file, "a.wav", &Options { longest: 60.0, ..Options::default() }) {
                    assert_eq!(error.to_string().lines().count(), 1);
                }
            }
        }
    }
}

#[test]
fn a_folder_and_a_name_of_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (path, words) in [(folder.path().to_path_buf(), "not a regular file"), (folder.path().join("a.wav"), "")] {
        let message = super::read(&path, &Options::default()).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()) && message.contains(words), "{message}");
    }
    std::fs::write(folder.path().join("b.dat"), wav16(8000, &[3])).unwrap();
    assert_eq!(super::read(&folder.path().join("b.dat"), &Options::default()).unwrap().frames(), 1);
}

#[test]
fn decoding_can_be_handed_to_threads() {
    let file = wav16(8000, &ramp());
    let sounds: Vec<_> = std::thread::scope(|scope| {
        let hands = [0, 1].map(|_| scope.spawn(|| decode(&file, "a.wav", &Options::default()).unwrap()));
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });
    assert_eq!(sounds[0], sounds[1]);
}
