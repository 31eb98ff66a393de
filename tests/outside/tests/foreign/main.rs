//! Networks of other authors' layers are trained by methods as our own are: an MLP and a CNN of `candle_nn`, and a BERT
//! of `candle_transformers`.

mod networks;
mod training;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use aim_balance::{MethodSpec, aim::AimSettings, lora::Lora, mbcd::Mbcd, ogm::OgmGe, sam::Sam, umt::Umt};
use aim_core::{Net, Part, Pass, State, Stateful, conformance};
use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use networks::{IMAGE, MOTION, Modality, SOUND, TEXT, Text};
use training::{Course, STEPS, batch, bits, data, network, numbers};

/// Pairs of modalities, the first of them read by the network in question.
const PAIRS: [[Modality; 2]; 3] = [[SOUND, MOTION], [IMAGE, SOUND], [TEXT, SOUND]];

/// Methods that change gradients, activations, weights, losses, the network itself; the last two build on training
/// before.
fn methods() -> [MethodSpec; 6] {
    [
        MethodSpec::of(OgmGe { alpha: 1., ..OgmGe::default() }),
        MethodSpec::of(AimSettings { warmup: 0, dap_steps: 3, ..AimSettings::default() }),
        MethodSpec::of(Mbcd::default()),
        MethodSpec::of(Sam::default()),
        MethodSpec::of(Lora::default()),
        MethodSpec::of(Umt::default()),
    ]
}

/// Every pair with every method, and words for the two.
fn each(law: impl Fn(&Course<'_>, &[Modality], &MethodSpec, &str)) {
    for pair in &PAIRS {
        for method in &methods() {
            let words = format!("{} of {} and {}", method.name(), pair[0].name, pair[1].name);
            law(&Course::new(pair, method), pair, method, &words);
        }
    }
}

fn save(tensors: &BTreeMap<String, Tensor>, path: &Path) {
    candle_core::safetensors::save(&tensors.clone().into_iter().collect::<HashMap<_, _>>(), path).unwrap();
}

fn load(path: &Path) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

#[test]
fn foreign_networks_keep_the_laws_and_their_gradients_are_slopes() {
    for pair in &PAIRS {
        let (net, batch) = (network(pair, &methods()[0], 0), batch(&data(pair)));
        conformance::check(&net, &batch).unwrap();
        conformance::slopes(&net, &batch).unwrap();
    }
}

#[test]
fn a_bert_that_would_silently_stay_untrained_is_refused_by_name() {
    let pair = [Modality { encoder: Text::trainable, ..TEXT }, SOUND];
    let net = network(&pair, &methods()[0], 0);
    let error = conformance::check(&net, &batch(&data(&pair))).unwrap_err().to_string();
    let named = net
        .params()
        .iter()
        .any(|(name, _)| name.starts_with("encoders.text.bert.") && error.starts_with(&format!("parameter `{name}`")));
    assert!(named && error.contains("no gradient reaches it"), "{error}");
}

#[test]
fn training_is_finite_moves_what_it_should_and_nothing_else() {
    each(|course, _, method, words| {
        let mut start = course.unprepared().net().params().snapshot().unwrap();
        let trained = course.trained();
        let (params, lora) = (trained.net().params(), method.name() == "lora");
        assert!(params.tensors().values().all(|t| numbers(t).iter().all(|x| x.is_finite())), "{words}");
        if lora {
            // It goes on from the modalities trained alone, and its additions alone learn.
            let alone = course.prepared.alone.values().flat_map(|alone| &alone.encoder);
            start.extend(alone.map(|(name, value)| (name.to_string(), value.clone())));
        }
        let (before, after) = (bits(&start), bits(&params.tensors()));
        let moved = |name: &str| before[name] != after[name];
        let of_encoders = || params.iter().filter_map(|(name, p)| Some((name, p, p.role.encoder()?)));
        for (name, param, _) in of_encoders() {
            let learns = !lora || matches!(param.role.part, Part::Adapter { .. });
            assert_eq!(moved(name), learns, "{words}: {name}");
        }
        for (name, _) in params.buffers() {
            assert_eq!(moved(name), name.contains(".running_") && !lora, "{words}: {name}");
        }
        let learned: BTreeSet<usize> = of_encoders().filter(|(name, ..)| moved(name)).map(|(.., m)| m).collect();
        assert_eq!(learned, BTreeSet::from([0, 1]), "{words}");
    });
}

#[test]
fn every_method_makes_another_network_of_the_same_start() {
    for pair in &PAIRS {
        let trained = |method: &MethodSpec| bits(&Course::new(pair, method).trained().net().params().tensors());
        let prefix = format!("encoders.{}.", pair[1].name);
        let own = |method: &MethodSpec| trained(method).into_iter().filter(|(name, _)| name.starts_with(&prefix));
        let all: BTreeSet<Vec<_>> = methods().iter().map(|method| own(method).collect()).collect();
        assert_eq!(all.len(), methods().len(), "{}", pair[0].name);
    }
}

#[test]
fn the_same_training_gives_the_same_bits_twice() {
    each(|course, _, _, words| {
        let [a, b] = [course.trained(), course.trained()].map(|learner| bits(&learner.state().unwrap().0));
        assert!(a == b, "{words}");
    });
}

#[test]
fn stopped_in_mid_epoch_and_restored_into_fresh_objects_training_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    each(|course, _, _, words| {
        let file = folder.path().join("state.safetensors");
        let mut stopped = course.learner();
        // The second step of the second epoch.
        course.train(&mut stopped, STEPS / 2 + 2);
        save(&stopped.state().unwrap().0, &file);
        // The state is all there is: what the method learned of the training before is in it.
        let mut resumed = course.unprepared();
        resumed.load(&State(load(&file))).unwrap();
        assert_eq!(resumed.steps(), STEPS / 2 + 2);
        course.train(&mut resumed, STEPS);
        let [resumed, whole] = [resumed, course.trained()].map(|learner| bits(&learner.state().unwrap().0));
        assert!(resumed == whole, "{words}");
    });
}

/// Names of the tensors that a constructor asks for, as candle itself records them.
fn declared(modality: &Modality) -> BTreeSet<String> {
    let map = VarMap::new();
    (modality.declare)(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu)).unwrap();
    map.data().lock().unwrap().keys().cloned().collect()
}

#[test]
fn weights_go_through_a_file_by_the_constructors_names() {
    let folder = tempfile::tempdir().unwrap();
    each(|course, pair, method, words| {
        let (file, trained) = (folder.path().join("weights.safetensors"), course.trained());
        save(&trained.net().params().tensors(), &file);
        let saved = load(&file);
        for modality in pair {
            let own = saved.keys().filter_map(|name| name.strip_prefix(&format!("encoders.{}.", modality.name)));
            let own: BTreeSet<String> = own.filter(|name| !name.contains(".lora_")).map(Into::into).collect();
            assert_eq!(own, declared(modality), "{words}");
            // candle's own loader finds everything, too.
            let bytes = std::fs::read(&file).unwrap();
            let vb = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
            (modality.declare)(vb.pp("encoders").pp(modality.name)).unwrap();
        }
        let (fresh, batch) = (network(pair, method, 1), batch(&course.data));
        let logits = |net: &dyn Net| numbers(&net.forward(&batch, &mut Pass::eval()).unwrap().logits);
        assert_ne!(logits(&fresh), logits(trained.net()), "{words}");
        fresh.params().load(&saved).unwrap();
        assert_eq!(logits(&fresh), logits(trained.net()), "{words}");
    });
}
