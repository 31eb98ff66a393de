//! Cases that check one quantity of a method, computed from supplied tensors.

use std::collections::BTreeMap;

use aim_balance::{
    aggregate, arm,
    arm::Information,
    asgml::{Asgml, Probe, Scales},
    aug::{self, Aug},
    di_mml, dnr, gblend, igm, pmr, remix,
};
use aim_core::Result;
use candle_core::{DType, Device, Tensor};

use crate::case::Case;

type Got = BTreeMap<String, Tensor>;

pub(crate) fn run(case: &Case) -> Result<Got> {
    match case.spec.method.as_str() {
        "aggregation" => aggregation(case),
        "arm_quantities" => arm(case),
        "dnr_reinit" => relearning(case),
        "gblend_weights" => gblend(case),
        "igm_matrix" => flat_directions(case),
        "pmr_prototype" => prototype(case),
        "asgml_scales" => scales(case),
        "asgml_probe" => probe(case),
        "aug_assignment" => growth(case),
        "dimml_dimensions" => dimensions(case),
        "dimml_fusion" => fusion(case),
        "remix_assignment" => assignment(case),
        other => Err(case.invalid(format!("there is no numeric function `{other}`"))),
    }
}

fn vector(values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::new(values, &Device::Cpu)?)
}

fn f64_of(case: &Case, key: &str) -> Result<Tensor> {
    Ok(case.batch(key)?.to_dtype(DType::F64)?)
}

fn aggregation(case: &Case) -> Result<Got> {
    let grads = f64_of(case, "grads")?;
    let gram = grads.matmul(&grads.t()?)?;
    let products = gram.to_vec2::<f64>()?;
    let order = case.batch("order")?.to_vec2::<i64>()?;
    let order: Vec<Vec<usize>> = order.iter().map(|row| row.iter().map(|j| *j as usize).collect()).collect();
    let mut got = Got::from([("gram".to_owned(), gram)]);
    let mut add = |name: String, factors: &[f64], weights: Option<&[f64]>| -> Result<()> {
        let sum = Tensor::new(factors, &Device::Cpu)?.unsqueeze(0)?.matmul(&grads)?.squeeze(0)?;
        if let Some(weights) = weights {
            got.insert(format!("{name}.weights"), vector(weights)?);
        }
        got.insert(name, sum);
        Ok(())
    };
    add("pcgrad".into(), &aggregate::pcgrad(&products, &order), None)?;
    let mgda = aggregate::mgda(&products);
    add("mgda".into(), &mgda, Some(&mgda))?;
    let imtl = aggregate::imtl(&products)?;
    add("imtl".into(), &imtl, Some(&imtl))?;
    // The expected keys say which radius and rescaling are wanted: `cagrad_c<c>_r<rescale>`.
    for key in case.expected.keys().filter(|k| !k.ends_with(".weights")) {
        let Some((c, rescale)) = key.strip_prefix("cagrad_c").and_then(|k| k.split_once("_r")) else { continue };
        let (Ok(c), Ok(rescale)) = (c.parse(), rescale.parse()) else { continue };
        let (factors, dual) = aggregate::cagrad(&products, c, rescale);
        add(key.clone(), &factors, Some(&dual))?;
    }
    Ok(got)
}

fn numbers(case: &Case, key: &str) -> Result<Vec<f64>> {
    Ok(f64_of(case, key)?.flatten_all()?.to_vec1()?)
}

fn setting(case: &Case, key: &str) -> Result<f64> {
    let value = case.spec.hyper.get(key).and_then(serde_json::Value::as_f64);
    value.ok_or_else(|| case.invalid(format!("hyper has no number `{key}`")))
}

