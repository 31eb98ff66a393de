//! Graph-based dynamic compression: capsules route a sequence of frames to nodes, a graph convolution joins the nodes.
//!
//! ```text
//! caps_ij = W_j x_i;   b_ij = 0 at first;   repeat:
//!   r_ij = softmax over j of b_ij,  N_j = sum_i r_ij caps_ij,  b_ij <- b_ij + <caps_ij, tanh N_j>
//! E = ReLU(N W_q (N W_k)^T / sqrt(width)),  D its row sums
//! H = N;   twice: H <- ReLU(D^-1/2 E D^-1/2 H W + b)
//! ```
//! As printed, W depends on the frame too; sharing it allows any length. A layer norm ends it. Sums of rows count as at
//! least 1e-6, so that a node without edges stays finite.

use aim_backbones::{Build, LayerNorm, Linear};
use aim_core::{Part, Pass, Result};
use candle_core::{DType, Tensor};

use super::ModsConfig;

/// Graph convolutions.
const CONVOLUTIONS: usize = 2;

pub(super) struct Gdc {
    capsules: Linear,
    query: Linear,
    key: Linear,
    convolutions: Vec<Linear>,
    norm: LayerNorm,
    nodes: usize,
    width: usize,
    iterations: usize,
}

impl Gdc {
    pub(super) fn new(build: &mut Build, name: &str, input: usize, config: &ModsConfig) -> Result<Self> {
        let ModsConfig { width, tokens: nodes, iterations, .. } = *config;
        let mut linear = |layer: &str, io: (usize, usize), bias| {
            build.linear(&format!("{name}.{layer}"), Part::Fusion, io.0, io.1, bias)
        };
        let square = (width, width);
        Ok(Self {
            capsules: linear("capsules", (input, nodes * width), false)?,
            query: linear("query", square, false)?,
            key: linear("key", square, false)?,
            convolutions: (0..CONVOLUTIONS)
                .map(|i| linear(&format!("graph.{i}"), square, true))
                .collect::<Result<_>>()?,
            norm: build.layer_norm(&format!("{name}.norm"), Part::Fusion, width)?.eps(crate::attention::EPS),
            nodes,
            width,
            iterations,
        })
    }

    /// Nodes `[B, nodes, width]` of frames `[B, T, input]`.
    pub(super) fn forward(&self, frames: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (batch, length, _) = frames.dims3()?;
        let capsules = self.capsules.forward(frames, pass)?.reshape((batch, length, self.nodes, self.width))?;
        let nodes = route(&capsules.transpose(1, 2)?.contiguous()?, self.iterations)?;
        self.norm.forward(&self.graph(nodes, pass)?, pass)
    }

    fn graph(&self, nodes: Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (query, key) = (self.query.forward(&nodes, pass)?, self.key.forward(&nodes, pass)?);
        let edges = edges(&query, &key)?;
        self.convolutions
            .iter()
            .try_fold(nodes, |h, layer| Ok(aim_ops::relu(&layer.forward(&edges.matmul(&h)?, pass)?)?))
    }
}

/// Nodes `[B, nodes, width]` of capsules `[B, nodes, T, width]`.
fn route(capsules: &Tensor, iterations: usize) -> Result<Tensor> {
    let (batch, nodes, length, _) = capsules.dims4()?;
    let gather = |logits: &Tensor| -> Result<Tensor> {
        let shares = aim_ops::softmax(logits)?.transpose(1, 2)?.contiguous()?;
        Ok(shares.unsqueeze(2)?.matmul(capsules)?.squeeze(2)?)
    };
    let mut logits = Tensor::zeros((batch, length, nodes), DType::F32, capsules.device())?;
    for _ in 1..iterations {
        let target = gather(&logits)?.tanh()?.unsqueeze(3)?;
        logits = (logits + capsules.matmul(&target)?.squeeze(3)?.transpose(1, 2)?)?;
    }
    gather(&logits)
}

