//! An entry costs one line beside its own file, and a capability none.

/// The list of entries, and what starts the program.
const LISTS: [&str; 2] = [include_str!("../src/lib.rs"), include_str!("../src/main.rs")];

/// Number of lines that name a module.
fn lines(module: &str) -> usize {
    let names = |line: &&str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == module);
    let code = |line: &&str| !line.trim_start().starts_with("//");
    LISTS.iter().flat_map(|text| text.lines()).filter(code).filter(names).count()
}

#[test]
fn every_kind_costs_one_line() {
    for module in ["method", "encoder", "fusion", "optimizer", "schedule", "dataset", "metric", "section"] {
        assert_eq!(lines(module), 1, "{module}");
    }
}

#[test]
fn a_method_with_a_fusion_of_a_new_capability_costs_two() {
    assert_eq!(lines("method") + lines("fusion"), 2);
    assert!(LISTS.iter().all(|text| !text.contains("VOTES")));
}
