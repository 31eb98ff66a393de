//! Files on the Hugging Face Hub: of data sets, named `hf://datasets/OWNER/NAME/PATH` or, for one revision,
//! `hf://datasets/OWNER/NAME@REVISION/PATH`, and of models, named by their parts.
//!
//! A file that is in the Hub's cache on this machine (`HF_HOME`) is used as it is, others are fetched into it. Fetching
//! needs the feature `hub`.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};

/// What helps where the Hub does not answer as it should.
#[cfg(feature = "hub")]
pub(crate) const REMEDY: &str =
    "check the name, the revision and the network, and HF_TOKEN if the repository is not public";

/// What all names of such files begin with.
const SCHEME: &str = "hf://";

/// What a repository on the Hub holds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only fetching reads the kind"))]
enum Kind {
    DataSet,
    Model,
}

/// A file of a data set or a model on the Hub.
#[derive(Debug, PartialEq)]
#[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only fetching reads the parts"))]
struct HubFile<'a> {
    kind: Kind,
    /// As messages name it.
    text: Cow<'a, str>,
    owner: &'a str,
    name: &'a str,
    revision: Option<&'a str>,
    path: &'a str,
}

/// Checks a setting that may name a file on the Hub, without fetching anything.
pub(crate) fn check(key: &str, path: &Path) -> Result<()> {
    let checked = match HubFile::parse(path) {
        Ok(Some(file)) if cfg!(not(feature = "hub")) => Err(without_feature(&file.text)),
        other => other.map(drop),
    };
    checked.map_err(|error| match error {
        Error::Invalid { place, problem, remedy } => {
            Error::invalid(format!("data.{key}"), format!("{place} {problem}"), remedy)
        }
        other => other,
    })
}

/// Checks what names a file of a model, without fetching anything.
pub(crate) fn check_model(repository: &str, revision: Option<&str>, file: &Path) -> Result<()> {
    let file = HubFile::of_model(repository, revision, file)?;
    if cfg!(feature = "hub") { Ok(()) } else { Err(without_feature(&file.text)) }
}

/// Where a file of a model is on this machine, after fetching it if need be, and before it those of the files `beside`
/// it that the repository has.
pub(crate) fn model(repository: &str, revision: Option<&str>, file: &Path, beside: &[&str]) -> Result<PathBuf> {
    HubFile::of_model(repository, revision, file)?.fetch(beside)
}

/// Where a file of a data set on the Hub is on this machine, after fetching it if need be; none if the path is of this
/// machine anyway.
pub(crate) fn local(path: &Path) -> Result<Option<PathBuf>> {
    HubFile::parse(path)?.map(|file| file.fetch(&[])).transpose()
}

/// A client by the environment: the Hub's address, cache and token.
#[cfg(feature = "hub")]
pub(crate) fn client() -> Result<hf_hub::HFClientSync> {
    hf_hub::HFClientSync::new().map_err(|e| Error::invalid("the Hugging Face Hub", e.to_string(), REMEDY))
}

/// Refuses what is on the Hub in a program that does not reach it.
pub(crate) fn without_feature(name: &str) -> Error {
    let problem = "is on the Hub, and this program was built without the feature `hub`";
    Error::invalid(name, problem, "build with `--features hub`, or fetch the files and name them on this machine")
}

impl<'a> HubFile<'a> {
    fn parse(path: &'a Path) -> Result<Option<Self>> {
        let Some(text) = path.to_str().filter(|text| text.starts_with(SCHEME)) else { return Ok(None) };
        let remedy = "write hf://datasets/OWNER/NAME/PATH, with @REVISION behind NAME if need be";
        Self::parts(text).map(Some).ok_or_else(|| Error::invalid(text, "names no file of a data set", remedy))
    }

