//! What an operation is, and how it runs on maps and parameters.

use std::sync::Arc;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};

use crate::autograd::element::Element;
use crate::autograd::gradient::Gradient;
use crate::autograd::tape;
use crate::machine::profile::{self, OpTime, Pass, timed};
use crate::machine::recycle::Buffer;
use crate::{Error, FeatureMap};

/// An operation whose shapes are already checked: it holds its geometry and cannot fail.
pub(crate) trait Kernel: Send + Sync + 'static {
    const NAME: &'static str;

    /// Shape of the output.
    fn output_shape(&self) -> Vec<usize>;

    /// How many of its inputs are maps; the parameters follow them.
    fn maps(&self) -> usize {
        1
    }

    /// Which maps the backward pass reads; parameters it can always read. The memory of the other
    /// maps is free by then: they are empty in [`Backward`].
    fn saved(&self) -> Saved {
        Saved::Inputs
    }

    /// Its geometry for people, as `3x3/2`.
    fn geometry(&self) -> String {
        String::new()
    }

    /// Multiply-adds of the output, and of each gradient; 0 where memory is what costs.
    fn multiply_adds(&self) -> usize {
        0
    }

    /// Whether a pass has to read its maps twice, because sums over all of them come before the
    /// first result.
    fn reads_twice(&self) -> bool {
        false
    }

    /// Computes the output.
    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T>;

    /// The gradients of the inputs that are wanted, in their order; `None` for the others.
    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>>;

    /// The forward pass in f32, where there is a faster way than [`Kernel::forward`].
    fn forward_f32(&self, inputs: Inputs<'_, f32>) -> Vec<f32> {
        self.forward(inputs)
    }

    /// The backward pass in f32, where there is a faster way than [`Kernel::backward`].
    fn backward_f32(&self, pass: Backward<'_, f32>) -> Vec<Option<Arc<Buffer<f32>>>> {
        self.backward(pass)
    }
}

/// The values of an operation's inputs: its maps, then its parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a, T> {
    all: &'a [&'a [T]],
    maps: usize,
}

impl<'a, T> Inputs<'a, T> {
    /// `all` are the maps and parameters of the kernel, in the order of its call.
    pub(crate) fn new(kernel: &impl Kernel, all: &'a [&'a [T]]) -> Self {
        let maps = kernel.maps();
        Self { all, maps }
    }

    pub(crate) fn maps(self) -> &'a [&'a [T]] {
        &self.all[..self.maps]
    }

    /// The first map.
    pub(crate) fn xs(self) -> &'a [T] {
        self.all[0]
    }

    /// The second map, if the operation has one: what it adds.
    pub(crate) fn addend(self) -> Option<&'a [T]> {
        self.maps().get(1).copied()
    }

    /// The first parameter.
    pub(crate) fn weight(self) -> &'a [T] {
        self.all[self.maps]
    }

    /// The weight and the bias of an operation that has both.
    pub(crate) fn parameters(self) -> [&'a [T]; 2] {
        match self.all[self.maps..] {
            [weight, bias] => [weight, bias],
            _ => unreachable!("the operation has a weight and a bias"),
        }
    }

    /// The second parameter, if the operation has one.
    pub(crate) fn bias(self) -> Option<&'a [T]> {
        self.all.get(self.maps + 1).copied()
    }
}

/// Whether the gradient of each input is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    all: &'a [bool],
    maps: usize,
}

impl<'a> Wanted<'a> {
    /// `all` is in the order of the kernel's inputs.
    pub(crate) fn new(kernel: &impl Kernel, all: &'a [bool]) -> Self {
        let maps = kernel.maps();
        Self { all, maps }
    }

