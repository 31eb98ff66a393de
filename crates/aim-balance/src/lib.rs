//! Balancing methods: one file each, and one static table of their cards.
//!
//! A method sees a network only through [`aim_core::Net`]: this crate depends on no backbone, fusion, optimizer or dataset,
//! so any method meets any network. To add one, write its file and add one line to [`CARDS`].
#![deny(missing_docs)]

pub mod aggregate;
pub mod agm;
pub mod aim;
pub mod amco;
pub mod amss;
pub mod arl;
pub mod arm;
mod card;
pub mod cml;
pub mod dnr;
mod eigen;
pub mod ema;
pub mod ensemble;
pub mod equilibrium;
pub mod fmtl;
pub mod frozen;
pub mod g2d;
pub mod gblend;
pub mod greedy;
pub mod igm;
pub mod inforeg;
pub mod joint;
pub mod lfm;
pub mod lora;
pub mod ma_afs;
pub mod mbcd;
pub mod mbsd;
pub mod mla;
pub mod mlb;
pub mod mmcosine;
pub mod mmpareto;
pub mod mods;
pub mod msam;
mod needs;
pub mod ogm;
pub mod opm;
pub mod pmr;
pub mod qmf;
mod range;
pub mod rates;
pub mod reconboost;
pub mod sam;
mod section;
mod stack;
mod teacher;
pub mod umt;
mod util;
pub mod valuation;

pub use card::{About, Card, Needs, Prepares, Setting, Settings};
pub use range::{Range, draw, rounded};
pub use section::{build, card, check, compat, preparations};
pub use stack::{Built, Parts};

/// Every method.
pub static CARDS: &[Card] = &[
    Card::of::<joint::Unimodal>(&joint::UNIMODAL),
    Card::of::<ensemble::Ensemble>(&ensemble::ABOUT),
    Card::preparing::<frozen::Frozen>(&frozen::ABOUT),
    Card::of::<joint::Joint>(&joint::JOINT),
    Card::of::<joint::JointUnimodal>(&joint::JOINT_UNIMODAL),
    Card::of::<ogm::Ogm>(&ogm::OGM),
    Card::of::<ogm::OgmGe>(&ogm::OGM_GE),
    Card::of::<opm::Opm>(&opm::ABOUT),
    Card::of::<mmcosine::MmCosine>(&mmcosine::ABOUT),
    Card::of::<mmpareto::MmPareto>(&mmpareto::ABOUT),
    Card::of::<fmtl::Fmtl>(&fmtl::ABOUT),
    Card::of::<sam::Sam>(&sam::ABOUT),
    Card::of::<ema::Ema>(&ema::ABOUT),
    Card::of::<msam::MSam>(&msam::ABOUT),
    Card::of::<agm::Agm>(&agm::ABOUT),
    Card::of::<cml::Cml>(&cml::ABOUT),
    Card::preparing::<gblend::GBlend>(&gblend::ABOUT),
    Card::preparing::<umt::Umt>(&umt::ABOUT),
    Card::preparing::<g2d::G2d>(&g2d::ABOUT),
    Card::of::<pmr::Pmr>(&pmr::ABOUT),
    Card::of::<qmf::Qmf>(&qmf::ABOUT),
    Card::of::<lfm::Lfm>(&lfm::ABOUT),
    Card::of::<mlb::Mlb>(&mlb::ABOUT),
    Card::of::<mbsd::Mbsd>(&mbsd::ABOUT),
    Card::of::<arl::Arl>(&arl::ABOUT),
    Card::of::<inforeg::InfoReg>(&inforeg::ABOUT),
    Card::of::<mla::Mla>(&mla::ABOUT),
    Card::of::<rates::Mslr>(&rates::MSLR),
    Card::of::<rates::Mses>(&rates::MSES),
    Card::of::<amss::Amss>(&amss::ABOUT),
    Card::preparing::<lora::Lora>(&lora::ABOUT),
    Card::of::<mbcd::Mbcd>(&mbcd::ABOUT),
    Card::of::<dnr::Dnr>(&dnr::ABOUT),
    Card::of::<arm::Arm>(&arm::ABOUT),
    Card::of::<igm::Igm>(&igm::ABOUT),
    Card::of::<amco::Amco>(&amco::ABOUT),
    Card::of::<greedy::Greedy>(&greedy::ABOUT),
    Card::of::<valuation::Valuation>(&valuation::ABOUT),
    Card::of::<reconboost::ReconBoost>(&reconboost::ABOUT),
    Card::of::<ma_afs::MaAfs>(&ma_afs::ABOUT),
    Card::of::<equilibrium::Equilibrium>(&equilibrium::ABOUT),
    Card::of::<mods::Mods>(&mods::ABOUT),
    Card::of::<aim::AimSettings>(&aim::ABOUT),
];
