//! What methods rely on holds for encoders of plain candle layers.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use aim_backbones::{Build, Cnn, LowRank, Mlp, Targets};
use aim_core::{Encoder, Grads, Kind, Net, Norm, Params, Part, Pass, Pool, Role, Site, View};
use aim_functional::{Functional, FunctionalBuilder, Roles};
use aim_fusion::{Branch, LateFusion, NetParts};
use aim_ops::{Act, Reduction, cross_entropy};
use candle_core::{Device, Tensor, Var};
use candle_nn::{Init, Linear, Module, VarBuilder};
use common::{CLASSES, DRAWS, IMAGE, SOUND, batch, cnn, exact_cnn, mlp, network, of, random, values};

fn built<M>(builder: FunctionalBuilder<M>, input: &[usize]) -> (Functional<M>, Params) {
    let mut build = Build::new(3, &Device::Cpu);
    let encoder = builder.build(&mut build, "sound", 0, input).unwrap();
    (encoder, build.finish())
}

fn refused<M>(builder: FunctionalBuilder<M>, input: &[usize]) -> String {
    builder.build(&mut Build::new(3, &Device::Cpu), "sound", 0, input).err().unwrap().to_string()
}

#[test]
fn names_and_roles_are_those_of_constructor_and_rules() {
    let (encoder, params) = built(cnn(), &IMAGE);
    let role = |depth, kind| Role { part: Part::Encoder { modality: 0, depth }, kind };
    let got: Vec<_> = params.iter().map(|(name, p)| (name.to_string(), p.role)).collect();
    let want = [
        ("bn1.bias", role(0, Kind::Norm)),
        ("bn1.weight", role(0, Kind::Norm)),
        ("bn2.bias", role(1, Kind::Norm)),
        ("bn2.weight", role(1, Kind::Norm)),
        ("conv1.bias", role(0, Kind::Bias)),
        ("conv1.weight", role(0, Kind::Conv)),
        ("conv2.weight", role(1, Kind::Conv)),
    ];
    assert_eq!(got, want.map(|(name, role)| (format!("encoders.sound.{name}"), role)));
    let buffers: Vec<_> = params.buffers().map(|(name, _)| name.trim_start_matches("encoders.sound.")).collect();
    assert_eq!(buffers, ["bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var"]);
    assert_eq!((encoder.depth(), encoder.sites(), encoder.width()), (2, 2, 4));
}

#[test]
fn initial_values_belong_to_seed_and_name() {
    let wider = Functional::builder(
        |vb| {
            candle_nn::linear(5, 5, vb.pp("before"))?;
            Ok((candle_nn::linear(5, 6, vb.pp("first"))?, candle_nn::linear(6, 4, vb.pp("second"))?))
        },
        |(first, second): &(Linear, Linear), x, _| Ok(second.forward(&first.forward(x)?)?),
    );
    let (_, a) = built(mlp(), &SOUND);
    let (_, b) = built(wider, &SOUND);
    for (name, p) in a.iter() {
        assert_eq!(values(&p.var), values(&b.get(name).unwrap().var), "{name}");
    }
    // candle states a uniform distribution between +-1 / sqrt(fan in) for biases, as our own layers do.
    let mut build = Build::new(3, &Device::Cpu);
    build.linear("encoders.sound.first", Part::Encoder { modality: 0, depth: 0 }, 5, 6, true).unwrap();
    let own = build.finish();
    let bias = |params: &Params| values(&params.get("encoders.sound.first.bias").unwrap().var);
    assert_eq!(bias(&a), bias(&own));
    let mut build = Build::new(4, &Device::Cpu);
    mlp().build(&mut build, "sound", 0, &SOUND).unwrap();
    assert_ne!(bias(&a), bias(&build.finish()));
}