fn gblend(case: &Case) -> Result<Got> {
    let losses = |when: &str| -> Result<(Vec<f64>, Vec<f64>)> {
        Ok((numbers(case, &format!("train_{when}"))?, numbers(case, &format!("val_{when}"))?))
    };
    let (before, after) = (losses("before")?, losses("after")?);
    let least = if case.spec.hyper.contains_key("eps") { setting(case, "eps")? } else { gblend::LEAST };
    let estimate = gblend::estimate((&before.0, &before.1), (&after.0, &after.1), least);
    Ok(Got::from([
        ("dG".into(), vector(&estimate.gain)?),
        ("dO".into(), vector(&estimate.overfitting)?),
        ("weight".into(), vector(&estimate.weights)?),
    ]))
}

fn prototype(case: &Case) -> Result<Got> {
    let labels = case.batch("y")?.to_dtype(DType::U32)?;
    let (means, seen) = pmr::class_means(case.batch("feature")?, &labels, setting(case, "classes")? as usize)?;
    let proto = pmr::moved(case.batch("proto_old")?, &means, &seen, setting(case, "momentum")?)?;
    Ok(Got::from([("class_mean".into(), means), ("proto".into(), proto)]))
}

fn arm(case: &Case) -> Result<Got> {
    let (fused, weight) = (f64_of(case, "f")?, f64_of(case, "head.weight")?);
    let (bias, labels) = (f64_of(case, "head.bias")?, case.batch("y")?.to_dtype(DType::U32)?.unsqueeze(1)?);
    let (bins, bins_cmi) = (setting(case, "bins")? as usize, setting(case, "bins_cmi")? as usize);
    let probability = |x: &Tensor| -> Result<f64> {
        let logits = x.matmul(&weight.t()?)?.broadcast_add(&bias)?;
        let exp = logits.broadcast_sub(&logits.max_keepdim(1)?)?.exp()?;
        let p = exp.broadcast_div(&exp.sum_keepdim(1)?)?;
        Ok(p.gather(&labels, 1)?.mean_all()?.to_scalar()?)
    };
    let p_fused = probability(&fused)?;
    let mut got = Got::new();
    let mut add = |name: String, value: f64| -> Result<()> {
        got.insert(name, Tensor::new(value, &Device::Cpu)?);
        Ok(())
    };
    add("P.f".into(), p_fused)?;
    let mut contributions = vec![];
    let pair = ["audio", "visual"];
    for (m, name) in pair.into_iter().enumerate() {
        let (own, other) = (format!("z.{name}"), format!("z.{}", pair[1 - m]));
        let i = Information::of(&numbers(case, &own)?, &numbers(case, &other)?, &numbers(case, "f")?, bins, bins_cmi);
        let (p, p_other) = (probability(&f64_of(case, &own)?)?, probability(&f64_of(case, &other)?)?);
        contributions.push(i.contribution(p_fused, p_other));
        let all = [
            ("P", p),
            ("entropy", i.entropy),
            ("mi", i.mutual),
            ("nmi", i.normalised),
            ("cmi", i.conditional),
            ("ncmi", i.conditional_normalised),
            ("ii", i.interaction()),
            ("C", contributions[m]),
        ];
        all.into_iter().try_for_each(|(key, value)| add(format!("{key}.{name}"), value))?;
    }
    for (m, name) in pair.into_iter().enumerate() {
        add(format!("scale.{name}"), arm::scale(contributions[m], contributions[1 - m]))?;
    }
    Ok(got)
}

fn relearning(case: &Case) -> Result<Got> {
    let mut got = Got::new();
    let indices = |key: &str| -> Result<Vec<usize>> {
        let values = case.batch(key)?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        Ok(values.into_iter().map(|i| i as usize).collect())
    };
    for key in case.batch.keys() {
        let Some(name) = key.strip_prefix("theta.") else { continue };
        let purity = |split: &str| -> Result<f64> {
            let labels = indices(&format!("y.{split}")).or_else(|_| indices("y"))?;
            Ok(dnr::purity(&indices(&format!("cluster.{name}.{split}"))?, &labels))
        };
        let (train, val) = (purity("train")?, purity("val")?);
        let w = dnr::weight(setting(case, "lambda")?, train - val);
        let theta = dnr::pulled(&f64_of(case, &format!("theta_init.{name}"))?, &f64_of(case, key)?, w)?;
        let scalars =
            [(format!("purity.{name}.train"), train), (format!("purity.{name}.val"), val), (format!("w.{name}"), w)];
        for (key, value) in scalars {
            got.insert(key, Tensor::new(value, &Device::Cpu)?);
        }
        got.insert(format!("theta_new.{name}"), theta);
        got.insert(format!("scaled.{name}"), dnr::scaled(case.batch(&format!("feature.{name}"))?)?);
    }
    Ok(got)
}

