//! Answers for new samples, as a CSV file.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use aim_core::{Batch, Error, Result};
use aim_data::NewSamples;
use aim_ops::softmax;
use candle_core::Tensor;
use csv::Writer;

use super::{
    Trained,
    disk::{part, settle},
    trained::outside,
};
use crate::metrics::{BATCH, classes};

/// What came of a file of new samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predicted {
    /// Samples.
    pub samples: usize,
    /// Those whose class the file says.
    pub labelled: usize,
    /// Those of them that are predicted right.
    pub right: usize,
}

/// Answers for every sample of `file` with the network of `run` (a folder), and writes `out`: id, predicted class, the
/// probability of each class, and each modality's own where the network has logits of its own for it; empty cells where
/// a sample lacks the modality. Probabilities are written so that they are read back as the same f32. `progress` is
/// told samples done and all.
///
/// # Errors
/// If a sample cannot be read; all of them are named, and nothing is written.
pub fn predict(
    trained: &Trained,
    run: &Path,
    file: &Path,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Predicted> {
    let out = outside(out, run)?;
    if out.canonicalize().is_ok_and(|there| file.canonicalize().is_ok_and(|file| file == there)) {
        let problem = "is the file of the samples, too";
        return Err(Error::invalid(out.display().to_string(), problem, "choose another place for the predictions"));
    }
    let samples = trained.samples(file)?;
    let part = part(&out);
    let begun = File::create(&part).map_err(|e| Error::io(&out, e))?;
    let csv = Writer::from_writer(BufWriter::new(begun));
    let mut table = Table { trained, samples: &samples, out: &out, csv, right: 0 };
    let mut written = samples.batches(BATCH, trained.device(), &mut |batch| {
        table.add(&batch)?;
        progress(batch.ids.last().map_or(0, |last| last + 1), samples.ids().len());
        Ok(())
    });
    let right = table.right;
    written = written.and_then(|()| table.finish()).and_then(|()| settle(&part, &out).map_err(|e| Error::io(&out, e)));
    if let Err(error) = written {
        // Best effort: what was begun is of no use, and the first error is the one to tell.
        fs::remove_file(&part).ok();
        return Err(error);
    }
    let labelled = samples.labels().iter().flatten().count();
    Ok(Predicted { samples: samples.ids().len(), labelled, right })
}

/// The file as far as it is written.
struct Table<'a> {
    trained: &'a Trained,
    samples: &'a NewSamples<'a>,
    /// Its name once it is whole.
    out: &'a Path,
    csv: Writer<BufWriter<File>>,
    right: usize,
}

impl Table<'_> {
    fn add(&mut self, batch: &Batch) -> Result<()> {
        let out = self.trained.answer(batch)?;
        let fused = probabilities(&out.logits)?;
        let own = out.unimodal.iter().map(probabilities).collect::<Result<Vec<_>>>()?;
        if batch.ids.first() == Some(&0) {
            self.row(self.header(own.len()))?;
        }
        for (k, (sample, class)) in batch.ids.iter().zip(classes(&out.logits)?).enumerate() {
            let id = &self.samples.ids()[*sample];
            let mut cells = vec![id.clone(), self.trained.class_names()[class].clone()];
            cells.extend(numbers(id, &fused[k])?);
            for (m, own) in own.iter().enumerate() {
                let has = self.samples.has(*sample, m);
                cells.extend(if has { numbers(id, &own[k])? } else { vec![String::new(); own[k].len()] });
            }
            self.right += usize::from(self.samples.labels()[*sample].is_some_and(|label| label as usize == class));
            self.row(cells)?;
        }
        Ok(())
    }

    fn header(&self, own: usize) -> Vec<String> {
        let of = |prefix: String| self.trained.class_names().iter().map(move |class| format!("{prefix}{class}"));
        let own = self.trained.modalities().iter().take(own).flat_map(|name| of(format!("{name}.probability.")));
        ["id".into(), "predicted".into()].into_iter().chain(of("probability.".into())).chain(own).collect()
    }

    fn row(&mut self, cells: Vec<String>) -> Result<()> {
        self.csv.write_record(&cells).map_err(|e| Error::io(self.out, e.into()))
    }

    /// Brings everything to the disk.
    fn finish(self) -> Result<()> {
        let written = self.csv.into_inner().map_err(|e| e.into_error());
        let on_disk = written.and_then(|mut file| file.flush().and_then(|()| file.get_ref().sync_all()));
        on_disk.map_err(|e| Error::io(self.out, e))
    }
}

/// Class probabilities of each sample.
fn probabilities(logits: &Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(softmax(logits)?.to_vec2()?)
}

fn numbers(id: &str, values: &[f32]) -> Result<Vec<String>> {
    match values.iter().find(|v| !v.is_finite()) {
        Some(value) => Err(Error::NonFinite {
            name: format!("a probability of sample `{id}`"),
            value: f64::from(*value),
            hint: "look for extreme inputs, or choose another run".into(),
        }),
        None => Ok(values.iter().map(ToString::to_string).collect()),
    }
}