#[test]
fn a_view_replaces_each_weight() {
    let (encoder, params) = built(mlp(), &SOUND);
    let x = random(&[4, 5], "x");
    let zero = |name: &str| {
        let full = format!("encoders.sound.{name}");
        (full.as_str().into(), params.get(&full).unwrap().var.zeros_like().unwrap())
    };
    let bias = params.get("encoders.sound.second.bias").unwrap().var.as_tensor().clone();
    let view = View::from([zero("second.weight")]);
    let feature = encoder.forward(&x.clone().into(), &mut Pass::eval().view(&view)).unwrap();
    // Without a weight the second layer gives its bias alone.
    assert_eq!(values(&feature), values(&bias.relu().unwrap()).repeat(4));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    // Without a kink where the step is.
    let smooth = Functional::builder(
        |vb| Ok((candle_nn::linear(5, 6, vb.pp("first"))?, candle_nn::linear(6, 4, vb.pp("second"))?)),
        |(first, second): &(Linear, Linear), x, _| Ok(second.forward(&first.forward(x)?.tanh()?)?),
    );
    let (net, batch) = (of(smooth, exact_cnn()), batch());
    let loss = |view: &View| {
        let out = (&net as &dyn Net).forward(&batch, &mut Pass::train(DRAWS).norm(Norm::Batch).view(view)).unwrap();
        cross_entropy(&out.logits, &batch.labels, 0., Reduction::Mean).unwrap()
    };
    let grads = Grads::of(&loss(&View::new()), net.params()).unwrap();
    for (name, param) in net.params().iter() {
        let direction = random(param.var.dims(), name);
        let slope = (grads.get(name).unwrap() * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        let at = |step: f64| {
            let moved = (param.var.as_tensor() + (&direction * step).unwrap()).unwrap();
            f64::from(loss(&View::from([(name.clone(), moved)])).to_scalar::<f32>().unwrap())
        };
        // Central differences; a step of 1e-3 leaves five digits of the loss.
        let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert!((f64::from(slope) - difference).abs() < 2e-3, "{name}: {slope} and {difference}");
    }
}

/// Running mean and variance of the first norm, and the whole output.
fn after(pass: &mut Pass<'_>) -> ([Vec<f32>; 2], Vec<f32>) {
    let (encoder, params) = built(cnn(), &IMAGE);
    let feature = encoder.forward(&random(&[6, 1, 8, 8], "image").into(), pass).unwrap();
    let statistic = |name: &str| values(params.buffer(&format!("encoders.sound.bn1.{name}")).unwrap());
    ([statistic("running_mean"), statistic("running_var")], values(&feature))
}

#[test]
fn running_statistics_follow_the_pass() {
    let fresh = [vec![0f32; 3], vec![1f32; 3]];
    let (updated, by_batch) = after(&mut Pass::train(DRAWS));
    let (left, same) = after(&mut Pass::train(DRAWS).norm(Norm::Batch));
    let (alone, by_running) = after(&mut Pass::train(DRAWS).norm(Norm::Running));
    assert!(left == fresh && alone == fresh && after(&mut Pass::eval()) == (fresh, by_running.clone()));
    assert!(by_batch == same && by_batch != by_running);
    // running = 0.9 * running + 0.1 * new, of the first convolution's output over samples and positions.
    let (_, params) = built(cnn(), &IMAGE);
    let weight = |name: &str| params.get(&format!("encoders.sound.conv1.{name}")).unwrap().var.as_tensor().clone();
    let h = random(&[6, 1, 8, 8], "image").conv2d(&weight("weight"), 1, 1, 1, 1).unwrap();
    let h = h.broadcast_add(&weight("bias").reshape((1, 3, 1, 1)).unwrap()).unwrap();
    let h = h.transpose(0, 1).unwrap().flatten_from(1).unwrap();
    let (mean, var) = (values(&h.mean(1).unwrap()), values(&h.var(1).unwrap()));
    for c in 0..3 {
        assert!((updated[0][c] - 0.1 * mean[c]).abs() < 1e-5, "{updated:?}");
        assert!((updated[1][c] - (0.9 + 0.1 * var[c])).abs() < 1e-5, "{updated:?}");
    }
}

#[test]
fn a_view_of_statistics_is_seen_and_not_written_to() {
    let (encoder, params) = built(cnn(), &IMAGE);
    let x = random(&[6, 1, 8, 8], "image");
    let plain = values(&encoder.forward(&x.clone().into(), &mut Pass::eval()).unwrap());
    let shown = candle_core::Var::from_tensor(&Tensor::full(4f32, 3, &Device::Cpu).unwrap()).unwrap();
    let view = View::from([("encoders.sound.bn1.running_var".into(), shown.as_tensor().clone())]);
    assert_ne!(values(&encoder.forward(&x.clone().into(), &mut Pass::eval().view(&view)).unwrap()), plain);
    encoder.forward(&x.clone().into(), &mut Pass::train(DRAWS).view(&view)).unwrap();
    assert_eq!(values(&shown), [4.; 3]);
    assert_eq!(values(params.buffer("encoders.sound.bn1.running_var").unwrap()), [1.; 3]);
}

/// The layers of [`Mlp`] as plain tensors.
fn blocks(widths: [usize; 3]) -> FunctionalBuilder<Vec<(Tensor, Tensor)>> {
    Functional::builder(
        move |vb| {
            let block = |(d, io): (usize, &[usize])| {
                let vb = vb.pp(format!("blocks.{d}"));
                Ok((vb.get((io[1], io[0]), "weight")?, vb.get(io[1], "bias")?))
            };
            widths.windows(2).enumerate().map(block).collect()
        },
        |blocks: &Vec<(Tensor, Tensor)>, x, ctx| {
            let mut h = x.clone();
            for (weight, bias) in blocks {
                h = ctx.block(aim_ops::linear_relu(&h, weight, Some(bias))?)?;
            }
            Ok(h)
        },
    )
    .roles(Roles::new().block(0, "blocks.0.*").block(1, "blocks.1.*"))
}

/// Steps of plain descent.
fn train(net: &LateFusion, steps: usize) {
    for step in 0..steps {
        let batch = batch();
        let mut pass = Pass::train(aim_core::Draws { step, ..DRAWS });
        let out = (net as &dyn Net).forward(&batch, &mut pass).unwrap();
        let loss = cross_entropy(&out.logits, &batch.labels, 0., Reduction::Mean).unwrap();
        for (name, grad) in Grads::of(&loss, net.params()).unwrap().iter() {
            let var = &net.params().get(name).unwrap().var;
            var.set(&(var.as_tensor() - (grad * 0.5).unwrap()).unwrap()).unwrap();
        }
    }
}

/// A convolution of [`Cnn`] and its norm: weight, gamma, beta, running mean and variance.
type ConvNorm = (Tensor, [Tensor; 2], [Var; 2]);

/// The layers of [`Cnn`] over [`IMAGE`] as plain tensors.
fn convolutions(widths: [usize; 2]) -> FunctionalBuilder<Vec<ConvNorm>> {
    let block = move |vb: &VarBuilder<'_>, d: usize| {
        let (vb, input) = (vb.pp(format!("blocks.{d}")), if d == 0 { IMAGE[0] } else { widths[d - 1] });
        let vector = |name, start| vb.pp("bn").get_with_hints(widths[d], name, Init::Const(start));
        // The variable itself where the pass may update it, as in candle's batch norm.
        let statistic = |name, start| Var::from_tensor(&vector(name, start)?);
        Ok((
            vb.pp("conv").get((widths[d], input, 3, 3), "weight")?,
            [vector("weight", 1.)?, vector("bias", 0.)?],
            [statistic("running_mean", 0.)?, statistic("running_var", 1.)?],
        ))
    };
    Functional::builder(
        move |vb| (0..2).map(|d| block(&vb, d)).collect(),
        |blocks: &Vec<ConvNorm>, x, ctx| {
            let mut h = x.clone();
            for block in blocks {
                h = ctx.block(normalised(&h, block, ctx.batch_statistics())?)?;
            }
            Ok(aim_ops::global_avg_pool(&h)?)
        },
    )
    .roles(Roles::new().block(0, "blocks.0.*").block(1, "blocks.1.*"))
}

