//! Whether pictures are brought to the values that the model of public weights reads.

use std::{fs, path::Path};

use aim_backbones::EncoderSpec;
use aim_data::{DatasetSpec, NewForm, Normalise, Standardise, WeightsFile};
use serde_json::Value;

/// What decoders can bring pictures to: the setting, its word, mean and deviation by colour.
const KNOWN: [(Normalise, &str, [f64; 3], [f64; 3]); 3] = [
    (Normalise::Unit, "unit", [0.; 3], [1.; 3]),
    (Normalise::Signed, "signed", [0.5; 3], [0.5; 3]),
    (Normalise::Imagenet, "imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
];

/// Mean and deviation by colour that a model's own description names.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    file: &'static str,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Statistics {
    /// Those that stand beside a file of weights, in Hugging Face's `preprocessor_config.json` or timm's `config.json`.
    pub(super) fn beside(weights: &Path) -> Option<Self> {
        let read = |file, section, [mean, deviation]: [&str; 2]| {
            let value: Value = serde_json::from_slice(&fs::read(weights.with_file_name(file)).ok()?).ok()?;
            let section = value.pointer(section).filter(|section| section["do_normalize"] != false)?;
            let numbers = |key| serde_json::from_value(section[key].clone()).ok();
            Some(Self { file, mean: numbers(mean)?, deviation: numbers(deviation)? })
        };
        read(WeightsFile::PREPROCESSOR, "", ["image_mean", "image_std"])
            .or_else(|| read(WeightsFile::CONFIG, "/pretrained_cfg", ["mean", "std"]))
    }

    /// The decoder's word for them.
    fn word(&self) -> Option<&'static str> {
        let near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        let known =
            KNOWN.iter().find(|(.., mean, deviation)| near(&self.mean, mean) && near(&self.deviation, deviation));
        known.map(|(_, word, ..)| *word)
    }
}

/// What most published weights of an encoder read, by the decoder's word: torchvision's ResNets, and Google's vision
/// transformers (`augreg` in timm's names).
fn usual(encoder: &EncoderSpec) -> Option<&'static str> {
    match encoder.info().name {
        "resnet18" => Some("imagenet"),
        "vit" => Some("signed"),
        _ => None,
    }
}

/// What a data set brings the pictures of a modality to; none where it decodes no pictures, or standardises them.
fn decoded(data: &DatasetSpec, modality: &str) -> Option<&'static str> {
    let Some(NewForm::Manifest { modalities, .. }) = data.new_form() else { return None };
    let decoding = modalities.get(modality).filter(|decoding| decoding.standardise == Standardise::None)?;
    let of_frames = || decoding.frames.as_ref().map(|frames| &frames.image);
    let of_video = || decoding.video.as_ref().map(|video| &video.image);
    let image = decoding.image.as_ref().or_else(of_frames).or_else(of_video)?;
    KNOWN.iter().find(|(setting, ..)| *setting == image.normalise).map(|(_, word, ..)| *word)
}

/// A line where the pictures of a modality are brought to other values than its encoder's public weights read, as their
/// description says, or else as is usual for the encoder.
pub(super) fn note(
    data: &DatasetSpec,
    modality: &str,
    encoder: &EncoderSpec,
    statistics: Option<&Statistics>,
) -> Option<String> {
    let (own, name) = (decoded(data, modality)?, encoder.name());
    let (reads, remedy) = match statistics {
        Some(told) if told.word() == Some(own) => return None,
        Some(told) => {
            let Statistics { file, mean, deviation } = told;
            let remedy = told.word().map(|word| format!("set `normalise: {word}` there"));
            (
                format!("the weights of `{name}` read pictures by mean {mean:?} and deviation {deviation:?} ({file})"),
                remedy.unwrap_or_else(|| "no decoder does so: expect less of these weights".into()),
            )
        }
        None => {
            let word = usual(encoder).filter(|word| *word != own)?;
            (
                format!("published weights of `{name}` mostly read pictures by `normalise: {word}`"),
                format!("set `normalise: {word}` there, unless these weights are others"),
            )
        }
    };
    Some(format!("{modality}: {reads}, but the data set decodes them by `normalise: {own}`; {remedy}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(encoder: &str, decoding: &Value, beside: &[(&str, Value)]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in beside {
            fs::write(folder.path().join(name), text.to_string()).unwrap();
        }
        let statistics = Statistics::beside(&folder.path().join("model.safetensors"));
        let data = json!({"name": "manifest", "file": "rows.csv", "modalities": {"eye": decoding}});
        let data = aim_data::builtin().read(&data, "data").unwrap();
        let encoder = aim_backbones::builtin().read(&json!({ "name": encoder }), "encoder").unwrap();
        note(&data, "eye", &encoder, statistics.as_ref())
    }

    fn image(normalise: &str) -> Value {
        json!({"image": {"normalise": normalise}})
    }

    #[test]
    fn without_a_description_the_usual_one_counts() {
        let line = "eye: published weights of `vit-tiny` mostly read pictures by `normalise: signed`, but the data set \
                    decodes them by `normalise: imagenet`; set `normalise: signed` there, unless these weights are others";
        assert_eq!(said("vit-tiny", &json!({"image": {}}), &[]).as_deref(), Some(line));
        assert_eq!(said("vit-tiny", &image("signed"), &[]), None);
        let resnet = said("resnet50", &json!({"frames": {"image": {"normalise": "unit"}}}), &[]).unwrap();
        assert!(resnet.contains("`resnet50` mostly read pictures by `normalise: imagenet`"), "{resnet}");
        assert!(said("resnet50", &json!({"video": {"image": {"normalise": "unit"}}}), &[]).is_some());
        for silent in [json!({"frames": {}}), json!({"image": {"normalise": "unit"}, "standardise": "channel"})] {
            assert_eq!(said("resnet18", &silent, &[]), None, "{silent}");
        }
        assert_eq!(said("resnet18", &json!({"text": {"length": 4}}), &[]), None);
        assert_eq!(said("statistics", &image("unit"), &[]), None);
    }

    #[test]
    fn a_description_beside_the_weights_counts_more() {
        let face = |mean: [f64; 3], std: [f64; 3]| {
            [("preprocessor_config.json", json!({"do_normalize": true, "image_mean": mean, "image_std": std}))]
        };
        let deit = face([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        assert_eq!(said("vit-tiny", &image("imagenet"), &deit), None);
        let line = "eye: the weights of `vit-tiny` read pictures by mean [0.485, 0.456, 0.406] and deviation \
                    [0.229, 0.224, 0.225] (preprocessor_config.json), but the data set decodes them by `normalise: \
                    signed`; set `normalise: imagenet` there";
        assert_eq!(said("vit-tiny", &image("signed"), &deit).as_deref(), Some(line));
        let half = [0.5; 3];
        let timm = [("config.json", json!({"pretrained_cfg": {"mean": half, "std": half}}))];
        assert!(said("resnet18", &image("imagenet"), &timm).unwrap().contains("(config.json)"));
        let clip = said("vit-base", &image("imagenet"), &face([0.481, 0.458, 0.408], [0.269, 0.261, 0.276])).unwrap();
        assert!(clip.ends_with("`normalise: imagenet`; no decoder does so: expect less of these weights"), "{clip}");
        // What says nothing of it leaves what is usual.
        let silent = [("preprocessor_config.json", json!([1])), ("config.json", json!({"hidden_size": 8}))];
        assert!(said("vit-tiny", &image("imagenet"), &silent).unwrap().contains("mostly"));
    }
}
