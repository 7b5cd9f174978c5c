//! The update rules, element by element, in the order of PyTorch's operations.

use std::cell::RefCell;

use candle_core::{CpuStorage, Error, InplaceOp2, Layout, Result, Tensor, Var, WithDType};

use super::OptimizerConfig;
use super::state::Slots;

/// Elements that one thread takes at least: below, a thread costs more than it brings.
const CHUNK: usize = 1 << 14;

/// One update of one parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update {
    pub(super) config: OptimizerConfig,
    pub(super) lr: f64,
    pub(super) weight_decay: f64,
    /// Updates of this parameter, this one included.
    pub(super) steps: u64,
}

impl Update {
    /// Changes the parameter's storage and its state.
    pub(super) fn apply(&self, var: &Var, gradient: &Tensor, slots: &mut Slots) -> Result<()> {
        var.inplace_op2(
            gradient,
            &InPlace {
                update: *self,
                slots: RefCell::new(slots),
            },
        )
    }

    fn run<T: Element>(&self, params: &mut [T], grads: &[T], slots: &mut [Vec<T>]) {
        let lr = T::from_f64(self.lr);
        let decay = T::from_f64(self.weight_decay);
        match self.config {
            OptimizerConfig::Sgd { .. } if slots.is_empty() => {
                each(params, grads, slots_of(slots), move |p, g, []| {
                    *p -= lr * (g + decay * *p)
                });
            }
            OptimizerConfig::Sgd { momentum, nesterov } => {
                let momentum = T::from_f64(momentum);
                each(params, grads, slots_of(slots), move |p, g, [buffer]| {
                    let g = g + decay * *p;
                    *buffer = momentum * *buffer + g;
                    *p -= lr
                        * if nesterov {
                            g + momentum * *buffer
                        } else {
                            *buffer
                        };
                });
            }
            OptimizerConfig::Adam { beta1, beta2, eps } => {
                let adam = Adam::new(beta1, beta2, eps, self.lr, self.steps);
                each(
                    params,
                    grads,
                    slots_of(slots),
                    move |p, g, [mean, square]| {
                        *p -= adam.change(g + decay * *p, mean, square);
                    },
                );
            }
            OptimizerConfig::AdamW { beta1, beta2, eps } => {
                let adam = Adam::new(beta1, beta2, eps, self.lr, self.steps);
                let keep = T::from_f64(1. - self.lr * self.weight_decay);
                each(
                    params,
                    grads,
                    slots_of(slots),
                    move |p, g, [mean, square]| {
                        *p = *p * keep - adam.change(g, mean, square);
                    },
                );
            }
            OptimizerConfig::RmsProp {
                alpha,
                eps,
                momentum,
                centered,
            } => {
                let rms = RmsProp::new(alpha, eps);
                let momentum_rate = T::from_f64(momentum);
                // A schedule may set a momentum of 0 for a while; the buffer is there all the same.
                let keeps_momentum = slots.len() == if centered { 3 } else { 2 };
                match (keeps_momentum, centered) {
                    (false, false) => {
                        each(params, grads, slots_of(slots), move |p, g, [square]| {
                            *p -= lr * rms.change(g + decay * *p, square, None);
                        })
                    }
                    (false, true) => each(
                        params,
                        grads,
                        slots_of(slots),
                        move |p, g, [square, mean]| {
                            *p -= lr * rms.change(g + decay * *p, square, Some(mean));
                        },
                    ),
                    (true, false) => each(
                        params,
                        grads,
                        slots_of(slots),
                        move |p, g, [square, buffer]| {
                            *buffer =
                                momentum_rate * *buffer + rms.change(g + decay * *p, square, None);
                            *p -= lr * *buffer;
                        },
                    ),
                    (true, true) => each(
                        params,
                        grads,
                        slots_of(slots),
                        move |p, g, [square, buffer, mean]| {
                            *buffer = momentum_rate * *buffer
                                + rms.change(g + decay * *p, square, Some(mean));
                            *p -= lr * *buffer;
                        },
                    ),
                }
            }
        }
    }
}

/// Adam's constants of one update.
#[derive(Clone, Copy)]
struct Adam<T> {
    one_minus_beta1: T,
    beta2: T,
    one_minus_beta2: T,
    eps: T,
    correction: T,
    rate: T,
}

impl<T: Element> Adam<T> {
    fn new(beta1: f64, beta2: f64, eps: f64, lr: f64, steps: u64) -> Self {
        let steps = steps as f64;
        Self {
            one_minus_beta1: T::from_f64(1. - beta1),
            beta2: T::from_f64(beta2),
            one_minus_beta2: T::from_f64(1. - beta2),
            eps: T::from_f64(eps),
            correction: T::from_f64((1. - beta2.powf(steps)).sqrt()),
            rate: T::from_f64(lr / (1. - beta1.powf(steps))),
        }
    }

