//! What a table leaves beside its runs says what the runs say.

use std::{fs, io::Write, path::Path, process::Command};

use aim_report::{diagnosis, title};
use aim_tests::{bundle_config, run_folder, run_options, run_with, split, write_bundle, write_report, write_split};
use aim_train::{
    config::{Protocol, Select},
    experiment::{Options, Results, RunResults},
    metrics::{ACCURACY, MACRO_F1},
    run::Preprocessing,
};
use serde_json::Value;

const ROWS: &str = "  - {name: heart-alone, method: {name: unimodal, modality: heart}}
  - {name: joint, title: \"joint, <b>&\", method: {name: joint}}
  - {name: aim, method: {name: aim, warmup: 0}}";

/// A table of three rows and two seeds.
fn table(folder: &Path) -> Results {
    write_bundle(folder);
    let options = run_options(folder);
    let results = run_with(bundle_config(ROWS, &["seeds=2"]), &options).unwrap();
    assert_eq!(results.failures, [""; 0]);
    write_report(&results, &options.out);
    results
}

#[test]
fn rows_whose_encoders_see_each_other_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let rows = "  - {name: joint, method: joint}
  - {name: meet, title: gates between blocks, method: joint, model: {fusion: {name: inner-mmtm, from: 0}}}";
    let mut results = run_with(bundle_config(rows, &["train.epochs=1"]), &run_options(folder.path())).unwrap();
    let notes = diagnosis(&results).unwrap().notes().join("\n");
    assert!(notes.contains("gates between blocks: encoders see each other between their blocks"), "{notes}");
    results.rows.truncate(1);
    assert!(!diagnosis(&results).unwrap().notes().join("\n").contains("see each other"));
}

#[test]
fn every_run_is_one_record_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let results = table(folder.path());
    let text = fs::read_to_string(folder.path().join("runs/test/results.jsonl")).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let runs: Vec<_> = results.rows.iter().flat_map(|row| row.runs.iter().map(move |run| (row, run))).collect();
    assert_eq!((records.len(), runs.len()), (6, 6));
    for (record, (row, run)) in records.iter().zip(runs) {
        assert_eq!(record["row"], row.name);
        assert_eq!(record["seed"], run.outcome.seed);
        assert_eq!(record["test.accuracy"], run.outcome.test.accuracy());
        assert_eq!(record["test.modality.motion"].as_f64(), run.outcome.test.modality.get("motion").copied());
        assert_eq!((&record["test.samples"], &record["test.most_frequent"]), (&45.into(), &(15. / 45.).into()));
        assert!(run.folder.as_ref().unwrap().parent().unwrap().ends_with(format!(
            "{}.{}",
            row.name,
            record["key"].as_str().unwrap()
        )));
        let keys = |record: &Value| record.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(record), keys(&records[0]), "all records have the same columns");
    }
}

#[test]
fn every_format_has_a_row_for_each_of_the_table_s() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    let read = |name: &str| fs::read_to_string(folder.path().join("runs/test").join(name)).unwrap();
    let html = read("report.html");
    // Three tables with a head and three rows each, the last with the numbers of samples, too.
    assert_eq!(html.matches("<tr>").count(), 13);
    assert!(html.contains("joint, &lt;b&gt;&amp;") && !html.contains("joint, <b>&"));
    for outside in ["http:", "https:", "src=", "url(", "@import", "<script"] {
        assert!(!html.contains(outside), "the page asks for {outside}");
    }
    assert_eq!(read("comparison.md").lines().filter(|line| line.starts_with('|')).count(), 5);
    assert_eq!(read("comparison.csv").lines().count(), 4);
    assert_eq!(read("comparison.tex").matches("\\\\\n").count(), 4);
    let headings = ["verdict", "Test accuracy", "Accuracy and cost", "Validation accuracy", "Probe of each"];
    for heading in headings.into_iter().chain(["Modulation", "Recall by class", "Confusion", "features", "Settings"]) {
        assert!(html.contains(heading), "{heading}");
    }
    let run = fs::read_to_string(run_folder(folder.path(), "aim").join("report.html")).unwrap();
    assert!(run.contains("rho.heart") && run.contains("all modalities") && run.contains("cargo xtask train --config"));
}

/// The classes of the bundle with names, as a manifest's have.
const NAMES: [&str; 3] = ["rest", "<walk>", "run"];