/// A block of [`Cnn`].
fn normalised(x: &Tensor, (weight, [gamma, beta], [mean, var]): &ConvNorm, train: bool) -> aim_core::Result<Tensor> {
    let h = aim_ops::conv2d(x, weight, None, aim_ops::Conv2d { stride: 2, padding: 1, ..Default::default() })?;
    if !train {
        return Ok(aim_ops::batch_norm_eval(&h, mean, var, gamma, beta, 1e-5, Act::Relu, None)?);
    }
    let (y, stats) = aim_ops::batch_norm_train(&h, gamma, beta, 1e-5, Act::Relu, None)?;
    let n = stats.count as f64;
    for (running, new, scale) in [(mean, stats.mean, 1.), (var, stats.var, n / (n - 1.))] {
        running.set(&((running.as_detached_tensor() * 0.9)? + (new * (0.1 * scale))?)?)?;
    }
    Ok(y)
}

/// Logits in training, the gradient of each parameter, and the running statistics that the pass leaves.
fn step(net: &LateFusion) -> Vec<(String, Vec<f32>)> {
    let batch = batch();
    let out = (net as &dyn Net).forward(&batch, &mut Pass::train(DRAWS)).unwrap();
    let loss = cross_entropy(&out.logits, &batch.labels, 0., Reduction::Mean).unwrap();
    let grads = Grads::of(&loss, net.params()).unwrap();
    let grads = grads.iter().map(|(name, grad)| (name.to_string(), values(grad)));
    let statistics = net.params().buffers().map(|(name, buffer)| (name.to_string(), values(buffer)));
    std::iter::once(("logits".to_owned(), values(&out.logits))).chain(grads).chain(statistics).collect()
}

