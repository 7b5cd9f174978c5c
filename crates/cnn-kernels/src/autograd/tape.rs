//! The bridge to candle's autograd: candle decides in which order the operations go backward, the
//! gradients of maps travel beside its graph.
//!
//! candle adds each gradient to a tensor of zeros, two passes and two allocations for every map,
//! and keeps all inputs and outputs alive. So its graph sees one number in place of a map, the
//! handle, and each operation leaves the gradients of its input maps in their [`Slot`]s: moved, not
//! copied, and summed only where there are several. The gradients of parameters are candle's as
//! always. A graph goes backward on one thread at a time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor,
    TensorId,
};

use crate::FeatureMap;
use crate::autograd::element::Element;
use crate::autograd::feature_map::Held;
use crate::autograd::gradient::{Gradient, Slot};
use crate::autograd::kernel::{Backward, Cost, Inputs, Kernel, Wanted, op_time, with_slices};
use crate::machine::profile::{self, Pass, timed};
use crate::machine::recycle::Buffer;

/// The gradients of a loss, as `loss.backward()` gives them, with less work: those of variables
/// that operations of this crate read are handed over as they are, where candle adds each to a
/// tensor of zeros, and does so on threads of its own that go on spinning beside these operations'.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use cnn_kernels::{Conv2dSpec, FeatureMap, backward, conv2d};
///
/// let weight = Var::ones((1, 1, 2, 2), DType::F64, &Device::Cpu)?;
/// let image =
///     FeatureMap::from_nchw(&Tensor::arange(0f64, 4., &Device::Cpu)?.reshape((1, 1, 2, 2))?)?;
/// let loss = conv2d(&image, &weight, None, &Conv2dSpec::default())?
///     .flatten()?
///     .sum_all()?;
/// let gradient = backward(&loss)?
///     .remove(&weight)
///     .expect("the loss depends on it");
/// assert_eq!(gradient.flatten_all()?.to_vec1::<f64>()?, [0., 1., 2., 3.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If an operation's backward pass fails.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let collecting = Collecting::start();
    let result = loss.backward();
    let collected = collecting.end();
    let mut store = result?;
    for (id, gradient) in collected {
        // Operations of candle's own may have read the variable too.
        let gradient = match store.get_id(id) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        store.insert_id(id, gradient);
    }
    Ok(store)
}

thread_local! {
    /// The gradients of variables, while [`backward`] runs on this thread.
    static OF_VARIABLES: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// While it lives, gradients of variables are collected; what was collected before comes back at
/// its end, a panic included.
struct Collecting(Option<HashMap<TensorId, Tensor>>);

impl Collecting {
    fn start() -> Self {
        Self(OF_VARIABLES.replace(Some(HashMap::new())))
    }

    fn end(self) -> HashMap<TensorId, Tensor> {
        OF_VARIABLES.take().unwrap_or_default()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        OF_VARIABLES.set(self.0.take());
    }
}

/// Keeps the gradient of a variable if somebody collects them; else it goes candle's way.
fn collected(tensor: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    OF_VARIABLES.with_borrow_mut(|collected| match collected {
        Some(collected) if tensor.is_variable() => {
            let sum = match collected.remove(&tensor.id()) {
                Some(other) => (other + gradient)?,
                None => gradient,
            };
            collected.insert(tensor.id(), sum);
            Ok(None)
        }
        _ => Ok(Some(gradient)),
    })
}

/// A map's place in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What candle sees.
    handle: Tensor,
    gradient: Slot,
}

/// What a handle holds; not nothing, because candle leaves sums of nothing out of the graph.
fn number() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.]), Shape::from(1))
}

fn number_tensor() -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, &Device::Cpu)
}

/// The output of a kernel as a map, with a place in the graph if an input has one.
pub(crate) fn record<K: Kernel>(
    kernel: K,
    maps: &[&FeatureMap],
    parameters: &[Tensor],
    output: Tensor,
) -> Result<FeatureMap> {
    let handles = maps
        .iter()
        .filter_map(|map| map.node())
        .map(|node| Ok(node.handle.clone()));
    let handle = handles.reduce(|sum, handle| sum? + handle?).transpose()?;
    let dtype = output.dtype();
    let output = Held::ours(output);
    if handle.is_none() && !parameters.iter().any(Tensor::track_op) {
        return Ok(FeatureMap::wrap(output, None));
    }
    let saved = kernel.saved();
    let gradient = Slot::default();
    let inputs = maps.iter().enumerate().map(|(index, map)| Input {
        values: saved.input(index).then(|| map.held().clone()),
        elements: map.values().elem_count(),
        gradient: map.node().map(|node| node.gradient.clone()),
    });
    let inputs = inputs.collect();
    let op = Op {
        kernel,
        inputs,
        output: saved.output().then(|| output.clone()),
        dtype,
        gradient: gradient.clone(),
        label: profile::label(),
    };
    let handle = handle.map_or_else(number_tensor, Ok)?;
    let handle = match parameters {
        [] => handle.apply_op1(op),
        [a] => handle.apply_op2(a, op),
        [a, b] => handle.apply_op3(a, b, op),
        _ => unreachable!("kernels take at most two parameters"),
    }?;
    Ok(FeatureMap::wrap(output, Some(Node { handle, gradient })))
}

