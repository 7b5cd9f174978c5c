//! Many images on one.

use super::Image;
use crate::Error;

const WHITE: u8 = 255;
const MOST_BYTES: usize = 1 << 30;

/// Puts images in rows of `columns`. Each image lies in the middle of a cell that is as large as
/// the largest image, with `gap` white pixels between the cells and around them. The sheet is grey
/// if all images are, else RGB. The last row may stay short.
///
/// ```
/// use cnn_data::{Image, contact_sheet};
///
/// let black = Image::from_pixels(2, 3, 1, vec![0; 6])?;
/// let sheet = contact_sheet(&[black.clone(), black.clone(), black], 2, 1)?;
/// assert_eq!((sheet.height(), sheet.width()), (7, 9));
/// # Ok::<(), cnn_data::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Argument`] without images or columns, or where the sheet would be larger than 1
/// GiB.
pub fn contact_sheet(images: &[Image], columns: usize, gap: usize) -> Result<Image, Error> {
    if columns == 0 {
        return Err(Error::argument("columns", 0, "at least 1"));
    }
    let largest = |side: fn(&Image) -> usize| images.iter().map(side).max();
    let (Some(cell_height), Some(cell_width), Some(channels)) = (
        largest(Image::height),
        largest(Image::width),
        largest(Image::channels),
    ) else {
        return Err(Error::argument("images", "none", "at least one"));
    };
    let columns = columns.min(images.len());
    let side =
        |cells: usize, cell: usize| cell.checked_add(gap)?.checked_mul(cells)?.checked_add(gap);
    let height = side(images.len().div_ceil(columns), cell_height);
    let width = side(columns, cell_width);
    let bytes = height
        .zip(width)
        .and_then(|(height, width)| height.checked_mul(width)?.checked_mul(channels));
    let (Some(height), Some(width), Some(len @ ..=MOST_BYTES)) = (height, width, bytes) else {
        return Err(Error::argument(
            "gap",
            gap,
            format!("a sheet of at most {MOST_BYTES} bytes"),
        ));
    };
    let mut sheet = vec![WHITE; len];
    for (number, image) in images.iter().enumerate() {
        let image = image.clone().with_channels(channels)?;
        let top = gap + number / columns * (cell_height + gap) + (cell_height - image.height()) / 2;
        let left = gap + number % columns * (cell_width + gap) + (cell_width - image.width()) / 2;
        let row_len = image.width() * channels;
        for (row, pixels) in image.bytes().chunks_exact(row_len).enumerate() {
            let start = ((top + row) * width + left) * channels;
            sheet[start..start + row_len].copy_from_slice(pixels);
        }
    }
    Image::from_pixels(height, width, channels, sheet)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn images_of_different_sizes_are_centred_in_equal_cells() {
        let tall = Image::from_pixels(3, 1, 1, vec![1, 2, 3]).unwrap();
        let wide = Image::from_pixels(1, 3, 1, vec![4, 5, 6]).unwrap();
        let sheet = contact_sheet(&[tall, wide], 2, 1).unwrap();
        assert_eq!((sheet.height(), sheet.width(), sheet.channels()), (5, 9, 1));
        let row = |row: usize| sheet.bytes()[row * 9..(row + 1) * 9].to_vec();
        assert_eq!(row(0), [255; 9]);
        assert_eq!(row(1), [255, 255, 1, 255, 255, 255, 255, 255, 255]);
        assert_eq!(row(2), [255, 255, 2, 255, 255, 4, 5, 6, 255]);
    }

    #[test]
    fn one_coloured_image_makes_all_rgb_and_rows_may_stay_short() {
        let grey = Image::from_pixels(1, 1, 1, vec![7]).unwrap();
        let red = Image::from_pixels(1, 1, 3, vec![9, 0, 0]).unwrap();
        let sheet = contact_sheet(&[grey.clone(), red, grey], 2, 0).unwrap();
        assert_eq!((sheet.height(), sheet.width()), (2, 2));
        assert_eq!(sheet.bytes(), [7, 7, 7, 9, 0, 0, 7, 7, 7, 255, 255, 255]);
    }

    #[test]
    fn bad_arguments_are_named() {
        let image = Image::from_pixels(1, 1, 1, vec![0]).unwrap();
        let cases = [
            (vec![], 2, 0, "`images`: found none, expected at least one"),
            (
                vec![image.clone()],
                0,
                0,
                "`columns`: found 0, expected at least 1",
            ),
            (
                vec![image.clone()],
                1,
                1 << 20,
                "`gap`: found 1048576, expected a sheet of at most 1073741824 bytes",
            ),
        ];
        for (images, columns, gap, message) in cases {
            assert_eq!(
                contact_sheet(&images, columns, gap)
                    .unwrap_err()
                    .to_string(),
                message
            );
        }
        assert!(contact_sheet(&[image], 1, usize::MAX).is_err());
    }
}
