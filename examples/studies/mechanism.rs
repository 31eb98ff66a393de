//! What AIM does inside a network in one run: which units are in the auxiliary blocks over time, how their saliency
//! differs from that of the others, what gradient reaches each encoder with and without it, and what prototypes know at
//! each depth. Writes `mechanism.md` and a picture beside it.
//!
//! ```text
//! cargo run --release -p aim-examples --bin mechanism [EPOCHS [FOLDER]]
//! ```

use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, fs, ops::ControlFlow::Continue, path::Path, rc::Rc};

use aim_learn::{
    backbones::{CnnConfig, encoder},
    balance::aim::AimSettings,
    core::{Error, Net, Optim, Params, Part, State, Stateful},
    fusion::{ConcatConfig, ModelConfig, fusion},
    optim::{Cosine, schedule},
    prelude::*,
    train::{metrics, standard},
};

/// A name, with the modality and the depth of the encoder's weight that has it.
type Site = (usize, usize, String);

/// What one epoch left behind.
struct Epoch {
    accuracy: f64,
    /// Mean norm of the gradient that reached each encoder.
    norms: Vec<f64>,
    /// Mean probability that prototypes give the true class, by modality and depth.
    known: Vec<Vec<f64>>,
    /// Latest saliency of the units of each modulated weight, and which of them are in the auxiliary block.
    units: BTreeMap<Site, Vec<(f64, bool)>>,
}

/// An optimizer that notes the norm of what reaches each encoder.
struct Gauge {
    inner: Box<dyn Optim>,
    norms: Rc<RefCell<Vec<Vec<f64>>>>,
}

impl Stateful for Gauge {
    fn state(&self) -> Result<State> {
        self.inner.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.inner.load(state)
    }
}

impl Optim for Gauge {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        for (m, norms) in self.norms.borrow_mut().iter_mut().enumerate() {
            norms.push(grads.clone().filter(params, |role| role.encoder() == Some(m)).norm()?);
        }
        self.inner.apply(params, grads)
    }
    fn lr(&self) -> f64 {
        self.inner.lr()
    }
    fn set_lr(&mut self, lr: f64) {
        self.inner.set_lr(lr);
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let epochs = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(15);
    let folder = arguments.next().unwrap_or_else(|| "docs/results".into());
    // The table `synth-av`.
    let data = load(&dataset(Synth { sound_noise: 0.6, image_clutter: 3., ..Synth::default() }), None)?;
    let joint = train(&data, AimSettings { beta: 0., ..AimSettings::default() }, epochs)?;
    let aim = train(&data, AimSettings::default(), epochs)?;
    let (picture, page) = (heat_map(&data.modalities, &aim), page(&data.modalities, &joint, &aim));
    for (name, text) in [("mechanism.svg", &picture), ("mechanism.md", &page)] {
        let path = Path::new(&folder).join(name);
        fs::write(&path, text).map_err(|error| Error::io(&path, error))?;
    }
    print!("{page}");
    Ok(())
}

/// Trains a network and tells each epoch.
fn train(data: &Dataset, method_settings: AimSettings, epochs: usize) -> Result<Vec<Epoch>> {
    let cnn = || encoder(CnnConfig { widths: vec![16, 32, 64], ..CnnConfig::default() });
    let encoders = data.modalities.iter().map(|name| (name.clone(), cnn()));
    let model = ModelConfig::new(encoders, fusion(ConcatConfig {}));
    let net = LateFusion::new(&model, &data.named_shapes(), data.classes(), 0, &Device::Cpu)?;
    let method = method(method_settings, net.spec())?;
    let norms = Rc::new(RefCell::new(vec![vec![]; data.modalities.len()]));
    let gauge = Gauge { inner: Adam { lr: 0.003, ..Adam::default() }.build(), norms: norms.clone() };
    let cosine = schedule(Cosine::default());
    let mut learner = Learner::new(Box::new(net), method, Box::new(gauge), 0, epochs).schedule(&cosine);
    let splits = Splits::new(data, 64, &Device::Cpu);
    let mut told = Vec::new();
    while !learner.is_done() {
        let mut known: Vec<Vec<Vec<f64>>> = vec![vec![]; data.modalities.len()];
        let mut shares = vec![vec![]; data.modalities.len()];
        learner.epoch(&splits, |_, report| {
            for (m, name) in data.modalities.iter().enumerate() {
                known[m].extend(report.values(&format!("s.{name}"))?);
                shares[m] = report.values(&format!("keep.{name}"))?.unwrap_or_default();
            }
            Ok(Continue(()))
        })?;
        let answers = metrics::evaluate(learner.net(), learner.method(), &*data.validation, &Device::Cpu)?;
        let depths = |steps: &Vec<Vec<f64>>| {
            let at = |d: usize| mean(&steps.iter().filter_map(|step| step.get(d).copied()).collect::<Vec<_>>());
            (0..steps.first().map_or(0, Vec::len)).map(at).collect()
        };
        told.push(Epoch {
            accuracy: answers.scores(&data.modalities, data.classes(), &standard().metrics)?.accuracy(),
            norms: norms.borrow_mut().iter_mut().map(|all| mean(&std::mem::take(all))).collect(),
            known: known.iter().map(depths).collect(),
            units: units(&learner.method().state()?, learner.net(), &shares)?,
        });
    }
    Ok(told)
}