/// A kernel that has run.
struct Op<K> {
    kernel: K,
    inputs: Vec<Input>,
    output: Option<Arc<Held>>,
    dtype: DType,
    gradient: Slot,
    label: String,
}

struct Input {
    values: Option<Arc<Held>>,
    elements: usize,
    /// Of a tracked map.
    gradient: Option<Slot>,
}

impl<K: Kernel> Op<K> {
    /// Leaves the gradients of the maps in their slots; returns that of the handle and those of the
    /// parameters.
    fn backward(&self, parameters: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        match self.dtype {
            DType::F32 => self.backward_as::<f32>(parameters),
            _ => self.backward_as::<f64>(parameters),
        }
    }

    fn backward_as<T: Element>(&self, parameters: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        let tracked = self.inputs.iter().map(|input| input.gradient.is_some());
        let wanted: Vec<bool> = tracked
            .chain(parameters.iter().map(|parameter| parameter.track_op()))
            .collect();
        let elements = self.kernel.output_shape().iter().product();
        let grad = self
            .gradient
            .take::<T>()
            .unwrap_or_else(|| Buffer::shared(vec![T::zero(); elements]));
        let nothing = Tensor::zeros(0, self.dtype, &Device::Cpu)?;
        let values = self.inputs.iter().map(|input| input.values.as_ref());
        let held = values.chain([self.output.as_ref()]);
        let mut tensors: Vec<&Tensor> = held
            .map(|held| held.map_or(&nothing, |held| held.tensor()))
            .collect();
        // In the kernel's order: maps, parameters, and the output at the end.
        let maps = self.inputs.len();
        tensors.splice(maps..maps, parameters.iter().copied());
        let grads = with_slices(K::NAME, &tensors, |slices| {
            let (inputs, output) = slices.split_at(wanted.len());
            self.timed_backward(inputs, output[0], Gradient::Shared(grad), &wanted)
        })?;
        let mut grads = grads.into_iter();
        for (input, grad) in self.inputs.iter().zip(&mut grads) {
            if let (Some(slot), Some(grad)) = (&input.gradient, grad) {
                slot.add(grad);
            }
        }
        let of_handle = wanted[..self.inputs.len()]
            .contains(&true)
            .then(number_tensor)
            .transpose()?;
        let of_parameters = grads.zip(parameters).map(|(grad, parameter)| {
            let Some(grad) = grad else { return Ok(None) };
            collected(
                parameter,
                Tensor::from_vec(
                    Buffer::into_vec(grad),
                    parameter.shape(),
                    parameter.device(),
                )?,
            )
        });
        [Ok(of_handle)].into_iter().chain(of_parameters).collect()
    }
}

impl<K: Kernel> Op<K> {
    /// The kernel's backward pass; under the clock, those with multiply-adds compute their
    /// gradients one after the other.
    fn timed_backward<T: Element>(
        &self,
        inputs: &[&[T]],
        output: &[T],
        grad: Gradient<'_, T>,
        wanted: &[bool],
    ) -> Vec<Option<Arc<Buffer<T>>>> {
        let maps = self.inputs.len();
        let part = |pass: Pass, grad: Gradient<'_, T>, wanted: &[bool]| {
            let time = || {
                let elements = |range: Range<usize>| {
                    inputs[range]
                        .iter()
                        .map(|values| values.len())
                        .sum::<usize>()
                };
                let of_maps = self
                    .inputs
                    .iter()
                    .zip(wanted)
                    .filter(|(_, wanted)| **wanted);
                let written = of_maps.map(|(input, _)| input.elements).sum();
                let parameters = elements(maps..inputs.len());
                let saved = elements(0..maps) + output.len();
                // The gradient of the input follows from that of the output and the parameters
                // alone where they are told apart.
                let (read, once) = match pass {
                    Pass::Backward => (saved + grad.len(), 2 * parameters),
                    Pass::InputGradient => (grad.len(), parameters),
                    _ => (saved + grad.len(), parameters),
                };
                let cost = Cost {
                    read,
                    once,
                    written,
                };
                op_time(&self.kernel, pass, &self.label, T::DTYPE, &cost)
            };
            let time = profile::is_watched().then(time);
            timed(
                || time.expect("somebody watches"),
                || {
                    let pass = Backward {
                        inputs: Inputs::new(&self.kernel, inputs),
                        output,
                        grad,
                        wanted: Wanted::new(&self.kernel, wanted),
                    };
                    T::backward(&self.kernel, pass)
                },
            )
        };
        if !profile::is_watched() || self.kernel.multiply_adds() == 0 {
            return part(Pass::Backward, grad, wanted);
        }
        let only = |range: Range<usize>| -> Vec<bool> {
            wanted
                .iter()
                .enumerate()
                .map(|(index, wanted)| *wanted && range.contains(&index))
                .collect()
        };
        let mut grads = vec![None; wanted.len()];
        for (pass, range) in [
            (Pass::InputGradient, 0..maps),
            (Pass::ParameterGradient, maps..wanted.len()),
        ] {
            let wanted = only(range.clone());
            if wanted.contains(&true) {
                let parts = part(pass, Gradient::Borrowed(&grad), &wanted);
                parts
                    .into_iter()
                    .enumerate()
                    .skip(range.start)
                    .take(range.len())
                    .for_each(|(i, part)| grads[i] = part);
            }
        }
        grads
    }
}

