//! Regions of interest, and the maps that they lie on.

use crate::FeatureMap;
use crate::autograd::element::Element;
use crate::error::{Checked, Error};
use crate::geometry::MAX_EXTENT;

/// A region of interest: a box in one image of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roi {
    /// Which of the maps it is taken from.
    pub map: usize,
    /// The image's place in the batch.
    pub image: usize,
    /// `[x1, y1, x2, y2]`, left, top, right and bottom in pixels of the image; it may lie outside.
    pub edges: [f32; 4],
}

/// Maps that regions are taken from, as one level of a pyramid.
#[derive(Debug, Clone, Copy)]
pub struct RoiMap<'a> {
    /// `(N, H, W, C)`.
    pub map: &'a FeatureMap,
    /// Pixels of the map per pixel of the image, as 1/16.
    pub spatial_scale: f64,
}

/// Where regions are taken from, checked.
#[derive(Debug, Clone)]
pub(super) struct Regions {
    pub(super) levels: Vec<Level>,
    pub(super) rois: Vec<Roi>,
    /// Rows and columns of a region's output.
    pub(super) output: [usize; 2],
    pub(super) channels: usize,
}

/// One of the maps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) dims: [usize; 4],
    pub(super) spatial_scale: f64,
}

impl Level {
    /// Values of an image.
    pub(super) fn image_len(&self) -> usize {
        self.dims[1..].iter().product()
    }
}

/// Start and end of a region along one axis, in pixels of the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: f32,
    pub(super) end: f32,
}

impl Span {
    /// In pixels of a map, computed in its element type as PyTorch does.
    pub(super) fn on_map<T: Element>(self, spatial_scale: f64) -> [T; 2] {
        let scale = T::from_f64(spatial_scale);
        [self.start, self.end].map(|edge| T::from_f64(f64::from(edge)) * scale)
    }
}

impl Roi {
    /// Its rows and its columns.
    pub(super) fn spans(&self) -> [Span; 2] {
        let [x1, y1, x2, y2] = self.edges;
        [Span { start: y1, end: y2 }, Span { start: x1, end: x2 }]
    }
}

impl Regions {
    pub(super) fn new(
        op: &'static str,
        maps: &[RoiMap<'_>],
        rois: &[Roi],
        output: [usize; 2],
    ) -> Checked<Self> {
        let regions = Self {
            levels: levels(op, maps)?,
            rois: rois.to_vec(),
            output,
            channels: maps.first().map_or(0, |level| level.map.channels()),
        };
        for size in output {
            if size == 0 || size > MAX_EXTENT {
                let expected = format!("1 to {MAX_EXTENT}");
                return Err(argument(op, "output size", size, expected));
            }
        }
        rois.iter()
            .enumerate()
            .try_for_each(|(number, roi)| regions.check(op, number, roi))?;
        Ok(regions)
    }

    fn check(&self, op: &'static str, number: usize, roi: &Roi) -> Checked<()> {
        let fault = |what: &'static str, found: String, expected: String| {
            let found = format!("{found} for region {number}");
            Err(argument(op, what, found, expected))
        };
        let Some(level) = self.levels.get(roi.map) else {
            let expected = format!("below {}", self.levels.len());
            return fault("the map's number", roi.map.to_string(), expected);
        };
        let batch = level.dims[0];
        if roi.image >= batch {
            let expected = format!("below {batch}, the batch's size");
            return fault("the image's number", roi.image.to_string(), expected);
        }
        // Beyond any map; and the number of samples grows with a region.
        let most = MAX_EXTENT as f64;
        let fits = |edge: &f32| (f64::from(*edge) * level.spatial_scale).abs() <= most;
        if !roi.edges.iter().all(fits) {
            let expected = format!("edges within {MAX_EXTENT} pixels of the map's corner");
            return fault("the box", format!("{:?}", roi.edges), expected);
        }
        Ok(())
    }

    /// The level that a region lies on.
    pub(super) fn level(&self, roi: &Roi) -> &Level {
        &self.levels[roi.map]
    }

    pub(super) fn output_shape(&self) -> Vec<usize> {
        let [rows, columns] = self.output;
        vec![self.rois.len(), rows, columns, self.channels]
    }

    /// Values of a region's output.
    pub(super) fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    /// As `7x7`.
    pub(super) fn geometry(&self) -> String {
        format!("{}x{}", self.output[0], self.output[1])
    }

    /// The values of the image that a region lies in.
    pub(super) fn image<'a, T>(&self, maps: &[&'a [T]], roi: &Roi) -> &'a [T] {
        let len = self.level(roi).image_len();
        &maps[roi.map][roi.image * len..][..len]
    }
}

fn levels(op: &'static str, maps: &[RoiMap<'_>]) -> Checked<Vec<Level>> {
    let Some(first) = maps.first() else {
        return Err(argument(op, "number of maps", 0, "at least 1"));
    };
    let channels = first.map.channels();
    let level = |level: &RoiMap<'_>| {
        let dims = level.map.dims();
        if dims[1] == 0 || dims[2] == 0 || dims[3] != channels {
            return Err(Error::Shape {
                op,
                what: "a map",
                found: dims.to_vec(),
                expected: format!("(N, H, W, {channels}), not empty, as all maps"),
            });
        }
        let spatial_scale = level.spatial_scale;
        if spatial_scale > 0. && spatial_scale.is_finite() {
            return Ok(Level {
                dims,
                spatial_scale,
            });
        }
        let expected = "a positive number";
        Err(argument(op, "the spatial scale", spatial_scale, expected))
    };
    maps.iter().map(level).collect()
}

pub(super) fn argument(
    op: &'static str,
    what: &'static str,
    found: impl ToString,
    expected: impl Into<String>,
) -> Error {
    Error::Argument {
        op,
        what,
        found: found.to_string(),
        expected: expected.into(),
    }
}
