//! Tables on a Slurm cluster. [`Slurm`] is a launcher: the missing runs of a table become job arrays, and the same
//! command later collects them. Scheduling, queueing and retrying stay Slurm's; it is talked to by its own commands
//! (`sbatch`, `squeue`, `sacct`, `scancel`, `scontrol`).
//!
//! What was handed over stands in the table's folder, one array a folder `slurm/<number>`: `tasks.tsv` says which runs
//! each task makes, `job.sh` is the batch script, `job` holds Slurm's number, and `<task>.log` what a task said. Run
//! folders say themselves whether they are done, so that all of `slurm/` may be deleted when nothing of it is queued.
//!
//! ```
//! use aim_slurm::{Call, Profile, Resources, Slurm};
//! use aim_train::experiment::Launcher;
//!
//! // What tasks ask for, as a rule and those of one row; what that does not say is as for all.
//! let all = Resources { cpus: Some("2".into()), time: Some("00:30:00".into()), ..Resources::default() };
//! let large = Resources { memory: Some("16G".into()), ..Resources::default() };
//! let profile = Profile { resources: all, rows: [("aim".into(), large)].into(), ..Profile::default() };
//! let aim = profile.of_row("aim");
//! assert_eq!([aim.cpus, aim.memory], [Some("2".into()), Some("16G".into())]);
//!
//! // Shows batch scripts in place of submitting them; `aim_train::experiment::run_by` makes a table with it.
//! let call = Call { program: "target/release/xtask".into(), arguments: vec![], folder: ".".into() };
//! let slurm = Slurm::new(profile, call, Some(|script| Ok(print!("{script}"))));
//! assert!(slurm.only_shows());
//! ```
#![deny(missing_docs)]

mod array;
mod commands;
mod launcher;
mod plan;
mod profile;
mod queue;
mod script;
mod status;
mod tasks;

pub use launcher::{Call, Slurm, absolute};
pub use profile::{Profile, Resources};
pub use status::{Status, cancel, status};
pub use tasks::{Item, task};