fn flat_directions(case: &Case) -> Result<Got> {
    let batches = case.batch("feature")?.to_dtype(DType::F64)?.to_vec3::<f64>()?;
    let kind = case.spec.hyper.get("covariance").cloned().unwrap_or_else(|| "batch_mean".into());
    let kind = serde_json::from_value(kind).map_err(|e| case.invalid(format!("hyper.covariance: {e}")))?;
    let width = batches[0][0].len();
    let mut covariance = vec![vec![0.; width]; width];
    batches.iter().for_each(|batch| igm::accumulate(&mut covariance, batch, kind));
    let (eigenvalues, matrix) = igm::matrix(&covariance, setting(case, "tau")?);
    let steps = (3 * width - 1) as f64;
    let gradient: Vec<f64> = (0..3 * width).map(|i| -1. + 2. * i as f64 / steps).collect();
    let matrix = Tensor::new(matrix, &Device::Cpu)?;
    let projected = Tensor::from_vec(gradient, (3, width), &Device::Cpu)?.matmul(&matrix)?;
    Ok(Got::from([
        ("covariance".into(), Tensor::new(covariance, &Device::Cpu)?),
        ("eigenvalues".into(), vector(&eigenvalues)?),
        ("T".into(), matrix),
        ("projected".into(), projected),
    ]))
}

fn boost(case: &Case) -> Result<Asgml> {
    let or = |key: &str, default: f64| if case.spec.hyper.contains_key(key) { setting(case, key) } else { Ok(default) };
    let own = Asgml::default();
    Ok(Asgml {
        alpha: or("alpha", own.alpha)?,
        scale_max: or("scale_max", own.scale_max)?,
        scale_ema: or("scale_ema", own.scale_ema)?,
        accuracy_ema: or("accuracy_ema", own.accuracy_ema)?,
        probe_lr: or("probe_lr", own.probe_lr)?,
        probe_steps: or("probe_steps", own.probe_steps as f64)? as usize,
        ..own
    })
}

fn scales(case: &Case) -> Result<Got> {
    let (settings, rows) = (boost(case)?, f64_of(case, "accuracy")?.to_vec2::<f64>()?);
    let mut scales = Scales::new(rows.first().map_or(0, Vec::len));
    let mut seen: [Vec<Vec<f64>>; 3] = Default::default();
    for row in &rows {
        scales.learn(row, &settings);
        let now = [&scales.average, &scales.target, &scales.scale];
        seen.iter_mut().zip(now).for_each(|(all, now)| all.push(now.clone()));
    }
    let names = ["average", "target", "scale"].into_iter().zip(seen);
    names.map(|(name, rows)| Ok((name.into(), Tensor::new(rows, &Device::Cpu)?))).collect()
}

fn probe(case: &Case) -> Result<Got> {
    let settings = boost(case)?;
    let mut probe = Probe::from_weights(case.batch("probe.weight")?.clone(), case.batch("probe.bias")?.clone())?;
    let labels = case.batch("y")?.to_dtype(DType::U32)?;
    let measured = probe.measure(case.batch("feature")?, &labels, &settings)?;
    let measured = measured.ok_or_else(|| case.invalid("has fewer than two samples"))?;
    Ok(Got::from([
        ("probe_after.weight".into(), probe.weight),
        ("probe_after.bias".into(), probe.bias),
        ("accuracy".into(), Tensor::new(measured.accuracy, &Device::Cpu)?),
        ("loss".into(), Tensor::new(measured.loss, &Device::Cpu)?),
    ]))
}

