//! What holds for all operations: the same bits for any number of threads, any layout, no gradient that nobody needs,
//! empty batches refused.

use candle_core::{Device, Result, Tensor, Var};

use super::{gradients, random, scattered, values};
use crate::{
    Act, Conv2d, Pool2d, attention, avg_pool2d, batch_norm_train, conv2d, gelu, global_avg_pool, layer_norm, linear,
    log_softmax, max_pool2d, multi_head_attention, relu, softmax,
};

type Op = fn(&[Tensor]) -> Result<Tensor>;

const POOL: Pool2d = Pool2d { kernel: 3, stride: 2, padding: 1 };
const CONV: Conv2d = Conv2d { stride: 2, padding: 1, groups: 2, dilation: 1 };

/// Each operation with shapes of its inputs, large enough for several threads.
const OPS: &[(&str, &[&[usize]], Op)] = &[
    ("conv2d", &[&[4, 16, 41, 39], &[36, 8, 3, 3], &[36]], |t| conv2d(&t[0], &t[1], Some(&t[2]), CONV)),
    ("linear", &[&[130, 70], &[260, 70], &[260]], |t| linear(&t[0], &t[1], Some(&t[2]))),
    ("batch norm", &[&[6, 17, 50, 21], &[17], &[17], &[6, 17, 50, 21]], |t| {
        Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::Relu, Some(&t[3]))?.0)
    }),
    ("layer norm", &[&[500, 130], &[130], &[130]], |t| layer_norm(&t[0], &t[1], &t[2], 1e-5)),
    ("attention", &[&[2, 3, 90, 20], &[2, 3, 70, 20], &[2, 3, 70, 33]], |t| attention(&t[0], &t[1], &t[2], None, 0.3)),
    ("multi-head attention", &[&[2, 90, 60], &[2, 70, 60], &[2, 70, 99]], |t| {
        multi_head_attention(&t[0], &t[1], &t[2], 3, None, 0.3)
    }),
    ("max pool", &[&[4, 9, 41, 40]], |t| max_pool2d(&t[0], POOL)),
    ("average pool", &[&[4, 9, 41, 40]], |t| avg_pool2d(&t[0], POOL)),
    ("global pool", &[&[4, 9, 41, 40]], |t| global_avg_pool(&t[0])),
    ("relu", &[&[90, 500]], |t| relu(&t[0])),
    ("gelu", &[&[90, 500]], |t| gelu(&t[0])),
    ("softmax", &[&[90, 500]], |t| softmax(&t[0])),
    ("log softmax", &[&[90, 500]], |t| log_softmax(&t[0])),
];

fn inputs(shapes: &[&[usize]]) -> Vec<Tensor> {
    shapes.iter().enumerate().map(|(i, s)| random(s, i as u64 + 1)).collect()
}

#[test]
fn results_are_the_same_bits_for_every_number_of_threads() {
    for (name, shapes, op) in OPS {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (y, grads) = gradients(&inputs(shapes), op);
                let all = std::iter::once(y).chain(grads.into_iter().flatten());
                all.map(|t| values(&t)).collect::<Vec<_>>()
            })
        };
        let one = run(1);
        assert!([2, 5].iter().all(|&n| run(n) == one), "{name}");
    }
}

#[test]
fn layouts_do_not_matter() {
    for (name, shapes, op) in OPS {
        let dense = inputs(shapes);
        let moved: Vec<Tensor> = dense.iter().map(scattered).collect();
        assert_eq!(values(&op(&dense).unwrap()), values(&op(&moved).unwrap()), "{name}");
    }
}

#[test]
fn inputs_that_are_constants_get_no_gradient() {
    for (name, shapes, op) in OPS.iter().filter(|(_, shapes, _)| shapes.len() > 1).take(2) {
        let mut all = inputs(shapes);
        let weight = Var::from_tensor(&all[1]).unwrap();
        all[1] = weight.as_tensor().clone();
        let grads = op(&all).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&weight).is_some() && grads.get(&all[0]).is_none(), "{name}");
    }
}

#[test]
fn empty_batches_are_errors_that_name_the_operation() {
    let empty = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let x = empty(&[0, 4, 5, 5]);
    let vector = random(&[4], 1);
    let says = |r: Result<Tensor>, op: &str| assert!(r.unwrap_err().to_string().contains(op));
    says(conv2d(&x, &random(&[2, 4, 3, 3], 1), None, Conv2d::default()), "conv2d");
    says(max_pool2d(&x, POOL), "max_pool2d");
    says(batch_norm_train(&x, &vector, &vector, 1e-5, Act::None, None).map(|r| r.0), "batch_norm_train");
    says(global_avg_pool(&x), "global_avg_pool");
    says(layer_norm(&empty(&[0, 4]), &vector, &vector, 1e-5), "layer_norm");
    says(softmax(&empty(&[0, 4])), "softmax");
}
