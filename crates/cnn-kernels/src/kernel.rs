//! The bridge to candle's autograd: a kernel works on plain slices, this file carries it into the graph.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor};

use crate::Error;
use crate::element::Element;

/// An operation whose shapes are already checked: it holds its geometry and cannot fail.
pub(crate) trait Kernel: Send + Sync + 'static {
    const NAME: &'static str;

    /// Shape of the output.
    fn output_shape(&self) -> Vec<usize>;

    /// Computes the output from one slice per input.
    fn forward<T: Element>(&self, inputs: &[&[T]]) -> Vec<T>;

    /// The gradients of the inputs that are `wanted`; `None` for the others.
    fn backward<T: Element>(&self, inputs: &[&[T]], output: &[T], grad: &[T], wanted: &[bool]) -> Vec<Option<Vec<T>>>;

    /// The forward pass in f32, where there is a faster way than [`Kernel::forward`].
    fn forward_f32(&self, inputs: &[&[f32]]) -> Vec<f32> {
        self.forward(inputs)
    }

    /// The backward pass in f32, where there is a faster way than [`Kernel::backward`].
    fn backward_f32(&self, inputs: &[&[f32]], output: &[f32], grad: &[f32], wanted: &[bool]) -> Vec<Option<Vec<f32>>> {
        self.backward(inputs, output, grad, wanted)
    }
}

/// Runs a kernel on one to three tensors and records it in the graph when one of them is tracked.
pub(crate) fn apply<K: Kernel>(kernel: K, inputs: &[&Tensor]) -> Result<Tensor> {
    check_size(K::NAME, &kernel.output_shape())?;
    let inputs = inputs.iter().map(|xs| ready(K::NAME, xs, inputs[0].dtype())).collect::<Result<Vec<_>>>()?;
    match inputs.as_slice() {
        [a] => a.apply_op1(Op(kernel)),
        [a, b] => a.apply_op2(b, Op(kernel)),
        [a, b, c] => a.apply_op3(b, c, Op(kernel)),
        _ => unreachable!("kernels take one to three tensors"),
    }
}

/// An output of more elements is a mistake in a shape; allocating it would end the process.
const MAX_ELEMENTS: u64 = 1 << 40;

fn check_size(op: &'static str, output: &[usize]) -> Result<()> {
    let elements = output.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    if elements.is_some_and(|elements| elements <= MAX_ELEMENTS) {
        return Ok(());
    }
    let expected = format!("at most {MAX_ELEMENTS} elements");
    Err(Error::Shape { op, what: "the output", found: output.to_vec(), expected }.into())
}

fn ready(op: &'static str, xs: &Tensor, expected: DType) -> Result<Tensor> {
    if !xs.device().is_cpu() {
        return Err(Error::Device { op, found: format!("{:?}", xs.device().location()) }.into());
    }
    if !matches!(expected, DType::F32 | DType::F64) {
        let (found, expected) = (format!("{expected:?}"), "F32 or F64".to_string());
        return Err(Error::Element { op, what: "the input's element type", found, expected }.into());
    }
    if xs.dtype() != expected {
        let (found, expected) = (format!("{:?}", xs.dtype()), format!("{expected:?} as the input"));
        return Err(Error::Element { op, what: "a parameter's element type", found, expected }.into());
    }
    xs.contiguous()
}

struct Op<K>(K);

impl<K: Kernel> Op<K> {
    fn forward(&self, inputs: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let storage = match inputs[0].0 {
            CpuStorage::F32(_) => self.forward_as::<f32>(inputs)?,
            _ => self.forward_as::<f64>(inputs)?,
        };
        Ok((storage, Shape::from(self.0.output_shape())))
    }

    fn forward_as<T: Element>(&self, inputs: &[(&CpuStorage, &Layout)]) -> Result<CpuStorage> {
        let slices = inputs.iter().map(|(storage, layout)| slice::<T>(storage, layout)).collect::<Result<Vec<_>>>()?;
        Ok(T::to_cpu_storage_owned(T::forward(&self.0, &slices)))
    }

    fn backward(&self, inputs: &[&Tensor], output: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let wanted: Vec<bool> = inputs.iter().map(|xs| xs.track_op()).collect();
        gradients(&self.0, inputs, output, grad, &wanted)
    }
}

/// The gradients of the inputs that are `wanted`, outside any graph.
pub(crate) fn gradients<K: Kernel>(
    kernel: &K,
    inputs: &[&Tensor],
    output: &Tensor,
    grad: &Tensor,
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let tensors: Vec<Tensor> =
        inputs.iter().chain([&output, &grad]).map(|xs| ready(K::NAME, xs, grad.dtype())).collect::<Result<_>>()?;
    match grad.dtype() {
        DType::F32 => gradients_as::<K, f32>(kernel, &tensors, wanted),
        _ => gradients_as::<K, f64>(kernel, &tensors, wanted),
    }
}

/// `tensors` are the inputs, the output and its gradient.
fn gradients_as<K: Kernel, T: Element>(kernel: &K, tensors: &[Tensor], wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let guards: Vec<_> = tensors.iter().map(|xs| xs.storage_and_layout()).collect();
    let slices = guards
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => slice::<T>(storage, layout),
            _ => Err(Error::Device { op: K::NAME, found: "another device".to_string() }.into()),
        })
        .collect::<Result<Vec<_>>>()?;
    let (inputs, rest) = slices.split_at(wanted.len());
    T::backward(kernel, inputs, rest[0], rest[1], wanted)
        .into_iter()
        .zip(tensors)
        .map(|(grad, xs)| grad.map(|values| Tensor::from_vec(values, xs.shape(), xs.device())).transpose())
        .collect()
}

fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (start, end) = layout.contiguous_offsets().expect("inputs are made contiguous before a kernel is applied");
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

impl<K: Kernel> CustomOp1 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1)])
    }
    fn bwd(&self, a: &Tensor, output: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.backward(&[a], output, grad)?.pop().flatten())
    }
}

impl<K: Kernel> CustomOp2 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2)])
    }
    fn bwd(&self, a: &Tensor, b: &Tensor, output: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(&[a, b], output, grad)?.into_iter();
        Ok((grads.next().flatten(), grads.next().flatten()))
    }
}

impl<K: Kernel> CustomOp3 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2), (s3, l3)])
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = self.backward(&[a, b, c], output, grad)?.into_iter();
        Ok((grads.next().flatten(), grads.next().flatten(), grads.next().flatten()))
    }
}
