//! Speed of pictures for training: decoding, random region at 224 x 224, mirroring, normalisation, in batches of 64 by
//! two threads. `pictures.py` does the same with PyTorch's loader.
//!
//! `cargo run --release -p aim-media --features decode --example pictures -- FOLDER [PASSES]`

use aim_media::image::{Encoded, MAX_PIXELS, Normalisation, RandomCrop};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::time::Instant;

/// The allocator of the project's program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIDE: usize = 224;
const BATCH: usize = 64;
const WORKERS: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: pictures FOLDER [PASSES]")?;
    let passes: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "jpg"));
    files.sort();
    for pass in 0..passes {
        let start = Instant::now();
        let sum = run(&files, pass as u64)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("pass {pass}: {:.1} pictures/s, mean {:.4}", files.len() as f64 / seconds, sum / files.len() as f64);
    }
    Ok(())
}

/// Makes all batches; the sum of the pictures' first values. Batches that were looked at are filled anew.
fn run(files: &[PathBuf], seed: u64) -> aim_media::Result<f64> {
    let next = AtomicUsize::new(0);
    let batches: Vec<&[PathBuf]> = files.chunks(BATCH).collect();
    let (sender, receiver) = sync_channel(2 * WORKERS);
    let (back, used) = channel::<Vec<f32>>();
    let used = Mutex::new(used);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let (sender, next, batches, used) = (sender.clone(), &next, &batches, &used);
            scope.spawn(move || {
                while let Some(files) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let values = used.lock().ok().and_then(|used| used.try_recv().ok()).unwrap_or_default();
                    if sender.send(batch(files, seed, values)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut sum = 0.0;
        for values in receiver {
            let values = values?;
            sum += values.iter().step_by(3 * SIDE * SIDE).map(|&value| f64::from(value)).sum::<f64>();
            // A worker that is done needs no more.
            back.send(values).ok();
        }
        Ok(sum)
    })
}

fn batch(files: &[PathBuf], seed: u64, mut values: Vec<f32>) -> aim_media::Result<Vec<f32>> {
    values.resize(files.len() * 3 * SIDE * SIDE, 0.0);
    for (file, out) in files.iter().zip(values.chunks_exact_mut(3 * SIDE * SIDE)) {
        picture(file, seed, out)?;
    }
    Ok(values)
}

fn picture(file: &std::path::Path, seed: u64, out: &mut [f32]) -> aim_media::Result<()> {
    let place = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| aim_media::Error::new(&place, error, "check the path"))?;
    let mut state = place.bytes().fold(seed, |state, byte| state.wrapping_mul(31) ^ u64::from(byte));
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let encoded = Encoded::open(&bytes, &place, MAX_PIXELS)?;
    let region = RandomCrop::default().draw([encoded.width(), encoded.height()], &mut uniform);
    let mut picture = encoded.decode_region(&region)?.resize(SIDE, SIDE)?;
    if uniform() < 0.5 {
        picture.flip();
    }
    Normalisation::IMAGENET.apply_to(&picture, out);
    Ok(())
}
