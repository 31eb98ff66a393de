//! The laws hold for networks of plain candle layers, and networks that break one are told which.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use aim_backbones::{Build, blend};
use aim_core::{
    Batch, Capabilities, Encoder, Handle, Input, Kind, Net, NetSpec, Output, Params, Part, Pass, Pool, Result, Role,
    Site,
    conformance::{check, slopes},
};
use aim_functional::{Functional, FunctionalBuilder, Roles};
use aim_fusion::LateFusion;
use candle_core::{Device, Tensor};
use candle_nn::{BatchNorm, Linear, Module, ModuleT};
use common::{IMAGE, batch, cnn, exact_cnn, mlp, network, of, random, values};

/// The message for a network whose encoder of sounds is this one.
fn broken<M: 'static>(sound: FunctionalBuilder<M>) -> String {
    check(&of(sound, cnn()), &batch()).unwrap_err().to_string()
}

/// The message for a network whose encoder of sounds is written by hand.
fn by_hand<E: Encoder + 'static>(sound: impl FnOnce(&mut Build) -> E) -> String {
    let mut build = Build::new(3, &Device::Cpu);
    let sound = sound(&mut build);
    let image = cnn().build(&mut build, "image", 1, &IMAGE).unwrap();
    check(&network(build, sound, image), &batch()).unwrap_err().to_string()
}

#[test]
fn plain_networks_conform_and_keep_their_values() {
    let net = of(mlp(), cnn());
    let before = net.params().snapshot().unwrap();
    check(&net, &batch()).unwrap();
    for (name, value) in net.params().tensors() {
        assert_eq!(values(&value), values(&before[&name]), "{name}");
    }
    let dropout = Functional::builder(
        |vb| candle_nn::linear(5, 8, vb),
        |layer: &Linear, x, ctx| ctx.dropout(&layer.forward(x)?, 0.5, "drop"),
    );
    check(&of(dropout, cnn()), &batch()).unwrap();
}

#[test]
fn layers_that_start_at_zero_hide_nothing() {
    let zero = Functional::builder(
        |vb| Ok((candle_nn::linear(5, 6, vb.pp("first"))?, vb.get((4, 6), "last.weight")?)),
        |(first, last): &(Linear, Tensor), x, ctx| {
            let h = ctx.block(first.forward(x)?.relu()?)?;
            ctx.block(h.matmul(&last.t()?)?)
        },
    );
    check(&of(zero.roles(Roles::new().block(0, "first.*").block(1, "last.*")), cnn()), &batch()).unwrap();
}

#[test]
fn a_network_that_ignores_views_is_named() {
    // The constructor keeps the layer that it made first.
    let kept = std::cell::RefCell::new(None);
    let stale = Functional::builder(
        move |vb| {
            let fresh = candle_nn::linear(5, 4, vb)?;
            Ok(kept.borrow_mut().get_or_insert((fresh.weight().ones_like()?, fresh)).0.clone())
        },
        |weight: &Tensor, x, _| Ok(x.matmul(&weight.t()?)?),
    );
    let error = broken(stale);
    let want =
        "modality `sound`, block 0: a view of its parameters (`encoders.sound.bias`, ...) does not change the feature";
    assert!(error.starts_with(want), "{error}");

    /// Uses its own variable, whatever the pass shows.
    struct Own(Handle);
    impl Encoder for Own {
        fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
            let h = x.values.broadcast_mul(self.0.var.as_tensor())?;
            pass.visit(Site::Stage { modality: 0, depth: 0 }, h, Pool::None)
        }
        fn depth(&self) -> usize {
            1
        }
        fn width(&self) -> usize {
            5
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }
    }
    let error = by_hand(|build| Own(vector(build, "encoders.sound.scale", 0)));
    assert!(error.starts_with("parameter `encoders.sound.scale`: is read although a view shows another"), "{error}");
}

/// A parameter of five values.
fn vector(build: &mut Build, name: &str, depth: usize) -> Handle {
    let role = Role { part: Part::Encoder { modality: 0, depth }, kind: Kind::Norm };
    build.add(name, role, &random(&[5], name)).unwrap()
}

/// A network that hears of absent modalities what it should not.
struct Leaky {
    net: LateFusion,
    /// Adds the features to the logits before any is zeroed; otherwise it only forgets what samples lack.
    adds: bool,
}

