//! Objects in pixels of the upright photo.

use image::metadata::Orientation;

use crate::image::PhotoFrame;
use crate::{Affine, AnnotatedObject};

/// Objects in pixels of the upright photo, where their file means one of this height and width.
pub(in crate::dataset) fn in_frame(
    objects: Vec<AnnotatedObject>,
    size: Option<[usize; 2]>,
    frame: PhotoFrame,
) -> Result<Vec<AnnotatedObject>, String> {
    let [height, width] = frame.upright();
    match size {
        None => Ok(objects),
        Some(size) if size == [height, width] => Ok(objects),
        Some(size) if size == frame.stored() => {
            let turn = turn_of(frame);
            Ok(objects.iter().map(|object| object.turned(&turn)).collect())
        }
        Some([found_height, found_width]) => Err(format!(
            "annotations of {found_width}x{found_height} pixels for a photo of {width}x{height}"
        )),
    }
}

/// The map from the pixels of a photo as it is stored to those of the upright one.
fn turn_of(frame: PhotoFrame) -> Affine {
    let [height, width] = frame.stored().map(|side| side as f64);
    let rows = match frame.orientation() {
        Orientation::NoTransforms => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        Orientation::FlipHorizontal => [[-1.0, 0.0, width], [0.0, 1.0, 0.0]],
        Orientation::Rotate180 => [[-1.0, 0.0, width], [0.0, -1.0, height]],
        Orientation::FlipVertical => [[1.0, 0.0, 0.0], [0.0, -1.0, height]],
        Orientation::Rotate90FlipH => [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
        Orientation::Rotate90 => [[0.0, -1.0, height], [1.0, 0.0, 0.0]],
        Orientation::Rotate270FlipH => [[0.0, -1.0, height], [-1.0, 0.0, width]],
        Orientation::Rotate270 => [[0.0, 1.0, 0.0], [-1.0, 0.0, width]],
    };
    Affine::new(rows).unwrap_or(Affine::IDENTITY)
}
