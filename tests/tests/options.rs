//! Options that change a part of a method: the gradient or the answers that they stand for, computed without the
//! method.

use aim_balance::MethodSpec;
use aim_config::yaml::parse;
use aim_core::{Batch, Grads, Net, Report, View};
use aim_fusion::LateFusion;
use aim_ops::softmax;
use aim_tests::{Descent, One, answers, assert_close, flat, gradient, mean_loss, method, number, scalar, small, step};
use aim_train::config::RunConfig;
use aim_train::standard;
use candle_core::{Device, Tensor};

#[test]
fn a_learning_rate_of_mslr_leaves_gradients_alone() {
    let (net, samples) = small("fusion: sum");
    let (joint, _) = gradient("joint", &net, &samples, 0);
    let (grads, _) = gradient("{name: mslr, init: {heart: 0.5}, factor: learning_rate}", &net, &samples, 0);
    assert_eq!(flat(&grads), flat(&joint));
    for (name, param) in net.params().iter().filter(|(name, _)| grads.get(name).is_some()) {
        let mine = param.role.encoder() == Some(0) || name.starts_with("head.heart");
        assert_eq!(grads.factors(name).lr, if mine { 0.5 } else { 1. }, "{name}");
    }
}

#[test]
fn additions_of_lora_need_not_decay() {
    let model = "{encoders: {a: {name: mlp, widths: [4], lora: {rank: 2}}, b: {name: mlp, widths: [4]}}}";
    let shapes = ["a", "b"].map(|name| (name.to_owned(), vec![3]));
    let net = LateFusion::new(
        &RunConfig::read_model(serde_yaml::from_str(model).unwrap(), standard()).unwrap(),
        &shapes,
        3,
        0,
        &Device::Cpu,
    )
    .unwrap();
    let (_, One(batch)) = small("fusion: concat");
    let samples = One(Batch { inputs: batch.inputs[..2].to_vec(), ..batch });
    for (section, decay) in [("lora", 1.), ("{name: lora, decay: false}", 0.)] {
        let (grads, _) = gradient(section, &net, &samples, 0);
        let additions: Vec<_> = grads.iter().filter(|(name, _)| name.contains("lora_")).collect();
        assert_eq!(additions.len(), 2);
        assert!(additions.iter().all(|(name, _)| grads.factors(name).decay == decay));
        assert_eq!(grads.factors("head.weight").decay, 1.);
    }
}

#[test]
fn shares_of_msam_hold_until_they_are_measured_again() {
    let (net, samples) = small("fusion: concat");
    let mut msam = method("{name: msam, every: 3, value: accuracy}", &net);
    let mut run = |epoch| step(msam.as_mut(), &net, &samples, epoch, &mut Descent(0.5, Grads::default()));
    let mut reports: Vec<Report> = (0..2).map(&mut run).collect();
    let mut resumed = method("{name: msam, every: 3, value: accuracy}", &net);
    resumed.load(&msam.state().unwrap()).unwrap();
    let run = |epoch| step(resumed.as_mut(), &net, &samples, epoch, &mut Descent(0.5, Grads::default()));
    reports.extend((2..4).map(run));
    let measured: Vec<bool> = reports.iter().map(|r| r.get("dominant").is_some()).collect();
    assert_eq!(measured, [true, false, false, true]);
    let share = |r: &Report| scalar(r, "loss.dominant") / scalar(r, "loss");
    assert!((1..3).all(|k| (share(&reports[k]) - share(&reports[0])).abs() < 1e-6));
    // A value is a share of the 40 samples.
    let value = scalar(&reports[0], "value.heart+breath+motion") * 40.;
    assert!((value - value.round()).abs() < 1e-4, "{value}");
    let both = parse("{name: msam, every: 2, variant: per_sample}").unwrap();
    let refused = MethodSpec::read(aim_balance::builtin(), &both).unwrap_err().to_string();
    assert!(refused.contains("method.every: is 2"), "{refused}");
}

#[test]
fn sam_perturbs_the_group_that_is_named() {
    let (net, samples) = small("fusion: concat");
    let (joint, _) = gradient("joint", &net, &samples, 0);
    for (group, encoders) in [("encoders", true), ("heads", false)] {
        let own = joint.clone().filter(net.params(), |role| role.encoder().is_some() == encoders);
        let scale = 0.5 / own.norm().unwrap();
        let moved = |(name, grad): (&std::sync::Arc<str>, &Tensor)| {
            let now = net.params().get(name).unwrap().var.as_tensor();
            (name.clone(), (now + (grad * scale).unwrap()).unwrap())
        };
        let view: View = own.iter().map(moved).collect();
        // A view is no parameter, so that the gradient there is taken at moved parameters.
        let before: Vec<_> =
            view.keys().map(|name| (name.clone(), net.params().get(name).unwrap().var.copy().unwrap())).collect();
        view.iter().for_each(|(name, x)| net.params().get(name).unwrap().var.set(x).unwrap());
        let (want, _) = gradient("joint", &net, &samples, 0);
        before.iter().for_each(|(name, x)| net.params().get(name).unwrap().var.set(x).unwrap());
        let (found, _) = gradient(&format!("{{name: sam, rho: 0.5, group: {group}}}"), &net, &samples, 0);
        assert_close(&found, &want);
    }
}