#[test]
fn over_the_same_operations_training_gives_the_same_bits() {
    let mut build = Build::new(3, &Device::Cpu);
    let sound = Mlp::new(&mut build, "encoders.sound", 0, 5, &[6, 4]).unwrap();
    let image = Cnn::new(&mut build, "encoders.image", 1, &IMAGE, &[3, 4]).unwrap();
    let (own, plain) = (network(build, sound, image), of(blocks([5, 6, 4]), convolutions([3, 4])));
    let names = |net: &LateFusion| net.params().iter().map(|(k, p)| (k.clone(), p.role)).collect::<Vec<_>>();
    assert_eq!(names(&own), names(&plain));
    let start = own.params().snapshot().unwrap();
    plain.params().load(&start).unwrap();
    let (ours, theirs) = (step(&own), step(&plain));
    // Logits, a gradient for each of 12 parameters, 4 statistics.
    assert_eq!(ours.len(), 1 + 12 + 4);
    for (a, b) in ours.iter().zip(&theirs) {
        assert_eq!(a, b);
    }
    train(&own, 5);
    train(&plain, 5);
    for (name, value) in own.params().tensors() {
        assert_eq!(values(&value), values(&plain.params().tensors()[&name]), "{name}");
        assert_ne!(values(&value), values(&start[&name]), "{name}");
    }
}

/// Compares an encoder with the same one of the house's layers, both with low-rank additions.
fn same_additions(own: (impl Encoder, Params), plain: (impl Encoder, Params), x: &Tensor, added: usize) {
    let list = |p: &Params| p.iter().map(|(k, p)| (k.clone(), p.role, p.var.dims().to_vec())).collect::<Vec<_>>();
    assert_eq!(list(&own.1), list(&plain.1));
    let additions = own.1.iter().filter(|(_, p)| matches!(p.role.part, Part::Adapter { .. }));
    let mut count = 0;
    for (name, p) in additions {
        count += 1;
        assert_eq!(values(&p.var), values(&plain.1.get(name).unwrap().var), "{name}");
        // B starts at 0, where the addition would be nothing.
        p.var.set(&random(p.var.dims(), name)).unwrap();
    }
    assert_eq!(count, added);
    plain.1.load(&own.1.snapshot().unwrap()).unwrap();
    let feature = |encoder: &dyn Encoder| values(&encoder.forward(&x.clone().into(), &mut Pass::eval()).unwrap());
    assert_eq!(feature(&own.0), feature(&plain.0));
}

#[test]
fn low_rank_additions_are_those_of_our_own_layers() {
    let low_rank = LowRank { scale: 0.5, first_block: 1, ..LowRank::of(2) };
    let mut build = Build::new(3, &Device::Cpu);
    build.set_low_rank(Some(&low_rank));
    let own = Mlp::new(&mut build, "encoders.sound", 0, 5, &[6, 4]).unwrap();
    let plain = built(blocks([5, 6, 4]).low_rank(low_rank.clone()), &SOUND);
    same_additions((own, build.finish()), plain, &random(&[4, 5], "x"), 2);

    let mut build = Build::new(3, &Device::Cpu);
    build.set_low_rank(Some(&LowRank::of(2)));
    let own = Cnn::new(&mut build, "encoders.sound", 0, &IMAGE, &[3]).unwrap();
    let plain = Functional::builder(
        |vb| {
            let vb = vb.pp("blocks.0");
            let norm = ["weight", "bias", "running_mean", "running_var"];
            let norm = norm.map(|name| vb.pp("bn").get_with_hints(3, name, Init::Const(1.)));
            Ok((vb.pp("conv").get((3, 1, 3, 3), "weight")?, norm.into_iter().collect::<candle_core::Result<Vec<_>>>()?))
        },
        |(weight, norm), x, _| {
            let h = aim_ops::conv2d(x, weight, None, aim_ops::Conv2d { stride: 2, padding: 1, ..Default::default() })?;
            let [gamma, beta, mean, var] = norm.as_slice() else { unreachable!() };
            let h = aim_ops::batch_norm_eval(&h, mean, var, gamma, beta, 1e-5, Act::Relu, None)?;
            Ok(aim_ops::global_avg_pool(&h)?)
        },
    );
    let plain = built(plain.low_rank(LowRank::of(2)), &IMAGE);
    same_additions((own, build.finish()), plain, &random(&[2, 1, 8, 8], "image"), 2);
}

