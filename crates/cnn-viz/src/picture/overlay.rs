//! A map over the photo that it belongs to, at the photo's own resolution.

use cnn_core::Preprocessing;
use cnn_data::{Image, InputPlacement, input_placement};

use super::{Heatmap, resize_part};
use crate::Error;

/// How much of a pixel is the map's colour; the rest is the photo in grey. Of maps with signs this
/// is the most: little values leave the photo as it is.
const OPACITY: f32 = 0.6;
const SIGNED_OPACITY: f32 = 0.9;
/// How white the parts of the photo become that the network does not see.
const UNSEEN: f32 = 0.7;

/// Lays the map of a network's input over the photo, in grey, that `record` made the input of. What
/// the network does not see becomes pale.
///
/// The map is brought to the photo's resolution and shown in units of [`Heatmap::unit`] with the
/// colours of [`Heatmap::color_map`].
///
/// # Errors
/// [`Error::Argument`] if the map is not of the size that `record` asks for;
/// [`Error::Picture`] if the record is invalid.
pub fn overlay(photo: &Image, map: &Heatmap, record: &Preprocessing) -> Result<Image, Error> {
    if [map.height(), map.width()] != [record.height(), record.width()] {
        let expected = format!(
            "{}x{}, the network's input",
            record.height(),
            record.width()
        );
        return Err(Error::argument(
            "map",
            format!("{}x{}", map.height(), map.width()),
            expected,
        ));
    }
    let failed = |source| Error::picture("a photo", source);
    let height = photo.height();
    let width = photo.width();
    let seen = Seen::of(
        &input_placement([height, width], record).map_err(failed)?,
        [height, width],
    );
    let normalized = map.normalized();
    let [rows, columns] = [seen.rows.clone(), seen.columns.clone()].map(|range| range.len());
    let values = resize_part(
        normalized.values(),
        [map.height(), map.width()],
        seen.part,
        [rows, columns],
    )?;

    let grey = photo.to_grey();
    let pale = |grey: u8| (f32::from(grey) * (1. - UNSEEN) + 255. * UNSEEN) as u8;
    let mut bytes: Vec<u8> = grey
        .bytes()
        .iter()
        .flat_map(|&grey| [pale(grey); 3])
        .collect();
    let colors = map.color_map();
    for (row, values) in seen.rows.zip(values.chunks_exact(columns)) {
        for (column, &value) in seen.columns.clone().zip(values) {
            let pixel = row * width + column;
            let grey = f32::from(grey.bytes()[pixel]);
            let opacity = if map.is_signed() {
                SIGNED_OPACITY * value.abs().sqrt()
            } else {
                OPACITY
            };
            let blend =
                |color: u8| (f32::from(color) * opacity + grey * (1. - opacity)).round() as u8;
            bytes[3 * pixel..][..3].copy_from_slice(&colors.color(value).map(blend));
        }
    }
    Image::from_pixels(height, width, 3, bytes).map_err(failed)
}

/// The pixels of a photo whose centres the network sees, and the part `[top, left, height, width]`
/// of the map that lies over them.
struct Seen {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    part: [f64; 4],
}

impl Seen {
    fn of(placement: &InputPlacement, photo: [usize; 2]) -> Self {
        let InputPlacement { source, target, .. } = placement;
        let axis = |axis: usize| {
            let from = source[axis];
            let len = source[axis + 2];
            let first = (from - 0.5).ceil().max(0.) as usize;
            let end = ((from + len - 0.5).ceil().max(0.) as usize).min(photo[axis]);
            // A part of less than half a pixel still has the pixel it lies in.
            let first = first.min(photo[axis] - 1);
            let range = first..end.max(first + 1);
            let scale = target[axis + 2] as f64 / len;
            let place = |at: usize| target[axis] as f64 + (at as f64 - from) * scale;
            let within = |at: f64| {
                at.clamp(
                    target[axis] as f64,
                    (target[axis] + target[axis + 2]) as f64,
                )
            };
            let start = within(place(range.start));
            let stop = within(place(range.end));
            (range, start, stop - start)
        };
        let ((rows, top, height), (columns, left, width)) = (axis(0), axis(1));
        Self {
            rows,
            columns,
            part: [top, left, height, width],
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cnn_core::CropMode;

    fn record(size: usize, crop_mode: CropMode, crop_pct: f64) -> Preprocessing {
        Preprocessing {
            input_size: [3, size, size],
            crop_mode,
            crop_pct,
            ..Preprocessing::default()
        }
    }

    /// A map that is hot at one pixel, over a photo of one grey.
    fn hottest(photo: [usize; 2], record: &Preprocessing, hot: [usize; 2]) -> [usize; 2] {
        let size = record.height();
        let mut values = vec![0.; size * size];
        values[hot[0] * size + hot[1]] = 1.;
        let map = Heatmap::new(size, size, values, false).unwrap();
        let photo =
            Image::from_pixels(photo[0], photo[1], 3, vec![90; photo[0] * photo[1] * 3]).unwrap();
        let picture = overlay(&photo, &map, record).unwrap();
        assert_eq!(
            [picture.height(), picture.width()],
            [photo.height(), photo.width()]
        );
        // Inferno becomes lighter; what is not seen is lighter still, but grey.
        let light = |pixel: &usize| {
            let color: Vec<u32> = picture.bytes()[3 * pixel..][..3]
                .iter()
                .map(|&byte| byte.into())
                .collect();
            if color[0] == color[1] && color[1] == color[2] {
                0
            } else {
                color.iter().sum::<u32>()
            }
        };
        let best = (0..photo.height() * photo.width())
            .max_by_key(light)
            .unwrap();
        [best / photo.width(), best % photo.width()]
    }

    #[test]
    fn the_map_lies_where_the_network_saw_it() {
        // Resized to 16 rows, of 2 photo pixels each, and 32 columns, of which the central 16 are
        // seen.
        assert_eq!(
            hottest([32, 64], &record(16, CropMode::Center, 1.), [3, 5]).map(|at| at / 2),
            [3, 13]
        );
        let [row, column] = hottest([32, 64], &record(16, CropMode::Squash, 1.), [3, 5]);
        assert_eq!([row / 2, column / 4], [3, 5]);
        // Fitted inside: 8 rows, four below the top.
        let [row, column] = hottest([32, 64], &record(16, CropMode::Border, 1.), [5, 7]);
        assert_eq!([row / 4, column / 4], [1, 7]);
        // A photo smaller than the input.
        assert_eq!(
            hottest([4, 4], &record(16, CropMode::Center, 1.), [13, 1]),
            [3, 0]
        );
    }

    #[test]
    fn what_is_not_seen_is_pale() {
        let photo = Image::from_pixels(10, 30, 1, vec![100; 300]).unwrap();
        let map = Heatmap::new(10, 10, vec![0.5; 100], false).unwrap();
        let picture = overlay(&photo, &map, &record(10, CropMode::Center, 1.)).unwrap();
        let at = |column: usize| &picture.bytes()[3 * (5 * 30 + column)..][..3];
        assert_eq!(at(9), [208, 208, 208]);
        assert!(at(10) != at(9) && at(19) == at(10) && at(20) == at(9));
        let wrong = Heatmap::new(9, 10, vec![0.5; 90], false).unwrap();
        assert!(overlay(&photo, &wrong, &record(10, CropMode::Center, 1.)).is_err());
    }
}
