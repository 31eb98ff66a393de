//! Settings that change what a method does, beside what it does without them.

use aim_core::{Alone, Batch, Clock, EpochStart, Grads, Method, Net, Pass, Plan, Prepared, Report, View};
use aim_data::Splits;
use aim_fusion::LateFusion;
use aim_ops::{Reduction, cross_entropy, log_softmax, softmax};
use aim_tests::{Descent, MODALITIES, One, Still, at, data, gradient, method, number, scalar, small, step};
use aim_train::config::RunConfig;
use aim_train::standard;
use candle_core::{D, DType, Device, Tensor};

/// Numbers that a method reports of a step of this epoch, in which nothing moves.
fn reports(method: &mut dyn Method, net: &LateFusion, samples: &One, epoch: usize, name: &str) -> Vec<f64> {
    let report = step(method, net, samples, epoch, &mut Still(0.));
    report.values(name).unwrap().unwrap_or_else(|| panic!("no `{name}` is reported"))
}

/// The classification loss of LFM, and the alignment of predictions with their mean.
fn losses(net: &LateFusion, batch: &Batch, view: &View) -> (Tensor, Tensor) {
    let out = (net as &dyn Net).forward(batch, &mut Pass::eval().view(view)).unwrap();
    let p: Vec<Tensor> = out.unimodal.iter().map(|x| softmax(x).unwrap()).collect();
    let mean = Tensor::stack(&p, 0).unwrap().mean(0).unwrap();
    let apart =
        |x: &Tensor| ((&mean * (mean.log().unwrap() - log_softmax(x).unwrap()).unwrap()).unwrap()).sum(D::Minus1);
    let apart: Vec<Tensor> = out.unimodal.iter().map(|x| apart(x).unwrap()).collect();
    let ce = cross_entropy(&out.logits, &batch.labels, 0., Reduction::Mean).unwrap();
    (ce, Tensor::stack(&apart, 0).unwrap().mean_all().unwrap())
}

#[test]
fn the_learnt_weight_of_lfm_follows_the_loss_one_step_ahead() {
    let (net, samples) = small("fusion: sum");
    let (rate, weight_lr, a0) = (0.5, 0.3, 0.5);
    let mut lfm =
        method(&format!("{{name: lfm, align: reversed, weights: learnt, a0: {a0}, weight_lr: {weight_lr}}}"), &net);
    let clock = Clock { epoch: 1, epochs: 3, step: 1, batch: 0, steps_per_epoch: 1 };
    let (prepared, opt) = (&Prepared::default(), &mut Still(rate));
    let data = data(&samples);
    let whole = &Splits::new(&data, samples.0.len(), &Device::Cpu);
    let mut start = EpochStart { net: &net, opt, samples: whole, prepared, clock, seed: 0, plan: Plan::default() };
    lfm.before_epoch(&mut start).unwrap();
    let moved = reports(lfm.as_mut(), &net, &samples, 1, "a0")[0] - a0;

    // The classification loss after a step with weight a0, and its slope in a0 by differences, which are exact for a
    // parabola.
    let (ce, align) = losses(&net, &samples.0, &View::new());
    let [ce, align] = [ce, align].map(|loss| Grads::of(&loss, net.params()).unwrap());
    let ahead = |a0: f64| {
        let view = net.params().iter().filter_map(|(name, param)| {
            let (ce, align) = (ce.get(name)?, align.get(name)?);
            let step = ((ce * (2. * rate * a0)).unwrap() + (align * (2. * rate * (1. - a0))).unwrap()).unwrap();
            Some((name.clone(), (param.var.as_tensor() - step).unwrap()))
        });
        number(&losses(&net, &samples.0, &view.collect()).0)
    };
    let slope = (ahead(a0 + 0.1) - ahead(a0 - 0.1)) / 0.2;
    let want = -weight_lr * slope / (2. * rate);
    assert!(want.abs() > 1e-4 && (moved - want).abs() < 0.02 * want.abs(), "{moved} instead of {want}");
}

#[test]
fn opm_by_the_batch_before_drops_what_the_batch_before_says() {
    let (net, samples) = small("fusion: concat");
    let opm = |ratio: &str| method(&format!("{{name: opm, warmup: 0, p_exe: 0, ratio: {ratio}}}"), &net);
    let (mut same, mut previous) = (opm("same"), opm("previous"));
    let theta = reports(same.as_mut(), &net, &samples, 0, "theta")[0];
    let thetas = [0, 1].map(|epoch| reports(previous.as_mut(), &net, &samples, epoch, "theta")[0]);
    assert!(theta > 0.01 && thetas == [0., theta], "{theta}, {thetas:?}");
}

