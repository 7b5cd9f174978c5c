//! Decoding as one operation of candle's graph.

use candle_core::{
    CpuStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, WithDType,
};

use crate::Error;
use crate::detection::{BoxEdges, check_count};

/// A code that numbers become boxes by, row by row.
pub(super) trait Decode: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// The edges of a box.
    fn decode(&self, code: [f64; 4], anchor: [f64; 4]) -> [f64; 4];

    /// The gradient of the code, from that of the edges.
    fn backward(&self, code: [f64; 4], anchor: [f64; 4], grad: [f64; 4]) -> [f64; 4];
}

/// The edges `(K, 4)` of the codes `(K, 4)`, in their element type.
pub(super) fn decode(coder: &impl Decode, codes: &Tensor, anchors: &[BoxEdges]) -> Result<Tensor> {
    let &[rows, 4] = codes.dims() else {
        let found = format!("shape {:?}", codes.dims());
        return Err(Error::argument("codes", found, "shape (boxes, 4)").into());
    };
    check_count("anchors", anchors.len(), rows)?;
    let operation = Operation {
        coder: coder.clone(),
        anchors: anchors.to_vec(),
    };
    match codes.dtype() {
        DType::F32 | DType::F64 => codes.contiguous()?.apply_op1(operation),
        other => Err(Error::argument("codes", other.as_str(), "f32 or f64").into()),
    }
}

struct Operation<C> {
    coder: C,
    anchors: Vec<BoxEdges>,
}

impl<C: Decode> Operation<C> {
    fn decoded<T: WithDType>(&self, codes: &[T]) -> Vec<T> {
        let rows = codes.chunks_exact(4).zip(&self.anchors);
        rows.flat_map(|(code, anchor)| self.coder.decode(row(code), anchor.map(f64::from)))
            .map(T::from_f64)
            .collect()
    }

    fn gradient<T: WithDType>(&self, codes: &[T], grad: &[T]) -> Vec<T> {
        let rows = codes.chunks_exact(4).zip(grad.chunks_exact(4));
        rows.zip(&self.anchors)
            .flat_map(|((code, grad), anchor)| {
                let anchor = anchor.map(f64::from);
                self.coder.backward(row(code), anchor, row(grad))
            })
            .map(T::from_f64)
            .collect()
    }
}

fn row<T: WithDType>(values: &[T]) -> [f64; 4] {
    [0, 1, 2, 3].map(|column| values[column].to_f64())
}

/// The values of a contiguous tensor.
fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::RequiresContiguous { op: "decode" });
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

impl<C: Decode> CustomOp1 for Operation<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let boxes = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(self.decoded(slice(storage, layout)?)),
            _ => CpuStorage::F64(self.decoded(slice(storage, layout)?)),
        };
        Ok((boxes, layout.shape().clone()))
    }

    fn bwd(&self, codes: &Tensor, _boxes: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (codes_storage, codes_layout) = codes.storage_and_layout();
        let (grad_storage, grad_layout) = grad.storage_and_layout();
        let (Storage::Cpu(of_codes), Storage::Cpu(of_grad)) = (&*codes_storage, &*grad_storage)
        else {
            candle_core::bail!("{}: expected codes on the CPU", C::NAME);
        };
        let gradient = match of_codes {
            CpuStorage::F32(_) => {
                let codes: &[f32] = slice(of_codes, codes_layout)?;
                let gradient = self.gradient(codes, slice(of_grad, grad_layout)?);
                Tensor::from_vec(gradient, grad.dims(), grad.device())?
            }
            _ => {
                let codes: &[f64] = slice(of_codes, codes_layout)?;
                let gradient = self.gradient(codes, slice(of_grad, grad_layout)?);
                Tensor::from_vec(gradient, grad.dims(), grad.device())?
            }
        };
        Ok(Some(gradient))
    }
}