/// The saliencies that the method's state holds, by what their weights are.
fn units(state: &State, net: &dyn Net, shares: &[Vec<f64>]) -> Result<BTreeMap<Site, Vec<(f64, bool)>>> {
    let mut all = BTreeMap::new();
    for key in state.0.keys() {
        let Some((_, name)) = key.split_once(".of.").filter(|(head, _)| head.contains("saliency.")) else { continue };
        let Some(param) = net.params().get(name) else { continue };
        if let Part::Encoder { modality, depth } = param.role.part {
            let share = shares[modality].get(depth).copied().unwrap_or_default();
            let (saliency, site) = (state.numbers(key)?, (modality, depth, name.to_owned()));
            let block = block(&saliency, share);
            all.insert(site, saliency.into_iter().zip(block).collect());
        }
    }
    Ok(all)
}

/// Which units are in the auxiliary block: the share of them that is least salient.
fn block(saliency: &[f64], share: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..saliency.len()).collect();
    order.sort_by(|a, b| saliency[*a].total_cmp(&saliency[*b]));
    let size = ((share * saliency.len() as f64).ceil() as usize).clamp(1, order.len());
    (0..saliency.len()).map(|unit| order[..size].contains(&unit)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Units against epochs: dark where a unit is in the auxiliary block.
fn heat_map(modalities: &[String], epochs: &[Epoch]) -> String {
    let (cell, mut body, mut left, mut height) = (5, String::new(), 10, 0);
    let sites: Vec<&Site> = epochs.last().map_or(vec![], |last| last.units.keys().collect());
    for site in sites {
        let (m, d, _) = site;
        let _ = write!(body, "<text x=\"{left}\" y=\"14\">{}, depth {}</text>", modalities[*m], d + 1);
        let mut units = 0;
        for (epoch, values) in epochs.iter().enumerate().filter_map(|(e, told)| Some((e, told.units.get(site)?))) {
            units = values.len();
            for unit in (0..units).filter(|unit| values[*unit].1) {
                let (x, y) = (left + epoch * 2 * cell, 20 + unit * cell);
                let _ = write!(body, "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{cell}\"/>", 2 * cell);
            }
        }
        let (width, tall) = (epochs.len() * 2 * cell, units * cell);
        let _ = write!(body, "<rect class=\"frame\" x=\"{left}\" y=\"20\" width=\"{width}\" height=\"{tall}\"/>");
        (left, height) = (left + width.max(110) + 16, height.max(tall + 30));
    }
    let style = "text{font:12px sans-serif;fill:#777}rect{fill:#0072b2}.frame{fill:none;stroke:#999}";
    let box_ = format!("viewBox=\"0 0 {left} {height}\" width=\"{left}\"");
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" {box_}><style>{style}</style>{body}</svg>\n")
}