#[test]
fn recall_by_class_is_on_pages_and_in_files_under_the_names_of_classes() {
    let folder = tempfile::tempdir().unwrap();
    let mut results = table(folder.path());
    for run in results.rows.iter_mut().flat_map(|row| &mut row.runs) {
        let kept = Preprocessing::load(run.folder.as_ref().unwrap()).unwrap();
        assert_eq!(run.class_names, kept.class_names);
        run.class_names = NAMES.map(Into::into).into();
    }
    let runs: Vec<_> = results.rows.iter().flat_map(|row| &row.runs).collect();
    let written = write_report(&results, &folder.path().join("runs"));
    assert!(written.tables.iter().all(|table| table.columns()[1].heading != NAMES[0]), "terminals have no classes");
    // By the predictions of each run: label and prediction are its second and third column.
    let recall = |run: &RunResults, class: usize| {
        let text = fs::read_to_string(run.folder.as_ref().unwrap().join("predictions.csv")).unwrap();
        let lines: Vec<Vec<String>> =
            text.lines().skip(1).map(|line| line.split(',').map(Into::into).collect()).collect();
        let of: Vec<_> = lines.iter().filter(|line| line[1] == class.to_string()).collect();
        assert_eq!(of.len(), 15);
        of.iter().filter(|line| line[1] == line[2]).count() as f64 / 15.
    };
    let read = |name: &str| fs::read_to_string(folder.path().join("runs/test").join(name)).unwrap();
    let csv = read("classes.csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap(), "method,rest,<walk>,run");
    assert_eq!(lines.next().unwrap(), "test samples,15,15,15");
    let page = read("report.html");
    for (row, line) in results.rows.iter().zip(lines) {
        for (class, cell) in line.rsplitn(4, ',').take(3).enumerate() {
            let mean = (recall(&row.runs[0], 2 - class) + recall(&row.runs[1], 2 - class)) / 2.;
            assert!((cell.parse::<f64>().unwrap() - mean).abs() < 1e-12, "{line}");
            assert!(page.contains(&format!(">{mean:.3}</td>")));
        }
    }
    assert!(page.contains(">&lt;walk&gt;</th>") && page.contains(">&lt;walk&gt;</text>") && !page.contains("<walk>"));
    assert!(page.contains("<title>class rest, predicted ") && read("classes.md").contains("rest"));
    let own = fs::read_to_string(runs[0].folder.as_ref().unwrap().join("report.html")).unwrap();
    let cells = format!(
        ">&lt;walk&gt;</td><td class=\"number m0\">15</td><td class=\"number m0\">{:.3}</td>",
        recall(runs[0], 1)
    );
    assert!(own.contains(&cells), "{own}");
    // Of a row whose numbers stand for other classes nothing is said.
    results.rows[2].runs[0].class_names = ["rest", "run", "<walk>"].map(Into::into).into();
    write_report(&results, &folder.path().join("runs"));
    assert!(read("classes.csv").ends_with("\naim,,,\n"), "{}", read("classes.csv"));
}

#[test]
fn the_run_to_answer_with_is_the_best_on_validation() {
    let folder = tempfile::tempdir().unwrap();
    let mut results = table(folder.path());
    // In the mean joint is the best with .8, although a run of aim has .9 and heart-alone wins on the test split.
    let scores = [[0.7, 0.7], [0.75, 0.85], [0.9, 0.6]];
    for (row, scores) in results.rows.iter_mut().zip(scores) {
        for (run, score) in row.runs.iter_mut().zip(scores) {
            run.outcome.validation.values.insert(ACCURACY.into(), score);
            run.outcome.test.values.insert(ACCURACY.into(), 1. - score);
        }
    }
    let chosen = |results: &Results| {
        let run = aim_report::best(results)?;
        Some((run.config.name.clone(), run.outcome.seed))
    };
    assert_eq!(chosen(&results), Some(("joint".into(), 1)));
    // Where all rows select by macro-F1, that decides; of equal ones the earlier.
    for row in &mut results.rows {
        row.config.train.select = Select::MacroF1;
        for run in &mut row.runs {
            run.outcome.validation.values.insert(MACRO_F1.into(), 0.5);
        }
    }
    assert_eq!(chosen(&results), Some(("heart-alone".into(), 0)));
    results.rows[0].config.train.select = Select::Best;
    assert_eq!(chosen(&results), Some(("joint".into(), 1)));
    // Weights that are not here cannot answer, and a test split that chose the epoch cannot choose the row.
    results.rows[1].runs[1].folder = None;
    assert_eq!(chosen(&results), Some(("joint".into(), 0)));
    results.rows[1].config.protocol = Protocol::BalanceBench;
    assert_eq!(chosen(&results), Some(("aim".into(), 0)));
    results.rows.iter_mut().flat_map(|row| &mut row.runs).for_each(|run| run.folder = None);
    assert_eq!(chosen(&results), None);
}

#[test]
fn a_terminal_has_what_fits_it_and_a_file_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let options = run_options(folder.path());
    let results = run_with(bundle_config(ROWS, &["seeds=2"]), &options).unwrap();
    let written = write_report(&results, &options.out);
    let (whole, narrow) = (written.text(None), written.text(Some(80)));
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    let narrow = narrow.replace('\n', " ");
    for part in
        ["aim", "accuracy, 95 % interval (t)", "2 seeds are too few to establish that one of 2 rows differs from joint"]
    {
        assert!(narrow.contains(part), "{part}\n{narrow}");
    }
    for part in ["bootstrap", "EDM", "Mean ± standard deviation"] {
        assert!(whole.contains(part), "{part}\n{whole}");
    }
    assert!(narrow.contains("left out: ") && !narrow.contains("Mean ± standard deviation"), "{narrow}");
}

