//! The tables that come with the program, for whoever has no folder of them.

use std::path::Path;

/// Name and text of each table.
const TABLES: [(&str, &str); 12] = [
    ("avmnist", include_str!("../../configs/avmnist.yaml")),
    ("avmnist-low", include_str!("../../configs/avmnist-low.yaml")),
    ("field", include_str!("../../configs/field.yaml")),
    ("geotec", include_str!("../../configs/geotec.yaml")),
    ("grid", include_str!("../../configs/grid.yaml")),
    ("grid-noise", include_str!("../../configs/grid-noise.yaml")),
    ("lis", include_str!("../../configs/lis.yaml")),
    ("mosi", include_str!("../../configs/mosi.yaml")),
    ("mvsa", include_str!("../../configs/mvsa.yaml")),
    ("protocols", include_str!("../../configs/protocols.yaml")),
    ("ravdess", include_str!("../../configs/ravdess.yaml")),
    ("synth-av", include_str!("../../configs/synth-av.yaml")),
];

/// Folder that tables are looked for in by their names.
pub const FOLDER: &str = "configs";

/// Names of the tables that come with the program.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

/// Text of the table that a path in [`FOLDER`] names, if it comes with the program.
pub(super) fn text(path: &Path) -> Option<&'static str> {
    let name = path.strip_prefix(FOLDER).ok()?;
    TABLES.iter().find(|(table, _)| name == Path::new(&format!("{table}.yaml"))).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_folder_comes_with_the_program() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/configs")).unwrap();
        let files =
            folder.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
        let mut found: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into()).collect();
        found.sort();
        assert_eq!(found, names().collect::<Vec<_>>());
        assert!(text(Path::new("configs/synth-av.yaml")).is_some_and(|text| text.contains("synth-av")));
        assert_eq!(text(Path::new("elsewhere/synth-av.yaml")), None);
        assert_eq!(text(Path::new("configs/none.yaml")), None);
    }
}
