//! The three passes that a convolution and its transpose consist of: the output, the gradient of the
//! input, and that of the weight. Those in f32 take the faster way.

use rayon::prelude::*;

use crate::autograd::element::Element;
use crate::conv2d::direct::Epilogue;
use crate::conv2d::packed_weights::PackedWeights;
use crate::conv2d::plan::Plan;
use crate::conv2d::wide_pixels::WidePixels;
use crate::conv2d::winograd::Matrices;
use crate::conv2d::{
    Convolution, MAX_SCRATCH, depthwise, depthwise_direct, direct, general, weight_gradient,
    winograd,
};

/// Pixels per parallel task that adds the bias.
const BIAS_PIXELS: usize = 1024;

impl Convolution {
    /// The output, with a bias of its channels.
    pub(crate) fn output<T: Element>(&self, xs: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let mut ys = vec![T::zero(); self.batch * self.output_pixels() * self.c_out];
        if self.is_depthwise() {
            depthwise::forward(self, xs, weight, &mut ys);
        } else {
            general::forward(self, xs, weight, &mut ys);
        }
        add_bias(&mut ys, bias);
        ys
    }

    /// The gradient of the input, with a bias of its channels where that is the output of a
    /// transposed convolution.
    pub(crate) fn grad_input<T: Element>(
        &self,
        grad: &[T],
        weight: &[T],
        bias: Option<&[T]>,
    ) -> Vec<T> {
        let mut grad_xs = vec![T::zero(); self.batch * self.input_pixels() * self.c_in];
        if self.is_depthwise() {
            depthwise::grad_input(self, weight, grad, &mut grad_xs);
        } else {
            general::grad_input(self, weight, grad, &mut grad_xs);
        }
        add_bias(&mut grad_xs, bias);
        grad_xs
    }

    /// The gradient of the weight.
    pub(crate) fn grad_weight<T: Element>(&self, xs: &[T], grad: &[T]) -> Vec<T> {
        if self.is_depthwise() {
            depthwise::grad_weight(self, xs, grad)
        } else {
            general::grad_weight(self, xs, grad)
        }
    }

    /// [`Convolution::output`] in f32.
    pub(crate) fn output_f32(&self, xs: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        self.follow(&Plan::forward(self), xs, weight, bias)
            .unwrap_or_else(|| self.output(xs, weight, bias))
    }

    /// [`Convolution::grad_input`] in f32.
    pub(crate) fn grad_input_f32(
        &self,
        grad: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        self.follow(&Plan::backward(self), grad, weight, bias)
            .unwrap_or_else(|| self.grad_input(grad, weight, bias))
    }

    /// [`Convolution::grad_weight`] in f32.
    pub(crate) fn grad_weight_f32(&self, xs: &[f32], grad: &[f32]) -> Vec<f32> {
        if self.is_depthwise() {
            return depthwise_direct::grad_weight(self, xs, grad);
        }
        if direct::least_scratch(&Plan::forward(self)) > MAX_SCRATCH {
            return self.grad_weight(xs, grad);
        }
        weight_gradient::grad_weight(self, xs, grad)
    }

    /// The target of one of its plans from the source; `None` where that would take absurd memory.
    fn follow(
        &self,
        plan: &Plan,
        source: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Option<Vec<f32>> {
        let epilogue = Epilogue::bias(bias);
        if self.is_depthwise() {
            let weights = depthwise_direct::pack(plan, weight);
            return Some(depthwise_direct::convolve(plan, source, &weights, epilogue));
        }
        if direct::least_scratch(plan) > MAX_SCRATCH {
            return None;
        }
        if let Some(wide) = WidePixels::of(plan) {
            return Some(wide.convolve(source, weight, bias));
        }
        if winograd::suits(plan, false) {
            let weights = PackedWeights::new(plan, weight);
            let matrices = Matrices::new(plan, &weights);
            return Some(winograd::convolve(plan, source, &matrices, epilogue));
        }
        let weights = PackedWeights::new(plan, weight);
        Some(direct::convolve(plan, source, &weights, epilogue))
    }
}

/// Adds a bias or none to each pixel.
fn add_bias<T: Element>(ys: &mut [T], bias: Option<&[T]>) {
    let Some(bias) = bias else {
        return;
    };
    let channels = bias.len();
    ys.par_chunks_mut(channels * BIAS_PIXELS).for_each(|ys| {
        for pixel in ys.chunks_exact_mut(channels) {
            pixel.iter_mut().zip(bias).for_each(|(y, &b)| *y += b);
        }
    });
}
