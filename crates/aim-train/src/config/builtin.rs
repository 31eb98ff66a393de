//! The tables that come with the program, for whoever has no folder of them.

use std::path::Path;

/// Name and text of each table.
const TABLES: [(&str, &str); 15] = [
    ("avmnist", include_str!("../../configs/avmnist.yaml")),
    ("avmnist-low", include_str!("../../configs/avmnist-low.yaml")),
    ("field", include_str!("../../configs/field.yaml")),
    ("geotec", include_str!("../../configs/geotec.yaml")),
    ("grid", include_str!("../../configs/grid.yaml")),
    ("grid-noise", include_str!("../../configs/grid-noise.yaml")),
    ("grid-raw", include_str!("../../configs/grid-raw.yaml")),
    ("lis", include_str!("../../configs/lis.yaml")),
    ("mfeat", include_str!("../../configs/mfeat.yaml")),
    ("mosi", include_str!("../../configs/mosi.yaml")),
    ("mvsa", include_str!("../../configs/mvsa.yaml")),
    ("mvsa-minilm", include_str!("../../configs/mvsa-minilm.yaml")),
    ("protocols", include_str!("../../configs/protocols.yaml")),
    ("ravdess", include_str!("../../configs/ravdess.yaml")),
    ("synth-av", include_str!("../../configs/synth-av.yaml")),
];

/// Name and text of each recipe.
const RECIPES: [(&str, &str); 22] = [
    ("ave/tcmax", include_str!("../../configs/recipes/ave/tcmax.yaml")),
    ("cremad/clean", include_str!("../../configs/recipes/cremad/clean.yaml")),
    ("cremad/fbank-1024x128", include_str!("../../configs/recipes/cremad/fbank-1024x128.yaml")),
    ("cremad/inforeg", include_str!("../../configs/recipes/cremad/inforeg.yaml")),
    ("cremad/njust-257x1250", include_str!("../../configs/recipes/cremad/njust-257x1250.yaml")),
    ("cremad/ogm-257x188", include_str!("../../configs/recipes/cremad/ogm-257x188.yaml")),
    ("cremad/pmr-257x1004", include_str!("../../configs/recipes/cremad/pmr-257x1004.yaml")),
    ("cremad/tcmax-129x862", include_str!("../../configs/recipes/cremad/tcmax-129x862.yaml")),
    ("food101/upmc", include_str!("../../configs/recipes/food101/upmc.yaml")),
    ("kinetics-sounds/folders-129x626", include_str!("../../configs/recipes/kinetics-sounds/folders-129x626.yaml")),
    ("kinetics-sounds/list-fbank", include_str!("../../configs/recipes/kinetics-sounds/list-fbank.yaml")),
    ("mosei/has0", include_str!("../../configs/recipes/mosei/has0.yaml")),
    ("mosei/non0", include_str!("../../configs/recipes/mosei/non0.yaml")),
    ("mosei/seven", include_str!("../../configs/recipes/mosei/seven.yaml")),
    ("mosi/has0", include_str!("../../configs/recipes/mosi/has0.yaml")),
    ("mosi/non0", include_str!("../../configs/recipes/mosi/non0.yaml")),
    ("mosi/seven", include_str!("../../configs/recipes/mosi/seven.yaml")),
    ("mvsa/agree", include_str!("../../configs/recipes/mvsa/agree.yaml")),
    ("mvsa/merge", include_str!("../../configs/recipes/mvsa/merge.yaml")),
    ("mvsa/text", include_str!("../../configs/recipes/mvsa/text.yaml")),
    ("ucf101/rgb-flow", include_str!("../../configs/recipes/ucf101/rgb-flow.yaml")),
    ("vggsound/tcmax-129x862", include_str!("../../configs/recipes/vggsound/tcmax-129x862.yaml")),
];

/// Folder that tables are looked for in by their names.
pub const FOLDER: &str = "configs";

/// Names of the tables that come with the program.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

/// Name and text of the recipes that come with the program.
pub(super) fn recipes() -> impl Iterator<Item = (&'static str, &'static str)> {
    RECIPES.iter().copied()
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
    fn every_recipe_of_the_folder_comes_with_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/recipes");
        let below =
            |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let files = below(Path::new(folder)).into_iter().flat_map(|set| below(&set));
        let mut found: Vec<String> =
            files.map(|file| file.strip_prefix(folder).unwrap().with_extension("").to_string_lossy().into()).collect();
        found.sort();
        assert_eq!(found, recipes().map(|(name, _)| name).collect::<Vec<_>>());
    }

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
