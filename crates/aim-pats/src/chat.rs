//! Text to tokens and back: a tokenizer, and the template by which a conversation becomes one text.

use std::{
    fs,
    io::ErrorKind::NotFound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use minijinja::{Environment, ErrorKind, context, syntax::SyntaxConfig};
use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::{Error, Result, model::json};

/// What both models are told first.
pub(crate) const SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

/// One message of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub role: &'static str,
    pub content: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    chat_template: Option<Value>,
    bos_token: Option<Value>,
    eos_token: Option<Value>,
}

/// The tokenizer of a model's folder with its template.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    folder: PathBuf,
    tokenizer: Tokenizer,
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

const TEMPLATE: &str = "chat";

impl Chat {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and, where there is one, `chat_template.jinja`.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let fault =
            |e: tokenizers::Error| Error::invalid(path.display(), e, "give the folder of a model with its tokenizer");
        let mut tokenizer = caught(|| Tokenizer::from_file(&path)).map_err(fault)?;
        // Texts are taken as they are, whatever the file was used for.
        tokenizer.with_padding(None).with_truncation(None).map_err(fault)?;
        let config: TokenizerConfig = json(&folder.join("tokenizer_config.json"))?;
        let own = template(&folder.join("chat_template.jinja"))?;
        let template = own.or_else(|| named(config.chat_template.as_ref()?)).ok_or_else(|| {
            let place = folder.join("tokenizer_config.json");
            Error::invalid(
                place.display(),
                "there is no chat template",
                "choose a model that was trained on instructions",
            )
        })?;
        let fault = |e: minijinja::Error| Error::invalid(folder.display(), e, "mend its chat template");
        let mut environment = environment().map_err(fault)?;
        environment.add_template_owned(TEMPLATE, template).map_err(fault)?;
        let (bos, eos) = (token(config.bos_token.as_ref()), token(config.eos_token.as_ref()));
        Ok(Self { folder: folder.to_owned(), tokenizer, environment, bos, eos })
    }

    /// The conversation as one text; with `generate` up to where an answer begins.
    pub fn render(&self, messages: &[Message<'_>], generate: bool) -> Result<String> {
        let message = |message: &Message<'_>| context! { role => message.role, content => message.content };
        let messages: Vec<_> = messages.iter().map(message).collect();
        let values = context! {
            messages,
            add_generation_prompt => generate,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        let fault = |e: minijinja::Error| Error::invalid(self.folder.display(), e, "mend its chat template");
        self.environment.get_template(TEMPLATE).and_then(|template| template.render(values)).map_err(fault)
    }

    /// Tokens of a text that names its special tokens itself.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = caught(|| self.tokenizer.encode_fast(text, false)).map_err(|e| self.fault(e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of tokens, special ones left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        caught(|| self.tokenizer.decode(tokens, true)).map_err(|e| self.fault(e))
    }

    /// Id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The token that ends a text, if the tokenizer names one.
    pub fn end(&self) -> Option<u32> {
        self.id(&self.eos)
    }

    fn fault(&self, error: tokenizers::Error) -> Error {
        Error::invalid(
            self.folder.join("tokenizer.json").display(),
            error,
            "use a tokenizer that knows every character",
        )
    }
}

/// What the tokenizer's crate makes of a file or a text; where it gives up by a panic, an error.
fn caught<T>(work: impl FnOnce() -> Result<T, tokenizers::Error>) -> Result<T, tokenizers::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the tokenizer gave up".into()))
}

/// The text of a template's file, if there is one.
fn template(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(Error::invalid(path.display(), error, "mend the file, or take it away")),
    }
}

/// Templates as `transformers` renders them.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    Ok(environment)
}

/// A template that stands alone, or the one named `default`.
fn named(value: &Value) -> Option<String> {
    let default = |entry: &&Value| entry["name"] == "default";
    match value {
        Value::Array(entries) => entries.iter().find(default)?["template"].as_str().map(str::to_owned),
        value => value.as_str().map(str::to_owned),
    }
}

/// Text of a special token, which is a string or has one.
fn token(value: Option<&Value>) -> String {
    let text = value.and_then(|value| value.as_str().or_else(|| value["content"].as_str()));
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A folder with the tokenizer of a tiny model, of which some entries are others.
    fn folder(entries: &[(&str, Value)]) -> tempfile::TempDir {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qwen2");
        let folder = tempfile::tempdir().unwrap();
        let mut tokenizer: Value = json(&golden.join("tokenizer.json")).unwrap();
        for (key, value) in entries {
            tokenizer[key] = value.clone();
        }
        fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        fs::write(folder.path().join("tokenizer_config.json"), r#"{"chat_template": "{{ bos_token }}"}"#).unwrap();
        folder
    }

    #[test]
    fn texts_are_neither_cut_nor_padded() {
        let plain = Chat::load(folder(&[]).path()).unwrap();
        let truncation = json!({"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
        let padding = json!({
            "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "<|im_start|>",
        });
        let other = Chat::load(folder(&[("truncation", truncation), ("padding", padding)]).path()).unwrap();
        let tokens = plain.encode("Tom buys 3 apples.").unwrap();
        assert!((4..32).contains(&tokens.len()), "{tokens:?}");
        assert_eq!(other.encode("Tom buys 3 apples.").unwrap(), tokens);
    }

    #[test]
    fn what_makes_the_tokenizer_panic_is_an_error() {
        // It strips more characters than a token has.
        let decoder = json!({"type": "Strip", "content": "a", "start": 0, "stop": 2});
        let chat = Chat::load(folder(&[("decoder", decoder)]).path()).unwrap();
        let error = chat.decode(&[chat.id("a").unwrap()]).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: the tokenizer gave up"), "{error}");
        // A decoder that is not JSON.
        let folder = folder(&[]);
        fs::write(folder.path().join("tokenizer.json"), r#"{"version": "1.0", "decoder": x}"#).unwrap();
        let error = Chat::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: the tokenizer gave up"), "{error}");
    }

    #[test]
    fn only_an_absent_template_has_a_stand_in() {
        let folder = folder(&[]);
        assert_eq!(Chat::load(folder.path()).unwrap().render(&[], true).unwrap(), "");
        fs::write(folder.path().join("chat_template.jinja"), b"\xff").unwrap();
        let error = Chat::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("chat_template.jinja: "), "{error}");
    }
}