#[test]
fn low_rank_additions_to_attention_reach_what_rules_name() {
    let attention = LowRank { targets: Targets::Attention, ..LowRank::of(1) };
    let error = refused(mlp().low_rank(attention.clone()), &SOUND);
    assert!(
        error.starts_with("encoders.sound: low_rank: reaches no layer") && error.contains(".projection("),
        "{error}"
    );
    let roles = Roles::new().block(0, "first.*").block(1, "second.*").projection("second.weight");
    let (_, params) = built(mlp().roles(roles).low_rank(attention), &SOUND);
    let additions = params.iter().filter(|(_, p)| matches!(p.role.part, Part::Adapter { .. }));
    let names: Vec<_> = additions.map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["encoders.sound.second.lora_a", "encoders.sound.second.lora_b"]);
}

#[test]
fn dropout_is_keyed_and_has_a_gradient() {
    let builder = Functional::builder(
        |vb| vb.get_with_hints(5, "scale", Init::Const(1.)),
        |scale, x, ctx| ctx.dropout(&x.broadcast_mul(scale)?, 0.5, "drop"),
    );
    let (encoder, params) = built(builder, &SOUND);
    let x = Tensor::ones((40, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
    let run = |pass: &mut Pass<'_>| encoder.forward(&x.clone().into(), pass).unwrap();
    assert_eq!(values(&run(&mut Pass::eval())), values(&x));
    let dropped = run(&mut Pass::train(DRAWS));
    assert!(values(&dropped).iter().all(|x| *x == 0. || *x == 2.));
    assert_eq!(values(&dropped), values(&run(&mut Pass::train(DRAWS))));
    assert_ne!(values(&dropped), values(&run(&mut Pass::train(aim_core::Draws { step: 1, ..DRAWS }))));
    // d(sum of scale_j m_ij)/d(scale_j) is the sum of column j of the mask, which x and scale of 1 show.
    let grads = Grads::of(&dropped.sum_all().unwrap(), &params).unwrap();
    assert_eq!(values(grads.get("encoders.sound.scale").unwrap()), values(&dropped.sum(0).unwrap()));
}

#[test]
fn blocks_are_sites_in_order() {
    let (encoder, _) = built(cnn(), &IMAGE);
    let mut pass = Pass::eval().keep();
    let feature = encoder.forward(&random(&[6, 1, 8, 8], "image").into(), &mut pass).unwrap();
    let kept = pass.into_kept();
    let at = |depth| Site::Stage { modality: 0, depth };
    assert_eq!(kept.raw(at(0)).unwrap().dims(), [6, 3, 4, 4]);
    assert_eq!(kept.pooled(at(0)).unwrap().dims(), [6, 3]);
    // The last block's mean over positions is the feature.
    assert_eq!(values(&kept.pooled(at(1)).unwrap()), values(&feature));
    let tokens = Functional::builder(
        |vb| vb.get_with_hints((4, 5), "w", Init::Randn { mean: 0., stdev: 1. }),
        |w, x, ctx| {
            let h = ctx.block_pooled(x.unsqueeze(1)?.broadcast_add(w)?, Pool::Token { frames: 1 })?;
            Ok(h.narrow(1, 0, 1)?.squeeze(1)?)
        },
    );
    let (encoder, _) = built(tokens, &SOUND);
    let mut pass = Pass::eval().keep();
    let feature = encoder.forward(&random(&[6, 5], "sound").into(), &mut pass).unwrap();
    assert_eq!(values(&pass.into_kept().pooled(at(0)).unwrap()), values(&feature));
    let none = mlp().roles(Roles::whole());
    assert!(refused(none, &SOUND).contains("block 1: is visited, but holds no parameter"));
}

#[test]
fn an_encoder_without_blocks_has_depth_1_and_no_sites() {
    let (encoder, _) = built(
        Functional::builder(|vb| candle_nn::linear(5, 4, vb), |layer: &Linear, x, _| Ok(layer.forward(x)?)),
        &SOUND,
    );
    assert_eq!((encoder.depth(), encoder.sites(), encoder.width()), (1, 0, 4));
    let mut pass = Pass::eval().keep();
    encoder.forward(&random(&[2, 5], "x").into(), &mut pass).unwrap();
    assert!(pass.into_kept().raw(Site::Stage { modality: 0, depth: 0 }).is_none());
}

#[test]
fn what_does_not_fit_is_said() {
    let flat = |f: fn(&Linear, &Tensor) -> aim_core::Result<Tensor>| {
        let builder = Functional::builder(|vb| candle_nn::linear(5, 4, vb), move |layer, x, _| f(layer, x));
        refused(builder, &SOUND)
    };
    let shape = flat(|layer, x| Ok(layer.forward(x)?.unsqueeze(2)?));
    assert!(shape.contains("encoders.sound: trial on zeros: `feature` has shape [2, 4, 1]"), "{shape}");
    assert!(flat(|layer, x| Ok(layer.forward(x)?.mean(0)?.unsqueeze(0)?)).contains("[1, 4]"));
    let roles = Roles::new().block(0, "first.*").block(2, "second.*");
    assert!(refused(mlp().roles(roles), &SOUND).contains("is in block 2, but the encoder visits 2"));
    assert!(refused(mlp().low_rank(LowRank { first_block: 2, ..LowRank::of(1) }), &SOUND).contains("reaches no layer"));
    // A second encoder under the same name.
    let mut build = Build::new(3, &Device::Cpu);
    mlp().build(&mut build, "sound", 0, &SOUND).unwrap();
    let twice = mlp().build(&mut build, "sound", 1, &SOUND).err().unwrap().to_string();
    assert!(twice.contains("`encoders.sound.first.weight`: exists already"), "{twice}");
}

#[test]
fn passes_that_differ_from_the_trial_are_errors() {
    // Skips a block where the input is not 0.
    let (encoder, _) = built(
        Functional::builder(
            |vb| candle_nn::linear(5, 4, vb),
            |layer: &Linear, x, ctx| {
                let h = layer.forward(x)?;
                let zeros = x.sqr()?.sum_all()?.to_scalar::<f32>()? == 0.;
                if zeros { ctx.block(h) } else { Ok(h) }
            },
        ),
        &SOUND,
    );
    let error = encoder.forward(&random(&[2, 5], "x").into(), &mut Pass::eval()).unwrap_err().to_string();
    assert!(error.starts_with("ctx.block: was called 0 times, and 1 times when the encoder was built"), "{error}");
    // Declares another parameter each time.
    let calls = std::cell::Cell::new(0);
    let builder = Functional::builder(
        move |vb| {
            calls.set(calls.get() + 1);
            vb.get(5, &format!("w{}", calls.get()))
        },
        |w, x, _| Ok(x.broadcast_mul(w)?),
    );
    let error = refused(builder, &SOUND);
    assert!(error.contains("trial on zeros: constructor:") && error.contains("w2"), "{error}");
}

#[test]
fn parts_that_do_not_make_a_network_are_refused() {
    let parts = |names: &[&str]| {
        let mut build = Build::new(0, &Device::Cpu);
        let encoder = |(m, name): (usize, &&str)| {
            let encoder = Mlp::new(&mut build, &format!("encoders.{m}"), m, 5, &[4]).unwrap();
            Branch::new(*name, &SOUND, encoder)
        };
        let encoders: Vec<_> = names.iter().enumerate().map(encoder).collect();
        let fusion = Box::new(aim_fusion::Concat::new(&mut build, &vec![4; names.len()], CLASSES).unwrap());
        LateFusion::from_parts(NetParts { build, encoders, fusion, uni_heads: true, classes: CLASSES })
    };
    assert!(parts(&[]).err().unwrap().to_string().contains("has no modality"));
    assert!(parts(&["a", "b", "a"]).err().unwrap().to_string().starts_with("modality `a`: has two encoders"));
    let net = parts(&["a", "b"]).unwrap();
    assert!(net.params().get("uni_head.b.weight").is_some());
    assert_eq!((net.spec().depths.clone(), net.spec().widths.clone()), (vec![1, 1], vec![4, 4]));
}
