//! The channels-last feature map that every operation takes and returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Tensor, TensorId};

use crate::autograd::tape::{self, Node};
use crate::machine::recycle;
use crate::{Error, warn_if_slow};

/// A batch of feature maps, stored contiguously as `(N, H, W, C)`.
///
/// The tensor inside is private on purpose: candle's own convolution, pooling and activations
/// expect channels first and cannot be called on it by accident, and the layout can change without
/// its users noticing.
#[derive(Clone, Debug)]
pub struct FeatureMap {
    values: Arc<Held>,
    /// Of a map that gradients flow through.
    node: Option<Node>,
}

impl FeatureMap {
    /// Takes a PyTorch-like `(N, C, H, W)` tensor. Differentiable.
    ///
    /// # Errors
    /// If the tensor does not have four dimensions.
    pub fn from_nchw(xs: &Tensor) -> Result<Self> {
        check_rank("FeatureMap::from_nchw", xs, "(N, C, H, W)")?;
        tape::enter(&xs.permute((0, 2, 3, 1))?.contiguous()?)
    }

    /// Takes an `(N, H, W, C)` tensor, without a copy when it is contiguous. Differentiable.
    ///
    /// # Errors
    /// If the tensor does not have four dimensions.
    pub fn from_nhwc(xs: &Tensor) -> Result<Self> {
        check_rank("FeatureMap::from_nhwc", xs, "(N, H, W, C)")?;
        tape::enter(&xs.contiguous()?)
    }

    /// The maps as a contiguous `(N, C, H, W)` tensor. Differentiable.
    pub fn to_nchw(&self) -> Result<Tensor> {
        tape::leave(self)?.permute((0, 3, 1, 2))?.contiguous()
    }

    /// The maps as a contiguous `(N, H, W, C)` tensor, without a copy unless gradients flow through
    /// them. Differentiable.
    pub fn to_nhwc(&self) -> Tensor {
        tape::leave(self).expect("maps with a place in the graph are f32 or f64 on the CPU")
    }

    /// The maps as `(N, C·H·W)`, in PyTorch's order of channels, rows, columns. Differentiable.
    pub fn flatten(&self) -> Result<Tensor> {
        if self.height() == 1 && self.width() == 1 {
            return tape::leave(self)?.flatten_from(1);
        }
        self.to_nchw()?.flatten_from(1)
    }

    /// `[N, H, W, C]`.
    pub fn dims(&self) -> [usize; 4] {
        let dims = self.values().dims();
        [dims[0], dims[1], dims[2], dims[3]]
    }

    /// Number of images, N.
    pub fn batch(&self) -> usize {
        self.dims()[0]
    }

    /// Rows, H.
    pub fn height(&self) -> usize {
        self.dims()[1]
    }

    /// Columns, W.
    pub fn width(&self) -> usize {
        self.dims()[2]
    }

    /// Channels, C.
    pub fn channels(&self) -> usize {
        self.dims()[3]
    }

    /// Tells maps from each other; copies and detached ones have the same.
    pub fn id(&self) -> TensorId {
        self.values().id()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.values().dtype()
    }

    /// Device of the storage.
    pub fn device(&self) -> &Device {
        self.values().device()
    }

    /// The same values, cut off from the graph that computed them.
    pub fn detach(&self) -> Self {
        Self::wrap(self.values.clone(), None)
    }

    /// Whether gradients flow through these maps.
    pub fn is_tracked(&self) -> bool {
        self.node.is_some() || self.values().track_op()
    }

    /// The contiguous values, outside any graph.
    pub(crate) fn values(&self) -> &Tensor {
        self.values.tensor()
    }

    /// The values for an operation that needs them later.
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.values
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// For kernels, whose outputs are contiguous NHWC by construction.
    pub(crate) fn wrap(values: Arc<Held>, node: Option<Node>) -> Self {
        // No operation can do without a map, whoever calls it.
        warn_if_slow();
        Self { values, node }
    }
}

/// A map's values. The memory of those that were computed here is used again when nobody needs
/// them.
#[derive(Debug)]
pub(crate) struct Held {
    tensor: Tensor,
    /// Whether tensors outside may share the storage.
    shared: AtomicBool,
}

impl Held {
    /// A tensor that was just computed and that nobody else has.
    pub(crate) fn ours(tensor: Tensor) -> Arc<Self> {
        Arc::new(Self {
            tensor,
            shared: AtomicBool::new(false),
        })
    }

    /// A tensor from outside.
    pub(crate) fn lent(tensor: Tensor) -> Arc<Self> {
        Arc::new(Self {
            tensor,
            shared: AtomicBool::new(true),
        })
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The tensor for the world outside.
    pub(crate) fn share(&self) -> Tensor {
        self.shared.store(true, Ordering::Relaxed);
        self.tensor.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !*self.shared.get_mut() {
            // A tensor that cannot be changed is freed as any other.
            let _ = self.tensor.inplace_op1(&GiveBack);
        }
    }
}

/// Takes the vector out of a tensor that nobody will read again.
struct GiveBack;

impl InplaceOp1 for GiveBack {
    fn name(&self) -> &'static str {
        "give_back"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        if let CpuStorage::F32(values) = storage {
            recycle::give(std::mem::take(values));
        }
        Ok(())
    }
}

fn check_rank(op: &'static str, xs: &Tensor, expected: &str) -> Result<()> {
    if xs.rank() == 4 {
        return Ok(());
    }
    Err(Error::Shape {
        op,
        what: "the tensor",
        found: xs.dims().to_vec(),
        expected: expected.to_string(),
    }
    .into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn layouts_round_trip_and_flatten_in_pytorch_order() {
        let nchw = Tensor::arange(0f32, 24., &Device::Cpu)
            .unwrap()
            .reshape((1, 2, 3, 4))
            .unwrap();
        let map = FeatureMap::from_nchw(&nchw).unwrap();
        assert_eq!(map.dims(), [1, 3, 4, 2]);
        assert_eq!(
            (map.batch(), map.height(), map.width(), map.channels()),
            (1, 3, 4, 2)
        );
        let nhwc = map
            .to_nhwc()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(nhwc[..4], [0., 12., 1., 13.]);
        let back = map
            .to_nchw()
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(back, (0..24).map(|v| v as f32).collect::<Vec<_>>());
        assert_eq!(map.flatten().unwrap().to_vec2::<f32>().unwrap()[0], back);
        let again = FeatureMap::from_nhwc(&map.to_nhwc()).unwrap();
        assert_eq!(again.dims(), map.dims());
    }

    #[test]
    fn a_tensor_outlives_the_map_that_it_came_from() {
        let sum_of = |value: f32| {
            let ones =
                FeatureMap::from_nhwc(&Tensor::full(value, (1, 64, 64, 8), &Device::Cpu).unwrap())
                    .unwrap();
            crate::add(&ones, &ones).unwrap()
        };
        let tensors = [
            sum_of(1.).to_nhwc(),
            sum_of(1.).detach().to_nhwc(),
            sum_of(1.).to_nchw().unwrap(),
        ];
        // Operations of the same size, which would take over the memory.
        drop([sum_of(5.), sum_of(7.), sum_of(9.)]);
        for tensor in tensors {
            assert_eq!(
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                vec![2.; 64 * 64 * 8]
            );
        }
    }

    #[test]
    fn a_flat_tensor_is_named() {
        let flat = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let message = FeatureMap::from_nchw(&flat).unwrap_err().to_string();
        assert!(
            message.contains("[2, 3], expected (N, C, H, W)"),
            "{message}"
        );
    }
}
