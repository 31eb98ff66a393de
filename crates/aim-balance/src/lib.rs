//! Balancing methods: one file each, and one static table of their cards.
//!
//! A method sees a network only through [`aim_core::Net`]: this crate depends on no backbone, fusion, optimizer or dataset,
//! so any method meets any network. To add one, write its file and add one line to [`CARDS`].
#![deny(missing_docs)]

pub mod aim;
mod card;
pub mod ensemble;
pub mod frozen;
pub mod joint;
pub mod ogm;

pub use card::{About, Card, Needs, Setting, Settings, build, card, check};

/// Every method.
pub static CARDS: &[Card] = &[
    Card::of::<joint::Unimodal>(&joint::UNIMODAL),
    Card::of::<ensemble::Ensemble>(&ensemble::ABOUT),
    Card::of::<frozen::Frozen>(&frozen::ABOUT),
    Card::of::<joint::Joint>(&joint::JOINT),
    Card::of::<joint::JointUnimodal>(&joint::JOINT_UNIMODAL),
    Card::of::<ogm::Ogm>(&ogm::OGM),
    Card::of::<ogm::OgmGe>(&ogm::OGM_GE),
    Card::of::<aim::AimSettings>(&aim::ABOUT),
];
