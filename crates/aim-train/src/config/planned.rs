//! What is decided on before anything runs: the comparisons that are tested, and how many seeds they need.

use aim_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// First seed of the trials of a search, unless it says otherwise: tables count theirs from 0.
pub(crate) const TRIALS: u64 = 1000;
/// First seed of pilots.
pub(super) const PILOTS: u64 = 2000;

/// Comparisons that were decided on beforehand, the only ones that are tested; all other rows are exploratory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Name of the row that is compared.
    pub of: String,
    /// Names of the rows that it is compared with.
    pub against: Vec<String>,
    /// Samples of a test part divided by those of a training part, for a table over folds (`folds: all`) whose parts
    /// are of other sizes than those of k equal folds: 1 / (k - 2), as one tests and one validates, or 1 / (k - 1)
    /// where what would validate is trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_to_train: Option<f64>,
}

impl Planned {
    /// All rows that it names.
    pub fn rows(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.of).chain(&self.against)
    }

    /// Checks it against the names of the table's rows.
    ///
    /// # Errors
    /// If a row is unknown, or compared twice or with itself.
    pub(super) fn check(&self, rows: &[&str]) -> Result<()> {
        let known = |place: String, name: &String| match rows.contains(&name.as_str()) {
            true => Ok(()),
            false => {
                let problem = format!("there is no row `{name}`");
                Err(Error::unknown(place, problem, rows))
            }
        };
        known("planned.of".into(), &self.of)?;
        for (i, name) in self.against.iter().enumerate() {
            let place = format!("planned.against[{i}]");
            known(place.clone(), name)?;
            if *name == self.of || self.against[..i].contains(name) {
                let problem = format!("`{name}` is compared with itself, or twice");
                return Err(Error::invalid(place, problem, "remove it"));
            }
        }
        if self.against.is_empty() {
            return Err(Error::invalid("planned.against", "is empty", "name the rows to compare with"));
        }
        match self.test_to_train {
            Some(ratio) if !(ratio > 0. && ratio.is_finite()) => {
                let remedy = "divide the samples of a test part by those of a training part: 0.333 for 5 folds";
                Err(Error::invalid("planned.test_to_train", format!("is {ratio}"), remedy))
            }
            _ => Ok(()),
        }
    }
}

/// What the number of seeds is to be enough for, where `seeds` is `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Power {
    /// Difference of accuracies that is to be found.
    pub difference: f64,
    /// Chance with which it is to be found.
    pub chance: f64,
    /// Pilot runs of each planned row, with seeds of their own that do not count in the table.
    pub pilots: u64,
    /// The fewest seeds.
    pub least: u64,
    /// The most seeds.
    pub most: u64,
}

impl Default for Power {
    fn default() -> Self {
        Self { difference: 0.01, chance: 0.8, pilots: 5, least: 5, most: 30 }
    }
}

impl Power {
    pub(super) fn check(&self) -> Result<()> {
        let Self { difference, chance, pilots, least, most } = *self;
        let wrong = [
            (!(difference > 0. && difference < 1.), "difference", "use a number between 0 and 1"),
            (!(chance > 0. && chance < 1.), "chance", "use a number between 0 and 1"),
            (pilots < 3, "pilots", "use at least 3, of which a standard deviation can be told"),
            (pilots > TRIALS, "pilots", "use at most 1000"),
            (least < 2, "least", "use at least 2"),
            (most < least || most > TRIALS, "most", "use a number from `least` to 1000"),
        ];
        match wrong.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, key, remedy)) => Err(Error::invalid(format!("power.{key}"), "is out of range", remedy)),
            None => Ok(()),
        }
    }
}

