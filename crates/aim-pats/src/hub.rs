//! Folders of models: on this machine, or on the Hugging Face Hub (feature `hub`).

use std::path::PathBuf;

use crate::{Error, Result};

/// How a model on the Hub is named.
const SCHEME: &str = "hf://";

/// A model on the Hub.
struct Name<'a> {
    text: &'a str,
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only fetching reads the parts"))]
    owner: &'a str,
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only fetching reads the parts"))]
    name: &'a str,
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only fetching reads the parts"))]
    revision: Option<&'a str>,
}

/// The folder of a model: a path, or `hf://OWNER/NAME[@REVISION]`, which is fetched unless it is there already.
///
/// # Errors
/// If the name is none, the Hub has no such model, or this was built without the feature `hub`.
pub fn folder(text: &str) -> Result<PathBuf> {
    match text.strip_prefix(SCHEME) {
        None => Ok(text.into()),
        Some(rest) => parse(text, rest)?.fetch(),
    }
}

fn parse<'a>(text: &'a str, rest: &'a str) -> Result<Name<'a>> {
    let (path, revision) = rest.split_once('@').map_or((rest, None), |(path, revision)| (path, Some(revision)));
    match path.split('/').collect::<Vec<_>>()[..] {
        [owner, name] if !owner.is_empty() && !name.is_empty() && revision != Some("") => {
            Ok(Name { text, owner, name, revision })
        }
        _ => Err(Error::invalid(text, "names no model", "write hf://OWNER/NAME or hf://OWNER/NAME@REVISION")),
    }
}

impl Name<'_> {
    #[cfg(not(feature = "hub"))]
    fn fetch(&self) -> Result<PathBuf> {
        let problem = "is on the Hub, and this program was built without the feature `hub`";
        Err(Error::invalid(self.text, problem, "build with `--features hub`, or fetch the folder and name it"))
    }

    #[cfg(feature = "hub")]
    fn fetch(&self) -> Result<PathBuf> {
        let remedy = "check the name, the revision and the network, and HF_TOKEN if the model is not public";
        let fail = |e: hf_hub::HFError| Error::invalid(self.text, e, remedy);
        let client = hf_hub::HFClientSync::new().map_err(fail)?;
        let patterns = ["*.json", "*.jinja", "*.safetensors"].map(str::to_owned).to_vec();
        let model = client.model(self.owner, self.name);
        let snapshot = model.snapshot_download().allow_patterns(patterns);
        snapshot.maybe_revision(self.revision).send().map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_and_names_have_their_form() {
        assert_eq!(folder("models/a@b").unwrap(), PathBuf::from("models/a@b"));
        let parts = |text: &str| {
            let name = parse(text, &text[SCHEME.len()..]).map_err(|e| e.to_string())?;
            Ok::<_, String>([name.owner, name.name, name.revision.unwrap_or("-")].join(" "))
        };
        assert_eq!(parts("hf://me/model"), Ok("me model -".into()));
        assert_eq!(parts("hf://me/model@v1"), Ok("me model v1".into()));
        for bad in ["hf://", "hf://me", "hf://me/", "hf:///x", "hf://me/model/file", "hf://me/model@"] {
            assert!(parts(bad).unwrap_err().contains("names no model"), "{bad}");
        }
    }

    #[cfg(not(feature = "hub"))]
    #[test]
    fn without_the_feature_the_error_names_it() {
        let error = folder("hf://me/model").unwrap_err().to_string();
        assert!(error.contains("build with `--features hub`"), "{error}");
    }
}
