//! Weights in the order in which the microkernels read them: `[phase][panel][row tap][column tap][source channel][lanes of the panel]`.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::conv2d_plan::{Phase, Plan};
use crate::microkernel::MAX_VECTORS;
use crate::scratch::Scratch;
use crate::shared::Shared;

/// Source channels packed at a time, so that the lines that one step writes to stay in the first-level cache.
const BLOCK: usize = 16;

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
    /// All panels of `groups` groups of `channels` channels: two registers wide, an odd number of registers with one panel of three.
    pub(crate) fn split(groups: usize, channels: usize, lanes: usize) -> Vec<Self> {
        let all = channels.div_ceil(lanes);
        let mut panels = Vec::new();
        for group in 0..groups {
            let mut done = 0;
            while done < all {
                let vectors = if all - done == MAX_VECTORS { MAX_VECTORS } else { (all - done).min(2) };
                let first = done * lanes;
                let channels = (vectors * lanes).min(channels - first);
                panels.push(Self { group, first, channels, vectors, vectors_before: group * all + done });
                done += vectors;
            }
        }
        panels
    }
}

/// The weights of every pair of a row phase and a column phase.
pub(crate) struct PackedWeights {
    _buffer: Scratch,
    start: Shared,
    lanes: usize,
    /// Where each pair begins, and how many values each of its pixels reads.
    phases: Vec<(usize, usize)>,
}

impl PackedWeights {
    /// Packs `weight`, which is in PyTorch's order.
    pub(crate) fn new(plan: &Plan, panels: &[Panel], lanes: usize, weight: &[f32]) -> Self {
        let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
        let (mut phases, mut floats, mut tasks) = (Vec::new(), 0, Vec::new());
        for (rows, columns) in phase_pairs(plan) {
            let depth = rows.taps.len() * columns.taps.len() * plan.group_source();
            tasks.extend(
                panels.iter().map(|panel| (rows, columns, panel, floats + panel.vectors_before * lanes * depth)),
            );
            phases.push((floats, depth));
            floats += vectors * lanes * depth;
        }
        let mut buffer = Scratch::take(floats);
        let shared = Shared::new(buffer.as_mut_ptr());
        tasks.into_par_iter().for_each(|(rows, columns, panel, start)| {
            // SAFETY: each panel of each pair of phases has its own part of the buffer.
            unsafe { pack_panel(plan, rows, columns, panel, lanes, weight, shared.at(start)) };
        });
        Self { _buffer: buffer, start: shared, lanes, phases }
    }

    /// The weights of a panel for the `pair`th pair of phases.
    pub(crate) fn panel(&self, pair: usize, panel: &Panel) -> *const f32 {
        let (start, depth) = self.phases[pair];
        // SAFETY: the buffer holds every panel of every pair.
        unsafe { self.start.at(start + panel.vectors_before * self.lanes * depth) }
    }
}

/// Row phases with column phases, in the order in which weights are packed.
pub(crate) fn phase_pairs(plan: &Plan) -> impl Iterator<Item = (&Phase, &Phase)> {
    plan.rows.phases.iter().flat_map(|rows| plan.columns.phases.iter().map(move |columns| (rows, columns)))
}

/// # Safety
/// `to` is valid for the taps times the source channels of a group times the panel's lanes.
unsafe fn pack_panel(
    plan: &Plan,
    rows: &Phase,
    columns: &Phase,
    panel: &Panel,
    lanes: usize,
    weight: &[f32],
    to: *mut f32,
) {
    let (width, depth) = (panel.vectors * lanes, plan.group_source());
    let weight = &weight[panel.group * plan.group_stride + panel.first * plan.target_stride..];
    let taps: Vec<usize> = rows
        .taps
        .iter()
        .flat_map(|row| columns.taps.iter().map(|column| row.index * plan.kernel_columns + column.index))
        .collect();
    // SAFETY: taps, channels and lanes stay below the numbers that the caller promises.
    let put = |tap: usize, channel: usize, lane: usize, value: f32| unsafe {
        to.add((tap * depth + channel) * width + lane).write(value);
    };
    for first in (0..depth).step_by(BLOCK) {
        let channels = first..depth.min(first + BLOCK);
        // The order that reads the weights from first to last.
        if plan.source_stride < plan.target_stride {
            for lane in 0..panel.channels {
                for channel in channels.clone() {
                    let weight = &weight[lane * plan.target_stride + channel * plan.source_stride..];
                    taps.iter().enumerate().for_each(|(tap, &index)| put(tap, channel, lane, weight[index]));
                }
            }
        } else {
            for channel in channels.clone() {
                for lane in 0..panel.channels {
                    let weight = &weight[lane * plan.target_stride + channel * plan.source_stride..];
                    taps.iter().enumerate().for_each(|(tap, &index)| put(tap, channel, lane, weight[index]));
                }
            }
        }
        for lane in panel.channels..width {
            for channel in channels.clone() {
                (0..taps.len()).for_each(|tap| put(tap, channel, lane, 0.));
            }
        }
    }
}