/// The page.
fn page(modalities: &[String], joint: &[Epoch], aim: &[Epoch]) -> String {
    let mut text = String::from(INTRODUCTION);
    let _ = writeln!(text, "\n## Units\n\n{UNITS}\n");
    text += "| weight | units | in the block at a time | ever in it | stay from epoch to epoch | saliency inside / outside |\n";
    text += "|---|---:|---:|---:|---:|---:|\n";
    let sites: Vec<&Site> = aim.last().map_or(vec![], |last| last.units.keys().collect());
    for site in sites {
        let blocks: Vec<&Vec<(f64, bool)>> = aim.iter().filter_map(|epoch| epoch.units.get(site)).collect();
        let (units, size) = (blocks[0].len(), blocks[0].iter().filter(|(_, own)| *own).count());
        let ever = (0..units).filter(|unit| blocks.iter().any(|block| block[*unit].1)).count();
        let both = |pair: &[&Vec<(f64, bool)>]| pair[0].iter().zip(pair[1]).filter(|(a, b)| a.1 && b.1).count() as f64;
        let stay = mean(&blocks.windows(2).map(|pair| both(pair) / size as f64).collect::<Vec<_>>());
        let part = |inside: bool| {
            let of = blocks.iter().flat_map(|block| block.iter());
            mean(&of.filter(|(_, own)| *own == inside).map(|(value, _)| *value).collect::<Vec<_>>())
        };
        let (m, d, _) = site;
        let (name, ratio) = (format!("{}, depth {}", modalities[*m], d + 1), part(true) / part(false));
        let _ = writeln!(text, "| {name} | {units} | {size} | {ever} | {:.0} % | {ratio:.3} |", 100. * stay);
    }
    let _ =
        writeln!(text, "\n![Units in auxiliary blocks over epochs](mechanism.svg)\n\n## Gradients\n\n{GRADIENTS}\n");
    let columns: Vec<String> =
        modalities.iter().flat_map(|name| [format!("{name}, joint"), format!("{name}, AIM")]).collect();
    let _ = writeln!(text, "| epoch | {} | validation, joint | validation, AIM |", columns.join(" | "));
    let _ = writeln!(text, "|---:{}|---:|---:|", "|---:".repeat(columns.len()));
    for (epoch, (plain, own)) in joint.iter().zip(aim).enumerate() {
        let norms = plain.norms.iter().zip(&own.norms).map(|(a, b)| format!("{a:.2} | {b:.2}"));
        let norms = norms.collect::<Vec<_>>().join(" | ");
        let _ = writeln!(text, "| {} | {norms} | {:.3} | {:.3} |", epoch + 1, plain.accuracy, own.accuracy);
    }
    let _ = writeln!(text, "\n## Prototypes\n\n{PROTOTYPES}\n");
    let depths = aim.last().map_or(vec![], |last| last.known.iter().map(Vec::len).collect());
    let names = modalities.iter().zip(depths).flat_map(|(name, n)| (1..=n).map(move |d| format!("{name} {d}")));
    let names: Vec<String> = names.collect();
    let _ = writeln!(text, "| epoch | {} |\n|---:{}|", names.join(" | "), "|---:".repeat(names.len()));
    for (epoch, own) in aim.iter().enumerate().filter(|(_, own)| own.known.iter().any(|known| !known.is_empty())) {
        let known: Vec<String> = own.known.iter().flatten().map(|s| format!("{s:.2}")).collect();
        let _ = writeln!(text, "| {} | {} |", epoch + 1, known.join(" | "));
    }
    text
}

const INTRODUCTION: &str = "# What AIM does inside a network

One run of AIM (a reconstruction) with its defaults and one of joint training on the data of `synth-av`, seed 0, made by
`cargo run --release -p aim-examples --bin mechanism`. One run shows how something works, not whether it helps: for that see the
tables.
";
const UNITS: &str = "An auxiliary block holds the units of a weight that matter least to the modality's own prototypes, as of the last \
measurement in each epoch. In the picture a row is a unit and a column an epoch.";
const GRADIENTS: &str = "Mean norm, over the steps of an epoch, of the gradient of the whole loss that reaches each encoder. AIM's loss has \
further terms, so that its norms are to be compared between modalities first, and between methods second.";
const PROTOTYPES: &str =
    "Mean probability that the prototypes at each depth give the true class of the training samples (the measure `s`).";