    /// For each input.
    pub(crate) fn all(self) -> &'a [bool] {
        self.all
    }

    /// Of the first map.
    pub(crate) fn xs(self) -> bool {
        self.all[0]
    }

    /// Of the second map.
    pub(crate) fn addend(self) -> bool {
        self.maps > 1 && self.all[1]
    }

    /// Of the first parameter.
    pub(crate) fn weight(self) -> bool {
        self.all[self.maps]
    }

    /// Of the second parameter, if the operation has one.
    pub(crate) fn bias(self) -> Option<bool> {
        self.all.get(self.maps + 1).copied()
    }
}

/// What a backward pass reads.
pub(crate) struct Backward<'a, T: Element> {
    /// The inputs; maps that [`Kernel::saved`] does not name are empty.
    pub(crate) inputs: Inputs<'a, T>,
    /// The output; empty if [`Kernel::saved`] does not name it.
    pub(crate) output: &'a [T],
    /// The gradient of the output.
    pub(crate) grad: Gradient<'a, T>,
    pub(crate) wanted: Wanted<'a>,
}

/// The maps that a backward pass reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    Nothing,
    Inputs,
    Output,
    /// The first input alone.
    First,
    FirstAndOutput,
}

impl Saved {
    pub(crate) fn input(self, index: usize) -> bool {
        match self {
            Self::Inputs => true,
            Self::First | Self::FirstAndOutput => index == 0,
            Self::Nothing | Self::Output => false,
        }
    }

    pub(crate) fn output(self) -> bool {
        matches!(self, Self::Output | Self::FirstAndOutput)
    }
}

/// Runs a kernel on maps and at most two parameters, and records it when one of them is tracked.
pub(crate) fn apply<K: Kernel>(
    kernel: K,
    maps: &[&FeatureMap],
    parameters: &[&Tensor],
) -> Result<FeatureMap> {
    check_size(K::NAME, &kernel.output_shape())?;
    let dtype = maps[0].dtype();
    maps.iter()
        .try_for_each(|map| check_type(K::NAME, map.values(), dtype))?;
    let ready = |parameter: &&Tensor| {
        check_type(K::NAME, parameter, dtype)?;
        parameter.contiguous()
    };
    let parameters = parameters.iter().map(ready).collect::<Result<Vec<_>>>()?;
    let inputs: Vec<&Tensor> = maps
        .iter()
        .map(|map| map.values())
        .chain(&parameters)
        .collect();
    let read = |inputs: &[&Tensor]| inputs.iter().map(|xs| xs.elem_count()).sum::<usize>();
    let cost = || Cost {
        read: read(&inputs[..maps.len()]),
        once: read(&inputs[maps.len()..]),
        written: kernel.output_shape().iter().product(),
    };
    let output = timed(
        || op_time(&kernel, Pass::Forward, &profile::label(), dtype, &cost()),
        || match dtype {
            DType::F32 => forward_as::<K, f32>(&kernel, &inputs),
            _ => forward_as::<K, f64>(&kernel, &inputs),
        },
    )?;
    tape::record(kernel, maps, &parameters, output)
}

/// Elements that a pass has to move.
pub(crate) struct Cost {
    /// Of maps, perhaps twice.
    pub(crate) read: usize,
    /// Of parameters and their gradients.
    pub(crate) once: usize,
    /// Of results of the size of a map.
    pub(crate) written: usize,
}

/// What is known of a part of an operation before it runs.
pub(crate) fn op_time<K: Kernel>(
    kernel: &K,
    pass: Pass,
    label: &str,
    dtype: DType,
    cost: &Cost,
) -> OpTime {
    let passes = if pass == Pass::Backward { 2. } else { 1. };
    let reads = if kernel.reads_twice() { 2 } else { 1 };
    OpTime {
        op: K::NAME,
        geometry: kernel.geometry(),
        label: label.to_string(),
        pass,
        shape: kernel.output_shape(),
        seconds: 0.,
        flops: 2. * passes * kernel.multiply_adds() as f64,
        bytes: (dtype.size_in_bytes() * (reads * cost.read + cost.once + cost.written)) as f64,
    }
}

