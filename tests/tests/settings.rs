//! Settings that change what a method does, beside what it does without them.

use aim_balance::build;
use aim_core::{
    Batch, Clock, EpochStart, Grads, Method, Net, Optim, Params, Pass, Prepared, Result, Stateless, Step, View,
};
use aim_fusion::LateFusion;
use aim_ops::{Reduction, cross_entropy, log_softmax, softmax};
use aim_tests::{One, small};
use candle_core::{D, DType, Device, Tensor};

/// Leaves parameters alone, at a learning rate.
struct Still(f64);

impl Stateless for Still {}

impl Optim for Still {
    fn apply(&mut self, _: &Params, _: &Grads) -> Result<()> {
        Ok(())
    }
    fn lr(&self) -> f64 {
        self.0
    }
    fn set_lr(&mut self, _: f64) {}
}

fn method(section: &str, net: &LateFusion) -> Box<dyn Method> {
    build(&serde_yaml::from_str(section).unwrap(), net.spec()).unwrap()
}

/// Numbers that a method reports of a step of this epoch, in which nothing moves.
fn reports(method: &mut dyn Method, net: &LateFusion, One(batch): &One, epoch: usize, name: &str) -> Vec<f64> {
    let clock = Clock { epoch, epochs: 3, step: epoch, batch: 0, steps_per_epoch: 1 };
    let report = method.step(&mut Step { net, opt: &mut Still(0.), batch, clock, seed: 0, trace: false }).unwrap();
    report.values(name).unwrap().unwrap_or_else(|| panic!("no `{name}` is reported"))
}

fn number(t: &Tensor) -> f64 {
    f64::from(t.to_scalar::<f32>().unwrap())
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
    let mut start = EpochStart { net: &net, opt, samples: &samples, prepared, clock, seed: 0, extra: vec![] };
    lfm.before_epoch(&mut start).unwrap();
    let moved = reports(lfm.as_mut(), &net, &samples, 1, "a0")[0] - a0;

    // The classification loss after a step with weight a0, and its slope in a0 by differences, which are exact for a parabola.
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
    assert!(reports(method("amss", &net).as_mut(), &net, &samples, 0, "loss")[0].is_finite());
}

#[test]
fn aim_cannot_learn_prototypes_of_word_ids() {
    let model = "{encoders: {text: {name: transformer, vocabulary: 5, width: 4, layers: 1, heads: 1, blocks: 1}, \
                 sound: {name: mlp, widths: [4]}}, fusion: concat}";
    let shapes = [("text".to_owned(), vec![3]), ("sound".to_owned(), vec![3])];
    let net = LateFusion::new(&serde_yaml::from_str(model).unwrap(), &shapes, 2, 0, &Device::Cpu).unwrap();
    let ids = Tensor::new(&[[1f32, 2., 0.], [3., 4., 1.]], &Device::Cpu).unwrap();
    let sound = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
    let samples = One(Batch::new(vec![ids, sound], Tensor::new(&[0u32, 1], &Device::Cpu).unwrap()).unwrap());
    let begin = |section: &str| {
        let clock = Clock { epoch: 1, epochs: 3, step: 1, batch: 0, steps_per_epoch: 1 };
        let (prepared, opt, samples) = (&Prepared::default(), &mut Still(0.1), &samples);
        let mut start = EpochStart { net: &net, opt, samples, prepared, clock, seed: 0, extra: vec![] };
        method(section, &net).before_epoch(&mut start)
    };
    let text = begin("aim").unwrap_err().to_string();
    assert!(text.contains("class-mean") && text.contains("word ids: some are negative or no whole numbers"), "{text}");
    begin("{name: aim, prototypes: class-mean}").unwrap();
}
