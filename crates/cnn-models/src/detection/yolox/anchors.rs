//! The places that the head looks at: one in each cell of three grids, without boxes of their own.

use cnn_layers::detection::BoxEdges;

/// Pixels of the input in a cell, of each level from the finest on.
pub(super) const STRIDES: [usize; 3] = [8, 16, 32];

/// A cell of a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Anchor {
    /// Its column and its row in the level's grid.
    pub(super) column: f32,
    pub(super) row: f32,
    /// Its side in pixels of the input.
    pub(super) stride: f32,
}

impl Anchor {
    /// All anchors of levels with these heights and widths, row by row, from the finest level on.
    pub(super) fn all(levels: &[[usize; 2]]) -> Vec<Self> {
        let of_level = |(&[rows, columns], stride): (&[usize; 2], usize)| {
            (0..rows * columns).map(move |place| Self {
                column: (place % columns) as f32,
                row: (place / columns) as f32,
                stride: stride as f32,
            })
        };
        levels.iter().zip(STRIDES).flat_map(of_level).collect()
    }

    /// The centre of the cell in pixels of the input.
    pub(super) fn centre(&self) -> [f32; 2] {
        [self.column, self.row].map(|place| (place + 0.5) * self.stride)
    }

    /// The box that the head's four numbers mean: offsets of its centre in cells, and logarithms of
    /// its sides in cells.
    pub(super) fn decode(&self, raw: &[f32]) -> BoxEdges {
        let x = (raw[0] + self.column) * self.stride;
        let y = (raw[1] + self.row) * self.stride;
        let width = raw[2].exp() * self.stride;
        let height = raw[3].exp() * self.stride;
        [
            x - width / 2.,
            y - height / 2.,
            x + width / 2.,
            y + height / 2.,
        ]
    }

    /// The four numbers that mean a box.
    pub(super) fn encode(&self, [x1, y1, x2, y2]: &BoxEdges) -> [f32; 4] {
        let side = |from: f32, to: f32| ((to - from) / self.stride + 1e-8).ln();
        [
            (x1 + x2) / 2. / self.stride - self.column,
            (y1 + y2) / 2. / self.stride - self.row,
            side(*x1, *x2),
            side(*y1, *y2),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_go_row_by_row_from_the_finest_level_on() {
        let all = Anchor::all(&[[2, 3], [1, 1], [1, 1]]);
        assert_eq!(all.len(), 8);
        let place = |anchor: &Anchor| (anchor.column, anchor.row, anchor.stride);
        assert_eq!(place(&all[4]), (1., 1., 8.));
        assert_eq!(place(&all[7]), (0., 0., 32.));
        assert_eq!(all[4].centre(), [12., 12.]);
    }

    #[test]
    fn a_box_comes_back_from_its_numbers() {
        let anchor = Anchor {
            column: 3.,
            row: 1.,
            stride: 16.,
        };
        let edges = [40., 9., 71., 80.];
        let back = anchor.decode(&anchor.encode(&edges));
        for (back, edge) in back.iter().zip(edges) {
            assert!((back - edge).abs() < 1e-4, "{back} {edge}");
        }
    }
}
