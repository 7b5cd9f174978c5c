//! Weights of bytes in the order in which the microkernels read them:
//! `[panel][quad of the window][channels of the panel, whole registers][4]`.

use crate::conv2d::Convolution;
use crate::conv2d::packed_weights::Panel;
use crate::int8::microkernel::Microkernels;

/// Bytes that are multiplied at a time.
pub(crate) const QUAD: usize = 4;

/// How the bytes under a window are read, four at a time. What is read beyond a run has weights of
/// zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The channels of a group of one tap after the other, each rounded up to fours.
    Taps,
    /// Whole rows of taps: few channels of one group that lie side by side.
    Rows,
}

impl Reading {
    pub(crate) fn of(conv: &Convolution) -> Self {
        let together = conv.groups == 1 && conv.geometry.columns.dilation == 1;
        let wasteful = !conv.c_in.is_multiple_of(QUAD) && conv.geometry.columns.kernel > 1;
        if together && wasteful {
            Self::Rows
        } else {
            Self::Taps
        }
    }

    /// Bytes of one run and how many runs a window has.
    fn runs(self, conv: &Convolution) -> Runs {
        match self {
            Self::Taps => Runs {
                len: conv.group_in(),
                count: conv.taps(),
            },
            Self::Rows => Runs {
                len: conv.geometry.columns.kernel * conv.c_in,
                count: conv.geometry.rows.kernel,
            },
        }
    }
}

struct Runs {
    len: usize,
    count: usize,
}

/// The packed weights of a convolution that is not depthwise.
pub(crate) struct PackedWeights {
    pub(crate) kernels: &'static Microkernels,
    pub(crate) panels: Vec<Panel>,
    values: Vec<i8>,
    /// Quads that one pixel reads.
    quads: usize,
}

impl PackedWeights {
    /// Packs `weight`, which is in PyTorch's order.
    pub(crate) fn new(conv: &Convolution, weight: &[i8]) -> Self {
        let kernels = Microkernels::current();
        let lanes = kernels.lanes;
        let panels = Panel::split(conv.groups, conv.group_out(), lanes);
        let runs = Reading::of(conv).runs(conv);
        let run_quads = runs.len.div_ceil(QUAD);
        let quads = runs.count * run_quads;
        let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
        let mut values = vec![0; vectors * lanes * quads * QUAD];
        for panel in &panels {
            let width = panel.vectors * lanes;
            let start = panel.vectors_before * lanes * quads * QUAD;
            for lane in 0..panel.channels {
                let out = panel.group * conv.group_out() + panel.first + lane;
                let weight = &weight[out * conv.group_in() * conv.taps()..];
                for run in 0..runs.count {
                    for byte in 0..runs.len {
                        // The place in the window is (tap, channel), that of the weight (channel,
                        // tap).
                        let place = run * runs.len + byte;
                        let tap = place / conv.group_in();
                        let channel = place % conv.group_in();
                        let quad = run * run_quads + byte / QUAD;
                        values[start + (quad * width + lane) * QUAD + byte % QUAD] =
                            weight[channel * conv.taps() + tap];
                    }
                }
            }
        }
        Self {
            kernels,
            panels,
            values,
            quads,
        }
    }

    /// The weights of a panel.
    pub(crate) fn panel(&self, panel: &Panel) -> &[i8] {
        let register = self.kernels.lanes * self.quads * QUAD;
        &self.values[panel.vectors_before * register..][..panel.vectors * register]
    }
}