#[test]
fn a_layer_norm_at_the_end_of_encoders_is_trained_and_stands_for_that_of_mbcd() {
    let (net, samples) = small("fusion: concat, uni_heads: true, feature_norm: true");
    let (heart, everything) = (&samples.0.inputs[0], &mut Pass::eval());
    let mean = net.encode(0, heart, everything).unwrap().mean(1).unwrap();
    assert!(mean.abs().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-5, "{mean}");
    // Weights that a second layer norm would undo.
    let weight = &net.params().get("norm.heart.weight").unwrap().var;
    weight.set(&Tensor::full(3f32, 4, weight.device()).unwrap()).unwrap();
    let own = (&net as &dyn Net).forward(&samples.0, everything).unwrap().unimodal[0].flatten_all().unwrap();
    let own = own.to_vec1::<f32>().unwrap();
    let seen = reports(method("{name: mbcd}", &net).as_mut(), &net, &samples, 0, "unimodal.heart");
    assert!(seen.iter().zip(&own).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5), "{seen:?} and {own:?}");
}

#[test]
fn amss_masks_every_layer_of_deep_heads() {
    let (net, samples) = small("fusion: {deep: {hidden: [6, 5]}}");
    let [masked, plain] = ["amss", "{name: amss, mask_head: false}"].map(|m| gradient(m, &net, &samples, 0).0);
    // Masked entries are exactly 0; those of the third layer have a class a row, those of the others a unit.
    let zeros = |grads: &Grads, layer: usize| {
        let count = |name: &str| {
            let values = grads.get(&format!("igm_head.{name}.{layer}.weight")).unwrap().flatten_all().unwrap();
            values.to_vec1::<f32>().unwrap().iter().filter(|v| **v == 0.).count()
        };
        MODALITIES.iter().map(|name| count(name)).sum::<usize>()
    };
    for layer in 0..3 {
        let [with, without] = [zeros(&masked, layer), zeros(&plain, layer)];
        assert!(with > without, "layer {layer}: {with} entries are 0, without masks {without}");
    }
}

#[test]
fn aim_learns_prototypes_of_word_ids_as_embedded_words() {
    let model = "{encoders: {text: {name: transformer, vocabulary: 5, width: 4, layers: 1, heads: 1, blocks: 1}, \
                 sound: {name: mlp, widths: [4]}}, fusion: concat}";
    let shapes = [("text".to_owned(), vec![3]), ("sound".to_owned(), vec![3])];
    let net = LateFusion::new(
        &RunConfig::read_model(serde_yaml::from_str(model).unwrap(), standard()).unwrap(),
        &shapes,
        2,
        0,
        &Device::Cpu,
    )
    .unwrap();
    let ids = Tensor::new(&[[1f32, 2., 0.], [3., 4., 1.]], &Device::Cpu).unwrap();
    let sound = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
    let samples = One(Batch::new(vec![ids, sound], Tensor::new(&[0u32, 1], &Device::Cpu).unwrap()).unwrap());
    let begin = |section: &str| {
        let clock = Clock { epoch: 1, epochs: 3, step: 1, batch: 0, steps_per_epoch: 1 };
        let (prepared, opt, data) = (&Prepared::default(), &mut Still(0.1), data(&samples));
        let samples = &Splits::new(&data, 2, &Device::Cpu);
        let mut start = EpochStart { net: &net, opt, samples, prepared, clock, seed: 0, plan: Plan::default() };
        method(section, &net).before_epoch(&mut start)
    };
    let net: &dyn Net = &net;
    assert_eq!([net.learnable(0), net.learnable(1)], [vec![3, 4], vec![3]]);
    begin("aim").unwrap();
    begin("{name: aim, prototypes: class-mean}").unwrap();
}

