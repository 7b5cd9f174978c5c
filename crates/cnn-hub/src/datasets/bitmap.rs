//! Pictures of datasets that come as arrays of numbers, as files that every program reads (BMP).

/// A picture in colour: `pixel` gives red, green and blue by row and column.
pub(super) fn bitmap(
    height: usize,
    width: usize,
    pixel: impl Fn(usize, usize) -> [u8; 3],
) -> Vec<u8> {
    const HEADERS: usize = 14 + 40;
    // Rows are padded to whole words.
    let row_length = (width * 3).next_multiple_of(4);
    let size = HEADERS + row_length * height;
    let mut bytes = Vec::with_capacity(size);
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend(b"BM");
    bytes.extend(number(size));
    bytes.extend(number(0));
    bytes.extend(number(HEADERS));
    bytes.extend(number(40));
    bytes.extend(number(width));
    bytes.extend(number(height));
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    // The lowest row comes first, and blue before red.
    for row in (0..height).rev() {
        let start = bytes.len();
        for column in 0..width {
            let [red, green, blue] = pixel(row, column);
            bytes.extend([blue, green, red]);
        }
        bytes.resize(start + row_length, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_rows_from_below_padded_to_words() {
        let picture = bitmap(2, 1, |row, _| [1, 2, 3 + row as u8]);
        assert_eq!(picture.len(), 54 + 8);
        assert_eq!(&picture[54..], [4, 2, 1, 0, 3, 2, 1, 0]);
    }
}