#[test]
fn two_tables_lie_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (results, out) = (table(folder.path()), folder.path().join("runs"));
    let other = folder.path().join("other");
    let options = Options { out: other.clone(), ..run_options(folder.path()) };
    let more = "  - {name: joint, title: joint, method: joint}\n  - {name: opm, method: {name: opm}}";
    let changed = run_with(bundle_config(more, &["seeds=2", "train.epochs=1"]), &options).unwrap();
    write_report(&changed, &other);
    let made = aim_report::compare(&out.join("test"), &other.join("test")).unwrap();
    let of = |results: &Results, row: &str| -> Vec<f64> {
        let row = results.rows.iter().find(|r| r.name == row).unwrap();
        row.runs.iter().map(|run| run.outcome.test.accuracy()).collect()
    };
    let (before, after) = (of(&results, "joint"), of(&changed, "joint"));
    let difference = (after[0] - before[0] + after[1] - before[1]) / 2.;
    let numbers = |row: &str| {
        let row = made.rows().iter().find(|cells| cells[0].content.shown(0).starts_with(row)).unwrap();
        row[1..5].iter().map(|cell| cell.content.shown(3)).collect::<Vec<_>>()
    };
    let joint = numbers("joint");
    assert!(joint[0].starts_with(&format!("{:.3}", (before[0] + before[1]) / 2.)), "{joint:?}");
    assert!(joint[2].starts_with(&format!("{difference:.3}")) && joint[3] == "2.000", "{joint:?} {difference}");
    // Rows of one table alone have no difference.
    assert_eq!((numbers("aim")[1].as_str(), numbers("aim")[2].as_str()), ("", ""));
    assert_eq!((numbers("opm")[0].as_str(), numbers("opm")[3].as_str()), ("", "0.000"));
    assert_eq!(made.warnings().count(), 0, "the same data and protocol");
    let third = folder.path().join("third");
    write_split(folder.path(), "train", &split("other", 90));
    let options = Options { out: third.clone(), ..run_options(folder.path()) };
    write_report(&run_with(bundle_config(more, &["seeds=2", "train.epochs=1"]), &options).unwrap(), &third);
    let warned = aim_report::compare(&out.join("test"), &third.join("test")).unwrap();
    let warned: Vec<&str> = warned.warnings().collect();
    assert_eq!(warned, ["ATTENTION: runs are of different data, so that a difference may be theirs: `joint`."]);
    let empty = aim_report::compare(&out, &other.join("test")).unwrap_err().to_string();
    assert!(empty.contains("holds no results"), "{empty}");
}

