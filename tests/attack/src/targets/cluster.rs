//! What is said to a cluster: profiles, and what its tasks make.

use aim_slurm::{Profile, status, task};

use super::{Target, told};
use crate::place::{put, within};

/// The profile of a launcher.
pub(super) const PROFILE: Target = Target {
    name: "profile",
    about: "the profile of a cluster in YAML",
    run: |bytes| {
        within(
            "profile",
            |_| {},
            |folder| {
                put(&folder.join("attack.yaml"), bytes);
                told(Profile::load(&folder.join("attack.yaml"))).is_some()
            },
        )
    },
    samples: || {
        let own = "resources: {partition: long, cpus: 2, time: 04:00:00, options: [--exclusive]}\nrows: {aim: {gres: gpu:1}}\n\
                   at-once: 8\nruns-per-task: 2\nminutes-per-task: 30\nprologue: [module load cuda]\nenvironment: {A: b}\n";
        vec![own.into(), "{}\n".into()]
    },
    words: &[
        "resources",
        "rows",
        "at-once",
        "runs-per-task",
        "minutes-per-task",
        "prologue",
        "program",
        "null",
        "-1",
        "&a",
        "*a",
    ],
    cost: 1,
};

/// The table of an array's tasks; its first task is asked for.
pub(super) const TASKS: Target = Target {
    name: "tasks",
    about: "the runs that the tasks of a cluster make",
    run: |bytes| {
        within(
            "tasks",
            |_| {},
            |folder| {
                put(&folder.join("tasks.tsv"), bytes);
                told(task(&folder.join("tasks.tsv"), 0)).is_some()
            },
        )
    },
    samples: || {
        vec!["task\tfolder\tpreparation\trun\n0\t/runs/a\t\tjoint, seed 0\n0\t/runs/b\t/prepared/x\taim\n1\t/runs/c\t\togm\n".into()]
    },
    words: &["\t", "\n", "0", "1", "task", "18446744073709551616"],
    cost: 1,
};

/// What is planned in a table's folder, and how far that is.
pub(super) const AGENDA: Target = Target {
    name: "agenda",
    about: "the note of what a command set out to make, by which `status` tells how far it is",
    run: |bytes| {
        within(
            "agenda",
            |_| {},
            |folder| {
                put(&folder.join("agenda.json"), bytes);
                told(status(folder)).map(|status| status.to_string()).is_some()
            },
        )
    },
    samples: || {
        let text = r#"[{"row": "joint", "folder": "joint.01234567", "epochs": 15, "seeds": [0, 1]},
                       {"row": "tuned", "folder": null, "epochs": 15, "seeds": [0]}]"#;
        vec![text.into(), "[]".into()]
    },
    words: &["row", "folder", "epochs", "seeds", "null", "[]", "18446744073709551615", "/"],
    cost: 1,
};
