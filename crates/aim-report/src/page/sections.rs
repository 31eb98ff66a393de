//! What the pages of tables and of runs have in common.

use std::collections::{BTreeMap, BTreeSet};

use aim_balance::{By, Quantity};
use aim_stats::interval::Interval;
use aim_train::{experiment::RunResults, metrics::ALL};

use super::{
    Section, Sections, View,
    charts::{Cost, Detail, Line, confusion, costs, heat, lines},
    html::{escape, table},
    points::{legend, scatter},
    strips::{Mark, Strip, strips},
};
use crate::{
    classes::{by_class, by_row},
    runs,
    tables::LEVEL,
    verdict::signed,
};

/// Points of a scatter at most, and of those of all rows; of more samples every second, third and so on is drawn.
const POINTS: usize = 500;
const POINTS_OF_ALL: usize = 9000;

/// Classes at most that the rows of a table are compared in.
const CLASSES: usize = 12;

/// Rows at most that maps are drawn of in full.
const FEW: usize = 6;

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
        about: "Small dots are runs (of a table over folds, folds), the large one is their mean, the line its 95 % interval, not \
                corrected for the number of rows. Rows of one modality alone stand in the table below.",
        content: accuracy,
    },
    Section {
        name: "cost",
        title: "Accuracy and cost",
        over_seeds: true,
        about: "What a row needs trained before, and searches, come on top. Named is what no other row beats in both.",
        content: cost,
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
        about: "Test accuracy of a logistic regression on the frozen encoder. What joint training lacks against the encoder \
                trained alone it has lost; the share of it that a row brings back stands beside it, where it is .02 at least.",
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
    Section { name: "classes", title: "Recall by class", over_seeds: true, about: "", content: classes },
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
        about: "On their first two principal components, with a colour and a shape a class; of the first run.",
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

/// How closely charts are drawn on a page of so many rows.
fn detail(rows: usize) -> Detail {
    if rows <= FEW { Detail::Full } else { Detail::Coarse }
}

/// What a row of so many has to show, folded where there are several rows.
fn each(views: &[View<'_>], show: impl Fn(&View<'_>, usize) -> String) -> String {
    let one = |view: &View<'_>| match show(view, views.len()) {
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

/// Of accuracies, whose interval ends where they do; nothing without a run.
fn strip(view: &View<'_>, of: impl Fn(&RunResults) -> Option<f64>) -> Option<Strip> {
    let values = runs::values(view.runs.iter().copied(), &of);
    let interval = view.repeats.mean_interval(&values, LEVEL).ok().map(|i| i.within(0., 1.));
    row(view.title.clone(), values, interval, |number| format!("{number:.3}"))
}

/// A row of numbers that are written in this way.
fn row(label: String, values: Vec<f64>, interval: Option<Interval>, write: impl Fn(f64) -> String) -> Option<Strip> {
    let mean = aim_stats::summary::mean(&values).ok()?;
    let ends = interval.map_or(String::new(), |i| format!(" [{}, {}]", write(i.low), write(i.high)));
    let text = format!("{}{ends}", write(mean));
    Some(Strip { label, values, mean, interval: interval.map(|i| (i.low, i.high)), text })
}

/// Whether a row is of one modality.
fn alone(view: &View<'_>) -> bool {
    view.runs.iter().all(|run| run.outcome.modalities.len() == 1)
}

/// The rows of several modalities, if there are two: beside them those of one would take most of the scale.
fn shown<'a, 'b>(views: &'b [View<'a>]) -> impl Iterator<Item = &'b View<'a>> {
    let only = views.iter().filter(|view| !alone(view)).count() > 1;
    views.iter().filter(move |view| !only || !alone(view))
}

/// Differences to the baseline, the best row first; accuracies where there is none. One run's scores are no chart.
fn accuracy(views: &[View<'_>]) -> String {
    if views.iter().map(|v| v.runs.len()).sum::<usize>() < 2 {
        return String::new();
    }
    let of = |run: &RunResults| Some(run.outcome.test.accuracy());
    let baseline = views.iter().find(|view| view.baseline && !view.runs.is_empty());
    let others = || shown(views).filter(|view| !view.baseline);
    let (mut rows, mark): (Vec<Strip>, _) = match baseline {
        Some(base) if others().next().is_some() => {
            let mean = mean(base, of).unwrap_or_default();
            let label = format!("{}: {mean:.3}; further right is better", base.title);
            let mark = Mark { at: 0., label, main: true };
            (others().filter_map(|view| difference(view, base)).collect(), Some(mark))
        }
        _ => (shown(views).filter_map(|view| strip(view, of)).collect(), None),
    };
    rows.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    let title = if mark.is_some() { "difference of test accuracies" } else { "test accuracy" };
    strips(title, &rows, &mark.into_iter().collect::<Vec<_>>())
}

/// A row's accuracies less those of the baseline's runs with the same seed and fold.
fn difference(view: &View<'_>, base: &View<'_>) -> Option<Strip> {
    let key = |run: &RunResults| (run.outcome.seed, run.fold);
    let theirs: BTreeMap<_, _> = base.runs.iter().map(|run| (key(run), run.outcome.test.accuracy())).collect();
    let of = |run: &RunResults| Some(run.outcome.test.accuracy() - theirs.get(&key(run))?);
    let values = runs::values(view.runs.iter().copied(), of);
    let interval = view.repeats.mean_interval(&values, LEVEL).ok().map(|i| i.within(-1., 1.));
    row(view.title.clone(), values, interval, signed)
}

/// Of the rows whose times are known.
fn cost(views: &[View<'_>]) -> String {
    let point = |view: &View<'_>| {
        let seconds = mean(view, |run| Some(run.seconds.iter().sum::<f64>()).filter(|seconds| *seconds > 0.))?;
        let accuracy = mean(view, |run| Some(run.outcome.test.accuracy()))?;
        Some(Cost { label: view.title.clone(), seconds, accuracy, named: view.baseline || view.planned })
    };
    let mut points: Vec<Cost> = shown(views).filter_map(point).collect();
    // Who is named in any case has the first choice of a place.
    points.sort_by_key(|point| !point.named);
    if points.len() < 2 { String::new() } else { costs("test accuracy against seconds of training", &points) }
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
            format!("<div class=\"charts\">{}</div>", whats.map(chart).collect::<String>())
        }
    }
}

