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
    /// Optimizers and schedules.
    Optimizers,
    /// Data sets.
    Datasets,
}

/// An entry's name and text.
type Entry = (String, String);

impl List {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let name = self.name.as_deref();
        let text = match self.what {
            What::Methods if self.markdown => methods::markdown(),
            What::Methods => methods::terminal(name)?,
            _ if self.markdown => {
                return Err(Error::invalid("--markdown", "belongs to `list methods`", "leave it out"));
            }
            What::Backbones => chosen(name, aim_backbones::CARDS.iter().map(backbone))?,
            What::Fusions => chosen(name, aim_fusion::CARDS.iter().map(fusion))?,
            What::Optimizers => {
                let schedules = aim_optim::SCHEDULES.iter().map(schedule);
                chosen(name, aim_optim::CARDS.iter().map(optimizer).chain(schedules))?
            }
            What::Datasets => chosen(name, aim_data::CARDS.iter().map(dataset))?,
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

fn backbone(c: &aim_backbones::Card) -> Entry {
    (c.name.into(), format!("{}: {}\n    input: {}\n    {}\n\n", c.name, c.about, c.input, c.settings))
}

fn fusion(c: &aim_fusion::Card) -> Entry {
    // Some show their settings behind the name.
    let name = c.name.split(':').next().unwrap_or(c.name);
    (name.into(), format!("{}: {}\n    unimodal logits: {}\n\n", c.name, c.about, c.unimodal))
}

fn optimizer(c: &aim_optim::Card) -> Entry {
    (c.name.into(), format!("{}: {}\n    {}\n\n", c.name, c.about, c.settings))
}

fn schedule((name, about): &(&str, &str)) -> Entry {
    ((*name).into(), format!("schedule {name}: {about}\n"))
}

fn dataset(c: &aim_data::Card) -> Entry {
    let setting = |s: &aim_data::SettingCard| format!("    {} = {} ({}): {}\n", s.name, s.default, s.range, s.meaning);
    let settings: String = c.settings.iter().map(setting).collect();
    (c.name.into(), format!("{}: {}\n    {}\n{settings}\n", c.name, c.about, c.modalities))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_or_an_error() {
        let one = |name| chosen(Some(name), aim_fusion::CARDS.iter().map(fusion));
        assert!(one("deep").unwrap().starts_with("deep: {hidden"));
        assert!(one("deeep").unwrap_err().to_string().contains("use one of concat, sum, mean"));
        assert!(chosen(Some("bundle"), aim_data::CARDS.iter().map(dataset)).is_ok());
    }
}
