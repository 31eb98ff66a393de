//! Balancing methods: one file or folder each, and the registry that holds their cards.
//!
//! A method sees a network only through [`aim_core::Net`]: this crate depends on no backbone, fusion, optimizer or
//! dataset, so any method meets any network. Methods are made of typed settings ([`method`]) or of a configuration's
//! section ([`MethodSpec::read`]); a method of your own implements [`MethodSettings`] for its settings and joins a
//! registry by [`card`]. To add one to this crate, write its file and one line below.
//!
//! ```
//! use aim_balance::{MethodSpec, aim::AimSettings, method, ogm::OgmGe, opm::Opm};
//! use aim_core::{Capabilities, NetSpec, capability};
//!
//! let net = NetSpec {
//!     modalities: vec!["audio".into(), "video".into()],
//!     inputs: vec![vec![40], vec![64]],
//!     depths: vec![2, 2],
//!     widths: vec![16, 16],
//!     frames: vec![1, 1],
//!     classes: 4,
//!     capabilities: Capabilities::of(&[capability::UNIMODAL]),
//! };
//! let ogm = OgmGe { alpha: 0.5, ..OgmGe::default() };
//! assert!(method(ogm.clone(), &net).is_ok());
//! // Methods that change different parts of a step stack, and some wrap others.
//! let stack = MethodSpec::of(Opm::default()).and(MethodSpec::of(ogm.clone()));
//! assert!(method(stack, &net).is_ok());
//! // A value out of range, and a method of which this network would make nothing, are refused.
//! assert!(method(OgmGe { alpha: -1., ..ogm }, &net).is_err());
//! let refused = method(AimSettings::default(), &net).map(drop).unwrap_err();
//! assert!(refused.to_string().contains("`aim` needs passes that see other weights"));
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

pub mod aggregate;
mod card;
mod eigen;
mod info;
mod requirements;
mod spec;
mod stack;
mod teacher;
mod util;

use std::sync::LazyLock;

pub use card::{MethodCard, MethodSettings, Methods, card};
pub use info::{By, MethodInfo, Provenance, Quantity, Requirements, Unimodal};
pub use spec::{Inner, MethodSpec, method};
pub use stack::{Built, Parts};

/// Declares the modules of methods and the settings that each has cards for.
macro_rules! methods {
    ($($module:ident: $($settings:ident),+;)+) => {
        $(pub mod $module;)+

        static METHODS: LazyLock<Methods> = LazyLock::new(|| {
            let mut methods = Methods::new("method", "methods");
            // Names differ, as a test makes sure.
            $($(drop(methods.add(card::<$module::$settings>()));)+)+
            methods
        });

        #[cfg(test)]
        const DECLARED: &[&str] = &[$($(stringify!($settings)),+),+];
    };
}

// One line a method. rustfmt does not find these files from here: it is given all files by name.
methods! {
    joint: Unimodal, Joint, JointUnimodal;
    ensemble: Ensemble;
    frozen: Frozen;
    finetuned: Finetuned;
    ogm: Ogm, OgmGe;
    opm: Opm;
    mmcosine: MmCosine;
    mmpareto: MmPareto;
    fmtl: Fmtl;
    sam: Sam;
    ema: Ema;
    msam: MSam;
    agm: Agm;
    cml: Cml;
    gblend: GBlend;
    umt: Umt;
    g2d: G2d;
    pmr: Pmr;
    qmf: Qmf;
    lfm: Lfm;
    mlb: Mlb;
    mbsd: Mbsd;
    arl: Arl;
    inforeg: InfoReg;
    mla: Mla;
    rates: Mslr, Mses;
    amss: Amss;
    lora: Lora;
    mbcd: Mbcd;
    dnr: Dnr;
    arm: Arm;
    igm: Igm;
    amco: Amco;
    greedy: Greedy;
    valuation: Valuation;
    reconboost: ReconBoost;
    ma_afs: MaAfs;
    equilibrium: Equilibrium;
    mods: Mods;
    dgl: Dgl;
    tcmax: TcMax;
    mcr: Mcr;
    cggm: Cggm;
    masam: Masam;
    asgml: Asgml;
    iprm: Iprm;
    remix: Remix;
    aug: Aug;
    di_mml: DiMml;
    aim: AimSettings;
}

/// The methods of this crate.
pub fn builtin() -> &'static Methods {
    &METHODS
}
