//! Public weights: how a checkpoint's tensors become an encoder's, and what became of each.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use aim_config::{between, settings, whole, words};
use aim_core::{Error, Params, Part, Result, Role};
use candle_core::{Tensor, Var};

use crate::EncoderSpec;

settings! {
    /// Public weights that an encoder starts from.
    pub struct Weights {
        /// File of safetensors or of PyTorch (`.pth`), below the folder of the data or in the repository.
        pub file: PathBuf = PathBuf::new() => words("a path").required(), "ours";
        /// Repository of a model on the Hugging Face Hub (feature `hub`), `OWNER/NAME`.
        pub hub: Option<String> = None => words("a repository").shown("none"), "ours";
        /// Branch, tag or commit there.
        pub revision: Option<String> = None => words("a revision").shown("the main branch"), "ours";
        /// Least share of the encoder's tensors that must be found in the file.
        pub share: f64 = 1. => between(0., 1.), "ours";
        /// CRC-32 of the file, noted when a run is planned; where it is given, no other file is taken.
        pub crc32: Option<u32> = None => whole(0, u32::MAX as u64).shown("the file's"), "ours";
    }
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// What became of a file's tensors; all names are the encoder's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Tensors that the encoder now has.
    pub loaded: Vec<String>,
    /// Tensors of the encoder that the file lacks; they keep their initial values.
    pub missing: Vec<String>,
    /// Tensors of another shape than the encoder's, with both.
    pub misshaped: Vec<String>,
    /// Tensors of the file that the encoder has not, such as a classifier's.
    pub unexpected: Vec<String>,
}

/// Names that a message lists.
const NAMED: usize = 5;

/// Some names and the number of the others.
fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    names[..names.len().min(NAMED)].join(", ") + &more
}

impl fmt::Display for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} tensors are in the file", self.loaded.len(), self.own())?;
        let lists = [("missing", &self.missing), ("of another shape", &self.misshaped), ("not used", &self.unexpected)];
        lists.iter().filter(|(_, names)| !names.is_empty()).try_for_each(|(what, n)| write!(f, "; {what}: {}", some(n)))
    }
}

impl Adopted {
    /// Number of the encoder's tensors.
    fn own(&self) -> usize {
        self.loaded.len() + self.missing.len() + self.misshaped.len()
    }

    /// The share of the encoder's tensors that it now has.
    pub fn share(&self) -> f64 {
        self.loaded.len() as f64 / self.own().max(1) as f64
    }
}

/// The encoder of one modality in a network.
#[derive(Clone, Copy, Debug)]
pub struct Starting<'a> {
    /// Its settings.
    pub encoder: &'a EncoderSpec,
    /// The modality's name and index.
    pub modality: (&'a str, usize),
    /// Shape of one sample.
    pub input: &'a [usize],
}

impl Starting<'_> {
    /// Sets the encoder's parameters and buffers from a checkpoint; additions such as low-rank ones stay as they are. A
    /// beginning that most of the checkpoint's names share (`module.`, `bert.`) does not count.
    ///
    /// The first convolution is adapted if it reads another number of channels than the checkpoint's: one channel gets
    /// the sum of the checkpoint's, as if a picture's channels were all that one; more get them in turn, scaled so that
    /// equal channels give what they gave. A table of positions for pictures is taken to be that of square ones.
    ///
    /// # Errors
    /// If a smaller share of the encoder's tensors than its settings say is in the checkpoint; nothing is changed then.
    pub fn adopt(&self, checkpoint: &Tensors, params: &Params) -> Result<Adopted> {
        let own = self.own(params);
        let mut best: Option<(usize, Tensors)> = None;
        for root in roots(checkpoint) {
            let tensors = self.encoder.translate(below(checkpoint, &root), self.input)?;
            let found = tensors.keys().filter(|name| own.contains_key(name.as_str())).count();
            if best.as_ref().is_none_or(|(most, _)| found > *most) {
                best = Some((found, tensors));
            }
        }
        let tensors = best.map(|(_, tensors)| tensors).unwrap_or_default();
        let (adopted, values) = sort(&own, tensors, self.encoder.first_conv())?;
        let wanted = self.encoder.weights().map_or(0., |weights| weights.share);
        if adopted.share() < wanted || adopted.loaded.is_empty() {
            let (name, _) = self.modality;
            let problem = format!("do not fit `{}`: {adopted}", self.encoder.name());
            let remedy = "choose the encoder and sizes of that file, or lower `share`";
            return Err(Error::invalid(format!("model.encoders.{name}.weights"), problem, remedy));
        }
        values.into_iter().try_for_each(|(var, value)| {
            Ok::<_, Error>(var.set(&value.to_dtype(var.dtype())?.to_device(var.device())?.contiguous()?)?)
        })?;
        Ok(adopted)
    }

    /// The encoder's own parameters and buffers, by their names within it.
    fn own<'p>(&self, params: &'p Params) -> BTreeMap<&'p str, &'p Var> {
        let (name, modality) = self.modality;
        let prefix = format!("encoders.{name}.");
        let of_encoder = |role: &Role| matches!(role.part, Part::Encoder { modality: m, .. } if m == modality);
        let parameters = params.iter().filter(|(_, p)| of_encoder(&p.role)).map(|(n, p)| (n, &p.var));
        let all = parameters.chain(params.buffers());
        all.filter_map(|(n, var)| Some((n.strip_prefix(&prefix)?, var))).collect()
    }
}