    fn parts(text: &'a str) -> Option<Self> {
        let (owner, rest) = text.strip_prefix(SCHEME)?.strip_prefix("datasets/")?.split_once('/')?;
        let (name, path) = rest.split_once('/')?;
        let (name, revision) = name.split_once('@').map_or((name, None), |(name, revision)| (name, Some(revision)));
        let mut parts = [owner, name, revision.unwrap_or("main")].into_iter().chain(path.split('/'));
        let whole = !parts.any(|part| ["", ".", ".."].contains(&part));
        whole.then_some(Self { kind: Kind::DataSet, text: text.into(), owner, name, revision, path })
    }

    fn of_model(repository: &'a str, revision: Option<&'a str>, file: &'a Path) -> Result<Self> {
        let text = format!("{} of {repository}", file.display());
        let parts = || {
            let ((owner, name), path) = (repository.split_once('/')?, file.to_str()?);
            let mut parts = [owner, name, revision.unwrap_or("main")].into_iter().chain(path.split('/'));
            let whole = !name.contains('/') && !parts.any(|part| ["", ".", ".."].contains(&part));
            whole.then_some((owner, name, path))
        };
        let remedy = "write the repository as OWNER/NAME, and the file as its path there";
        let (owner, name, path) = parts().ok_or_else(|| Error::invalid(&text, "names no file of a model", remedy))?;
        Ok(Self { kind: Kind::Model, text: text.into(), owner, name, revision, path })
    }

    #[cfg(not(feature = "hub"))]
    fn fetch(&self, _beside: &[&str]) -> Result<PathBuf> {
        Err(without_feature(&self.text))
    }

    #[cfg(feature = "hub")]
    fn fetch(&self, beside: &[&str]) -> Result<PathBuf> {
        self.fetch_by(&client()?, beside)
    }

    #[cfg(feature = "hub")]
    fn fetch_by(&self, client: &hf_hub::HFClientSync, beside: &[&str]) -> Result<PathBuf> {
        use hf_hub::HFError;

        let fail = |problem: String| Error::invalid(&*self.text, problem, REMEDY);
        match self.get(client, self.path, true) {
            Err(HFError::LocalEntryNotFound { .. }) => {}
            cached => return cached.map_err(|e| fail(e.to_string())),
        }
        // Before the file itself: where that is in the cache, nobody asks for them again.
        for name in beside {
            let path = self.path.rsplit_once('/').map_or((*name).into(), |(folder, _)| format!("{folder}/{name}"));
            match self.get(client, &path, false) {
                Ok(_) | Err(HFError::EntryNotFound { .. }) => {}
                Err(e) => return Err(fail(format!("{name} beside it cannot be fetched: {e}"))),
            }
        }
        self.get(client, self.path, false).map_err(|e| fail(e.to_string()))
    }

