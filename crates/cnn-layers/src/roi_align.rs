//! Regions of a pyramid's maps at one size.

use candle_core::Result;
use cnn_kernels::{Roi, RoiAlignSpec, RoiMap, roi_align};

use crate::detection::{BoxEdges, LevelMapper};
use crate::{Builder, Context, Error, FeatureMap, LayerKind, Value};

/// Regions of the maps of a pyramid at one size, each taken from the level that fits its box, as
/// torchvision's `MultiScaleRoIAlign`; see [`cnn_kernels::roi_align`] and [`LevelMapper`].
///
/// How much smaller than the image a map is, is told from its rows: the power of two that is nearest.
/// The first map's and the last map's are the ends of the levels, so of one map all regions are taken
/// from it.
///
/// An observer sees the maps as its inputs, but not the boxes: these are no value that another layer
/// gave.
///
/// # Shapes
/// Maps `(N, Hᵢ, Wᵢ, C)` and a list of boxes for each of the `N` images to `(R, rows, columns, C)`,
/// the boxes of all images one after another.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, FeatureMap, Mode, MultiScaleRoiAlign, Store};
///
/// let zeros = |side: usize| {
///     FeatureMap::from_nhwc(&Tensor::zeros((2, side, side, 8), DType::F32, &Device::Cpu)?)
/// };
/// let maps = [zeros(64)?, zeros(32)?, zeros(16)?];
/// let pool = MultiScaleRoiAlign::new([7, 7], Some(2));
/// let boxes = [vec![[0., 0., 30., 40.]], vec![[9., 9., 200., 180.], [4., 4., 5., 5.]]];
/// let regions = pool.forward(&maps, [256, 256], &boxes, &Context::eval())?;
/// assert_eq!(regions.dims(), [3, 7, 7, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultiScaleRoiAlign {
    path: String,
    spec: RoiAlignSpec,
    canonical_size: f32,
    canonical_level: i32,
}

impl MultiScaleRoiAlign {
    /// The layer; an [`at`](MultiScaleRoiAlign::at) gives it a path, else it is called by its kind.
    ///
    /// `output` is `[rows, columns]` of a region; `sampling_ratio` as that of [`RoiAlignSpec`].
    pub fn new(output: [usize; 2], sampling_ratio: Option<usize>) -> Self {
        let spec = RoiAlignSpec {
            sampling_ratio,
            ..RoiAlignSpec::new(output)
        };
        Self {
            path: kind(&spec).name().to_string(),
            spec,
            canonical_size: 224.,
            canonical_level: 4,
        }
    }

    /// Another side of a square, in pixels, that is taken from another level; default 224 from the
    /// map with 16 times fewer rows, level 4.
    #[must_use]
    pub fn with_canonical(self, size: f32, level: i32) -> Self {
        Self {
            canonical_size: size,
            canonical_level: level,
            ..self
        }
    }

    /// The same under the builder's path, by which errors and observers call it.
    #[must_use]
    pub fn at(mut self, builder: &Builder) -> Self {
        self.path = builder.path().to_string();
        self
    }

    /// The regions, of images of `[rows, columns]` as the network read them.
    ///
    /// # Errors
    /// If there is no map, boxes are not given for each image, the image is empty, or as
    /// [`cnn_kernels::roi_align`].
    pub fn forward(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
        boxes: &[Vec<BoxEdges>],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let inputs: Vec<Value<'_>> = maps.iter().map(Value::from).collect();
        cx.layer(&self.path, kind(&self.spec), &inputs, || {
            let levels = levels(maps, image)?;
            let rois = self.rois(&levels, boxes)?;
            let scaled = maps.iter().zip(&levels);
            let scaled: Vec<RoiMap<'_>> = scaled
                .map(|(map, &level)| RoiMap {
                    map,
                    spatial_scale: f64::from(-level).exp2(),
                })
                .collect();
            roi_align(&scaled, &rois, &self.spec)
        })
    }

    fn rois(&self, levels: &[i32], boxes: &[Vec<BoxEdges>]) -> Result<Vec<Roi>> {
        let (Some(&first), Some(&last)) = (levels.first(), levels.last()) else {
            return Err(Error::argument("maps", "none", "at least 1").into());
        };
        let mapper = LevelMapper::new(first, last)?;
        let mapper = mapper.with_canonical(self.canonical_size, self.canonical_level)?;
        let of_image = |(image, boxes): (usize, &Vec<BoxEdges>)| -> Vec<Roi> {
            let roi = |&edges: &BoxEdges| Roi {
                map: mapper.index_of(&edges),
                image,
                edges,
            };
            boxes.iter().map(roi).collect()
        };
        Ok(boxes.iter().enumerate().flat_map(of_image).collect())
    }
}

fn kind(spec: &RoiAlignSpec) -> LayerKind {
    LayerKind::MultiScaleRoiAlign {
        output: spec.output,
        sampling_ratio: spec.sampling_ratio,
    }
}

/// For each map the nearest power of two of how many times fewer rows it has than the image.
fn levels(maps: &[FeatureMap], image: [usize; 2]) -> Result<Vec<i32>> {
    let level = |map: &FeatureMap| {
        if image[0] == 0 || map.height() == 0 {
            let found = format!("{} rows for maps of {}", image[0], map.height());
            return Err(Error::argument("image", found, "1 or more of both").into());
        }
        let scale = map.height() as f32 / image[0] as f32;
        Ok(-scale.log2().round_ties_even() as i32)
    };
    maps.iter().map(level).collect()
}