/// The normalised edges `[B, nodes, nodes]`.
fn edges(query: &Tensor, key: &Tensor) -> Result<Tensor> {
    let scale = 1. / (query.dim(2)? as f64).sqrt();
    let edges = aim_ops::relu(&(query.matmul(&key.transpose(1, 2)?.contiguous()?)? * scale)?)?;
    let root = edges.sum_keepdim(2)?.maximum(1e-6)?.sqrt()?.recip()?;
    Ok(edges.broadcast_mul(&root)?.broadcast_mul(&root.transpose(1, 2)?.contiguous()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::Rng;
    use candle_core::Device;

    type Matrix = Vec<Vec<f32>>;

    /// The routing of one sample by loops; capsules by node, frame and component.
    fn by_loops(capsules: &[Matrix], iterations: usize) -> Matrix {
        let (nodes, length, width) = (capsules.len(), capsules[0].len(), capsules[0][0].len());
        let mut b = vec![vec![0f32; nodes]; length];
        let mut n = vec![vec![0f32; width]; nodes];
        for _ in 0..iterations {
            n.iter_mut().for_each(|node| node.fill(0.));
            for i in 0..length {
                let total: f32 = b[i].iter().map(|v| v.exp()).sum();
                for j in 0..nodes {
                    for k in 0..width {
                        n[j][k] += b[i][j].exp() / total * capsules[j][i][k];
                    }
                }
            }
            for i in 0..length {
                for j in 0..nodes {
                    b[i][j] += (0..width).map(|k| capsules[j][i][k] * n[j][k].tanh()).sum::<f32>();
                }
            }
        }
        n
    }

    fn close(got: &[Vec<f32>], want: &[Vec<f32>]) {
        let pairs = got.iter().flatten().zip(want.iter().flatten());
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5) && pairs.count() > 0, "{got:?} {want:?}");
    }

    #[test]
    fn routing_agrees_with_loops() {
        let capsules = Rng::keyed(1, "capsules").normal_tensor(&[2, 3, 5, 4], 1., &Device::Cpu).unwrap();
        for iterations in 1..5 {
            let found: Vec<Matrix> = route(&capsules, iterations).unwrap().to_vec3().unwrap();
            for (sample, found) in found.iter().enumerate() {
                let own: Vec<Matrix> = capsules.get(sample).unwrap().to_vec3().unwrap();
                close(found, &by_loops(&own, iterations));
            }
        }
    }

    #[test]
    fn routing_of_one_frame_to_two_nodes_by_hand() {
        // Capsules 1 and 2: N = (1/2, 1) at equal shares, b = (tanh 1/2, 2 tanh 1), shares e^b / (sum of e^b).
        let capsules = Tensor::new(&[[[[1f32]], [[2.]]]], &Device::Cpu).unwrap();
        let (a, b) = (0.5f32.tanh().exp(), (2. * 1f32.tanh()).exp());
        let found: Vec<Matrix> = route(&capsules, 2).unwrap().to_vec3().unwrap();
        close(&found[0], &[vec![a / (a + b)], vec![2. * b / (a + b)]]);
    }

    #[test]
    fn edges_by_hand() {
        let of = |x: [[f32; 1]; 2]| Tensor::new(&[x], &Device::Cpu).unwrap();
        let found: Vec<Matrix> = edges(&of([[2.], [-1.]]), &of([[2.], [-1.]])).unwrap().to_vec3().unwrap();
        // Scores q k^T are [[4, -2], [-2, 1]]; a negative one is no edge. Row sums 4 and 1 make 4 / (2 * 2) and 1.
        close(&found[0], &[vec![1., 0.], vec![0., 1.]]);
        // [[2, 1], [0, 0]]: sums 3 and 1e-6: 2 / 3, and 1 / sqrt(3e-6).
        let found: Vec<Matrix> = edges(&of([[1.], [0.]]), &of([[2.], [1.]])).unwrap().to_vec3().unwrap();
        assert!((found[0][0][0] - 2. / 3.).abs() < 1e-5 && found[0][1] == [0., 0.]);
        assert!((found[0][0][1] * (3e-6f32).sqrt() - 1.).abs() < 1e-4, "{found:?}");
    }
}
