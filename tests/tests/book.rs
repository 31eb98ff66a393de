//! What the documentation says is so: configurations are understood, excerpts are those of their files, links lead to
//! files and headings that are there. Its command lines are tried by the program itself (`xtask/src/book.rs`).

use std::{collections::BTreeSet, path::Path};

use aim_tests::book::{ROOT, blocks, pages, text};
use aim_train::{
    config::{Scale, Source, TableConfig},
    standard,
};
use serde_yaml::Value;

/// The book's chapters.
const CHAPTERS: &str = "docs/book/src";

/// A block that has rows is a whole table. Any other is a part of one, and is laid over a table that has everything.
fn understood(block: &str) -> Result<(), String> {
    let said = |error: aim_core::Error| error.to_string();
    let mut source = Source::parse("block.yaml".as_ref(), block).map_err(said)?;
    let part = source.value.clone();
    if part.get("rows").is_none() {
        source = Source::load(&Path::new(ROOT).join("configs/synth-av.yaml")).map_err(said)?;
        for (key, value) in part.as_mapping().into_iter().flatten() {
            let (key, value) = (key.as_str().unwrap(), serde_yaml::to_string(value).unwrap());
            source.set(&format!("{key}={value}")).map_err(said)?;
        }
    }
    TableConfig::new(source, Scale::Normal, standard()).map(drop).map_err(said)
}

#[test]
fn every_configuration_is_understood() {
    let blocks = blocks("yaml");
    let whole = |text: &str| serde_yaml::from_str::<Value>(text).is_ok_and(|value| value.get("rows").is_some());
    assert!(blocks.iter().filter(|block| whole(&block.text)).count() >= 5);
    for block in blocks {
        understood(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    }
    assert!(understood("train: {epoch: 3}").unwrap_err().contains("unknown field `epoch`"));
    assert!(understood("name: t\ndata: synth-av\nrows: [{name: a, method: jont}]").is_err());
}

/// The file and the excerpt of a block that begins with `// from FILE`.
fn excerpt(block: &str) -> Option<(&str, &str)> {
    block.strip_prefix("// from ")?.split_once('\n')
}

#[test]
fn every_excerpt_is_that_of_its_file() {
    let blocks = blocks("rust");
    assert!(blocks.len() >= 5);
    for block in blocks {
        let (file, code) = excerpt(&block.text).unwrap_or_else(|| panic!("{}: from which file is it?", block.place));
        assert!(text(Path::new(file)).contains(code), "{}: {file} has it no longer", block.place);
    }
}

/// A page without its code, in which brackets are no links.
fn prose(page: &str) -> String {
    let blocks: String = page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
    blocks.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// Targets of the links to files and headings.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let defined = prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")?.1.split(' ').next());
    inline.chain(defined).filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// What links call the headings of a page.
fn headings(page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let known = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    titles.map(|title| title.to_lowercase().chars().filter(known).collect::<String>().replace(' ', "-")).collect()
}

/// What is wrong with a link of a page.
fn broken(page: &Path, link: &str) -> Option<String> {
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target = match file {
        "" => page.to_owned(),
        file => page.parent().unwrap_or(Path::new("")).join(file),
    };
    if !Path::new(ROOT).join(&target).exists() {
        return Some(format!("{}: there is no {}", page.display(), target.display()));
    }
    let absent = heading.filter(|heading| !headings(&text(&target)).contains(*heading))?;
    Some(format!("{}: {} has no heading #{absent}", page.display(), target.display()))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut followed, mut wrong) = (0, vec![]);
    for page in pages() {
        for link in links(&text(&page)) {
            followed += 1;
            wrong.extend(broken(&page, &link));
        }
    }
    assert!(followed > 100 && wrong.is_empty(), "{followed} links\n{}", wrong.join("\n"));

    let readme = Path::new("README.md");
    assert!(broken(readme, "docs/absent.md").unwrap().contains("there is no docs/absent.md"));
    assert!(broken(readme, "docs/methods.md#absent").unwrap().contains("no heading #absent"));
    assert_eq!(broken(readme, "docs/methods.md#ogm-ge"), None);
}

#[test]
fn the_summary_names_every_chapter_once() {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let chapters = pages().into_iter().filter(|page| page.starts_with(CHAPTERS)).map(|page| name(&page));
    let chapters: Vec<String> = chapters.filter(|name| name != "SUMMARY.md").collect();
    let mut named = links(&text(&Path::new(CHAPTERS).join("SUMMARY.md")));
    named.sort();
    assert_eq!(named, chapters);
}
