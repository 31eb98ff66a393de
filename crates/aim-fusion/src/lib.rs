//! Fusion modules with their heads, and the late-fusion network made of encoders and one fusion.
//!
//! [`LateFusion`] is built of a [`ModelConfig`] ([`LateFusion::new`]) or of parts made by hand
//! ([`LateFusion::from_parts`]). A fusion of your own implements [`FusionSettings`] and joins a registry by [`card`];
//! what it gives beyond fused logits it states as [`Capabilities`](aim_core::Capabilities), new ones among them.
//!
//! ```
//! use aim_backbones::{MlpConfig, encoder};
//! use aim_core::{Net, capability};
//! use aim_fusion::{GatedConfig, LateFusion, ModelConfig, fusion};
//! use candle_core::Device;
//!
//! let mlp = || encoder(MlpConfig { widths: vec![16, 8], ..MlpConfig::default() });
//! let encoders = [("heart".to_owned(), mlp()), ("breath".to_owned(), mlp())];
//! let model = ModelConfig::new(encoders, fusion(GatedConfig {}));
//! let modalities = [("heart".to_owned(), vec![12]), ("breath".to_owned(), vec![20])];
//! let net = LateFusion::new(&model, &modalities, 3, 0, &Device::Cpu)?;
//! assert_eq!(net.spec().widths, [8, 8]);
//! assert!(net.spec().capabilities.has(capability::UNIMODAL));
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

mod attention;
mod config;
mod network;

pub use config::{
    Features, FusionCard, FusionInfo, FusionSettings, FusionSpec, Fusions, builtin, card, check_modalities,
    check_widths, fusion,
};
pub use network::{Branch, LateFusion, ModelConfig, NetParts};

/// Declares the modules of fusions, the settings that each has cards for, and what else it exports.
macro_rules! fusions {
    ($($module:ident: $($settings:ident),+ $(=> $($export:ident),+)?;)+) => {
        $(
            mod $module;
            pub use $module::{$($settings,)+ $($($export,)+)?};
        )+

        fn all() -> Fusions {
            let mut fusions = Fusions::new("fusion", "fusions");
            // Names differ, as a test makes sure.
            $($(drop(fusions.add(card::<$settings>()));)+)+
            fusions
        }
    };
}

// One line a module of fusions.
fusions! {
    heads: ConcatConfig, SumConfig, MeanConfig, SharedConfig, SeparateConfig => Concat, Sum, Shared, Separate;
    gated: FilmConfig, GatedConfig, GatedToConfig => Film, Gated;
    symmetric: SymmetricFilmConfig, SymmetricGatedConfig => Symmetric;
    growing: GrowingConfig => Growing;
    detached: DetachedConfig => Detached;
    deep: DeepConfig, BoostedConfig => Deep, Boosted;
    sum_linear: SumLinearConfig => SumLinear;
    mmtm: MmtmConfig => Mmtm;
    inner: InnerMmtmConfig, InnerBottleneckConfig => InnerMmtm, InnerBottleneck;
    scheduled: ScheduledConfig => Scheduled, Weights;
    memory: MemoryConfig => Memory;
    mods: ModsConfig => Mods;
    attended: CrossAttentionConfig, BottleneckConfig => CrossAttention, Bottleneck, Reads;
    tensor: TensorConfig, LowRankConfig => TensorFusion, LowRankFusion;
    decision: DecisionConfig => Certainty, Decision;
}
