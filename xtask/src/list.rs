//! `list`.

use std::process::ExitCode;

use aim_core::{Error, Result};
use clap::{Args, ValueEnum};

use crate::{methods, print};

#[derive(Args)]
pub(crate) struct List {
    /// What to list.
    #[arg(value_enum)]
    what: What,
    /// One method alone.
    #[arg(value_name = "METHOD")]
    name: Option<String>,
    /// All methods as the page docs/methods.md.
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// What can be listed.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Balancing methods and baselines.
    Methods,
    /// Encoders.
    Backbones,
    /// Ways to join features.
    Fusions,
    /// Optimizers and schedules.
    Optimizers,
    /// Data sets.
    Datasets,
}

impl List {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let text: String = match self.what {
            What::Methods if self.markdown => methods::markdown(),
            What::Methods => methods::terminal(self.name.as_deref())?,
            _ if self.markdown || self.name.is_some() => {
                let problem = "METHOD and --markdown belong to `list methods`";
                return Err(Error::invalid("list", problem, "leave them out"));
            }
            What::Backbones => aim_backbones::CARDS.iter().map(backbone).collect(),
            What::Fusions => aim_fusion::CARDS.iter().map(fusion).collect(),
            What::Optimizers => optimizers(),
            What::Datasets => aim_data::CARDS.iter().map(dataset).collect(),
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn backbone(c: &aim_backbones::Card) -> String {
    format!("{}: {}\n    input: {}\n    {}\n\n", c.name, c.about, c.input, c.settings)
}

fn fusion(c: &aim_fusion::Card) -> String {
    format!("{}: {}\n    unimodal logits: {}\n\n", c.name, c.about, c.unimodal)
}

fn optimizers() -> String {
    let optimizer = |c: &aim_optim::Card| format!("{}: {}\n    {}\n\n", c.name, c.about, c.settings);
    let schedule = |(name, about): &(&str, &str)| format!("    {name}: {about}\n");
    let optimizers: String = aim_optim::CARDS.iter().map(optimizer).collect();
    optimizers + "schedules\n" + &aim_optim::SCHEDULES.iter().map(schedule).collect::<String>()
}

fn dataset(c: &aim_data::Card) -> String {
    let setting = |s: &aim_data::SettingCard| format!("    {} = {} ({}): {}\n", s.name, s.default, s.range, s.meaning);
    let settings: String = c.settings.iter().map(setting).collect();
    format!("{}: {}\n    {}\n{settings}\n", c.name, c.about, c.modalities)
}
