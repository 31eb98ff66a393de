//! What is wrong with an entry of our own is said in one clear sentence.

mod common;

use aim_config::{Named, Registry};
use common::{TABLE, folder, refused};
use outside::{application, dataset, encoder, fusion, method, metric, optimizer, schedule, section};

/// Why an entry is not taken for a second time.
fn again<T: Named>(registry: &mut Registry<T>, entry: T) -> String {
    registry.add(entry).unwrap_err().to_string()
}

#[test]
fn a_name_is_registered_once() {
    let mut ours = application().unwrap();
    let all = &mut ours.registries;
    let errors = [
        ("methods", "even-votes", again(&mut all.methods, aim_balance::card::<method::EvenVotes>())),
        ("backbones", "plain-conv", again(&mut all.encoders, aim_backbones::card::<encoder::PlainConv>())),
        ("fusions", "voted", again(&mut all.fusions, aim_fusion::card::<fusion::Voted>())),
        (
            "optimizers",
            "sign-descent",
            again(&mut all.optimizers, aim_optim::optimizer_card::<optimizer::SignDescent>()),
        ),
        ("schedules", "halving", again(&mut all.schedules, aim_optim::schedule_card::<schedule::Halving>())),
        ("datasets", "pulses", again(&mut all.datasets, aim_data::card::<dataset::Pulses>())),
        ("metrics", "least_recall", again(&mut all.metrics, metric::LEAST_RECALL)),
        ("sections", "worst-class", again(&mut ours.sections, section::WORST_CLASS)),
    ];
    for (list, name, error) in errors {
        let want = format!("registry of {list}: there are two entries called `{name}`; give one of them another name");
        assert_eq!(error, want);
    }
}

/// What the program says of the row of our own method with one setting changed.
fn with(setting: &str) -> String {
    let folder = folder(TABLE);
    refused(folder.path(), &["train", "--config=table.yaml", "--row=even-votes", "--print-config", setting])
}

#[test]
fn a_setting_out_of_range_is_named_with_its_range() {
    for (setting, want) in [
        ("method.weight=11", "method.weight: is 11; use a number from 0 to 10"),
        ("model.encoders.wave.plain-conv.width=0", "model.encoders.wave.width: is 0; use a whole number, 1 or more"),
        ("optimizer.momentum=1", "optimizer.momentum: is 1; use a number from 0 to below 1"),
        ("schedule.every=0", "schedule.every: is 0; use a whole number, 1 or more"),
        ("data.noise=-1", "data.noise: is -1; use a number from 0 to 10"),
    ] {
        let error = with(setting);
        assert!(error.contains(want), "{setting}: {error}");
    }
}

#[test]
fn a_method_that_lacks_our_capability_is_told_our_fusion() {
    let error = with("model.fusion=concat");
    let want =
        "method.name: `even-votes` needs votes on the modalities, which the network lacks; set model.fusion to voted";
    assert!(error.trim_end().ends_with(want), "{error}");
}