/// A number of seeds as a file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seeds {
    /// That many.
    Number(u64),
    /// As many as `power` asks for.
    Auto,
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Seeds;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number or `auto`")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Seeds, E> {
                Ok(Seeds::Number(number))
            }
            fn visit_str<E: de::Error>(self, word: &str) -> std::result::Result<Seeds, E> {
                match word {
                    "auto" => Ok(Seeds::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::{Protocol, Scale, Source, TableConfig},
        standard,
    };

    fn table(sections: &str) -> Result<TableConfig> {
        let text = format!(
            "name: t\ndata: {{name: synth-av}}\n\
             model: {{encoders: {{sound: {{name: mlp, widths: [2]}}, image: {{name: mlp, widths: [2]}}}}}}\n\
             rows:\n  - {{name: joint, method: joint}}\n  - {{name: aim, method: aim}}\n{sections}\n"
        );
        TableConfig::new(Source::parse(Path::new("t.yaml"), &text)?, Scale::Normal, standard())
    }

    #[test]
    fn what_is_planned_names_rows_of_the_table() {
        let planned = table("planned: {of: aim, against: [joint]}").unwrap().planned.unwrap();
        assert_eq!(planned.rows().collect::<Vec<_>>(), ["aim", "joint"]);
        let say = |sections: &str| table(sections).unwrap_err().to_string();
        assert!(
            say("planned: {of: aims, against: [joint]}").starts_with("t.yaml:7: planned.of: there is no row `aims`")
        );
        let wrong = say("planned:\n  of: aim\n  against:\n    - joint\n    - ogm");
        assert!(
            wrong.starts_with("t.yaml:11: planned.against[1]: there is no row `ogm`; use one of joint, aim"),
            "{wrong}"
        );
        assert!(say("planned: {of: aim, against: []}").contains("planned.against: is empty"));
        assert!(say("planned: {of: aim, against: [joint, joint]}").contains("planned.against[1]: `joint` is compared"));
        assert!(say("planned: {of: aim, against: [aim]}").contains("planned.against[0]: `aim` is compared"));
        assert!(say("planned: {of: aim, against: [joint], test_to_train: 0}").contains("planned.test_to_train: is 0"));
        let ratio = say("planned: {of: aim, against: [joint], test_to_train: 0.25}");
        assert!(ratio.contains("t.yaml:7: planned.test_to_train") && ratio.contains("is not over folds"), "{ratio}");
        assert!(say("planned: {of: aim}").contains("missing field `against`"));
    }

    #[test]
    fn seeds_are_a_number_or_auto() {
        assert!(!table("seeds: 7").unwrap().auto && table("seeds: 7").unwrap().seeds == 7);
        let auto = table("seeds: auto\nplanned: {of: aim, against: [joint]}\npower: {least: 6, most: 9}").unwrap();
        assert!(auto.auto && auto.power == Power { least: 6, most: 9, ..Power::default() });
        let say = |sections: &str| table(sections).unwrap_err().to_string();
        let wrong = say("seeds: many");
        assert!(wrong.contains("t.yaml:7: seeds") && wrong.contains("a whole number or `auto`"), "{wrong}");
        assert!(say("seeds: auto").contains("seeds: is auto, but nothing is planned"));
        assert!(say("seeds: 1001").contains("seeds: is 1001, and seeds from 1000 on are those of searches"));
        let with = |power: &str| say(&format!("planned: {{of: aim, against: [joint]}}\npower: {power}"));
        assert!(with("{most: 4}").contains("power.most") && with("{pilots: 2}").contains("power.pilots"));
        assert!(with("{difference: 0}").contains("power.difference") && with("{chance: 1}").contains("power.chance"));
    }

    #[test]
    fn pilots_are_the_planned_rows_with_seeds_of_their_own() {
        let table = table("baseline: joint\nplanned: {of: aim, against: [joint]}\npower: {pilots: 4}").unwrap();
        let pilot = table.pilot().unwrap();
        assert_eq!((pilot.first_seed, pilot.seeds, pilot.rows.len()), (PILOTS, 4, 2));
        let folds = TableConfig { folds: Some(5), ..table.clone() };
        assert!(folds.pilot().unwrap_err().to_string().contains("how seeds vary, not folds"));
        assert!(TableConfig { planned: None, ..table }.pilot().unwrap_err().to_string().contains("planned"));
    }

    #[test]
    fn one_of_the_folds_tests_and_one_validates() {
        let table = table("planned: {of: aim, against: [joint]}").unwrap();
        assert_eq!(table.test_to_train(), None);
        let mut folds = TableConfig { folds: Some(5), ..table };
        assert_eq!(folds.test_to_train(), Some(1. / 3.));
        folds.rows.iter_mut().for_each(|row| row.config.protocol = Protocol::AsPublished);
        assert_eq!(folds.test_to_train(), Some(0.25), "what would validate trains");
        folds.planned.as_mut().unwrap().test_to_train = Some(0.2);
        assert_eq!(folds.test_to_train(), Some(0.2));
    }
}
