//! The source of some outputs: windows that stay inside the map are read where they lie; else the
//! rows under the outputs are copied, with zero points around them; windows that would make such a
//! copy absurd are copied one by one.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::conv2d::Convolution;
use crate::int8::depthwise::Source;
use crate::int8::layout::{Layout, Place, span};
use crate::int8::packed::QUAD;
use crate::machine::scratch::Scratch;

/// Source bytes, and where each window begins.
pub(crate) struct Windows {
    pub(crate) start: *const u8,
    pub(crate) places: Vec<usize>,
    _copy: Option<Scratch>,
}

impl Windows {
    /// Those of some outputs, which are counted over the batch.
    pub(crate) fn of(
        conv: &Convolution,
        layout: &Layout,
        source: Source,
        pixels: Range<usize>,
    ) -> Self {
        let reader = Reader {
            conv,
            layout,
            source,
        };
        match layout.place {
            Place::Pixels | Place::Map => reader.in_place(pixels),
            Place::Strip => reader.strip(pixels),
            Place::Patches => reader.patches(pixels),
        }
    }
}

struct Reader<'a> {
    conv: &'a Convolution,
    layout: &'a Layout,
    source: Source<'a>,
}

impl Reader<'_> {
    fn in_place(&self, pixels: Range<usize>) -> Windows {
        let conv = self.conv;
        let start = self.source.values.as_ptr();
        let places = if self.layout.place == Place::Pixels {
            pixels.map(|pixel| pixel * self.layout.pixel).collect()
        } else {
            let image = conv.input_pixels() * self.layout.pixel;
            let columns = conv.geometry.columns;
            let row = |row: usize| {
                let y = row % conv.geometry.rows.output;
                let start = row / conv.geometry.rows.output * image
                    + y * conv.geometry.rows.stride * self.layout.row;
                (0..columns.output).map(move |x| start + x * columns.stride * self.layout.pixel)
            };
            let rows = pixels.start / columns.output..pixels.end / columns.output;
            rows.flat_map(row).collect()
        };
        Windows {
            start,
            places,
            _copy: None,
        }
    }

    fn strip(&self, pixels: Range<usize>) -> Windows {
        let conv = self.conv;
        let axis = conv.geometry.rows;
        let columns = conv.geometry.columns;
        let rows = pixels.start / columns.output..pixels.end / columns.output;
        // The outputs of each image, and where the rows under them begin.
        let mut parts = Vec::new();
        let mut source_rows = 0;
        let mut next = rows.start;
        while next < rows.end {
            let image = next / axis.output;
            let end = rows.end.min((image + 1) * axis.output);
            parts.push((image, next..end, source_rows));
            source_rows += span(&axis, end - next);
            next = end;
        }
        // Rows of windows read up to three bytes further.
        let mut copy = Bytes::new(source_rows * self.layout.row + QUAD);
        let mut places = Vec::with_capacity(pixels.len());
        for (image, outputs, first) in parts {
            let y = outputs.start % axis.output;
            for row in 0..span(&axis, outputs.len()) {
                let source = (y * axis.stride + row)
                    .checked_sub(axis.before)
                    .filter(|&source| source < axis.input);
                match source {
                    Some(source) => self.copy_row(image * axis.input + source, &mut copy),
                    None => copy.fill(self.layout.row, self.source.zero_point),
                }
            }
            for row in 0..outputs.len() {
                let start = (first + row * axis.stride) * self.layout.row;
                places.extend(
                    (0..columns.output).map(|x| start + x * columns.stride * self.layout.pixel),
                );
            }
        }
        copy.fill(QUAD, self.source.zero_point);
        copy.into_windows(places)
    }

    /// A source row, counted over the batch, with the zero points around it.
    fn copy_row(&self, row: usize, copy: &mut Bytes) {
        let columns = &self.conv.geometry.columns;
        let width = self.layout.row / self.layout.pixel;
        let left = columns.before.min(width);
        let inside = columns.input.min(width - left);
        let first = row * columns.input;
        copy.fill(left * self.layout.pixel, self.source.zero_point);
        self.copy_pixels(first..first + inside, copy);
        let right = width - left - inside;
        copy.fill(right * self.layout.pixel, self.source.zero_point);
    }

    /// Source pixels, with each group's channels rounded up to fours.
    fn copy_pixels(&self, pixels: Range<usize>, copy: &mut Bytes) {
        let c_in = self.conv.c_in;
        let values = &self.source.values[pixels.start * c_in..pixels.end * c_in];
        if self.layout.pixel == c_in {
            return copy.extend(values);
        }
        let group = self.conv.group_in();
        for channels in values.chunks_exact(group) {
            copy.extend(channels);
            copy.fill(group.next_multiple_of(QUAD) - group, 0);
        }
    }

    fn patches(&self, pixels: Range<usize>) -> Windows {
        let conv = self.conv;
        let patch = conv.taps() * self.layout.pixel;
        let mut copy = Bytes::new(pixels.len() * patch + QUAD);
        let rows = conv.geometry.rows;
        let columns = conv.geometry.columns;
        let places = (0..pixels.len()).map(|pixel| pixel * patch).collect();
        for pixel in pixels {
            let image = pixel / conv.output_pixels();
            let y = pixel % conv.output_pixels() / columns.output;
            let x = pixel % columns.output;
            for (i, j) in (0..rows.kernel).flat_map(|i| (0..columns.kernel).map(move |j| (i, j))) {
                match rows.source(y, i).zip(columns.source(x, j)) {
                    Some((row, column)) => {
                        let source = (image * rows.input + row) * columns.input + column;
                        self.copy_pixels(source..source + 1, &mut copy);
                    }
                    None => copy.fill(self.layout.pixel, self.source.zero_point),
                }
            }
        }
        copy.fill(QUAD, self.source.zero_point);
        copy.into_windows(places)
    }
}

/// Working memory that is filled from its start.
struct Bytes {
    memory: Scratch,
    len: usize,
    capacity: usize,
}

impl Bytes {
    fn new(capacity: usize) -> Self {
        Self {
            memory: Scratch::take(capacity.div_ceil(size_of::<f32>())),
            len: 0,
            capacity,
        }
    }

    fn extend(&mut self, values: &[u8]) {
        assert!(values.len() <= self.capacity - self.len);
        // SAFETY: there is room, as was just asserted, and nobody else knows this memory.
        unsafe {
            let to = self.memory.as_mut_ptr().cast::<u8>().add(self.len);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
        }
        self.len += values.len();
    }

    fn fill(&mut self, count: usize, value: u8) {
        assert!(count <= self.capacity - self.len);
        // SAFETY: as above.
        unsafe {
            let to = self.memory.as_mut_ptr().cast::<u8>().add(self.len);
            to.write_bytes(value, count);
        }
        self.len += count;
    }

    fn into_windows(mut self, places: Vec<usize>) -> Windows {
        Windows {
            start: self.memory.as_mut_ptr().cast(),
            places,
            _copy: Some(self.memory),
        }
    }
}