/// The names of a numeric case's modalities, in order.
fn modalities(case: &Case) -> Result<Vec<String>> {
    let names = case.spec.hyper.get("modalities").and_then(|names| serde_json::from_value(names.clone()).ok());
    names.ok_or_else(|| case.invalid("hyper has no list `modalities`"))
}

/// Whole numbers as the expected files have them.
fn whole(values: impl Iterator<Item = usize>) -> Result<Tensor> {
    Ok(Tensor::new(values.map(|value| value as i64).collect::<Vec<_>>(), &Device::Cpu)?)
}

fn dimensions(case: &Case) -> Result<Got> {
    let (labels, mut got) = (case.batch("y")?.to_dtype(DType::U32)?.to_vec1::<u32>()?, Got::new());
    for name in modalities(case)? {
        let features = case.batch(&format!("feature.{name}"))?;
        let found = di_mml::separate(features, &labels, setting(case, "classes")? as usize)?;
        got.insert(format!("rate.{name}"), vector(&found.rate)?);
        got.insert(format!("effective.{name}"), whole(found.effective.into_iter().map(usize::from))?);
    }
    Ok(got)
}

/// DI-MML's prediction of its modalities, and of the fused head where the case has its logits. No public case names the
/// quantities: settings, inputs and results are called as in the cases of its other functions and of its steps.
fn fusion(case: &Case) -> Result<Got> {
    let key = if case.spec.hyper.contains_key("fuse_temperature") { "fuse_temperature" } else { "temperature" };
    let (mut names, temperature) = (modalities(case)?, setting(case, key)?);
    let of = |key: &str| Ok(case.batch(key)?.to_dtype(DType::F32)?);
    let unimodal = names.iter().map(|name| of(&format!("logits.{name}"))).collect::<Result<Vec<_>>>()?;
    let fused = ["logits.fused", "logits"].into_iter().find(|key| case.batch.contains_key(*key));
    let fused = fused.map(of).transpose()?;
    names.extend(fused.is_some().then(|| "fused".to_owned()));
    let all: Vec<Tensor> = unimodal.iter().chain(&fused).cloned().collect();
    let weight = di_mml::certainty(&all, temperature, None)?;
    let mut got = Got::from([("logits".into(), di_mml::combined(&unimodal, fused, temperature, None)?)]);
    for (k, name) in names.iter().enumerate() {
        got.insert(format!("weight.{name}"), weight.narrow(1, k, 1)?.squeeze(1)?);
    }
    got.insert("weight".into(), weight);
    Ok(got)
}

fn growth(case: &Case) -> Result<Got> {
    let rule = case.spec.hyper.get("rule").cloned().unwrap_or_default();
    let rule = serde_json::from_value(rule).map_err(|e| case.invalid(format!("hyper.rule: {e}")))?;
    let settings = Aug { rule, sigma: setting(case, "sigma")?, tau: setting(case, "tau")?, ..Aug::default() };
    let scores = f64_of(case, "score")?.to_vec2::<f64>()?;
    let added: Vec<i64> = scores.iter().map(|row| aug::behind(row, &settings).map_or(-1, |m| m as i64)).collect();
    Ok(Got::from([("added".into(), Tensor::new(added, &Device::Cpu)?)]))
}

fn assignment(case: &Case) -> Result<Got> {
    let names = modalities(case)?;
    let of = |name: &String| remix::divergences(case.batch(&format!("logits.{name}"))?);
    let divergences = names.iter().map(of).collect::<Result<Vec<_>>>()?;
    let given = remix::weakest(&divergences);
    let count = whole((0..names.len()).map(|m| given.iter().filter(|own| **own == m).count()))?;
    let mut got = Got::from([("count".into(), count), ("assigned".into(), whole(given.into_iter())?)]);
    for (name, own) in names.iter().zip(&divergences) {
        got.insert(format!("kl.{name}"), vector(own)?);
    }
    Ok(got)
}
