//! What the pages of tables and of runs have in common.

use std::collections::BTreeSet;

use aim_balance::{By, Quantity};
use aim_train::{experiment::RunResults, metrics::ALL};

use super::{
    Section, Sections, View,
    charts::{Bar, Line, bars, confusion, heat, lines, scatter},
    html::escape,
};
use crate::{runs, tables::LEVEL};

/// Points of a scatter at most; of more samples every second, third and so on is drawn.
const POINTS: usize = 500;

/// The sections of this crate.
pub fn builtin() -> Sections {
    let mut sections = Sections::new("section", "sections");
    // Names differ, as a test makes sure.
    SECTIONS.iter().for_each(|section| drop(sections.add(*section)));
    sections
}

const SECTIONS: &[Section] = &[
    Section {
        name: "accuracy",
        title: "Test accuracy",
        over_seeds: false,
        about: "A dot a run, the bar their mean, the whisker its 95 % interval as in the table.",
        content: accuracy,
    },
    Section {
        name: "curves",
        title: "Validation accuracy by epoch",
        over_seeds: true,
        about: "Where runs stopped early, of those that went on.",
        content: curves,
    },
    Section {
        name: "probes",
        title: "Probe of each encoder",
        over_seeds: false,
        about: "Test accuracy of a logistic regression on the frozen encoder. Where the table has the modality alone, a line is \
                what it reaches on that encoder: what is missing to it was lost in joint training.",
        content: probes,
    },
    Section {
        name: "modulation",
        title: "Modulation by depth and epoch",
        over_seeds: true,
        about: "",
        content: modulation,
    },
    Section {
        name: "quantities",
        title: "Reported quantities by epoch",
        over_seeds: true,
        about: "Numbers that a method reports of itself, as its card declares them.",
        content: |views| each(views, quantities),
    },
    Section {
        name: "confusion",
        title: "Confusion",
        over_seeds: false,
        about: "Summed over runs; strength is the share of the class.",
        content: |views| each(views, confusions),
    },
    Section {
        name: "features",
        title: "Test samples' features",
        over_seeds: false,
        about: "On their first two principal components, coloured by class; of the first run.",
        content: |views| each(views, projections),
    },
    Section {
        name: "settings",
        title: "Settings and commands",
        over_seeds: false,
        about: "",
        content: |views| each(views, settings),
    },
];

/// What a row has to show, folded where there are several rows.
fn each(views: &[View<'_>], show: impl Fn(&View<'_>) -> String) -> String {
    let one = |view: &View<'_>| match show(view) {
        content if content.is_empty() || views.len() == 1 => content,
        content => format!("<details><summary>{}</summary>{content}</details>\n", escape(&view.title)),
    };
    views.iter().map(one).collect()
}

fn values(view: &View<'_>, of: impl Fn(&RunResults) -> Option<f64>) -> Vec<f64> {
    view.runs.iter().filter_map(|run| of(run)).collect()
}

