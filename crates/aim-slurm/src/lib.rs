//! Tables on a Slurm cluster. [`Slurm`] is a launcher: the missing runs of a table become job arrays, and the same
//! command later collects them. Scheduling, queueing and retrying stay Slurm's; it is talked to by its own commands
//! (`sbatch`, `squeue`, `sacct`, `scancel`, `scontrol`).
//!
//! What was handed over stands in the table's folder, one array a folder `slurm/<number>`: `tasks.tsv` says which runs
//! each task makes, `job.sh` is the batch script, `job` holds Slurm's number, and `<task>.log` what a task said. Run
//! folders say themselves whether they are done, so that all of `slurm/` may be deleted when nothing of it is queued.
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