impl Net for Leaky {
    fn spec(&self) -> &NetSpec {
        self.net.spec()
    }
    fn params(&self) -> &Params {
        self.net.params()
    }
    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        self.net.encode(modality, x, pass)
    }
    fn fuse(&self, features: Vec<Tensor>, present: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output> {
        if !self.adds {
            return self.net.fuse(features, None, pass);
        }
        let leak = features[1].sum_keepdim(1)?;
        let out = self.net.fuse(features, present, pass)?;
        Ok(Output { logits: out.logits.broadcast_add(&leak)?, ..out })
    }
}

#[test]
fn a_network_that_leaks_an_absent_modality_is_named() {
    let leaky = |adds| check(&Leaky { net: of(mlp(), cnn()), adds }, &batch()).unwrap_err().to_string();
    let want = "modality `image`: its input changes the logits although it is left out by `Pass::subset`";
    assert!(leaky(true).starts_with(want), "{}", leaky(true));
    let want = "modality `sound`: its feature is not 0 although every sample lacks it by `Batch::present`";
    assert!(leaky(false).starts_with(want), "{}", leaky(false));
}

/// Two scales, one after the other; says with which numbers blocks are visited.
struct Scales {
    scales: [Handle; 2],
    visits: &'static [usize],
}

impl Encoder for Scales {
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        let mut h = x.values.clone();
        for scale in &self.scales {
            h = h.broadcast_mul(&pass.weight(scale))?;
        }
        for depth in self.visits {
            h = pass.visit(Site::Stage { modality: 0, depth: *depth }, h, Pool::None)?;
        }
        Ok(h)
    }
    fn depth(&self) -> usize {
        2
    }
    fn width(&self) -> usize {
        5
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}

#[test]
fn a_block_that_hands_over_moments_in_place_of_units_is_named() {
    // Five moments of six units each.
    let sequence = |turned: bool| {
        let encoder = Functional::builder(
            |vb| candle_nn::linear(1, 6, vb.pp("each")),
            move |layer: &Linear, x, ctx| {
                let h = layer.forward(&x.unsqueeze(2)?)?.relu()?;
                let h = if turned { ctx.block(h.transpose(1, 2)?)? } else { ctx.block(h)?.transpose(1, 2)? };
                Ok(h.mean(2)?)
            },
        );
        encoder.roles(Roles::new().block(0, "each.*"))
    };
    check(&of(sequence(true), cnn()), &batch()).unwrap();
    let error = broken(sequence(false));
    assert!(
        error.contains("block 0 hands over [") && error.contains("5, 6], in which 6 seems to be the units"),
        "{error}"
    );
    assert!(error.contains("h.transpose(1, 2)"), "{error}");
}

#[test]
fn a_network_that_skips_a_site_is_named() {
    let scales = |visits| {
        by_hand(|build| Scales { scales: [0, 1].map(|d| vector(build, &format!("encoders.sound.{d}"), d)), visits })
    };
    assert!(scales(&[1]).starts_with("modality `sound`: block 0 of 2 is not visited"), "{}", scales(&[1]));
    assert!(scales(&[]).contains("block 0 of 2 is not visited"));
    assert!(scales(&[1, 0]).contains("where each of 2 blocks is due once, in order"));
    let unread = Functional::builder(
        |vb| candle_nn::linear(5, 4, vb),
        |layer: &Linear, x, ctx| {
            let h = layer.forward(x)?;
            ctx.block(h.clone())?;
            Ok(h)
        },
    );
    let want = "modality `sound`: an operation at Stage { modality: 0, depth: 0 } does not change the feature";
    assert!(broken(unread).starts_with(want));
}

#[test]
fn a_network_that_updates_statistics_in_evaluation_is_named() {
    struct Drifting(Handle);
    impl Encoder for Drifting {
        fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
            blend(&self.0, &x.values.mean(0)?, 1.)?;
            Ok(x.values.broadcast_add(&pass.weight(&self.0).detach())?)
        }
        fn depth(&self) -> usize {
            1
        }
        fn width(&self) -> usize {
            5
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }
    }
    let error = by_hand(|build| Drifting(build.buffer("encoders.sound.mean", &random(&[5], "mean")).unwrap()));
    assert!(error.starts_with("buffer `encoders.sound.mean`: is changed by an evaluation pass"), "{error}");
}