/// Mean over the runs that have the quantity.
fn mean(view: &View<'_>, of: impl Fn(&RunResults) -> Option<f64>) -> Option<f64> {
    let values = values(view, of);
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Modalities of all rows.
fn modalities<'a>(views: &'a [View<'_>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in views.iter().flat_map(|v| &v.runs).flat_map(|run| &run.outcome.modalities) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// Of accuracies, whose interval ends where they do.
fn bar<'a>(view: &'a View<'_>, of: impl Fn(&RunResults) -> Option<f64>) -> Bar<'a> {
    let values = runs::values(view.runs.iter().copied(), &of);
    let interval = view.repeats.mean_interval(&values, LEVEL).ok().map(|i| i.within(0., 1.));
    Bar { label: &view.title, values: self::values(view, of), interval: interval.map(|i| (i.low, i.high)) }
}

/// One run's scores are no chart.
fn accuracy(views: &[View<'_>]) -> String {
    if views.iter().map(|v| v.runs.len()).sum::<usize>() < 2 {
        return String::new();
    }
    let rows: Vec<Bar<'_>> = views.iter().map(|v| bar(v, |run| Some(run.outcome.test.accuracy()))).collect();
    bars("test accuracy", &rows, None)
}

/// One chart for the fused prediction and one for each modality's own, or one chart of them all where there is one row.
fn curves(views: &[View<'_>]) -> String {
    let line = |view: &View<'_>, label: &str, what: Option<&str>| {
        let of = |run: &RunResults, epoch: usize| {
            let scores = &run.log.get(epoch)?.validation;
            what.map_or(Some(scores.accuracy()), |name| scores.modality.get(name).copied())
        };
        let points = (0..view.config.train.epochs).map_while(|epoch| mean(view, |run| of(run, epoch))).collect();
        Line { label: label.to_owned(), points }
    };
    let names = modalities(views);
    let whats = std::iter::once(("fused", None)).chain(names.iter().map(|name| (*name, Some(*name))));
    match views {
        [view] => lines("validation accuracy", &whats.map(|(label, what)| line(view, label, what)).collect::<Vec<_>>()),
        _ => {
            let chart =
                |(title, what)| lines(title, &views.iter().map(|v| line(v, &v.title, what)).collect::<Vec<_>>());
            whats.map(chart).collect()
        }
    }
}

/// A chart a modality: what its encoder knows in each row, and what it knows where it was trained alone. Of one row, a
/// chart of its modalities.
fn probes(views: &[View<'_>]) -> String {
    let of = |name: &str, run: &RunResults| run.outcome.probes.modality.get(name).copied();
    let alone = |view: &&View<'_>| view.runs.iter().all(|run| run.outcome.modalities.len() == 1);
    let chart = |name: &str| {
        let solo = views.iter().filter(alone).find_map(|view| mean(view, |run| of(name, run)));
        let joint = views.iter().filter(|view| !alone(view)).map(|view| bar(view, |run| of(name, run)));
        format!("<h3>{}</h3>{}", escape(name), bars(name, &joint.collect::<Vec<_>>(), solo))
    };
    match views {
        [view] => {
            let rows = modalities(views).into_iter().map(|name| Bar { label: name, ..bar(view, |run| of(name, run)) });
            bars("probes", &rows.collect::<Vec<_>>(), None)
        }
        _ if views.iter().all(|view| alone(&view)) => String::new(),
        _ => modalities(views).into_iter().map(chart).collect(),
    }
}

/// What the methods of a view report, as their cards declare it.
fn declared(view: &View<'_>) -> Vec<&'static Quantity> {
    view.config.method.all().into_iter().flat_map(|method| method.info().reports).collect()
}

/// A map for each quantity that a method reports by depth and each modality.
fn modulation(views: &[View<'_>]) -> String {
    let mut out = String::new();
    for view in views {
        let mut maps = String::new();
        for quantity in declared(view).into_iter().filter(|quantity| quantity.by == By::Depth) {
            for name in modalities(std::slice::from_ref(view)) {
                let key = format!("{}.{name}", quantity.name);
                let at = |depth: usize, epoch: usize| {
                    mean(view, |run| run.log.get(epoch)?.train.get(&key)?.values().get(depth).copied())
                };
                maps += &heat(&key, view.config.train.epochs, &at);
            }
        }
        if !maps.is_empty() {
            out += &format!("<h3>{}</h3><div class=\"maps\">{maps}</div>\n", escape(&view.title));
        }
    }
    out
}

/// A chart for each quantity that a method reports by step, modality or part: one line a key.
fn quantities(view: &View<'_>) -> String {
    let mut out = String::new();
    for quantity in declared(view).into_iter().filter(|quantity| quantity.by != By::Depth) {
        let keys: BTreeSet<&String> = view
            .runs
            .iter()
            .flat_map(|run| run.log.first())
            .flat_map(|log| log.train.keys())
            .filter(|key| quantity.has(key))
            .collect();
        let line = |key: &&String| {
            let of = |epoch: usize| {
                mean(view, |run| match run.log.get(epoch)?.train.get(*key)?.values() {
                    [one] => Some(*one),
                    _ => None,
                })
            };
            Line { label: (*key).clone(), points: (0..view.config.train.epochs).map_while(of).collect() }
        };
        let all: Vec<Line> = keys.iter().map(line).filter(|line| !line.points.is_empty()).collect();
        if !all.is_empty() {
            let unit = if quantity.unit.is_empty() { String::new() } else { format!(", {}", quantity.unit) };
            out += &lines(&format!("{}: {}{unit}", quantity.name, quantity.meaning), &all);
        }
    }
    out
}

fn confusions(view: &View<'_>) -> String {
    let answers = || view.runs.iter().flat_map(|run| &run.answers);
    let classes = answers().map(|a| a.label.max(a.predicted) + 1).max().unwrap_or(0);
    let mut counts = vec![vec![0; classes]; classes];
    answers().for_each(|a| counts[a.label][a.predicted] += 1);
    if classes == 0 { String::new() } else { confusion(&view.title, &counts) }
}

fn projections(view: &View<'_>) -> String {
    let Some((run, projection)) = view.runs.iter().find_map(|run| Some((run, run.projection.as_ref()?))) else {
        return String::new();
    };
    let show = |(name, points): (&String, &Vec<[f32; 2]>)| {
        let title = if name == ALL { "all modalities" } else { name };
        let every = points.len().div_ceil(POINTS).max(1);
        let classes = run.answers.iter().map(|a| a.label);
        scatter(title, &points.iter().copied().zip(classes).step_by(every).collect::<Vec<_>>())
    };
    format!("<div class=\"maps\">{}</div>", projection.0.iter().map(show).collect::<String>())
}

fn settings(view: &View<'_>) -> String {
    let yaml = serde_yaml::to_string(view.config).unwrap_or_default();
    let command = |run: &&RunResults| {
        let folder = run.folder.as_ref()?.display();
        let program = &run.outcome.program.command;
        Some(format!("{program} train --config {folder}/config.yaml\n{program} eval --run {folder}\n"))
    };
    let commands: String = view.runs.iter().filter_map(command).collect();
    format!("<pre>{}</pre>\n<pre>{}</pre>\n", escape(&commands), escape(&yaml))
}