#[test]
fn words_say_which_row_is_the_better_one() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let options = run_options(folder.path());
    let rows = "  - {name: joint, method: joint}\n  - {name: still, method: joint, optimizer: {lr: 1e-12}}";
    for (plan, wanted) in [
        ("planned=null", "Worse than joint: still (-0."),
        ("planned={of: still, against: [joint]}", "still is worse than joint (-0."),
        ("planned={of: joint, against: [still]}", "joint is better than still (+0."),
    ] {
        // With six seeds p can be as small as 2 / 2^6.
        let results = run_with(bundle_config(rows, &["seeds=6", plan]), &options).unwrap();
        let said = write_report(&results, &options.out).verdict.join("\n");
        assert!(said.contains(wanted) && said.contains("p = 0.031"), "{said}");
    }
}

/// A table of sixty rows and twenty seeds, whose runs are copies of one.
fn large(folder: &Path) -> std::path::PathBuf {
    write_bundle(folder);
    let options = run_options(folder);
    let row = |i: usize| {
        format!("  - {{name: row{i}, title: Method number {i}, method: aim, optimizer: {{lr: 0.0{i:02}1}}}}\n")
    };
    let rows: String = (10..70).map(row).collect();
    let mut results = run_with(bundle_config(&rows, &["train.epochs=20"]), &options).unwrap();
    results.table.seeds = 20;
    for row in &mut results.rows {
        let run = row.runs[0].clone();
        let other = |seed| {
            let mut other = run.clone();
            other.outcome.seed = seed;
            other
        };
        row.runs.extend((1..20).map(other));
    }
    write_report(&results, &options.out);
    options.out.join("test/report.html")
}

#[test]
fn a_page_of_sixty_rows_and_twenty_seeds_is_small_and_soon_there() {
    let folder = tempfile::tempdir().unwrap();
    let page = large(folder.path());
    let html = fs::read_to_string(&page).unwrap();
    println!("{} bytes", html.len());
    assert!(html.len() < 3_000_000, "{}", html.len());
    // What is drawn coarsely says its numbers in tables: four quantities of three modalities, and the confusions.
    assert_eq!(html.matches("<table class=\"figures\">").count(), 60 * 13);
    let Some(browser) = browser() else { return };
    let timed = "<script>addEventListener('load', () => setTimeout(() => { document.title = `TOOK ${Math.round(performance.now())} END` }))</script>";
    fs::write(&page, html.replace("</head>", &format!("{timed}</head>"))).unwrap();
    let milliseconds = || -> u64 {
        let mut command = Command::new(browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let dump = command.arg(&page).output().unwrap().stdout;
        let dump = String::from_utf8_lossy(&dump).into_owned();
        dump.split_once("TOOK ").and_then(|(_, rest)| rest.split_once(" END")?.0.parse().ok()).unwrap()
    };
    // The fastest of some: what else the machine does is not the page's.
    let took = (0..3).map(|_| milliseconds()).min().unwrap();
    println!("{took} ms");
    assert!(took < 1000, "{took} ms");
}

#[test]
fn rows_that_reproduce_a_fault_are_marked_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let rows = "  - {name: joint, method: joint}
  - {name: tuned, method: {name: mmcosine}, tune: {grid: {method.compat: [true, false]}}}
  - {name: mla, title: MLA, method: {name: mla, compat: true}, model: {fusion: shared}}
  - {name: sam, method: {sam: {inner: {name: mmcosine, compat: true}}}}
  - {name: clean, method: {name: mla, compat: false}, model: {fusion: shared}}";
    let options = run_options(folder.path());
    let results = run_with(bundle_config(rows, &["train.epochs=1"]), &options).unwrap();
    assert_eq!(results.failures, [""; 0]);
    write_report(&results, &options.out);
    // A searched row is what was chosen.
    for row in &results.rows {
        let method = serde_json::to_string(&row.config.method).unwrap();
        let title = title(row);
        assert_eq!(title.ends_with(" (compat)"), method.contains("\"compat\":true"), "{title}: {method}");
    }
    let read = |name: &str| fs::read_to_string(folder.path().join("runs/test").join(name)).unwrap();
    for file in ["comparison.md", "comparison.csv", "comparison.tex", "diagnosis.md", "report.html", "results.jsonl"] {
        let text = read(file);
        assert!(text.contains("MLA (compat)") && text.contains("sam (compat)"), "{file}: {text}");
        assert!(!text.contains("clean (compat)") && !text.contains("joint (compat)"), "{file}");
    }
    for file in ["comparison.md", "diagnosis.md", "report.html"] {
        assert_eq!(
            read(file).matches("reproduces a fault").count(),
            if file == "report.html" { 2 } else { 1 },
            "{file}"
        );
    }
    let page = |row: &str| fs::read_to_string(run_folder(folder.path(), row).join("report.html")).unwrap();
    assert!(page("mla").contains("This run reproduces a fault") && !page("clean").contains("reproduces a fault"));
}

