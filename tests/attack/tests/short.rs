//! The short attack of the test command, and what the fuzzer's folder must have.

use std::{collections::BTreeSet, fs};

use aim_attack::{Counting, Plan, attack, targets};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");

#[test]
fn no_changed_file_makes_a_reader_panic_hang_or_fill_the_memory() {
    for target in targets() {
        let inputs = (4_000. * target.share()).ceil() as u64 + (target.samples)().len() as u64;
        let figures = attack(target, Plan { seed: 1, first: 0, inputs, threads: 2 });
        assert_eq!((figures.inputs, figures.faults.is_empty()), (inputs, true), "{:#?}", figures.faults);
        assert!(figures.accepted > 0, "{} accepts not even its samples", target.name);
    }
}

#[test]
fn the_fuzzer_has_every_target() {
    let manifest = fs::read_to_string(format!("{FUZZ}/Cargo.toml")).unwrap();
    let named: BTreeSet<&str> =
        manifest.split("[[bin]]\nname = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(named, targets().iter().map(|target| target.name).collect());
    for target in targets() {
        let program = fs::read_to_string(format!("{FUZZ}/targets/{}.rs", target.name)).unwrap();
        assert!(program.contains(&format!("run(\"{}\", bytes)", target.name)), "{program}");
    }
}
