//! The pixels of an object, as pycocotools' `annToMask` finds them.

use super::document::{Counts, Segmentation};

/// Runs of pixels that belong to an object. Pixels are counted down the columns, from the left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Region {
    runs: Vec<Run>,
}

#[derive(Debug, PartialEq, Eq)]
struct Run {
    start: usize,
    len: usize,
}

/// Height and width of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) height: u32,
    pub(super) width: u32,
}

impl Size {
    pub(super) fn pixels(self) -> usize {
        self.height as usize * self.width as usize
    }
}

/// Outlines are followed in steps of a fifth of a pixel.
const SCALE: f64 = 5.0;
/// No coordinate of an outline may be further away.
const FARTHEST: f64 = 100_000.0;

impl Region {
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub(super) fn of(segmentation: &Segmentation, size: Size) -> Result<Self, String> {
        match segmentation {
            Segmentation::Polygons(polygons) => {
                let mut region = Self::default();
                for polygon in polygons {
                    region.add(&boundary(polygon, size)?, size);
                }
                Ok(region)
            }
            Segmentation::Runs {
                size: [height, width],
                counts,
            } => {
                if [*height, *width] != [size.height, size.width] {
                    return Err(format!(
                        "its runs are those of {width}x{height} pixels in an image of {}x{}",
                        size.width, size.height
                    ));
                }
                match counts {
                    Counts::Numbers(counts) => Self::of_counts(counts, size),
                    Counts::Compressed(text) => Self::of_counts(&decompressed(text)?, size),
                }
            }
            Segmentation::Unknown(_) => {
                Err("its segmentation is neither polygons nor runs with `size` and `counts`".into())
            }
        }
    }

    /// Every pixel of a rectangle, of which what lies inside the image counts.
    pub(super) fn of_box([x_min, y_min, x_max, y_max]: [f64; 4], size: Size) -> Self {
        let within = |value: f64, side: u32| value.clamp(0.0, f64::from(side)) as usize;
        let top = within(y_min.floor(), size.height);
        let bottom = within(y_max.ceil(), size.height);
        let columns = within(x_min.floor(), size.width)..within(x_max.ceil(), size.width);
        let run = |column: usize| Run {
            start: column * size.height as usize + top,
            len: bottom.saturating_sub(top),
        };
        Self {
            runs: columns.map(run).collect(),
        }
    }

    fn of_counts(counts: &[u32], size: Size) -> Result<Self, String> {
        let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if sum != size.pixels() as u64 {
            return Err(format!(
                "its runs add up to {sum}, expected the {} pixels of {}x{}",
                size.pixels(),
                size.width,
                size.height
            ));
        }
        let mut region = Self::default();
        let mut start = 0;
        for (number, &count) in counts.iter().enumerate() {
            let len = count as usize;
            if number % 2 == 1 && len > 0 {
                region.runs.push(Run { start, len });
            }
            start += len;
        }
        Ok(region)
    }

    /// Adds the pixels between each first and second place.
    fn add(&mut self, places: &[u32], size: Size) {
        for pair in places.chunks(2) {
            let start = pair[0] as usize;
            let end = pair.get(1).map_or(size.pixels(), |end| *end as usize);
            if end > start {
                let len = end - start;
                self.runs.push(Run { start, len });
            }
        }
    }

    /// The number of its pixels; those in several of its outlines count several times.
    pub(super) fn area(&self) -> usize {
        self.runs.iter().map(|run| run.len).sum()
    }

    /// Gives its pixels a value in a mask, row by row.
    pub(super) fn paint(&self, mask: &mut [u8], size: Size, value: u8) {
        let height = size.height as usize;
        let width = size.width as usize;
        for run in &self.runs {
            for place in run.start..run.start + run.len {
                mask[place % height * width + place / height] = value;
            }
        }
    }
}

/// The places, counted down the columns, between which an outline's inside lies. It is
/// pycocotools' `rleFrPoly`: the outline is followed in steps of a fifth of a pixel, and crosses a
/// column where its step passes the column's centre.
fn boundary(polygon: &[f64], size: Size) -> Result<Vec<u32>, String> {
    let (points, rest) = polygon.as_chunks::<2>();
    if !rest.is_empty() || points.len() < 3 {
        return Err(format!(
            "its polygon has {} numbers, expected x and y of at least 3 points",
            polygon.len()
        ));
    }
    let is_near = |value: &f64| value.is_finite() && value.abs() <= FARTHEST;
    if let Some(far) = polygon.iter().find(|value| !is_near(value)) {
        return Err(format!(
            "its polygon has the coordinate {far:?}, expected at most {FARTHEST} either way"
        ));
    }
    let points = points.iter().map(|point| Point {
        x: (SCALE * point[0] + 0.5) as i64,
        y: (SCALE * point[1] + 0.5) as i64,
    });
    let points: Vec<Point> = points.collect();
    // No outline needs more steps than to go around every pixel several times.
    let most =
        50 * (size.pixels() as u64 + 1000 * (u64::from(size.height) + u64::from(size.width)));
    let ends = points.iter().cycle().skip(1);
    let steps: u64 = points
        .iter()
        .zip(ends)
        .map(|(from, to)| from.steps(to))
        .sum();
    if steps > most {
        return Err(format!(
            "its polygon is {} pixels long around an image of {}x{}",
            steps / 5,
            size.width,
            size.height
        ));
    }
    let mut places = Vec::new();
    let mut last: Option<Point> = None;
    let ends = points.iter().cycle().skip(1);
    for (from, to) in points.iter().zip(ends) {
        for point in Edge::of(*from, *to).points() {
            let before = last.replace(point);
            places.extend(before.and_then(|before| crossing(before, point, size)));
        }
    }
    places.sort_unstable();
    Ok(places)
}

