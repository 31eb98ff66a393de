//! What the tests of every method must know of each: settings under which it acts at once, and its neutral setting.

/// A method's neutral setting.
pub enum Neutral {
    /// With these settings it trains the same bits as that method.
    Equals(&'static str, &'static str),
    /// It has none, for this reason.
    None(&'static str),
}
use Neutral::{Equals, None};

/// What the tests know of a method.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Settings under which it acts within three epochs; `FIRST` and so on stand for modalities.
    pub active: &'static str,
    /// Its neutral setting.
    pub neutral: Neutral,
}

const fn case(name: &'static str, active: &'static str, neutral: Neutral) -> Case {
    Case { name, active, neutral }
}

/// One line a method; one that is not here is tested with its defaults and fails the test of neutral settings.
const CASES: &[Case] = &[
    case("unimodal", "modality: FIRST", None("joint training of one modality is what it is")),
    case("ensemble", "", None("its modalities share no loss with a fused head")),
    case("frozen", "", None("no setting lets encoders and head learn together")),
    case("finetuned", "", None("it starts from encoders that were trained alone")),
    case("joint", "", None("it is the base of the others")),
    case("joint-unimodal", "", Equals("weight: 0", "joint")),
    case("ogm", "alpha: 1", Equals("alpha: 0", "joint")),
    case("ogm-ge", "alpha: 1", Equals("modulation_starts: 90, modulation_ends: 90", "joint")),
    case("opm", "warmup: 0, p_exe: 1", Equals("warmup: 0, p_exe: 1, q_base: 0", "joint")),
    case("mmcosine", "", None("no scale makes cosines of inner products")),
    case("mmpareto", "", None("the direction of each encoder depends on its two gradients alone")),
    case("fmtl", "", None("without radius it is the aggregation alone, which joint training is not")),
    case("sam", "", Equals("rho: 0", "joint")),
    case("ema", "decay: 0.9", Equals("decay: 0", "joint")),
    case("msam", "", Equals("rho: 0", "joint")),
    case("agm", "", Equals("alpha: 0, clip_threshold: 1.0e+9", "joint")),
    case("cml", "", None("every set of modalities has a loss of its own")),
    case("gblend", "super_epoch: 1", Equals("weights: {FIRST: 0, SECOND: 0, fused: 1}", "joint")),
    case("umt", "", Equals("lambda: 0", "joint")),
    case("g2d", "", Equals("logits: 0, features: 0, priority: 0", "joint")),
    case("pmr", "mu: 0.1", Equals("alpha: 0", "joint")),
    case("qmf", "", None("without ranking it still fuses by confidence")),
    case("lfm", "", None("the schedule weighs classification and alignment in every epoch")),
    case("mlb", "", Equals("alpha: 0", "joint-unimodal")),
    case("mbsd", "", Equals("rs: 0, kl: 0", "joint-unimodal")),
    case("arl", "warmup: 1", Equals("warmup: 90", "joint-unimodal")),
    case("inforeg", "K: -100", Equals("K: 100", "joint")),
    case("mla", "", None("without projection it still updates one modality after the other")),
    case("mslr", "init: {FIRST: 0.5}", Equals("init: {FIRST: 1}", "joint")),
    case("mses", "patience: 0", Equals("patience: 90", "joint")),
    case("amss", "", None("at least a tenth of the units rests")),
    case("lora", "", None("it starts from encoders that were trained alone")),
    case("mbcd", "", None("the draw of a modality has no setting")),
    case("dnr", "reinit_epochs: 1", Equals("reinit_epochs: 1, lambda: 0", "joint")),
    case("arm", "", None("the scales have no strength")),
    case("igm", "", None("it trains one modality after the other")),
    case("reconboost", "boost_epochs: 1, correct_epochs: 1", None("it trains one modality after the other")),
    case("valuation", "warmup: 0", Equals("warmup: 90", "joint")),
    case("amco", "", None("without masks it still trains a loss of its own for each modality")),
    case("greedy", "alpha: 0, window: 2", Equals("window: 0", "joint")),
    case("ma-afs", "", Equals("mu: 0, entropy: 0, corrupt: 0", "joint")),
    case("equilibrium", "", None("it trains one modality after the other")),
    case("mods", "", Equals("alpha: 0", "joint")),
    case("dgl", "", Equals("alpha: 0, cut_fused: false, clip_norm: null", "joint")),
    case("tcmax", "", None("every batch of more than one sample has combinations to tell from")),
    case("mcr", "permutations: 4", Equals("mipd: 0, unimodal: 0, contrast: 0", "joint")),
    case("cggm", "", Equals("lambda: 0, magnitude: false, clip_norm: null, classifier_lr: 0", "joint")),
    case("masam", "", Equals("rho: 0", "joint-unimodal")),
    case("asgml", "every: 1", Equals("alpha: 0", "joint-unimodal")),
    case("iprm", "", None("the mixture on the sphere is no linear fusion")),
    case("remix", "warmup: 1", Equals("warmup: 90, warmup_weight: 1", "joint-unimodal")),
    case("di-mml", "starts: 0, fuse_epochs: 1", None("its encoders share no loss with a fused head")),
    case("aug", "check_every: 1, tau: 0", None("each modality has a loss and an update of its own")),
    case("aim", "warmup: 0, dap_steps: 3", Equals("warmup: 0, beta: 0", "joint")),
];

/// What the tests know of a method, if anything.
pub fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

/// The section of a method that acts at once.
pub fn active(name: &str) -> String {
    section(name, find(name).map_or("", |case| case.active))
}

/// A method section as YAML.
pub fn section(name: &str, settings: &str) -> String {
    format!("{{name: {name}{}{settings}}}", if settings.is_empty() { "" } else { ", " })
}

/// Names of the methods in the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}