/// A browser, if there is one.
fn browser() -> Option<&'static str> {
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works)
}

/// Counts what a browser made of the page, and looks for what is cut: anything beyond the page, of which paper holds
/// twice as much because browsers shrink it so far, and columns that matter beyond the edge of their table, which only
/// phones may have to scroll to.
const SCRIPT: &str = "<script>
addEventListener('load', () => {
  const all = what => [...document.querySelectorAll(what)];
  const right = box => box.getBoundingClientRect().right;
  const paper = all('.wide').some(box => getComputedStyle(box).overflowX === 'visible');
  const wide = document.documentElement.scrollWidth > innerWidth * (paper ? 2 : 1);
  const cut = all('.strip, .wide, figure, .verdict').some(box => right(box) > innerWidth + 1);
  const lost = innerWidth > 700 && all('.wide .m0').some(cell => right(cell) > right(cell.closest('.wide')) + 1);
  const shape = ['table', 'tbody tr', 'svg'].map(what => all(what).length).join(' ');
  document.title = ['SEEN', innerWidth, shape, wide, cut, lost, getComputedStyle(document.body).backgroundColor].join(' ');
});
</script>";

/// What a browser sees of a page of this width; it must have nothing to complain about. A window may not be as narrow
/// as a phone, a frame may.
fn seen(browser: &str, folder: &Path, html: &str, width: usize, dark: bool) -> String {
    let html = html.replace("</head>", &format!("{SCRIPT}</head>")).replace('&', "&amp;").replace('"', "&quot;");
    let framed = format!(
        "<!doctype html><style>:root {{ color-scheme: light dark }} body {{ margin: 0 }}</style>\
         <iframe style=\"border: 0; width: {width}px; height: 900px\" srcdoc=\"{html}\"></iframe>\
         <script>addEventListener('load', () => {{ document.title = frames[0].document.title }})</script>"
    );
    fs::write(folder.join("page.html"), framed).unwrap();
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1500,1000"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.args(dark.then_some("--blink-settings=preferredColorScheme=0"));
    let dump = command.arg("--dump-dom").arg(folder.join("page.html")).output().unwrap();
    let (seen, said) = (String::from_utf8_lossy(&dump.stdout), String::from_utf8_lossy(&dump.stderr));
    assert!(!said.contains("CONSOLE"), "{said}");
    let title = seen.split_once("<title>SEEN ").and_then(|(_, rest)| rest.split_once("</title>"));
    title.unwrap_or_else(|| panic!("{said}")).0.to_owned()
}

#[test]
fn a_browser_shows_the_pages_without_complaint() {
    let Some(browser) = browser() else {
        // Past the capture of test output, which swallows what passing tests print.
        return writeln!(std::io::stderr(), "skipped: no Chromium to show the pages with").unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    table(folder);
    let page = folder.join("runs/test/report.html");
    let (light, dark, paper) = ((false, "rgb(255, 255, 255)"), (true, "rgb(22, 24, 27)"), (true, "rgb(255, 255, 255)"));
    // A run's page has a table of its classes; paper is 190 mm wide.
    for (page, tables) in [(&page, "3 10"), (&run_folder(folder, "aim").join("report.html"), "1 3")] {
        let html = fs::read_to_string(page).unwrap();
        let printed = html.replace("@media print", "@media all");
        let screens = [(390, light), (390, dark), (1400, light), (1400, dark)].map(|screen| (&html, screen));
        for (html, (width, (dark, background))) in screens.into_iter().chain([(&printed, (718, paper))]) {
            let want = format!("{width} {tables} {} false false false {background}", html.matches("<svg").count());
            assert_eq!(seen(browser, folder, html, width, dark), want, "{}", page.display());
        }
    }
    let picture = std::env::var("AIM_SCREENSHOT").unwrap_or_else(|_| folder.join("page.png").display().to_string());
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,1400"]);
    command.arg(format!("--screenshot={picture}")).arg(&page);
    assert!(command.output().unwrap().status.success() && Path::new(&picture).exists());
}
