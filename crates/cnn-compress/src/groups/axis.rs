//! An axis of a tensor along which channels lie.

/// What a layer does with the channels along an axis of one of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Its weight makes them: the outputs of a convolution or a linear layer.
    Gives,
    /// Its weight reads them: the inputs of a convolution or a linear layer.
    Reads,
    /// Its weight changes each by itself: the kernels of a depthwise convolution.
    Filters,
    /// It multiplies each: the scale of a norm or of a layer scale.
    Scales,
    /// It adds to each: a bias, the shift of a norm.
    Offsets,
    /// It measures each: running statistics.
    Statistics,
}

/// An axis of a tensor of the store along which channels lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Path of the layer, as `layer1.0.conv1`.
    pub layer: String,
    /// Name of the tensor in the store, as `layer1.0.conv1.weight`.
    pub tensor: String,
    /// The axis of its PyTorch shape.
    pub axis: usize,
    /// What the layer does with the channels.
    pub role: Role,
}