    /// A file of the repository, from the cache alone or from the Hub.
    #[cfg(feature = "hub")]
    fn get(&self, client: &hf_hub::HFClientSync, path: &str, cached: bool) -> Result<PathBuf, hf_hub::HFError> {
        // The two kinds of repositories have types of their own.
        macro_rules! get {
            ($repository:expr) => {{
                let repository = $repository;
                let file = repository.download_file().filename(path).maybe_revision(self.revision);
                file.local_files_only(cached).send()
            }};
        }
        match self.kind {
            Kind::DataSet => get!(client.dataset(self.owner, self.name)),
            Kind::Model => get!(client.model(self.owner, self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<HubFile<'_>>, String> {
        HubFile::parse(Path::new(text)).map_err(|e| e.to_string())
    }

    #[test]
    fn other_paths_are_files_on_this_machine() {
        for text in ["train.safetensors", "/data/hf/x", "hf/x"] {
            assert_eq!(parse(text), Ok(None));
        }
    }

    #[test]
    fn incomplete_names_are_refused() {
        for rest in ["", "me/set/x", "datasets/me/set", "datasets/me//x", "datasets/me/set@/x", "datasets/me/set/../x"]
        {
            let error = parse(&format!("hf://{rest}")).unwrap_err();
            assert!(error.starts_with(&format!("hf://{rest}: names no file")), "{error}");
            assert!(error.contains("write hf://datasets/OWNER/NAME/PATH"), "{error}");
        }
    }

    #[test]
    fn names_and_revisions() {
        let parts =
            |text: &str| parse(text).unwrap().map(|f| [f.owner, f.name, f.revision.unwrap_or("-"), f.path].join(" "));
        assert_eq!(parts("hf://datasets/me/set/a/x.safetensors").unwrap(), "me set - a/x.safetensors");
        assert_eq!(parts("hf://datasets/me/set@v1/x.safetensors").unwrap(), "me set v1 x.safetensors");
    }

    #[test]
    fn files_of_models_are_named_by_their_parts() {
        let parts = |repository, file| HubFile::of_model(repository, Some("v1"), Path::new(file));
        let file = parts("me/net", "onnx/x.safetensors").unwrap();
        assert_eq!((file.owner, file.name, file.revision, file.path), ("me", "net", Some("v1"), "onnx/x.safetensors"));
        for (repository, file) in [("net", "x"), ("me/", "x"), ("me/net/x", "x"), ("me/net", "../x"), ("me/net", "")] {
            let error = parts(repository, file).unwrap_err().to_string();
            assert!(error.contains("names no file of a model; write the repository as OWNER/NAME"), "{error}");
        }
    }

    #[cfg(not(feature = "hub"))]
    #[test]
    fn without_the_feature_the_error_names_it() {
        let path = Path::new("hf://datasets/me/set/a/train.safetensors");
        let checked = check("train", path).unwrap_err().to_string();
        assert!(checked.starts_with("data.train: hf://datasets/me/set/"), "{checked}");
        let model = check_model("me/net", None, Path::new("x.safetensors")).unwrap_err().to_string();
        for error in [checked, local(path).unwrap_err().to_string(), model] {
            assert!(error.contains("built without the feature `hub`; build with `--features hub`"), "{error}");
        }
    }

    #[cfg(feature = "hub")]
    #[test]
    fn a_file_in_the_cache_needs_no_network() {
        let folder = tempfile::tempdir().unwrap();
        let client = || {
            // Nobody listens there, so that whatever is not in the cache fails at once.
            let client = hf_hub::HFClient::builder().cache_dir(folder.path()).endpoint("http://127.0.0.1:9");
            hf_hub::HFClientSync::from_inner(client.build().unwrap()).unwrap()
        };
        let set = folder.path().join("datasets--me--set");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let file = set.join("snapshots").join(commit).join("a/x.safetensors");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::create_dir_all(set.join("refs")).unwrap();
        std::fs::write(&file, b"x").unwrap();
        std::fs::write(set.join("refs/main"), commit).unwrap();
        for name in
            ["hf://datasets/me/set/a/x.safetensors".into(), format!("hf://datasets/me/set@{commit}/a/x.safetensors")]
        {
            assert_eq!(parse(&name).unwrap().unwrap().fetch_by(&client(), &[]).unwrap(), file);
        }
        let net = folder.path().join("models--me--net");
        let weights = net.join("snapshots").join(commit).join("x.safetensors");
        std::fs::create_dir_all(weights.parent().unwrap()).unwrap();
        std::fs::create_dir_all(net.join("refs")).unwrap();
        std::fs::write(&weights, b"x").unwrap();
        std::fs::write(net.join("refs/main"), commit).unwrap();
        let model = HubFile::of_model("me/net", None, Path::new("x.safetensors")).unwrap();
        assert_eq!(model.fetch_by(&client(), &[]).unwrap(), weights);
        let missing = parse("hf://datasets/me/set/b.safetensors").unwrap().unwrap().fetch_by(&client(), &[]);
        let error = missing.unwrap_err().to_string();
        assert!(error.contains("hf://datasets/me/set/b.safetensors") && error.contains("HF_TOKEN"), "{error}");
    }
}
