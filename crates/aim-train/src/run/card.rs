//! The card of an exported network: what it is, in a few lines for people.

use std::fmt::Write;

use aim_backbones::Weights;

use super::{Outcome, trained::Parts};

/// The card's text.
pub(super) fn text(parts: &Parts, outcome: &Outcome) -> String {
    let Parts { identity, preprocessing, weights, epoch, .. } = parts;
    let config = &identity.config;
    let mut text = format!("# {}\n\n", outcome.name);
    let mut line = |name: &str, value: &str| text += &format!("* **{name}**: {value}\n");
    line("Data", &format!("`{}`, set `{}`, checksum {:08x}", config.data.name(), outcome.data, identity.data_crc32));
    config.recipe.iter().for_each(|recipe| line("Recipe", &format!("`{recipe}`")));
    for (name, encoder) in &config.model.encoders {
        let from = |w: &Weights| {
            let of = w.hub.as_ref().map_or(String::new(), |hub| format!(" of {hub}"));
            line("Starts from", &format!("{name}: `{}`{of}, checksum {:08x}", w.file.display(), w.crc32.unwrap_or(0)));
        };
        encoder.weights().map(from).unwrap_or_default();
    }
    line("Method", &format!("`{}`{}", outcome.method, provenance(parts)));
    line("Protocol", config.protocol.warning().unwrap_or("clean: validation chooses, the test split is scored once"));
    line("Accuracy", &accuracy(outcome));
    line("Run", &format!("seed {}, weights of epoch {epoch} (from 0), by {}", outcome.seed, outcome.program));
    let shape = |m: &aim_data::Modality| format!("{} {:?}", m.name, m.shape);
    line("Reads", &preprocessing.modalities.iter().map(shape).collect::<Vec<_>>().join(", "));
    line("Classes", &preprocessing.class_names.join(", "));
    text += LAYOUT;
    for (name, tensor) in weights {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| `{name}` | {:?} |", tensor.dims());
    }
    text
}

/// Which of its methods are not as their sources have them.
fn provenance(parts: &Parts) -> String {
    let method = &parts.identity.config.method;
    let said = method.provenance().into_iter().filter_map(|(title, what)| Some((title, what.warning()?)));
    let mut all: String = said.map(|(title, warning)| format!("; {title} is {warning}")).collect();
    if method.compat() {
        all += "; with a fault of released code (compat)";
    }
    all
}

fn accuracy(outcome: &Outcome) -> String {
    let (test, validation) = (outcome.test.accuracy(), outcome.validation.accuracy());
    let majority = outcome.majority.as_ref();
    let always = majority.map_or(String::new(), |m| format!(" (always `{}`: {:.4})", m.class, m.share));
    format!("{test:.4} on the test split{always}, {validation:.4} on the validation split")
}

const LAYOUT: &str = "
`predict --run FOLDER FILE --out predictions.csv` answers for new files with it.

## Weights

`weights.safetensors` has the tensors of the network as PyTorch lays them out: linear maps `[out, in]`, convolutions
`[out, in, k]` or `[out, in, k, k]`, norms with `weight`, `bias`, `running_mean` and `running_var` (eps 1e-5). Names are
`encoders.<modality>.blocks.<block>. ...` for encoders, block by block, and `head` (or `head.<modality>`) for the linear
head over the features, which stand side by side in the order of the modalities above. Settings of the layers are in
`config.yaml`, section `model`; what inputs were brought to is in `preprocessing.json` (`moments`: mean and standard
deviation of each group of `width` entries; `words`: those of ids 2 and up, 0 is padding and 1 unknown). If there is a
`method.safetensors`, the method has a state beside these weights that its answers may rest on (such as their average).

| name | shape |
|---|---|
";