#[test]
fn a_network_that_draws_unkeyed_is_named() {
    let dropout = Functional::builder(
        |vb| candle_nn::linear(5, 8, vb),
        |layer: &Linear, x, ctx| Ok(candle_nn::Dropout::new(0.5).forward_t(&layer.forward(x)?, ctx.train())?),
    );
    let error = broken(dropout);
    assert!(error.starts_with("modality `sound`: gives other values in a second training pass"), "{error}");
    assert!(error.contains("`ctx.dropout` replaces candle_nn::Dropout"));
}

#[test]
fn norms_that_ask_for_training_instead_of_statistics_are_named() {
    let norm = |always: bool| {
        Functional::builder(
            |vb| candle_nn::batch_norm(5, 1e-5, vb),
            move |norm: &BatchNorm, x, ctx| Ok(norm.forward_t(x, always || ctx.train())?),
        )
    };
    let error = broken(norm(false));
    let want =
        "modality `sound`: the feature of one sample depends on the others in a training pass with `Norm::Running`";
    assert!(error.starts_with(want) && error.contains("`ctx.batch_statistics()`"), "{error}");
    assert!(broken(norm(true)).contains("depends on the others in evaluation"));
}

#[test]
fn layers_without_a_backward_pass_are_named() {
    let norm = Functional::builder(
        |vb| Ok((candle_nn::linear(5, 6, vb.pp("first"))?, candle_nn::layer_norm(6, 1e-5, vb.pp("norm"))?)),
        |(first, norm): &(Linear, candle_nn::LayerNorm), x, _| Ok(norm.forward(&first.forward(x)?)?),
    );
    let error = broken(norm);
    assert!(
        error.starts_with("parameter `encoders.sound.first.bias`: changes the feature, but no gradient"),
        "{error}"
    );
    assert!(error.contains("aim_ops::layer_norm"));
    // An unused parameter has no gradient either, and changes nothing.
    let unused = Functional::builder(
        |vb| {
            vb.get(3, "unused")?;
            candle_nn::linear(5, 6, vb)
        },
        |layer: &Linear, x, _| Ok(layer.forward(x)?),
    );
    check(&of(unused, cnn()), &batch()).unwrap();
}

#[test]
fn operations_that_candle_cannot_differentiate_are_placed() {
    let pool = Functional::builder(
        |vb| candle_nn::linear(5, 4, vb),
        |layer: &Linear, x, _| {
            let h = layer.forward(x)?.reshape((x.dim(0)?, 1, 2, 2))?.max_pool2d_with_stride(2, 1)?;
            Ok(h.flatten_from(1)?)
        },
    );
    let error = broken(pool);
    assert!(error.starts_with("backward pass") && error.contains("maxpool2d"), "{error}");
}

#[test]
fn gradients_that_are_not_slopes_are_named() {
    slopes(&of(mlp(), exact_cnn()), &batch()).unwrap();
    let error = slopes(&of(mlp(), cnn()), &batch()).unwrap_err().to_string();
    assert!(
        error.starts_with("parameter `encoders.image.bn1.bias`: has a gradient that is 0.25 of the slope"),
        "{error}"
    );
    assert!(error.contains("aim_ops::max_pool2d"));
}

#[test]
fn a_batch_that_tells_nothing_is_refused() {
    let net = of(mlp(), cnn());
    let error = |batch: &Batch| check(&net, batch).unwrap_err().to_string();
    assert!(error(&batch().head(1).unwrap()).contains("fewer than two samples that differ in modality `sound`"));
    let mut same = batch();
    same.inputs[1] = same.inputs[1].values.ones_like().unwrap().into();
    assert!(error(&same).contains("fewer than two samples that differ in modality `image`"));
    let mut single = batch();
    single.inputs.pop();
    assert!(error(&single).starts_with("batch: has 1 modalities, the network 2"));
    let bias = &net.params().get("head.bias").unwrap().var;
    bias.set(&(bias.as_tensor() / 0.).unwrap()).unwrap();
    assert!(error(&batch()).starts_with("`logits` is not finite"));
}
