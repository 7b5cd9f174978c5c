//! Weights in the order in which the microkernels read them:
//! `[phase][panel][row tap][column tap][source channel][lanes of the panel]`.
#![allow(unsafe_code)]

use crate::conv2d::microkernel::{Gather, MAX_VECTORS, Microkernels, Pack, SKIPPED};
use crate::conv2d::plan::{Plan, StridePhase};
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::Shared;

/// Target channels that one call of a microkernel computes, all of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panel {
    pub(crate) group: usize,
    /// Counted within the group.
    pub(crate) first: usize,
    pub(crate) channels: usize,
    /// Registers.
    pub(crate) vectors: usize,
    /// Registers of the panels before it.
    pub(crate) vectors_before: usize,
}

impl Panel {
    /// All panels of `groups` groups of `channels` channels: two registers wide, an odd number of
    /// registers with one panel of three.
    pub(crate) fn split(groups: usize, channels: usize, lanes: usize) -> Vec<Self> {
        let all = channels.div_ceil(lanes);
        let mut panels = Vec::new();
        for group in 0..groups {
            let mut done = 0;
            while done < all {
                let vectors = if all - done == MAX_VECTORS {
                    MAX_VECTORS
                } else {
                    (all - done).min(2)
                };
                let first = done * lanes;
                let channels = (vectors * lanes).min(channels - first);
                panels.push(Self {
                    group,
                    first,
                    channels,
                    vectors,
                    vectors_before: group * all + done,
                });
                done += vectors;
            }
        }
        panels
    }
}

/// The weights of every pair of a row phase and a column phase.
pub(crate) struct PackedWeights {
    pub(crate) kernels: &'static Microkernels,
    pub(crate) panels: Vec<Panel>,
    _buffer: Scratch,
    start: Shared,
    /// Where each pair begins, and how many values each of its pixels reads.
    phases: Vec<(usize, usize)>,
}

impl PackedWeights {
    /// Packs `weight`, which is in PyTorch's order. A plan of another input size packs it alike.
    pub(crate) fn new(plan: &Plan, weight: &[f32]) -> Self {
        let kernels = Microkernels::current();
        let panels = Panel::split(plan.groups, plan.group_target(), kernels.lanes);
        let lanes = kernels.lanes;
        let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
        let mut phases = Vec::new();
        let mut floats = 0;
        let mut tasks = Vec::new();
        for (rows, columns) in phase_pairs(plan) {
            let depth = rows.taps.len() * columns.taps.len() * plan.group_source();
            tasks.extend(panels.iter().map(|panel| {
                (
                    rows,
                    columns,
                    panel,
                    floats + panel.vectors_before * lanes * depth,
                )
            }));
            phases.push((floats, depth));
            floats += vectors * lanes * depth;
        }
        let mut buffer = Scratch::take(floats);
        let shared = Shared::new(buffer.as_mut_ptr());
        parallel::for_each(tasks.len(), |task| {
            let (rows, columns, panel, start) = tasks[task];
            // SAFETY: each panel of each pair of phases has its own part of the buffer.
            unsafe {
                pack_panel(
                    kernels,
                    plan,
                    (rows, columns),
                    panel,
                    weight,
                    shared.at(start),
                )
            };
        });
        Self {
            kernels,
            panels,
            _buffer: buffer,
            start: shared,
            phases,
        }
    }

    /// The weights of the forward pass in PyTorch's order again.
    pub(crate) fn unpacked(&self, plan: &Plan) -> Vec<f32> {
        let taps = plan.taps;
        let depth = plan.group_source();
        let mut weight = vec![0.; plan.c_target * depth * taps];
        for panel in &self.panels {
            let from = self.panel(0, panel);
            let width = panel.vectors * self.kernels.lanes;
            let first = panel.group * plan.group_stride + panel.first * plan.target_stride;
            for (tap, channel, lane) in (0..taps).flat_map(|tap| {
                (0..depth).flat_map(move |channel| {
                    (0..panel.channels).map(move |lane| (tap, channel, lane))
                })
            }) {
                let index = first + lane * plan.target_stride + channel * plan.source_stride + tap;
                // SAFETY: the panel has a register row for each tap and channel.
                weight[index] = unsafe { *from.add((tap * depth + channel) * width + lane) };
            }
        }
        weight
    }

    /// The weights of a panel for the `pair`th pair of phases.
    pub(crate) fn panel(&self, pair: usize, panel: &Panel) -> *const f32 {
        let (start, depth) = self.phases[pair];
        // SAFETY: the buffer holds every panel of every pair.
        unsafe {
            self.start
                .at(start + panel.vectors_before * self.kernels.lanes * depth)
        }
    }
}

/// Row phases with column phases, in the order in which weights are packed.
pub(crate) fn phase_pairs(plan: &Plan) -> impl Iterator<Item = (&StridePhase, &StridePhase)> {
    plan.rows.phases.iter().flat_map(|rows| {
        plan.columns
            .phases
            .iter()
            .map(move |columns| (rows, columns))
    })
}

/// # Safety
/// `to` is valid for the taps times the source channels of a group times the panel's lanes.
unsafe fn pack_panel(
    kernels: &Microkernels,
    plan: &Plan,
    (rows, columns): (&StridePhase, &StridePhase),
    panel: &Panel,
    weight: &[f32],
    to: *mut f32,
) {
    if rows.taps.is_empty() || columns.taps.is_empty() {
        return;
    }
    let width = panel.vectors * kernels.lanes;
    let depth = plan.group_source();
    let weight = &weight[panel.group * plan.group_stride + panel.first * plan.target_stride..];
    if plan.target_stride == 1 {
        let rows = Gather {
            from: weight.as_ptr(),
            step: plan.source_stride,
            pixels: depth,
            channels: panel.channels,
            to,
        };
        // SAFETY: one tap: `depth` rows of the panel's lanes, read from weights that lie side by
        // side.
        return unsafe { kernels.gather(&rows) };
    }
    // Where each tap of the kernel goes; those of other phases nowhere.
    let mut places = vec![SKIPPED; plan.taps];
    let taps = rows.taps.iter().flat_map(|row| {
        columns
            .taps
            .iter()
            .map(|column| row.index * plan.kernel_columns + column.index)
    });
    taps.enumerate()
        .for_each(|(place, index)| places[index] = place * depth * width);
    // Weights of one target channel that lie side by side: all of them, or the taps of one source
    // channel.
    let together = if plan.source_stride == plan.taps {
        depth
    } else {
        1
    };
    let columns: Vec<usize> = (0..together)
        .flat_map(|channel| {
            places
                .iter()
                .map(move |place| place.saturating_add(channel * width))
        })
        .collect();
    for channel in (0..depth).step_by(together) {
        for lane in (0..width).step_by(kernels.lanes) {
            let rows = panel.channels.saturating_sub(lane);
            let start = channel * plan.source_stride + lane * plan.target_stride;
            let from = weight.as_ptr().wrapping_add(start);
            // SAFETY: rows and columns are weights of this panel, no row where the panel has no
            // channel; `to` has a register for each wanted column.
            unsafe {
                let to = to.add(channel * width + lane);
                kernels.pack(&Pack {
                    from,
                    step: plan.target_stride,
                    rows,
                    to,
                    columns: &columns,
                });
            }
        }
    }
}