/// A place in fifths of a pixel.
#[derive(Clone, Copy)]
struct Point {
    x: i64,
    y: i64,
}

impl Point {
    fn steps(&self, to: &Self) -> u64 {
        (self.x - to.x)
            .unsigned_abs()
            .max((self.y - to.y).unsigned_abs())
            + 1
    }
}

/// A side of a polygon, which is always followed from the same end.
struct Edge {
    start: Point,
    slope: f64,
    len: i64,
    is_flat: bool,
    is_flipped: bool,
}

impl Edge {
    fn of(from: Point, to: Point) -> Self {
        let dx = (from.x - to.x).abs();
        let dy = (from.y - to.y).abs();
        let is_flat = dx >= dy;
        let is_flipped = if is_flat {
            from.x > to.x
        } else {
            from.y > to.y
        };
        let [start, end] = if is_flipped { [to, from] } else { [from, to] };
        let len = dx.max(dy);
        let rise = if is_flat {
            end.y - start.y
        } else {
            end.x - start.x
        };
        // A side without length has one point, whose height is never asked for.
        let slope = if len == 0 {
            0.0
        } else {
            rise as f64 / len as f64
        };
        Self {
            start,
            slope,
            len,
            is_flat,
            is_flipped,
        }
    }

    fn points(&self) -> impl Iterator<Item = Point> + '_ {
        (0..=self.len).map(|step| {
            let step = if self.is_flipped {
                self.len - step
            } else {
                step
            };
            let Point { x, y } = self.start;
            let along = |start: i64| (start as f64 + self.slope * step as f64 + 0.5) as i64;
            if self.is_flat {
                Point {
                    x: x + step,
                    y: along(y),
                }
            } else {
                Point {
                    x: along(x),
                    y: y + step,
                }
            }
        })
    }
}

/// Where a step from one point to the next crosses the centre of a column.
fn crossing(before: Point, point: Point, size: Size) -> Option<u32> {
    if point.x == before.x {
        return None;
    }
    let left = if point.x < before.x {
        point.x
    } else {
        point.x - 1
    };
    let column = (left as f64 + 0.5) / SCALE - 0.5;
    if column.floor() != column || column < 0.0 || column > f64::from(size.width) - 1.0 {
        return None;
    }
    let upper = point.y.min(before.y);
    let row = (upper as f64 + 0.5) / SCALE - 0.5;
    let row = row.clamp(0.0, f64::from(size.height)).ceil();
    Some(column as u32 * size.height + row as u32)
}

/// The lengths of runs in pycocotools' compressed text: of each the difference to the one but last,
/// in groups of five bits, of which a sixth says that more follow.
fn decompressed(text: &str) -> Result<Vec<u32>, String> {
    const MOST_GROUPS: u32 = 7;
    let mut counts: Vec<u32> = Vec::new();
    let mut bytes = text.bytes().enumerate();
    while let Some(first) = bytes.next() {
        let mut next = Some(first);
        let mut value = 0_i64;
        let mut groups = 0;
        loop {
            let group = next.and_then(|(_, byte)| byte.checked_sub(48));
            let (Some(group @ 0..64), true) = (group, groups < MOST_GROUPS) else {
                let at = next.map_or(text.len(), |(at, _)| at);
                return Err(format!("its compressed runs are broken at byte {at}"));
            };
            value |= i64::from(group & 0x1f) << (5 * groups);
            groups += 1;
            if group & 0x20 == 0 {
                if group & 0x10 != 0 {
                    value |= -1 << (5 * groups);
                }
                break;
            }
            next = bytes.next();
        }
        if counts.len() > 2 {
            value += i64::from(counts[counts.len() - 2]);
        }
        let count = u32::try_from(value);
        counts.push(count.map_err(|_| format!("its compressed runs have the length {value}"))?);
    }
    Ok(counts)
}
