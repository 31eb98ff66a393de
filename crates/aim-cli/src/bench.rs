//! `bench`.

use std::{process::ExitCode, time::Duration};

use aim_benches::{Case, Limits, OnData, Preset, Timing, Training, Work, cases, peak_rss_mb};
use aim_core::{Error, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::{DeviceName, cores, print};

#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
    /// Threads to compute with [default: one a processor].
    #[arg(long, value_name = "T", global = true)]
    threads: Option<usize>,
}

#[derive(Subcommand)]
enum What {
    /// Whole training steps of a fixed network on a random batch.
    Step(Step),
    /// Whole epochs on samples from a prepared set, in turns with epochs on the same samples in memory.
    Prepared(FromDisk),
    /// Single operations, forward and backward, against the machine's measured limits.
    Ops {
        /// Only operations whose name contains this.
        #[arg(default_value = "")]
        filter: String,
    },
}

#[derive(Args)]
struct Step {
    /// The network: resnet18-av, cnn-av, mlp-tri, vit-av, bert-vit or resnet50-av.
    #[arg(long)]
    preset: String,
    /// A method section: a name or YAML, for instance `{name: ogm-ge, alpha: 0.3}`.
    #[arg(long, default_value = "joint")]
    method: String,
    /// Another method, whose steps are taken in turns with these; says how many times as long these take on average.
    #[arg(long, value_name = "METHOD")]
    against: Option<String>,
    /// Samples in the batch [default: the preset's].
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Steps to time [default: about ten seconds].
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// To what a CUDA device rounds the operands of products.
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionName,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct FromDisk {
    /// The network: resnet18-av, cnn-av, mlp-tri, vit-av, bert-vit or resnet50-av.
    #[arg(long, default_value = "resnet18-av")]
    preset: String,
    /// Training samples.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Epochs to time of each.
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: usize,
    /// Threads that read ahead.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
    /// Folder for the samples, which are written there, about a MB each of resnet18-av [default: that of the system].
    #[arg(long, value_name = "DIR")]
    folder: Option<std::path::PathBuf>,
}

/// A precision of products.
#[derive(Clone, Copy, ValueEnum)]
enum PrecisionName {
    F32,
    Tf32,
    Bf16,
}

impl From<PrecisionName> for aim_ops::Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Tf32 => Self::Tf32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.unwrap_or_else(cores)).build();
        let pool = pool.map_err(|e| Error::invalid("--threads", e.to_string(), "use fewer"))?;
        pool.install(|| match self.what {
            What::Step(step) => step.run(),
            What::Prepared(from) => from.run(),
            What::Ops { filter } => operations(&filter),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What `bench step` prints.
#[derive(Serialize)]
struct Measured<'a> {
    preset: &'a str,
    batch: usize,
    method: &'a str,
    parameters: usize,
    median_ms: f64,
    min_ms: f64,
    /// Times the mean step of the method that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    peak_rss_mb: Option<f64>,
    threads: usize,
}

impl FromDisk {
    fn run(&self) -> Result<()> {
        let preset = Preset::named(&self.preset)?;
        let above = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = above.join(format!("aim-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let timed = self.timed(preset, &folder);
        std::fs::remove_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let [memory, disk] = timed?;
        print(&format!(
            "{}, {} samples, {} threads and {} that read ahead: an epoch from memory takes {:.0} ms, from a prepared set \
             {:.0} ms (medians of {}), {:.3} times as long in the mean\n",
            preset.name,
            self.samples,
            rayon::current_num_threads(),
            self.workers,
            memory.median_ms,
            disk.median_ms,
            self.epochs.max(1),
            disk.mean_ms / memory.mean_ms
        ))
    }

    fn timed(&self, preset: &Preset, folder: &std::path::Path) -> Result<[Timing; 2]> {
        let [mut memory, mut disk] = OnData::both(preset, folder, self.samples as usize, self.workers)?;
        Timing::of_turns(1, self.epochs, || memory.epoch().map(drop), || disk.epoch().map(drop))
    }
}

impl Step {
    fn run(&self) -> Result<()> {
        if !self.device.is_cuda() && !matches!(self.precision, PrecisionName::F32) {
            return Err(Error::invalid("--precision", "is one of CUDA devices", "add --device cuda, or leave it out"));
        }
        aim_ops::set_precision(self.precision.into());
        let preset = Preset::named(&self.preset)?;
        let batch = self.batch.unwrap_or(preset.batch);
        let steps = self.steps.unwrap_or(preset.steps);
        let training = |method: &str| Training::new(preset, method, batch, &self.device.open()?);
        let (mut own, warmup) = (training(&self.method)?, 2 + steps / 10);
        let (Timing { median_ms, min_ms, .. }, ratio) = match &self.against {
            None => (Timing::of_runs(warmup, steps, || own.step().map(drop))?, None),
            Some(other) => {
                let mut other = training(other)?;
                let [own, other] = Timing::of_turns(warmup, steps, || own.step().map(drop), || other.step().map(drop))?;
                (own, Some(own.mean_ms / other.mean_ms))
            }
        };
        let measured = Measured {
            preset: preset.name,
            batch,
            method: &self.method,
            parameters: own.parameters(),
            median_ms,
            min_ms,
            ratio,
            peak_rss_mb: peak_rss_mb(),
            threads: rayon::current_num_threads(),
        };
        print(&if self.json { measured.json()? } else { measured.text() })
    }
}

impl Measured<'_> {
    fn json(&self) -> Result<String> {
        let line = serde_json::to_string(self)
            .map_err(|e| Error::invalid("--json", e.to_string(), "report this fault with the command that met it"))?;
        Ok(line + "\n")
    }

    fn text(&self) -> String {
        let memory = self.peak_rss_mb.map_or("?".into(), |m| format!("{m:.0}"));
        let ratio = self.ratio.map_or(String::new(), |r| format!(", {r:.3} times the other method's"));
        format!(
            "{} with {}, {} parameters, batch {}, {} threads: median {:.3} ms{ratio}, fastest {:.3} ms, at most {memory} \
             MiB\n",
            self.preset, self.method, self.parameters, self.batch, self.threads, self.median_ms, self.min_ms
        )
    }
}

fn operations(filter: &str) -> Result<()> {
    let (threads, limits) = (rayon::current_num_threads(), Limits::measure()?);
    let Limits { gflops, gbps } = limits;
    print(&format!(
        "limits with {threads} threads: {gflops:.0} GFLOP/s in registers, {gbps:.1} GB/s copying memory\n"
    ))?;
    for case in cases()?.iter().filter(|c| c.name.contains(filter)) {
        print(&row(case, limits)?)?;
    }
    Ok(())
}

/// Time, speed and share of the limit of one operation.
fn row(case: &Case, limits: Limits) -> Result<String> {
    let ms = Timing::within(Duration::from_millis(500), || case.run())?.median_ms;
    let (speed, unit, limit) = match case.work {
        Work::Flops(n) => (n / (ms * 1e6), "GFLOP/s", limits.gflops),
        Work::Bytes(n) => (n / (ms * 1e6), "GB/s", limits.gbps),
    };
    Ok(format!("{:<56} {ms:>9.3} ms {speed:>7.1} {unit:<7} {:>4.0} %\n", case.name, 100. * speed / limit))
}