    /// What is subtracted from the parameter.
    #[inline]
    fn change(&self, g: T, mean: &mut T, square: &mut T) -> T {
        *mean = lerp(*mean, g, self.one_minus_beta1);
        *square = *square * self.beta2 + self.one_minus_beta2 * g * g;
        self.rate * *mean / (square.sqrt() / self.correction + self.eps)
    }
}

/// RMSprop's constants.
#[derive(Clone, Copy)]
struct RmsProp<T> {
    alpha: T,
    one_minus_alpha: T,
    eps: T,
}

impl<T: Element> RmsProp<T> {
    fn new(alpha: f64, eps: f64) -> Self {
        Self {
            alpha: T::from_f64(alpha),
            one_minus_alpha: T::from_f64(1. - alpha),
            eps: T::from_f64(eps),
        }
    }

    /// The gradient over its root mean square, or over its deviation where a mean is kept.
    #[inline]
    fn change(&self, g: T, square: &mut T, mean: Option<&mut T>) -> T {
        *square = *square * self.alpha + self.one_minus_alpha * g * g;
        let mut variance = *square;
        if let Some(mean) = mean {
            *mean = lerp(*mean, g, self.one_minus_alpha);
            variance -= *mean * *mean;
        }
        g / (variance.sqrt() + self.eps)
    }
}

/// `start + weight · (end − start)`, computed from the nearer end as PyTorch does.
#[inline]
fn lerp<T: Element>(start: T, end: T, weight: T) -> T {
    if weight + weight < T::one() {
        start + weight * (end - start)
    } else {
        end - (end - start) * (T::one() - weight)
    }
}

trait Element: WithDType {
    fn sqrt(self) -> Self;
}

impl Element for f32 {
    #[inline]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
}

impl Element for f64 {
    #[inline]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
}

struct InPlace<'a> {
    update: Update,
    slots: RefCell<&'a mut Slots>,
}

impl InplaceOp2 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        param: &mut CpuStorage,
        l1: &Layout,
        grad: &CpuStorage,
        l2: &Layout,
    ) -> Result<()> {
        let not_contiguous = || Error::RequiresContiguous {
            op: "optimizer-step",
        };
        let (p0, p1) = l1.contiguous_offsets().ok_or_else(not_contiguous)?;
        let (g0, g1) = l2.contiguous_offsets().ok_or_else(not_contiguous)?;
        match (param, grad, &mut **self.slots.borrow_mut()) {
            (CpuStorage::F32(param), CpuStorage::F32(grad), Slots::F32(slots)) => {
                self.update.run(&mut param[p0..p1], &grad[g0..g1], slots);
            }
            (CpuStorage::F64(param), CpuStorage::F64(grad), Slots::F64(slots)) => {
                self.update.run(&mut param[p0..p1], &grad[g0..g1], slots);
            }
            _ => candle_core::bail!(
                "optimizer-step: parameter, gradient and state differ in their element type"
            ),
        }
        Ok(())
    }
}

fn slots_of<T, const N: usize>(slots: &mut [Vec<T>]) -> [&mut [T]; N] {
    let slots: &mut [Vec<T>; N] = slots
        .try_into()
        .expect("a rule is given the slots that it names");
    slots.each_mut().map(Vec::as_mut_slice)
}

/// Applies `rule` to each element of the parameter with its gradient and its state; all have the
/// same length.
fn each<T, const N: usize>(
    params: &mut [T],
    grads: &[T],
    slots: [&mut [T]; N],
    rule: impl Fn(&mut T, T, [&mut T; N]) + Copy + Send + Sync,
) where
    T: Element,
{
    let length = params.len();
    if length >= 2 * CHUNK {
        let (params, more_params) = params.split_at_mut(length / 2);
        let (grads, more_grads) = grads.split_at(length / 2);
        let mut halves = slots.map(|slot| slot.split_at_mut(length / 2));
        let slots = halves.each_mut().map(|(slot, _)| std::mem::take(slot));
        let more_slots = halves.map(|(_, slot)| slot);
        rayon::join(
            || each(params, grads, slots, rule),
            || each(more_params, more_grads, more_slots, rule),
        );
        return;
    }
    // Sliced once, so that the loop needs no bounds checks.
    let mut slots = slots.map(|slot| &mut slot[..length]);
    for (index, (param, grad)) in params.iter_mut().zip(&grads[..length]).enumerate() {
        rule(param, *grad, slots.each_mut().map(|slot| &mut slot[index]));
    }
}
