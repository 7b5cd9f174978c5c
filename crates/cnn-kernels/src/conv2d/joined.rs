//! What a convolution reads: the channels of one map, or of several as if they were one.

use crate::conv2d::plan::Plan;

/// A map whose channels are some of those that a plan reads.
#[derive(Clone, Copy)]
pub(crate) struct SourcePart<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) channels: usize,
    /// Rows and columns of the map.
    size: [usize; 2],
    /// 1 where the plan reads every row and column twice, as if the map were enlarged; else 0.
    halvings: u32,
}

impl<'a> SourcePart<'a> {
    /// The only map that a plan reads.
    pub(crate) fn whole(plan: &Plan, values: &'a [f32]) -> Self {
        Self {
            values,
            channels: plan.c_source,
            size: [plan.rows.source, plan.columns.source],
            halvings: 0,
        }
    }

    /// One of several maps of `channels` channels, enlarged to the plan's size if it is `doubled`.
    pub(crate) fn of_several(
        plan: &Plan,
        values: &'a [f32],
        channels: usize,
        doubled: bool,
    ) -> Self {
        let halvings = u32::from(doubled);
        Self {
            values,
            channels,
            size: [plan.rows.source, plan.columns.source].map(|size| size >> halvings),
            halvings,
        }
    }

    /// The values of a source that is one map of the plan's size.
    pub(crate) fn alone(source: &[Self]) -> Option<&'a [f32]> {
        match source {
            [part] if part.halvings == 0 => Some(part.values),
            _ => None,
        }
    }

    /// The values of the map's pixel that the plan reads at a place.
    #[inline(always)]
    pub(crate) fn pixel(&self, image: usize, row: usize, column: usize) -> &'a [f32] {
        let [rows, columns] = self.size;
        let line = image * rows + (row >> self.halvings);
        let pixel = line * columns + (column >> self.halvings);
        &self.values[pixel * self.channels..][..self.channels]
    }

    /// The values of neighbouring pixels of a row, where they lie side by side in the map.
    pub(crate) fn run(
        &self,
        image: usize,
        row: usize,
        column: usize,
        pixels: usize,
    ) -> Option<&'a [f32]> {
        let [rows, columns] = self.size;
        let pixel = (image * rows + row) * columns + column;
        (self.halvings == 0)
            .then(|| &self.values[pixel * self.channels..][..pixels * self.channels])
    }
}