/// Beginnings that at least half of the names share; the empty one first.
fn roots(tensors: &Tensors) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in tensors.keys() {
        for (dot, _) in name.match_indices('.').take(2) {
            *counts.entry(&name[..=dot]).or_default() += 1;
        }
    }
    let shared = counts.into_iter().filter(|(_, count)| 2 * count >= tensors.len()).map(|(root, _)| root.to_owned());
    std::iter::once(String::new()).chain(shared).collect()
}

/// The tensors under a beginning, without it; those elsewhere keep their names.
fn below(tensors: &Tensors, root: &str) -> Tensors {
    let one = |(name, tensor): (&String, &Tensor)| (name.strip_prefix(root).unwrap_or(name).to_owned(), tensor.clone());
    tensors.iter().map(one).collect()
}

/// What becomes of each tensor, and the values to set; `first_conv` names the convolution that is adapted.
fn sort<'p>(
    own: &BTreeMap<&str, &'p Var>,
    mut tensors: Tensors,
    first_conv: Option<&str>,
) -> Result<(Adopted, Vec<(&'p Var, Tensor)>)> {
    let (mut adopted, mut values) = (Adopted::default(), vec![]);
    for (name, var) in own {
        let Some(tensor) = tensors.remove(*name) else {
            adopted.missing.push((*name).to_owned());
            continue;
        };
        match fitted(&tensor, first_conv == Some(*name), var.dims())? {
            Some(value) => {
                values.push((*var, value));
                adopted.loaded.push((*name).to_owned());
            }
            None => adopted.misshaped.push(format!("{name} {:?} instead of {:?}", tensor.dims(), var.dims())),
        }
    }
    adopted.unexpected = tensors.into_keys().collect();
    Ok((adopted, values))
}

/// A tensor in the wanted shape: as it is, or as the first convolution for other channels; none if it does not fit.
fn fitted(tensor: &Tensor, first: bool, want: &[usize]) -> Result<Option<Tensor>> {
    if tensor.dims() == want {
        return Ok(Some(tensor.clone()));
    }
    match (tensor.dims(), want) {
        (&[o, had, h, w], &[out, channels, height, width]) if first && [o, h, w] == [out, height, width] && had > 0 => {
            if channels == 1 {
                return Ok(Some(tensor.sum_keepdim(1)?));
            }
            let turn: Vec<u32> = (0..channels).map(|c| (c % had) as u32).collect();
            let index = Tensor::new(turn, tensor.device())?;
            Ok(Some((tensor.index_select(&index, 1)? * (had as f64 / channels as f64))?))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, IndexOp};

    use super::*;
    use crate::{Build, EncoderSettings, ResNetConfig, encoder};

    const INPUT: [usize; 3] = [3, 9, 9];

    fn network(channels: usize, share: f64) -> (EncoderSpec, Params, [usize; 3]) {
        let weights = Weights { file: "x".into(), share, ..Weights::default() };
        let config = ResNetConfig { base_width: 2, weights: Some(weights), ..ResNetConfig::default() };
        let (input, mut build) = ([channels, 9, 9], Build::new(channels as u64, &Device::Cpu));
        config.build(&mut build, "eye", 0, &input).unwrap();
        (encoder(config), build.finish(), input)
    }

    fn adopt(checkpoint: &Tensors, channels: usize, share: f64) -> (Result<Adopted, String>, Params) {
        let (encoder, params, input) = network(channels, share);
        let starting = Starting { encoder: &encoder, modality: ("eye", 0), input: &input };
        (starting.adopt(checkpoint, &params).map_err(|e| e.to_string()), params)
    }

    /// The tensors of a network of another seed, with names that begin in a way of their own.
    fn checkpoint(root: &str) -> Tensors {
        let (config, mut build) =
            (ResNetConfig { base_width: 2, ..ResNetConfig::default() }, Build::new(9, &Device::Cpu));
        config.build(&mut build, "eye", 0, &INPUT).unwrap();
        let named = |(name, tensor): (String, Tensor)| (format!("{root}{}", &name["encoders.eye.".len()..]), tensor);
        build.finish().tensors().into_iter().map(named).collect()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_tensor_is_found_whatever_its_name_begins_with() {
        for root in ["", "module.", "net.encoder."] {
            let mut tensors = checkpoint(root);
            tensors.insert("fc.weight".into(), Tensor::new(&[1f32], &Device::Cpu).unwrap());
            let (adopted, params) = adopt(&tensors, 3, 1.);
            let adopted = adopted.unwrap();
            assert_eq!((adopted.share(), adopted.loaded.len()), (1., 100));
            assert_eq!(adopted.unexpected, ["fc.weight"]);
            assert_eq!(adopted.to_string(), "100 of 100 tensors are in the file; not used: fc.weight");
            for (name, tensor) in params.tensors() {
                assert_eq!(values(&tensor), values(&tensors[&format!("{root}{}", &name["encoders.eye.".len()..])]));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named_and_changes_nothing() {
        let mut tensors = checkpoint("");
        tensors.remove("bn1.running_mean");
        tensors.insert("bn1.weight".into(), Tensor::new(&[1f32], &Device::Cpu).unwrap());
        let (refused, params) = adopt(&tensors, 3, 1.);
        let refused = refused.unwrap_err();
        assert!(
            refused.starts_with("model.encoders.eye.weights: do not fit `resnet18`: 98 of 100 tensors"),
            "{refused}"
        );
        let said = "missing: bn1.running_mean; of another shape: bn1.weight [1] instead of [2]";
        assert!(refused.contains(said) && refused.contains("lower `share`"), "{refused}");
        let (_, fresh, _) = network(3, 1.);
        assert!(params.tensors().iter().all(|(name, t)| values(t) == values(&fresh.tensors()[name])));
        let (adopted, _) = adopt(&tensors, 3, 0.98);
        assert_eq!(adopted.unwrap().loaded.len(), 98);
        assert!(adopt(&Tensors::new(), 3, 0.).0.is_err(), "nothing at all is refused whatever the share");
    }

    #[test]
    fn the_first_convolution_is_adapted_to_the_channels() {
        let tensors = checkpoint("");
        let old = &tensors["conv1.weight"];
        let conv = |channels| {
            let (adopted, params) = adopt(&tensors, channels, 1.);
            assert_eq!(adopted.unwrap().share(), 1.);
            params.get("encoders.eye.conv1.weight").unwrap().var.as_tensor().clone()
        };
        let close = |a: Vec<f32>, b: Vec<f32>| assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        close(values(&conv(1)), values(&old.sum(1).unwrap()));
        let five = conv(5);
        for c in 0..5 {
            close(values(&five.i((.., c)).unwrap()), values(&(old.i((.., c % 3)).unwrap() * 0.6).unwrap()));
        }
        // Another one in the first block reads what the one before it makes.
        let mut tensors = checkpoint("");
        tensors.insert("layer1.0.conv1.weight".into(), Tensor::ones((2, 4, 3, 3), DType::F32, &Device::Cpu).unwrap());
        let misshaped = adopt(&tensors, 3, 0.9).0.unwrap().misshaped;
        assert_eq!(misshaped, ["layer1.0.conv1.weight [2, 4, 3, 3] instead of [2, 2, 3, 3]"]);
    }
}
