//! The noise of OGM-GE, of which a golden case can say nothing: what it adds to the gradients of OGM.

use aim_tests::{MODALITIES, flat, gradient, small};

#[test]
fn noise_has_the_spread_of_the_gradient_before_scaling_and_reaches_the_weights_of_encoders_alone() {
    let (net, samples) = small("fusion: concat");
    let (ogm, before) = (gradient("ogm", &net, &samples, 0).0, gradient("joint", &net, &samples, 0).0);
    let epochs = 0..50;
    let noisy: Vec<_> = epochs.map(|epoch| flat(&gradient("ogm-ge", &net, &samples, epoch).0)).collect();
    for (i, ((name, scaled), (_, raw))) in flat(&ogm).iter().zip(flat(&before)).enumerate() {
        let added = noisy.iter().flat_map(|grads| grads[i].1.iter().zip(scaled).map(|(a, b)| f64::from(a - b)));
        let added: Vec<f64> = added.collect();
        let mean = |power: i32| added.iter().map(|x| x.powi(power)).sum::<f64>() / added.len() as f64;
        if !MODALITIES.iter().any(|m| *name == format!("encoders.{m}.blocks.0.weight")) {
            assert!(added.iter().all(|x| *x == 0.), "{name}: {added:?}");
            continue;
        }
        let n = raw.len() as f64;
        let centre = raw.iter().map(|g| f64::from(*g)).sum::<f64>() / n;
        let spread = (raw.iter().map(|g| (f64::from(*g) - centre).powi(2)).sum::<f64>() / (n - 1.)).sqrt();
        // 600 draws: five standard errors of a mean, and of a mean square, of normal draws.
        let draws = added.len() as f64;
        assert_eq!(draws, 50. * 12.);
        assert!(mean(1).abs() < 5. * spread / draws.sqrt(), "{name}: mean {}", mean(1));
        assert!((mean(2) / spread.powi(2) - 1.).abs() < 5. * (2. / draws).sqrt(), "{name}: {} {spread}", mean(2));
    }
}
