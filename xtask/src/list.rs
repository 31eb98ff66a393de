//! `list`.

use std::process::ExitCode;

use aim_core::Result;
use clap::ValueEnum;

use crate::print;

/// What can be listed.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum What {
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

impl What {
    pub(crate) fn print(self) -> Result<ExitCode> {
        let text: String = match self {
            Self::Methods => aim_balance::CARDS.iter().map(|c| method(c.about)).collect(),
            Self::Backbones => aim_backbones::CARDS.iter().map(backbone).collect(),
            Self::Fusions => aim_fusion::CARDS.iter().map(fusion).collect(),
            Self::Optimizers => optimizers(),
            Self::Datasets => aim_data::CARDS.iter().map(dataset).collect(),
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn method(about: &aim_balance::About) -> String {
    let setting = |s: &aim_balance::Setting| format!("    {} = {} ({}): {}\n", s.name, s.default, s.range, s.meaning);
    let settings: String = about.settings.iter().map(setting).collect();
    format!("{}: {}\n    {}\n{settings}\n", about.name, about.idea, about.paper)
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
