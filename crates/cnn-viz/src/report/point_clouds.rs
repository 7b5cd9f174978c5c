//! Features of images as points of a plane.

use serde::Serialize;

/// Pictures of points that have one key: where images lie for several networks, say.
///
/// A point's colour is its class, its shape the kind of its image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PointClouds {
    /// The classes' names, by index. The key names up to 20 of them.
    pub classes: Vec<String>,
    /// What the dots are, and what the crosses.
    pub kinds: [String; 2],
    /// The pictures in order; two stand beside each other where there is room.
    pub clouds: Vec<PointCloud>,
}

/// One picture of points. Both axes have the same scale, so that distances are true.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PointCloud {
    /// The heading.
    pub title: String,
    /// A sentence below it.
    pub note: Option<String>,
    /// The points; of those in one place the last is seen.
    pub points: Vec<CloudPoint>,
}

/// One point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CloudPoint {
    /// Where it is, to the right and upwards.
    pub at: [f64; 2],
    /// Its class; `None` where that is not known, which is grey.
    pub class: Option<usize>,
    /// Whether it is a cross and no dot.
    pub is_cross: bool,
}
