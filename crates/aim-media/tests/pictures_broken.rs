//! Broken, foreign and hostile files in place of pictures: one clear error each.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use aim_media::image::{Encoded, MAX_PIXELS, Region, decode};
use std::time::Instant;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/pictures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn message(bytes: &[u8]) -> String {
    let message = decode(bytes, "a/b.jpg").unwrap_err().to_string();
    assert!(message.starts_with("a/b.jpg: ") && message.contains("; ") && !message.contains('\n'), "{message}");
    message
}

#[test]
fn what_is_no_picture_is_named_with_its_remedy() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>403</body></html>", "web page"),
        (b"GIF89a\x01\0\x01\0", "a GIF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP"),
        (b"BM\x10\0\0\0", "a BMP"),
        (b"\0\0\0\x1cftypavif", "an AVIF"),
        (b"plain words", "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff\xd9", "damaged"),
    ];
    for (bytes, words) in cases {
        assert!(message(bytes).contains(words), "{words}: {}", message(bytes));
    }
}

#[test]
fn the_content_counts_and_not_the_name() {
    assert_eq!(decode(&file("rgb.png"), "x.jpg").unwrap().width, 11);
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_never_grey_rows() {
    for name in ["420.jpg", "420-progressive.jpg", "restarts.jpg", "cmyk.jpg", "rgb.png", "rgb-16.png"] {
        let (bytes, whole) = (file(name), decode(&file(name), name).unwrap());
        for length in 0..bytes.len() {
            match decode(&bytes[..length], name) {
                Ok(picture) => assert!(picture == whole && length + 16 > bytes.len(), "{name} {length}"),
                Err(error) => assert!(length < 4 || error.to_string().len() < 200, "{name} {length} {error}"),
            }
        }
        let half = message(&bytes[..bytes.len() - 60]);
        assert!(half.contains("ends in the middle") || half.contains("damaged"), "{half}");
    }
    assert!(message(&file("420.jpg")[..1000]).contains("ends in the middle of the picture; copy or download"));
}

#[test]
fn a_region_of_a_cut_file_is_an_error_even_where_the_cut_lies_below_it() {
    let bytes = file("420.jpg");
    let top = Region { x: 0, y: 0, width: 8, height: 8 };
    let cut = Encoded::open(&bytes[..bytes.len() - 40], "a", MAX_PIXELS).unwrap();
    assert!(cut.decode_region(&top).unwrap_err().problem.contains("ends in the middle"));
}

#[test]
fn a_jpeg_that_lacks_only_its_end_mark_is_whole() {
    let bytes = file("420.jpg");
    assert!(decode(&bytes[..bytes.len() - 2], "a").unwrap() == decode(&bytes, "a").unwrap());
}

#[test]
fn changed_bytes_give_an_error_or_a_picture_but_never_a_panic() {
    for name in ["420.jpg", "444-progressive.jpg", "restarts.jpg", "411.jpg", "palette.png", "grey-alpha.png"] {
        let bytes = file(name);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xd0, 0xff, !bytes[at]] {
                let mut changed = bytes.clone();
                changed[at] = value;
                for parts in [1, 3] {
                    let picture = Encoded::open(&changed, name, 1 << 20).and_then(|encoded| {
                        let (width, height) = (encoded.width().div_ceil(parts), encoded.height().div_ceil(parts));
                        encoded.decode_region(&Region { x: 0, y: 0, width, height })
                    });
                    assert!(picture.is_err() || picture.is_ok_and(|p| p.rgb.len() == 3 * p.width * p.height));
                }
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_head_and_a_false_size_by_its_lack_of_data() {
    for name in ["420.jpg", "420-progressive.jpg"] {
        let mut bytes = file(name);
        let at = bytes.windows(2).position(|pair| pair == [0xff, 0xc0] || pair == [0xff, 0xc2]).unwrap();
        bytes[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
        let error = message(&bytes);
        assert!(error.contains("65535 x 65535 pixels are more than the limit of 100000000; make"), "{error}");
        // 9,984 x 9,984 pixels are within the limit, but this file holds 45 x 37.
        bytes[at + 5..at + 9].copy_from_slice(&[0x27, 0, 0x27, 0]);
        let start = Instant::now();
        message(&bytes);
        assert!(start.elapsed().as_secs() < 5, "{name}");
    }
    let mut info = png::Info::with_size(50_000, 50_000);
    info.bit_depth = png::BitDepth::One;
    let mut bytes = vec![];
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c]).unwrap();
    drop(writer);
    assert!(message(&bytes).contains("50000 x 50000 pixels are more than the limit"));
}

#[test]
fn kinds_of_jpeg_that_are_not_read_are_named() {
    let bytes = file("420.jpg");
    let at = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (marker, words) in [(0xc3, "lossless"), (0xc5, "hierarchical"), (0xc9, "arithmetic coding")] {
        let mut changed = bytes.clone();
        changed[at + 1] = marker;
        assert!(message(&changed).contains(words) && message(&changed).contains("save it as a usual JPEG"));
    }
    let mut deep = bytes.clone();
    deep[at + 4] = 12;
    assert!(message(&deep).contains("a JPEG of 12 bits a value"));
}

#[test]
fn a_picture_that_would_grow_between_the_passes_is_refused() {
    // 600,000 rows of 224 columns are 134 million pixels on the way to a square of 224.
    let picture = aim_media::image::Picture::new(1, 600_000, vec![0; 1_800_000]).unwrap();
    assert!(picture.resize(224, 224).unwrap_err().problem.contains("on the way"));
    assert!(picture.resize(100, 100).is_ok());
}