#[test]
fn qmf_without_the_fused_loss_trains_modalities_alone() {
    let (net, samples) = small("fusion: sum");
    let (found, report) = gradient("{name: qmf, lambda: 0, fused_loss: false}", &net, &samples, 0);
    let own: Vec<Tensor> = answers(&net, &samples).unimodal.iter().map(|x| mean_loss(x, &samples)).collect();
    let total = Tensor::stack(&own, 0).unwrap().sum(0).unwrap();
    assert_close(&found, &Grads::of(&total, net.params()).unwrap());
    assert!(report.get("loss.fused").is_some() && (scalar(&report, "loss") - number(&total)).abs() < 1e-5);
}

#[test]
fn an_ensemble_averages_probabilities() {
    let (net, samples) = small("fusion: sum");
    let plain = answers(&net, &samples);
    let p: Vec<Tensor> = plain.unimodal.iter().map(|x| softmax(x).unwrap()).collect();
    let mean = Tensor::stack(&p, 0).unwrap().mean(0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let ensemble = method("{name: ensemble, average: probabilities}", &net);
    let found = softmax(&ensemble.infer(&net, &samples.0).unwrap().logits).unwrap();
    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(found.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn scales_of_the_losses_of_fmtl_are_learnt() {
    let (net, samples) = small("fusion: concat, uni_heads: true");
    let mut fmtl = method("{name: fmtl, imtl_l: true}", &net);
    let run = |epoch| step(fmtl.as_mut(), &net, &samples, epoch, &mut Descent(0.1, Grads::default()));
    let [first, second] = [0, 1].map(run);
    let scales = |r: &Report| r.values("scale").unwrap().unwrap();
    assert_eq!(scales(&first), [0.; 4]);
    // s = 0 - 0.1 (exp(0) L - 1).
    let losses = ["fused", "heart", "breath", "motion"].map(|name| scalar(&first, &format!("loss.{name}")));
    assert!(scales(&second).iter().zip(losses).all(|(s, loss)| (s + 0.1 * (loss - 1.)).abs() < 1e-6));
}

#[test]
fn cosines_read_what_modalities_become_of_each_other() {
    for fusion in ["symmetric-film", "symmetric-gated"] {
        let model =
            format!("{{encoders: {{a: {{name: mlp, widths: [4]}}, b: {{name: mlp, widths: [4]}}}}, fusion: {fusion}}}");
        let shapes = ["a", "b"].map(|name| (name.to_owned(), vec![3]));
        let net = LateFusion::new(
            &RunConfig::read_model(serde_yaml::from_str(&model).unwrap(), standard()).unwrap(),
            &shapes,
            3,
            0,
            &Device::Cpu,
        )
        .unwrap();
        let (_, One(batch)) = small("fusion: concat");
        let samples = One(Batch { inputs: batch.inputs[..2].to_vec(), ..batch });
        let infer = method("{name: mmcosine, nce: 0.5}", &net).infer(&net, &samples.0).unwrap();
        let parts = answers(&net, &samples).extras[aim_core::PARTS].clone();
        let weight = net.params().get("head.weight").unwrap().var.as_tensor();
        let unit = |x: &Tensor| x.broadcast_div(&x.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap()).unwrap();
        let of = |m: usize| {
            let half = |x: &Tensor| unit(&x.narrow(1, 4 * m, 4).unwrap().contiguous().unwrap());
            (half(&parts).matmul(&half(weight).t().unwrap()).unwrap() * 10.).unwrap()
        };
        let apart = ((of(0) + of(1)).unwrap() - infer.logits).unwrap().abs().unwrap().max_all().unwrap();
        assert!(number(&apart) < 1e-4, "{fusion}: {apart}");
        let (grads, _) = gradient("{name: mmcosine, nce: 0.5}", &net, &samples, 0);
        assert!(!grads.is_empty() && grads.get("head.bias").is_none());
        // A modality that nobody has says nothing, though what becomes of its zeros is not zero.
        let mut lacking = samples.0.clone();
        lacking.present = Some(Tensor::new(&[[1f32, 0.]], &Device::Cpu).unwrap().broadcast_as((40, 2)).unwrap());
        let said = method("mmcosine", &net).infer(&net, &lacking).unwrap().unimodal;
        let size = |x: &Tensor| number(&x.abs().unwrap().max_all().unwrap());
        assert!(size(&said[1]) == 0. && size(&said[0]) > 0., "{fusion}");
    }
}
