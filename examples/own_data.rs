//! Data of one's own as rows of a table: a dataset with a card, in a program that reads tables, resumes and reports.
//!
//! ```text
//! cargo run --release -p aim-examples --bin own_data -- reproduce examples/own_data.yaml
//! ```

use std::{path::Path, process::ExitCode, sync::Arc};

use aim_learn::{
    config::{between, whole},
    core::Rng,
    data::{DatasetInfo, Subset, card},
    prelude::*,
};

static ABOUT: DatasetInfo = DatasetInfo {
    name: "two-clocks",
    about: "generated: the time of day, on a clear clock and on one behind a curtain",
    modalities: "clear [8], veiled [8]",
    needs_root: false,
};

settings! {
    /// Settings of `two-clocks`.
    pub struct TwoClocks {
        /// Samples of the training split; the others have half as many.
        pub train: usize = 240 => whole(8, 100_000), "ours";
        /// Standard deviation of the noise before the second clock.
        pub veil: f64 = 1.5 => between(0., 10.), "ours";
    }
}

impl DatasetSettings for TwoClocks {
    fn info(&self) -> &'static DatasetInfo {
        &ABOUT
    }
    fn load(&self, _: Option<&Path>) -> Result<Dataset> {
        Ok(Dataset {
            name: ABOUT.name.into(),
            modalities: vec!["clear".into(), "veiled".into()],
            class_names: ["morning", "noon", "evening", "night"].map(Into::into).into(),
            train: self.split("train", self.train)?,
            validation: self.split("validation", self.train / 2)?,
            test: self.split("test", self.train / 2)?,
        })
    }
}

impl TwoClocks {
    /// Both clocks of each sample: eight lamps, of which two are lit for each class.
    fn split(&self, name: &str, samples: usize) -> Result<Arc<dyn Source>> {
        let clock = |noise: f64, key: &str| {
            let mut rng = Rng::keyed(0, &format!("{key}.{name}"));
            let lamp = |i: usize| f64::from(i % 8 / 2 == i / 8 % 4) + noise * rng.normal();
            Tensor::from_iter((0..samples * 8).map(lamp).map(|v| v as f32).collect::<Vec<_>>(), &Device::Cpu)?
                .reshape((samples, 8))
        };
        let inputs = vec![clock(0.8, "clear")?, clock(self.veil, "veiled")?];
        let labels = (0..samples).map(|i| i as u32 % 4).collect();
        let ids = (0..samples).map(|i| format!("{name}.{i}")).collect();
        Ok(Arc::new(Subset::new(inputs, labels, ids)?))
    }
}

fn main() -> ExitCode {
    let mut application = Application::named("own_data");
    match application.registries.datasets.add(card::<TwoClocks>()) {
        Ok(()) => start(&application),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
