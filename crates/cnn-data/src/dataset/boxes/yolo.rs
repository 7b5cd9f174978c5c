//! YOLO's text: the objects in one photo, a line each.

use super::faults::{Place, PlacedObject};
use crate::AnnotatedObject;

/// The largest file that is read, in bytes.
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// Beyond this, in widths or heights of the photo, a number is taken for one of pixels.
const FARTHEST: f64 = 2.0;

/// What YOLO's text says of one photo: a line `class x_center y_center width height` for each
/// object, with classes from 0 and lengths as shares of the photo's width and height. A line of a
/// class and the points of an outline, `class x1 y1 x2 y2 x3 y3 …`, becomes the box around it.
///
/// ```
/// use cnn_data::YoloLabels;
///
/// let labels = YoloLabels::parse(b"0 0.5 0.5 0.25 0.5\n7 0.5 0.25 0.75 0.5 0.5 0.75\n")?;
/// let boxes: Vec<_> = labels.objects([60, 80]).map(|object| (object.class, object.xywh)).collect();
/// assert_eq!(boxes, [(0, [30.0, 15.0, 20.0, 30.0]), (7, [40.0, 15.0, 20.0, 30.0])]);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct YoloLabels {
    /// In shares of the photo.
    objects: Vec<PlacedObject>,
}

impl YoloLabels {
    /// Understands a file; lines without text are passed over.
    ///
    /// # Errors
    ///
    /// A sentence that names the line: one that has neither five numbers nor a class and at least
    /// three points, a class that is no number from 0, a width or height below 0, a number that is
    /// not finite or larger than 2 and so not a share of the photo.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("no UTF-8 text at byte {}", error.valid_up_to()))?;
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty());
        let objects = lines.map(|(number, line)| {
            let place = Place::Line(number + 1);
            match object(line) {
                Ok(object) => Ok(PlacedObject {
                    place,
                    object,
                    is_reversed: false,
                }),
                Err(reason) => Err(format!("{place}: {reason}")),
            }
        });
        Ok(Self {
            objects: objects.collect::<Result<_, _>>()?,
        })
    }

    /// The objects in a photo of this height and width, in pixels.
    pub fn objects(&self, [height, width]: [usize; 2]) -> impl Iterator<Item = AnnotatedObject> {
        let sides = [width as f64, height as f64];
        self.objects
            .iter()
            .map(move |placed| placed.object.scaled(sides))
    }

    pub(super) fn placed(&self) -> &[PlacedObject] {
        &self.objects
    }

    pub(super) fn into_placed(self) -> Vec<PlacedObject> {
        self.objects
    }
}

fn object(line: &str) -> Result<AnnotatedObject, String> {
    let mut words = line.split_whitespace();
    let class = class(words.next().unwrap_or_default())?;
    let numbers = words.map(share).collect::<Result<Vec<f64>, String>>()?;
    match numbers[..] {
        [x, y, width, height] if width >= 0.0 && height >= 0.0 => {
            let xywh = [x - width / 2.0, y - height / 2.0, width, height];
            Ok(AnnotatedObject::new(xywh, class))
        }
        [_, _, width, height] => Err(format!(
            "width and height are {width} and {height}, expected none below 0"
        )),
        [x, y, ..] if numbers.len() >= 6 && numbers.len().is_multiple_of(2) => {
            let (points, _) = numbers.as_chunks::<2>();
            let hull = |of: fn(f64, f64) -> f64, axis: usize, first| {
                points
                    .iter()
                    .fold(first, |edge, point| of(edge, point[axis]))
            };
            let [left, top] = [hull(f64::min, 0, x), hull(f64::min, 1, y)];
            let [right, bottom] = [hull(f64::max, 0, x), hull(f64::max, 1, y)];
            Ok(AnnotatedObject::new(
                [left, top, right - left, bottom - top],
                class,
            ))
        }
        _ => Err(format!(
            "{} numbers, expected `class x_center y_center width height`, or a class and the points of an outline",
            numbers.len() + 1
        )),
    }
}

/// A class, which some programs write as `3.0`.
fn class(word: &str) -> Result<usize, String> {
    let whole = word.strip_suffix(".0").unwrap_or(word);
    let class = whole.parse::<u32>();
    let class =
        class.map_err(|_| format!("the class is `{}`, expected a number from 0", shown(word)));
    class.map(|class| class as usize)
}

fn share(word: &str) -> Result<f64, String> {
    let value = word.parse::<f64>().ok().filter(|value| value.is_finite());
    let value = value.ok_or_else(|| format!("`{}` is no finite number", shown(word)))?;
    if value.abs() > FARTHEST {
        return Err(format!(
            "{value} is no share of the photo's width or height, expected about 0 to 1"
        ));
    }
    Ok(value)
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
