//! What `compat: true` reproduces of released code, and nothing else.

use aim_core::{CLASSIFIERS, Grads, Net};
use aim_ops::softmax;
use aim_tests::{Descent, answers, flat, gradient, mean_loss, method, number, scalar, small, spec, step};
use candle_core::{Device, Tensor};

#[test]
fn the_released_igm_adds_a_loss_of_unmixed_labels() {
    let (net, mut samples) = small("fusion: {deep: {hidden: [6, 5]}}");
    let order: Vec<u32> = (0..40).rev().collect();
    samples.0.given.insert("mix_perm".into(), Tensor::new(order, &Device::Cpu).unwrap());
    samples.0.given.insert("mix_lambda".into(), Tensor::new(&[0.75f32], &Device::Cpu).unwrap());
    let (grads, report) = gradient("{name: igm, compat: true, lambda: 0.2}", &net, &samples, 0);
    // The gradient at the last bias is the mean of p - t, where t is (1 - 0.2) (0.75 y_i + 0.25 y_(39 - i)) + 0.2 y_i.
    let p = softmax(report.get("logits").unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let labels = samples.0.labels.to_vec1::<u32>().unwrap();
    let is = |i: usize, class: usize| f32::from(u8::from(labels[i] as usize == class));
    let entry = |class: usize| {
        let target = |i: usize| 0.8 * (0.75 * is(i, class) + 0.25 * is(39 - i, class)) + 0.2 * is(i, class);
        (0..40).map(|i| p[i][class] - target(i)).sum::<f32>() / 40.
    };
    let head = grads.iter().filter(|(k, g)| k.ends_with("bias") && g.dims() == [3]);
    let (_, found) = head.last().unwrap();
    let found = found.to_vec1::<f32>().unwrap();
    assert!(found.iter().enumerate().all(|(class, g)| (g - entry(class)).abs() < 1e-6), "{found:?}");
}

#[test]
fn the_released_reconboost_aligns_without_gradient_and_begins_with_certain_others() {
    let (net, samples) = small("fusion: {boosted: {hidden: 6}}");
    let (_, report) = gradient("{name: reconboost, compat: true}", &net, &samples, 0);
    assert!(report.values("p_other").unwrap().unwrap().iter().all(|p| *p == 1.));
    // Weights 5 - 1 of the loss over three classes.
    let own = number(&mean_loss(&answers(&net, &samples).unimodal[0], &samples));
    assert!((scalar(&report, "loss.boost") - 4. * own / 3.).abs() < 1e-5);
    // In the second stage, which begins with epoch 8, the alignment counts in the loss and not in the gradient.
    let second = |settings: &str| gradient(&format!("{{name: reconboost, {settings}}}"), &net, &samples, 8);
    let ((released, report), (without, _)) = (second("compat: true"), second("alpha: 0"));
    assert_eq!(flat(&released), flat(&without));
    assert!(report.get("loss.align").is_some() && flat(&second("alpha: 0.5").0) != flat(&without));
    assert!(report.values("p_other").unwrap().unwrap().iter().all(|p| *p < 1.));
}

#[test]
fn the_released_mmcosine_answers_with_the_plain_head() {
    let (net, samples) = small("fusion: concat");
    let infer = |section: &str| method(section, &net).infer(&net, &samples.0).unwrap();
    let (clean, released, plain) =
        (infer("mmcosine"), infer("{name: mmcosine, compat: true}"), answers(&net, &samples));
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&released.logits), values(&plain.logits));
    assert!(values(&clean.logits) != values(&plain.logits));
    let sum = Tensor::stack(&clean.unimodal, 0).unwrap().sum(0).unwrap();
    assert_eq!(values(&clean.logits), values(&sum));
    // Modalities alone are read from cosines in either, and training is the same.
    assert_eq!(values(&released.unimodal[0]), values(&clean.unimodal[0]));
    let train = |section: &str| flat(&gradient(section, &net, &samples, 0).0);
    assert_eq!(train("mmcosine"), train("{name: mmcosine, compat: true}"));
}

#[test]
fn the_released_mla_never_projects_and_weighs_all_samples_alike() {
    let trained = |settings: &str| {
        let (net, samples) = small("fusion: shared");
        let mut mla = method(&format!("{{name: mla, {settings}}}"), &net);
        let run = |epoch| step(mla.as_mut(), &net, &samples, epoch, &mut Descent(0.3, Grads::default()));
        let weights = (0..3).map(run).last().unwrap().values("fusion_weight").unwrap().unwrap();
        (net.params().tensors(), weights)
    };
    let bits = |(tensors, _): &(std::collections::BTreeMap<String, Tensor>, Vec<f64>)| {
        tensors.values().map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
    };
    let [released, none, clean] = ["compat: true", "projection: none", "skip_first: false"].map(trained);
    assert!(bits(&released) == bits(&none) && bits(&released) != bits(&clean));
    assert!(released.1.chunks(3).all(|weights| *weights == released.1[..3]));
    assert!(none.1.chunks(3).any(|weights| *weights != none.1[..3]));
    let fixed = trained("fusion_weights: {heart: 0.2, breath: 0.2, motion: 0.4}").1;
    assert!(fixed.chunks(3).all(|w| w.iter().zip([0.25, 0.25, 0.5]).all(|(a, b)| (a - b).abs() < 1e-6)));
    let (net, _) = small("fusion: shared");
    let refused = spec("{name: mla, fusion_weights: {heart: 1}}").build(net.spec());
    assert!(refused.err().unwrap().to_string().contains("has no weight for `breath`"));
}

#[test]
fn the_released_amss_leaves_the_head_alone_and_takes_frequencies_for_logits() {
    let (net, samples) = small("fusion: concat");
    let (joint, _) = gradient("joint", &net, &samples, 0);
    let (released, report) = gradient("{name: amss, compat: true}", &net, &samples, 0);
    let (clean, other) = gradient("amss", &net, &samples, 0);
    let head = |grads: &Grads| grads.get("head.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(head(&released) == head(&joint) && head(&clean) != head(&joint));
    // 40 labels 0, 1, 2, 0 ...: 14, 13 and 13 of 40.
    let p = [14. / 40., 13. / 40., 13. / 40.];
    let total = p.iter().map(|p: &f64| p.exp()).sum::<f64>().ln();
    let want = p.iter().map(|p| p * (total - p)).sum::<f64>();
    assert!((scalar(&report, "label_entropy") - want).abs() < 1e-9);
    assert!((scalar(&other, "label_entropy") + p.iter().map(|p| p * p.ln()).sum::<f64>()).abs() < 1e-9);
}

#[test]
fn the_released_aug_trains_first_classifiers_alone() {
    let (net, samples) = small("fusion: {growing: {hidden: 5, most: 2}}");
    let counts = Tensor::new(&[1u32, 1, 2], &Device::Cpu).unwrap();
    net.params().buffer(CLASSIFIERS).unwrap().set(&counts).unwrap();
    // The last sub-step is that of the modality with two; encoders learn through added classifiers either way.
    let of = |section: &str| flat(&gradient(section, &net, &samples, 0).0);
    let (clean, released) = (of("aug"), of("{name: aug, compat: true}"));
    let added = |name: &str| name.starts_with("aug_head.motion.1.");
    assert_eq!(clean.iter().filter(|(name, _)| added(name)).count(), 2);
    assert_eq!(released, clean.into_iter().filter(|(name, _)| !added(name)).collect::<Vec<_>>());
}