#[test]
fn before_the_end_of_its_warmup_the_teacher_of_mbcd_is_the_learner() {
    let (net, samples) = small("fusion: concat, uni_heads: true, feature_norm: true");
    let (mut mbcd, warmup, lambda) = (method("{name: mbcd, warmup: 3, lambda: 0.7, beta: 0.9}", &net), 3, 0.7);
    for epoch in 0..5 {
        let out = (&net as &dyn Net).forward(&samples.0, &mut Pass::eval()).unwrap();
        let own = softmax(&out.logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let report = step(mbcd.as_mut(), &net, &samples, epoch, &mut Descent(0.5, Grads::default()));
        let taught = report.values("teacher_prob").unwrap().unwrap();
        let apart = taught.iter().zip(&own).map(|(t, p)| (t - f64::from(*p)).abs()).fold(0., f64::max);
        // The teacher of step 3 is the average after step 2, which was the last to copy; that of step 4 lags.
        assert!(if epoch <= warmup { apart < 1e-6 } else { apart > 1e-4 }, "step {epoch}: {apart}");
        let sum = |of: &str| {
            let named = MODALITIES.map(|name| scalar(&report, &format!("loss.{of}{name}")));
            named.iter().sum::<f64>()
        };
        let losses = scalar(&report, "loss.fused") + sum("");
        let weight = if epoch < warmup { 0. } else { lambda };
        let want = losses + weight * (scalar(&report, "loss.kl_fused") + sum("kl."));
        assert!((scalar(&report, "loss") - want).abs() < 1e-5, "step {epoch}: {} and {want}", scalar(&report, "loss"));
    }
}

#[test]
fn the_teachers_of_umt_teach_from_the_first_to_the_last_of_their_epochs() {
    let (net, samples) = small("fusion: concat");
    let mut prepared = Prepared::default();
    for (m, name) in MODALITIES.iter().enumerate() {
        // A teacher of other weights: twice those of the network.
        let own = net.params().iter().filter(|(_, p)| p.role.encoder() == Some(m));
        let encoder = own.map(|(k, p)| (k.clone(), (p.var.as_tensor() * 2.).unwrap())).collect();
        let (weight, bias) =
            (Tensor::zeros((3, 4), DType::F32, &Device::Cpu), Tensor::zeros(3, DType::F32, &Device::Cpu));
        prepared.alone.insert((*name).into(), Alone { encoder, weight: weight.unwrap(), bias: bias.unwrap() });
    }
    let taught = |section: &str| -> Vec<usize> {
        let (mut umt, opt) = (method(section, &net), &mut Still(0.));
        let (data, prepared, clock) = (data(&samples), &prepared, at(0));
        let whole = &Splits::new(&data, samples.0.len(), &Device::Cpu);
        let mut start = EpochStart { net: &net, opt, samples: whole, prepared, clock, seed: 0, plan: Plan::default() };
        umt.before_epoch(&mut start).unwrap();
        let report = |epoch| step(umt.as_mut(), &net, &samples, epoch, &mut Still(0.));
        (0..5).map(report).enumerate().filter(|(_, r)| r.get("loss.feature.heart").is_some()).map(|(e, _)| e).collect()
    };
    assert_eq!(taught("umt"), [0, 1, 2, 3, 4]);
    assert_eq!(taught("{name: umt, starts: 1, ends: 3}"), [1, 2, 3]);
    assert_eq!(taught("{name: umt, starts: 2, ends: 2}"), [2]);
}

#[test]
fn agm_modulates_from_its_first_to_its_last_epoch_and_up_to_its_cap() {
    let (net, samples) = small("fusion: concat");
    let gradient = |section: &str, epoch: usize| {
        let mut opt = Descent(0., Grads::default());
        step(method(section, &net).as_mut(), &net, &samples, epoch, &mut opt);
        let values = opt.1.iter().map(|(_, g)| g.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        values.collect::<Vec<_>>()
    };
    let joint = gradient("joint", 0);
    // Epochs count from 1 in AGM, from 0 in the clock.
    for (epoch, modulated) in [(0, false), (1, true), (2, true), (3, false)] {
        let section = "{name: agm, modulation_starts: 2, modulation_ends: 3, alpha: 2, clip_threshold: 1.0e+9}";
        assert_eq!(gradient(section, epoch) != joint, modulated, "epoch {epoch}");
    }
    let coefficients = |cap: f64| -> Vec<(f64, f64)> {
        let report = reported("agm", &format!("cap: {cap}"), &net, &samples);
        MODALITIES
            .iter()
            .map(|name| {
                let of = |what: &str| scalar(&report, &format!("{what}.{name}"));
                (of("coef"), of("tau") - of("ratio"))
            })
            .collect()
    };
    for cap in [0.005, 7.] {
        let found = coefficients(cap);
        assert!(found.iter().any(|(_, gap)| *gap > 0.005), "nobody is behind: {found:?}");
        assert!(found.iter().all(|(k, gap)| (k - gap.min(cap).exp()).abs() < 1e-6), "{cap}: {found:?}");
    }
}

/// What a method with these settings reports of its first step, in which nothing moves.
fn reported(name: &str, settings: &str, net: &LateFusion, samples: &One) -> Report {
    step(method(&format!("{{name: {name}, {settings}}}"), net).as_mut(), net, samples, 0, &mut Still(0.))
}