impl<K: Kernel> CustomOp1 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(number())
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.backward(&[])?.pop().flatten())
    }
}

impl<K: Kernel> CustomOp2 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(number())
    }
    fn bwd(
        &self,
        _: &Tensor,
        a: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(&[a])?.into_iter();
        Ok((grads.next().flatten(), grads.next().flatten()))
    }
}

impl<K: Kernel> CustomOp3 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(number())
    }
    fn bwd(
        &self,
        _: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(&[a, b])?.into_iter();
        Ok((
            grads.next().flatten(),
            grads.next().flatten(),
            grads.next().flatten(),
        ))
    }
}

/// The values of a contiguous tensor as a map, with a place in the graph if the tensor is tracked.
/// Types and devices that no kernel takes stay in candle's graph.
pub(crate) fn enter(xs: &Tensor) -> Result<FeatureMap> {
    if !xs.track_op() || !xs.device().is_cpu() || !matches!(xs.dtype(), DType::F32 | DType::F64) {
        return Ok(FeatureMap::wrap(Held::lent(xs.clone()), None));
    }
    let gradient = Slot::default();
    let handle = xs.apply_op1(Enter(gradient.clone()))?;
    Ok(FeatureMap::wrap(
        Held::lent(xs.detach()),
        Some(Node { handle, gradient }),
    ))
}

/// A map's values as a tensor of candle's graph.
pub(crate) fn leave(map: &FeatureMap) -> Result<Tensor> {
    match map.node() {
        None => Ok(map.held().share()),
        Some(node) => {
            let op = Leave {
                values: map.held().clone(),
                gradient: node.gradient.clone(),
            };
            node.handle.apply_op1(op)
        }
    }
}

/// From a tensor to a map.
struct Enter(Slot);

impl Enter {
    fn gradient<T: Element>(&self, xs: &Tensor) -> Result<Option<Tensor>> {
        match self.0.take::<T>() {
            None => Ok(Some(xs.zeros_like()?)),
            Some(grad) => collected(
                xs,
                Tensor::from_vec(Buffer::into_vec(grad), xs.shape(), xs.device())?,
            ),
        }
    }
}

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "feature_map"
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(number())
    }
    fn bwd(&self, xs: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        match xs.dtype() {
            DType::F64 => self.gradient::<f64>(xs),
            _ => self.gradient::<f32>(xs),
        }
    }
}

/// From a map to a tensor.
struct Leave {
    values: Arc<Held>,
    gradient: Slot,
}

impl Leave {
    fn copy<T: Element>(&self) -> Result<(CpuStorage, Shape)> {
        let values = with_slices(
            self.name(),
            &[self.values.tensor()],
            |slices: &[&[T]]| slices[0].to_vec(),
        )?;
        Ok((
            T::to_cpu_storage_owned(values),
            self.values.tensor().shape().clone(),
        ))
    }

    fn keep<T: Element>(&self, grad: &Tensor) -> Result<()> {
        let grad = grad.contiguous()?;
        let values = with_slices(self.name(), &[&grad], |slices: &[&[T]]| slices[0].to_vec())?;
        self.gradient.add(Buffer::shared(values));
        Ok(())
    }
}

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        "tensor"
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.values.tensor().dtype() {
            DType::F64 => self.copy::<f64>(),
            _ => self.copy::<f32>(),
        }
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        match grad.dtype() {
            DType::F64 => self.keep::<f64>(grad)?,
            _ => self.keep::<f32>(grad)?,
        }
        number_tensor().map(Some)
    }
}
