//! What one output pixel of a layer sees of the image: the arithmetic of A. Araujo, W. Norris and
//! J. Sim ("Computing Receptive Fields of Convolutional Neural Networks", Distill 2019) along the
//! graph.

use std::fmt;

use cnn_layers::{LayerKind, Window};
use serde::{Serialize, Serializer};

use crate::{Node, Source};

/// The part of the image that one output pixel of a layer can depend on. Serialises as
/// `{"size": [rows, columns], "jump": [rows, columns]}` or `"whole image"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceptiveField {
    /// A rectangle of pixels, which may be larger than the image.
    Pixels {
        /// Its rows and columns.
        size: [usize; 2],
        /// By how many rows and columns of the image neighbouring output pixels lie apart.
        jump: [usize; 2],
    },
    /// Every pixel, whatever the image's size: after a global pooling or a squeeze-and-excitation.
    WholeImage,
}

impl ReceptiveField {
    const PIXEL: Self = Self::Pixels {
        size: [1; 2],
        jump: [1; 2],
    };

    /// After a window slid over it.
    fn slide(self, window: &Window) -> Self {
        let Self::Pixels { mut size, mut jump } = self else {
            return self;
        };
        for axis in 0..2 {
            let reach = window.dilation[axis] * window.kernel_size[axis].saturating_sub(1);
            size[axis] += reach * jump[axis];
            jump[axis] *= window.stride[axis];
        }
        Self::Pixels { size, jump }
    }

    /// What sees as much as both.
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Pixels {
                    size: a,
                    jump: steps,
                },
                Self::Pixels {
                    size: b,
                    jump: others,
                },
            ) => Self::Pixels {
                size: [0, 1].map(|axis| a[axis].max(b[axis])),
                jump: [0, 1].map(|axis| steps[axis].max(others[axis])),
            },
            _ => Self::WholeImage,
        }
    }
}

impl fmt::Display for ReceptiveField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels {
                size: [rows, columns],
                ..
            } => write!(f, "{rows} × {columns}"),
            Self::WholeImage => f.write_str("whole image"),
        }
    }
}

impl Serialize for ReceptiveField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pixels {
            size: [usize; 2],
            jump: [usize; 2],
        }
        match *self {
            Self::Pixels { size, jump } => Pixels { size, jump }.serialize(serializer),
            Self::WholeImage => "whole image".serialize(serializer),
        }
    }
}

/// The field of each node's output.
pub(crate) fn of_nodes(nodes: &[Node]) -> Vec<Option<ReceptiveField>> {
    let mut fields = Vec::with_capacity(nodes.len());
    for node in nodes {
        fields.push(after(node, &fields));
    }
    fields
}

/// The field of a value, where those of the nodes before it are known.
pub(crate) fn of_source(
    source: Source,
    fields: &[Option<ReceptiveField>],
) -> Option<ReceptiveField> {
    match source {
        Source::Images => Some(ReceptiveField::PIXEL),
        Source::Node(node) => fields[node],
    }
}

fn after(node: &Node, fields: &[Option<ReceptiveField>]) -> Option<ReceptiveField> {
    let mut inputs = node.inputs.iter().map(|&source| of_source(source, fields));
    let first = inputs.next()??;
    let read = inputs.try_fold(first, |read, field| Some(read.union(field?)))?;
    match node.kind {
        LayerKind::Conv2d { window, .. }
        | LayerKind::FusedConv2d { window, .. }
        | LayerKind::MaxPool { window }
        | LayerKind::AvgPool { window, .. } => Some(read.slide(&window)),
        LayerKind::SpaceToDepth => {
            let block = Window {
                stride: [2, 2],
                ..Window::new([2, 2])
            };
            Some(read.slide(&block))
        }
        LayerKind::GlobalAvgPool
        | LayerKind::GlobalMaxPool
        | LayerKind::GroupNorm { .. }
        | LayerKind::ChannelScale
        | LayerKind::Flatten => Some(ReceptiveField::WholeImage),
        // Of maps it is one of each pixel.
        LayerKind::Linear { .. } if node.shape.len() == 3 => Some(read),
        LayerKind::Linear { .. } => Some(ReceptiveField::WholeImage),
        LayerKind::AdaptiveAvgPool { output: [1, 1] }
        | LayerKind::AdaptiveMaxPool { output: [1, 1] } => Some(ReceptiveField::WholeImage),
        LayerKind::BatchNorm { .. }
        | LayerKind::LayerNorm { .. }
        | LayerKind::FusedLayerNorm { .. }
        | LayerKind::LayerScale
        | LayerKind::L2Norm { .. }
        | LayerKind::Activation(_)
        | LayerKind::Softmax
        | LayerKind::Dropout { .. }
        | LayerKind::Dropout2d { .. }
        | LayerKind::DropPath { .. }
        | LayerKind::Add
        | LayerKind::Concat
        | LayerKind::ChannelSlice { .. }
        | LayerKind::ChannelShuffle { .. }
        | LayerKind::PadChannels { .. }
        | LayerKind::PadLike => Some(read),
        _ => (read == ReceptiveField::WholeImage).then_some(read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_add_their_reach_times_the_jump() {
        let window = |size: [usize; 2], stride| Window {
            stride: [stride; 2],
            ..Window::new(size)
        };
        let stem = ReceptiveField::PIXEL
            .slide(&window([7, 7], 2))
            .slide(&window([3, 3], 2));
        assert_eq!(
            stem,
            ReceptiveField::Pixels {
                size: [11, 11],
                jump: [4, 4]
            }
        );
        let dilated = Window {
            dilation: [2, 1],
            ..window([3, 5], 1)
        };
        assert_eq!(
            stem.slide(&dilated),
            ReceptiveField::Pixels {
                size: [11 + 16, 11 + 16],
                jump: [4, 4]
            }
        );
        assert_eq!(
            ReceptiveField::WholeImage.slide(&dilated),
            ReceptiveField::WholeImage
        );
    }

    #[test]
    fn a_sum_sees_what_its_parts_see() {
        let wide = ReceptiveField::Pixels {
            size: [3, 9],
            jump: [2, 2],
        };
        let deep = ReceptiveField::Pixels {
            size: [5, 5],
            jump: [2, 2],
        };
        assert_eq!(
            wide.union(deep),
            ReceptiveField::Pixels {
                size: [5, 9],
                jump: [2, 2]
            }
        );
        assert_eq!(
            wide.union(ReceptiveField::WholeImage),
            ReceptiveField::WholeImage
        );
    }
}