/// An output of more elements is a mistake in a shape; allocating it would end the process.
const MAX_ELEMENTS: u64 = 1 << 40;

fn check_size(op: &'static str, output: &[usize]) -> Result<()> {
    let elements = output
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    if elements.is_some_and(|elements| elements <= MAX_ELEMENTS) {
        return Ok(());
    }
    let expected = format!("at most {MAX_ELEMENTS} elements");
    Err(Error::Shape {
        op,
        what: "the output",
        found: output.to_vec(),
        expected,
    }
    .into())
}

fn check_type(op: &'static str, xs: &Tensor, expected: DType) -> Result<()> {
    if !xs.device().is_cpu() {
        return Err(Error::Device {
            op,
            found: format!("{:?}", xs.device().location()),
        }
        .into());
    }
    if !matches!(expected, DType::F32 | DType::F64) {
        let found = format!("{expected:?}");
        let expected = "F32 or F64".to_string();
        return Err(Error::Element {
            op,
            what: "the input's element type",
            found,
            expected,
        }
        .into());
    }
    if xs.dtype() != expected {
        let found = format!("{:?}", xs.dtype());
        let expected = format!("{expected:?} as the input");
        return Err(Error::Element {
            op,
            what: "a parameter's element type",
            found,
            expected,
        }
        .into());
    }
    Ok(())
}

fn forward_as<K: Kernel, T: Element>(kernel: &K, inputs: &[&Tensor]) -> Result<Tensor> {
    let values = with_slices(K::NAME, inputs, |inputs| {
        T::forward(kernel, Inputs::new(kernel, inputs))
    })?;
    Tensor::from_vec(values, kernel.output_shape(), inputs[0].device())
}

/// Calls `f` with the values of contiguous tensors.
pub(crate) fn with_slices<T: Element, O>(
    op: &'static str,
    tensors: &[&Tensor],
    f: impl FnOnce(&[&[T]]) -> O,
) -> Result<O> {
    let guards: Vec<_> = tensors.iter().map(|xs| xs.storage_and_layout()).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => slice::<T>(storage, layout),
            _ => Err(Error::Device {
                op,
                found: "another device".to_string(),
            }
            .into()),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(f(&slices))
}

fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (start, end) = layout
        .contiguous_offsets()
        .expect("inputs are made contiguous before a kernel is applied");
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// The gradients of the inputs that are `wanted`, outside any graph.
pub(crate) fn gradients<K: Kernel>(
    kernel: &K,
    inputs: &[&Tensor],
    grad: &Tensor,
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let ready = |xs: &&Tensor| {
        check_type(K::NAME, xs, grad.dtype())?;
        xs.contiguous()
    };
    let tensors = inputs
        .iter()
        .chain([&grad])
        .map(ready)
        .collect::<Result<Vec<_>>>()?;
    match grad.dtype() {
        DType::F32 => gradients_as::<K, f32>(kernel, &tensors, wanted),
        _ => gradients_as::<K, f64>(kernel, &tensors, wanted),
    }
}

/// `tensors` are the inputs and the output's gradient.
fn gradients_as<K: Kernel, T: Element>(
    kernel: &K,
    tensors: &[Tensor],
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let references: Vec<&Tensor> = tensors.iter().collect();
    let grads = with_slices(K::NAME, &references, |slices| {
        let (inputs, grad) = slices.split_at(wanted.len());
        let pass = Backward {
            inputs: Inputs::new(kernel, inputs),
            output: &[],
            grad: Gradient::Borrowed(grad[0]),
            wanted: Wanted::new(kernel, wanted),
        };
        T::backward(kernel, pass)
    })?;
    let tensor = |(grad, xs): (Option<Arc<Buffer<T>>>, &Tensor)| {
        grad.map(|grad| Tensor::from_vec(Buffer::into_vec(grad), xs.shape(), xs.device()))
            .transpose()
    };
    grads.into_iter().zip(tensors).map(tensor).collect()
}
