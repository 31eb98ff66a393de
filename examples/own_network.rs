//! A network of plain candle layers trained with AIM.
//!
//! ```text
//! cargo run --release -p aim-examples --bin own_network
//! ```

use std::ops::ControlFlow::Continue;

use aim_learn::{
    balance::aim::AimSettings,
    candle_nn::{Conv2dConfig, Module, ModuleT, batch_norm, conv2d},
    prelude::*,
    train::{metrics, standard},
};

const EPOCHS: usize = 12;
const SEED: u64 = 0;

fn main() -> Result<()> {
    let data = load(&dataset(Synth { train: 256, ..Synth::default() }), None)?;
    let classes = data.classes();
    let mut build = Build::new(SEED, &Device::Cpu);
    let mut encoders = vec![];
    for (m, (name, shape)) in data.modalities.iter().zip(data.shapes()).enumerate() {
        encoders.push(Branch::new(name, &shape, encoder(&mut build, name, m, &shape)?));
    }
    let widths: Vec<_> = encoders.iter().map(|branch| branch.encoder.width()).collect();
    let fusion = Box::new(Concat::new(&mut build, &widths, classes)?);
    let net = LateFusion::from_parts(NetParts { build, encoders, fusion, uni_heads: false, classes })?;

    // Does the network keep the laws that methods rely on?
    for batch in Loader::new(&*data.train, 8, &Device::Cpu).in_order().take(1) {
        conformance::check(&net, &batch?)?;
    }

    let method = method(AimSettings::default(), net.spec())?;
    let mut learner = Learner::new(Box::new(net), method, Adam::default().build(), SEED, EPOCHS);
    let splits = Splits::new(&data, 16, &Device::Cpu);
    for epoch in 0..EPOCHS {
        let mut losses = Vec::new();
        learner.epoch(&splits, |_, report| {
            losses.extend(report.values("loss")?.unwrap_or_default());
            Ok(Continue(()))
        })?;
        println!("epoch {epoch}: loss {:.3}", losses.iter().sum::<f64>() / losses.len() as f64);
    }
    let answers = metrics::evaluate(learner.net(), learner.method(), &*data.test, &Device::Cpu)?;
    let scores = answers.scores(&data.modalities, classes, &standard().metrics)?;
    println!("test accuracy {:.3}", scores.accuracy());
    Ok(())
}

/// Two convolutions with batch norm, each a block.
fn encoder(build: &mut Build, name: &str, modality: usize, shape: &[usize]) -> Result<impl Encoder + use<>> {
    let channels = shape[0];
    let builder = Functional::builder(
        move |vb| {
            let config = Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
            let first = (conv2d(channels, 16, 3, config, vb.pp("conv1"))?, batch_norm(16, 1e-5, vb.pp("bn1"))?);
            Ok([first, (conv2d(16, 32, 3, config, vb.pp("conv2"))?, batch_norm(32, 1e-5, vb.pp("bn2"))?)])
        },
        |blocks, x, ctx| {
            let mut h = x.clone();
            for (conv, bn) in blocks {
                h = ctx.block(bn.forward_t(&conv.forward(&h)?, ctx.batch_statistics())?.relu()?)?;
            }
            Ok(h.flatten_from(2)?.mean(2)?)
        },
    );
    builder.roles(Roles::new().block(0, "*1.*").block(1, "*2.*")).build(build, name, modality, shape)
}
