//! `list`.

use std::process::ExitCode;

use aim_backbones::EncoderCard;
use aim_config::{Below, Kind, Setting};
use aim_core::{Error, Result};
use aim_data::DatasetCard;
use aim_fusion::FusionCard;
use aim_optim::{OptimizerCard, ScheduleCard};
use aim_train::config::{Recipe, recipes};
use clap::{Args, ValueEnum};

use crate::{Application, matrix, methods, print};

#[derive(Args)]
pub(crate) struct List {
    /// What to list.
    #[arg(value_enum)]
    what: What,
    /// One entry alone.
    #[arg(value_name = "NAME")]
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
    /// Which backbones, fusions and optimizers each method is refused with, and why.
    Matrix,
    /// Optimizers and schedules.
    Optimizers,
    /// Data sets.
    Datasets,
    /// Recipes: how published work reads sets and trains on them.
    Recipes,
    /// Metrics that runs are scored by.
    Metrics,
    /// Sections of report pages.
    Sections,
}

/// An entry's name and text.
type Entry = (String, String);

impl List {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let (name, Application { registries, sections, .. }) = (self.name.as_deref(), application);
        let text = match self.what {
            What::Methods if self.markdown => methods::markdown(registries),
            What::Methods => methods::terminal(name, registries)?,
            _ if self.markdown => {
                return Err(Error::invalid("--markdown", "belongs to `list methods`", "leave it out"));
            }
            What::Backbones => chosen(name, registries.encoders.iter().map(backbone))?,
            What::Fusions => chosen(name, registries.fusions.iter().map(fusion))?,
            What::Matrix => matrix::terminal(name, registries)?,
            What::Optimizers => {
                let schedules = registries.schedules.iter().map(schedule);
                chosen(name, registries.optimizers.iter().map(optimizer).chain(schedules))?
            }
            What::Datasets => chosen(name, registries.datasets.iter().map(dataset))?,
            What::Recipes => chosen(name, recipes()?.iter().map(recipe))?,
            What::Metrics => chosen(name, registries.metrics.iter().map(|m| entry(m.name, m.about, &[], vec![])))?,
            What::Sections => chosen(name, sections.iter().map(|s| entry(s.name, s.title, &[], vec![])))?,
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The texts of all entries, or that of the one with this name.
fn chosen(name: Option<&str>, entries: impl Iterator<Item = Entry>) -> Result<String> {
    let entries: Vec<Entry> = entries.collect();
    let Some(name) = name else { return Ok(entries.into_iter().map(|(_, text)| text).collect()) };
    let names = || entries.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let found = entries.iter().find(|(own, _)| own == name).map(|(_, text)| text.clone());
    found.ok_or_else(|| Error::invalid("list", format!("there is no `{name}`"), format!("use one of {}", names())))
}

/// An entry: its name and description, facts, and its settings with their defaults.
fn entry(name: &str, about: &str, facts: &[String], settings: Vec<(&Setting, String)>) -> Entry {
    let facts: String = facts.iter().map(|fact| format!("    {fact}\n")).collect();
    let settings: String = settings.into_iter().map(|(s, default)| line(s, &default, 4)).collect();
    (name.into(), format!("{name}: {about}\n{facts}{settings}\n"))
}

/// A setting, and those of the section below it.
fn line(setting: &Setting, default: &str, indent: usize) -> String {
    let range = setting.range();
    let range = if range.is_empty() { range } else { format!(" ({range})") };
    let rows = section(&setting.kind).map(Below::rows).unwrap_or_default();
    let below: String = rows.into_iter().map(|(s, default)| line(s, &default, indent + 4)).collect();
    format!("{:indent$}{} = {default}{range}: {}\n{below}", "", setting.name, setting.meaning)
}

/// The section below a setting, or below each entry of it.
fn section(kind: &Kind) -> Option<&'static Below> {
    match kind {
        Kind::Section(below) => Some(below),
        Kind::List(item) | Kind::Map(item) => section(item),
        _ => None,
    }
}

fn backbone(card: &EncoderCard) -> Entry {
    let info = card.defaults().info();
    let preset = (card.name() != info.name).then(|| format!("preset: `{}` of a published size", info.name));
    let facts: Vec<String> = preset.into_iter().chain([format!("input: {}", info.input)]).collect();
    entry(card.name(), info.about, &facts, card.rows())
}

fn fusion(card: &FusionCard) -> Entry {
    let info = card.defaults().info();
    let number = match info.modalities {
        (least, most) if least == most => format!("modalities: {least}"),
        (..=1, usize::MAX) => "modalities: any number".into(),
        (least, usize::MAX) => format!("modalities: {least} or more"),
        (least, most) => format!("modalities: {least} to {most}"),
    };
    let given: Vec<&str> = card.defaults().capabilities().iter().map(|c| c.name()).collect();
    let facts = [number, format!("unimodal logits: {}", info.unimodal), format!("gives: {}", given.join(", "))];
    entry(info.name, info.about, &facts, card.rows())
}

fn optimizer(card: &OptimizerCard) -> Entry {
    let info = card.defaults().info();
    entry(info.name, info.about, &[], card.rows())
}

fn schedule(card: &ScheduleCard) -> Entry {
    let info = card.defaults().info();
    let (name, text) = entry(info.name, info.about, &[], card.rows());
    (name, format!("schedule {text}"))
}

fn dataset(card: &DatasetCard) -> Entry {
    let info = card.defaults().info();
    entry(info.name, info.about, &[info.modalities.into()], card.rows())
}

fn recipe(recipe: &Recipe) -> Entry {
    let Recipe { name, about, origin, facts, .. } = recipe;
    let rule =
        if recipe.is_published_otherwise() { "protocol: as-published does as was published" } else { "as published" };
    let facts = facts.iter().map(|fact| format!("{}: {} [{}]", fact.what, fact.is, fact.sure));
    let facts: Vec<String> = [format!("source: {origin}"), format!("rule: {rule}")].into_iter().chain(facts).collect();
    entry(name, about, &facts, vec![])
}

#[cfg(test)]
mod tests {
    use aim_train::standard;

    use super::*;

    #[test]
    fn one_entry_or_an_error() {
        let one = |name| chosen(Some(name), standard().fusions.iter().map(fusion));
        assert!(one("deep").unwrap().starts_with("deep: a head of three layers"));
        assert!(one("deeep").unwrap_err().to_string().contains("use one of concat, sum, mean"));
        assert!(chosen(Some("bundle"), standard().datasets.iter().map(dataset)).is_ok());
    }

    #[test]
    fn a_fusion_says_how_many_modalities_it_joins() {
        for (name, number) in [("concat", "any number"), ("bottleneck", "2 or more"), ("film", "2")] {
            let (_, text) = fusion(standard().fusions.find(name).unwrap());
            assert!(text.lines().any(|line| line.trim() == format!("modalities: {number}")), "{text}");
        }
    }

    #[test]
    fn settings_below_a_setting_are_shown_too() {
        let (_, mlp) = backbone(standard().encoders.find("mlp").unwrap());
        assert!(mlp.contains("lora = none") && mlp.contains("        rank = "), "{mlp}");
        let (_, manifest) = dataset(standard().datasets.find("manifest").unwrap());
        assert!(manifest.contains("            rate = 16000 (1000 to 384000 Hz)"), "{manifest}");
    }
}
