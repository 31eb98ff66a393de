//! Pictures against Pillow and torchvision; the values come from `pictures/make.py`.
#![cfg(feature = "decode")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use aim_media::image::{Encoded, MAX_PIXELS, Normalisation, Picture, RandomCrop, Region, decode, read, shorter_side};
use safetensors::SafeTensors;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pictures")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn expected() -> Vec<(String, Picture)> {
    let bytes = file("expected.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let picture = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        Picture::new(tensor.shape()[1], tensor.shape()[0], tensor.data().to_vec()).unwrap()
    };
    tensors.names().into_iter().map(|name| (name.to_string(), picture(name))).collect()
}

type Measure<'a> = &'a dyn Fn(&Region) -> f64;

/// The picture of `make.py`.
fn formula(width: usize, height: usize) -> Picture {
    let value = |x: usize, y: usize, c: usize| {
        let wave = (x * x + 3 * y * y + 40 * c * x) / 16 % 256;
        ((wave + (x / 9 + y / 7 + c) % 3 * 80) / 2 % 256) as u8
    };
    let rgb = (0..3 * width * height).map(|i| value(i / 3 % width, i / 3 / width, i % 3)).collect();
    Picture::new(width, height, rgb).unwrap()
}

/// Evenly distributed numbers in [0, 1).
fn generator(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn part(of: &Picture, uniform: &mut impl FnMut() -> f64) -> Region {
    let mut range = |side: usize| {
        let start = (side as f64 * uniform()) as usize;
        (start, 1 + ((side - start) as f64 * uniform()) as usize)
    };
    let ((x, width), (y, height)) = (range(of.width), range(of.height));
    Region { x, y, width: width.min(of.width - x), height: height.min(of.height - y) }
}

#[test]
fn files_decode_to_the_very_pixels_of_pillow() {
    let files: Vec<_> = expected().into_iter().filter(|(name, _)| name.contains('.') && !name.contains(' ')).collect();
    assert_eq!(files.len(), 22);
    for (name, picture) in files {
        assert!(read(&folder().join(&name)).unwrap() == picture, "{name}");
    }
}

#[test]
fn a_region_has_the_pixels_that_the_whole_picture_has_there() {
    let mut uniform = generator(1);
    for (name, whole) in expected().into_iter().filter(|(name, _)| name.ends_with("jpg") || name.ends_with("png")) {
        let bytes = file(&name);
        for _ in 0..60 {
            let region = part(&whole, &mut uniform);
            let encoded = Encoded::open(&bytes, &name, MAX_PIXELS).unwrap();
            assert!(encoded.decode_region(&region).unwrap() == whole.crop(&region).unwrap(), "{name} {region:?}");
        }
    }
}

#[test]
fn every_orientation_is_turned_upright() {
    // PNG keeps the pixels; its EXIF chunk is put in by hand: tag 0x112, type 3, one value.
    let plain = formula(5, 3);
    for (name, upright) in expected() {
        let Some(orientation) = name.strip_prefix("orientation-") else { continue };
        let exif =
            [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec(), vec![orientation.parse().unwrap(), 0, 0]]
                .concat();
        let mut bytes = vec![];
        let mut info = png::Info::with_size(5, 3);
        (info.color_type, info.bit_depth) = (png::ColorType::Rgb, png::BitDepth::Eight);
        info.exif_metadata = Some(exif.into());
        let encoder = png::Encoder::with_info(&mut bytes, info).unwrap();
        encoder.write_header().unwrap().write_image_data(&plain.rgb).unwrap();
        let encoded = Encoded::open(&bytes, &name, MAX_PIXELS).unwrap();
        assert_eq!([encoded.width(), encoded.height()], [upright.width, upright.height], "{name}");
        assert_eq!(encoded.decode().unwrap(), upright, "{name}");
    }
}

#[test]
fn resizing_gives_the_very_pixels_of_pillow() {
    let large = formula(61, 47);
    let mut cases = 0;
    for (name, resized) in expected() {
        let Some(arguments) = name.strip_prefix("resize ") else { continue };
        let numbers: Vec<f32> = arguments.split(' ').map(|number| number.parse().unwrap()).collect();
        let stretch = [numbers[2], numbers[3], numbers[4], numbers[5]];
        assert!(large.resize_box(stretch, numbers[0] as usize, numbers[1] as usize).unwrap() == resized, "{name}");
        cases += 1;
    }
    assert_eq!(cases, 9);
}

#[test]
fn resizing_two_pixels_to_one_takes_their_mean_and_one_to_two_repeats_it() {
    let row = Picture::new(2, 1, vec![10, 20, 30, 20, 41, 30]).unwrap();
    // (20 + 41) / 2 = 30.5, rounded up.
    assert_eq!(row.resize(1, 1).unwrap().rgb, [15, 31, 30]);
    let dot = Picture::new(1, 1, vec![7, 8, 9]).unwrap();
    assert_eq!(dot.resize(2, 2).unwrap().rgb, [7, 8, 9].repeat(4));
}

#[test]
fn crops_flips_and_normalisation_follow_their_definitions() {
    // Pixels 0 to 5 in two rows of three; the colours of pixel i are 10 i, 10 i + 1, 10 i + 2.
    let mut picture = Picture::new(3, 2, (0..6).flat_map(|i| [10 * i, 10 * i + 1, 10 * i + 2]).collect()).unwrap();
    let corner = picture.crop(&Region { x: 1, y: 1, width: 2, height: 1 }).unwrap();
    assert_eq!(corner.rgb, [40, 41, 42, 50, 51, 52]);
    let normalisation = Normalisation::new([0.1, 0.2, 0.3], [0.5, 0.25, 2.0]).unwrap();
    let values = normalisation.apply(&corner);
    let by_hand = [(40, 0.1, 0.5), (50, 0.1, 0.5), (41, 0.2, 0.25), (51, 0.2, 0.25), (42, 0.3, 2.0), (52, 0.3, 2.0)];
    assert_eq!(values, by_hand.map(|(v, mean, deviation)| (v as f32 / 255.0 - mean) / deviation));
    picture.flip();
    assert_eq!(picture.rgb[..9], [20, 21, 22, 10, 11, 12, 0, 1, 2]);
    assert!(picture.crop(&Region { x: 2, y: 0, width: 2, height: 1 }).is_err());
    assert!(picture.crop(&Region { x: usize::MAX, y: 0, width: 2, height: 1 }).is_err());
}

#[test]
fn the_shorter_side_and_the_middle_follow_torchvision() {
    // 500 x 375 at 256: the longer side is 256 * 500 / 375 = 341.3, cut to 341.
    assert_eq!(shorter_side(500, 375, 256), [341, 256]);
    assert_eq!(shorter_side(375, 500, 256), [256, 341]);
    assert_eq!(shorter_side(9, 9, 4), [4, 4]);
    // (341 - 224) / 2 = 58.5 becomes 58, (343 - 224) / 2 = 59.5 becomes 60: to the even neighbour.
    assert_eq!(Region::centre([341, 256], [224, 224]).unwrap(), Region { x: 58, y: 16, width: 224, height: 224 });
    assert_eq!(Region::centre([343, 256], [224, 224]).unwrap().x, 60);
    assert!(Region::centre([223, 256], [224, 224]).is_err());
}

#[test]
fn a_random_region_follows_from_its_draws() {
    // Area 100 * 50 * (0.08 + 0.92 / 2) = 2700, ratio exp(0) = 1: sides of sqrt(2700) = 51.96, too high for 50 rows.
    // Second try: area 5000 * (0.08 + 0.92 / 4) = 1550, ratio 3/4: width sqrt(1162.5) = 34.1, height sqrt(2066.7) =
    // 45.5. Then y = 0.5 * (50 - 45 + 1) = 3 and x = 0.25 * (100 - 34 + 1) = 16.75.
    let mut draws = [0.5, 0.5, 0.25, 0.0, 0.5, 0.25].into_iter();
    let region = RandomCrop::default().draw([100, 50], || draws.next().unwrap());
    assert_eq!(region, Region { x: 16, y: 3, width: 34, height: 45 });
    // Whole pictures do not fit a ratio of at least 3/4 into 30 x 100; after ten tries comes the middle, 30 x 40.
    let whole = RandomCrop::new([1.0, 1.0], [0.75, 4.0 / 3.0]).unwrap();
    assert_eq!(whole.draw([30, 100], || 0.5), Region { x: 0, y: 30, width: 30, height: 40 });
    assert_eq!(whole.draw([1, 9000], || 0.5), Region { x: 0, y: 4499, width: 1, height: 1 });
    assert!(RandomCrop::new([0.5, 1.5], [1.0, 1.0]).is_err() && RandomCrop::new([0.5, 1.0], [2.0, 1.0]).is_err());
    assert!(RandomCrop::new([0.5, f64::NAN], [1.0, 1.0]).is_err());
}

#[test]
fn random_regions_are_distributed_as_torchvisions() {
    let table: serde_json::Value = serde_json::from_slice(&file("crops.json")).unwrap();
    for case in table.as_array().unwrap() {
        let pair = |name: &str| [0, 1].map(|i| case[name][i].as_f64().unwrap());
        let [width, height] = ["width", "height"].map(|name| case[name].as_u64().unwrap() as usize);
        let (crop, mut uniform) = (RandomCrop::new(pair("scale"), pair("ratio")).unwrap(), generator(2));
        let regions: Vec<_> = (0..200_000).map(|_| crop.draw([width, height], &mut uniform)).collect();
        let (w, h) = (width as f64, height as f64);
        let measures: [(&str, Measure); 4] = [
            ("area", &|r| (r.width * r.height) as f64 / (w * h)),
            ("ratio", &|r| r.width as f64 / r.height as f64),
            ("x", &|r| r.x as f64 / w),
            ("y", &|r| r.y as f64 / h),
        ];
        for (name, measure) in measures {
            let mut values: Vec<f64> = regions.iter().map(measure).collect();
            values.sort_by(f64::total_cmp);
            for (i, quantile) in case["quantiles"][name].as_array().unwrap().iter().enumerate() {
                let ours = values[10_000 * (i + 1)];
                // Four standard errors of the difference of two quantiles of 200,000 even draws, sqrt(2 / 4 / 200,000)
                // = 0.0016 each, and the step of one pixel.
                let distance = (ours - quantile.as_f64().unwrap()).abs();
                assert!(distance < 0.0064 + 1.0 / w.min(h), "{width} {name} {i}: {ours}, not {quantile}");
            }
        }
    }
}

#[test]
fn a_picture_of_the_wrong_number_of_values_or_without_pixels_is_refused() {
    assert!(Picture::new(2, 2, vec![0; 11]).is_err() && Picture::new(0, 2, vec![]).is_err());
    assert!(Picture::new(usize::MAX, 3, vec![0; 3]).is_err());
    let dot = Picture::new(1, 1, vec![0; 3]).unwrap();
    assert!(dot.resize(0, 1).is_err() && dot.resize(usize::MAX, 2).is_err());
    assert!(dot.resize_box([0.0, 0.0, f32::NAN, 1.0], 1, 1).is_err());
    assert!(decode(&[], "a.jpg").is_err());
}