/// A chart a modality: what its encoder knows in each row, what it knows where it was trained alone, and what in the
/// baseline. Of one row, a chart of its modalities.
fn probes(views: &[View<'_>]) -> String {
    let of = |name: &str, run: &RunResults| run.outcome.probes.modality.get(name).copied();
    let chart = |name: &str| {
        let solo = views.iter().filter(|view| alone(view)).find_map(|view| mean(view, |run| of(name, run)));
        let base = views.iter().find(|view| view.baseline).and_then(|view| mean(view, |run| of(name, run)));
        let lost = solo.zip(base).filter(|(solo, base)| solo - base >= 0.02);
        let one = |view: &View<'_>| {
            let mut strip = strip(view, |run| of(name, run))?;
            if let Some((solo, base)) = lost.filter(|_| !view.baseline) {
                let share = (100. * (strip.mean - base) / (solo - base)).round();
                // A share of -0 is 0.
                strip.text += &format!(", {:+.0} %", share + 0.);
            }
            Some(strip)
        };
        let mut rows: Vec<Strip> = views.iter().filter(|view| !alone(view)).filter_map(one).collect();
        rows.sort_by(|a, b| b.mean.total_cmp(&a.mean));
        let mark =
            |at: Option<f64>, what: &str, main| at.map(|at| Mark { at, label: format!("{what}: {at:.3}"), main });
        let marks = mark(solo, "trained alone", true).into_iter().chain(mark(base, "the baseline", false));
        match strips(name, &rows, &marks.collect::<Vec<_>>()) {
            chart if chart.is_empty() => chart,
            chart => format!("<h3>{}</h3>{chart}", escape(name)),
        }
    };
    match views {
        [view] => {
            let row = |name: &str| Some(Strip { label: name.to_owned(), ..strip(view, |run| of(name, run))? });
            strips("probes", &modalities(views).into_iter().filter_map(row).collect::<Vec<_>>(), &[])
        }
        _ if views.iter().all(alone) => String::new(),
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
                maps += &heat(&key, view.config.train.epochs, detail(views.len()), &at);
            }
        }
        let (title, maps) = (escape(&view.title), format!("<div class=\"maps\">{maps}</div>"));
        out += &match views.len() {
            _ if !maps.contains("<svg") => continue,
            ..=FEW => format!("<h3>{title}</h3>{maps}\n"),
            _ => format!("<details><summary>{title}</summary>{maps}</details>\n"),
        };
    }
    out
}

/// A chart for each quantity that a method reports by step, modality or part: one line a key.
fn quantities(view: &View<'_>, _: usize) -> String {
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

/// A table of the rows, or of one row's classes; a number that is not finite makes none.
fn classes(views: &[View<'_>]) -> String {
    let made = match views {
        [view] => by_class(view),
        _ => by_row(views, CLASSES),
    };
    made.ok().flatten().map_or_else(String::new, |made| table(&made, 0))
}

fn confusions(view: &View<'_>, rows: usize) -> String {
    let answers = || view.runs.iter().flat_map(|run| &run.answers);
    let classes = answers().map(|a| a.label.max(a.predicted) + 1).max().unwrap_or(0);
    let names: Vec<String> = (0..classes).map(|class| view.class(class)).collect();
    let mut counts = BTreeMap::new();
    answers().for_each(|a| *counts.entry((a.label, a.predicted)).or_insert(0) += 1);
    if classes == 0 { String::new() } else { confusion(&view.title, &names, &counts, detail(rows)) }
}

fn projections(view: &View<'_>, rows: usize) -> String {
    let Some((run, projection)) = view.runs.iter().find_map(|run| Some((run, run.projection.as_ref()?))) else {
        return String::new();
    };
    let classes = run.answers.iter().map(|answer| answer.label + 1).max().unwrap_or(0);
    let names: Vec<String> = (0..classes).map(|class| view.class(class)).collect();
    let show = |(name, points): (&String, &Vec<[f32; 2]>)| {
        let title = if name == ALL { "all modalities" } else { name };
        let every = points.len().div_ceil(POINTS.min(POINTS_OF_ALL / rows.max(1)).max(1)).max(1);
        let classes = run.answers.iter().map(|a| a.label);
        scatter(title, &names, &points.iter().copied().zip(classes).step_by(every).collect::<Vec<_>>())
    };
    let maps: String = projection.0.iter().map(show).collect();
    format!("<div class=\"maps\">{maps}</div>{}", legend(&names))
}

fn settings(view: &View<'_>, _: usize) -> String {
    let yaml = aim_config::yaml::write(view.config).unwrap_or_default();
    let command = |run: &&RunResults| {
        let folder = run.folder.as_ref()?.display();
        let program = &run.outcome.program.command;
        Some(format!("{program} train --config {folder}/config.yaml\n{program} eval --run {folder}\n"))
    };
    let commands: String = view.runs.iter().filter_map(command).collect();
    format!("<pre>{}</pre>\n<pre>{}</pre>\n", escape(&commands), escape(&yaml))
}
