//! The boxes of all images, and those of a class.

use std::iter::Peekable;

use super::boxes::{DetectedBox, GroundTruthBox};

/// A box with its image, and with its place among all boxes of its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<T> {
    pub(super) image: usize,
    pub(super) index: usize,
    pub(super) item: T,
}

pub(super) type Truth = Placed<GroundTruthBox>;
pub(super) type Detection = Placed<DetectedBox>;

/// All boxes, image by image, as they were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    pub(super) count: usize,
    pub(super) truths: Vec<Truth>,
    pub(super) detections: Vec<Detection>,
}

impl Images {
    pub(super) fn push(&mut self, truths: &[GroundTruthBox], detections: &[DetectedBox]) {
        place(&mut self.truths, self.count, truths);
        place(&mut self.detections, self.count, detections);
        self.count += 1;
    }

    /// The boxes of every image that has any.
    pub(super) fn iter(&self) -> impl Iterator<Item = Group<'_>> {
        by_image(&self.truths, &self.detections)
    }
}

fn place<T: Copy>(placed: &mut Vec<Placed<T>>, image: usize, items: &[T]) {
    let first = placed.len();
    placed.extend(
        items
            .iter()
            .zip(first..)
            .map(|(&item, index)| Placed { image, index, item }),
    );
}

/// Boxes of one image, be it all or those of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group<'a> {
    pub(super) truths: &'a [Truth],
    pub(super) detections: &'a [Detection],
}

/// All boxes by class, then by image; the detections of an image by falling score, equal scores as
/// they were given.
pub(super) struct Classes {
    truths: Vec<Truth>,
    detections: Vec<Detection>,
}

impl Classes {
    pub(super) fn of(images: &Images) -> Self {
        let mut truths = images.truths.clone();
        truths.sort_by_key(|truth| truth.item.class);
        let mut detections = images.detections.clone();
        detections.sort_by(|one, other| {
            let place = |detection: &Detection| (detection.item.class, detection.image);
            place(one)
                .cmp(&place(other))
                .then_with(|| by_falling_score(one.item.score, other.item.score))
        });
        Self { truths, detections }
    }

    /// The boxes of a class in every image that has any of it.
    pub(super) fn get(&self, class: usize) -> impl Iterator<Item = Group<'_>> {
        let truths = run(&self.truths, |truth| truth.item.class, class);
        let detections = run(&self.detections, |detection| detection.item.class, class);
        by_image(truths, detections)
    }
}

/// The order of two finite scores, the higher first; a stable sort by it keeps equal ones, to which
/// 0 and −0 belong, in their order.
pub(super) fn by_falling_score(one: f64, other: f64) -> std::cmp::Ordering {
    other.partial_cmp(&one).unwrap_or(std::cmp::Ordering::Equal)
}

/// The part of a sorted slice that has this key.
fn run<T>(sorted: &[T], key: fn(&T) -> usize, value: usize) -> &[T] {
    let start = sorted.partition_point(|item| key(item) < value);
    let end = sorted.partition_point(|item| key(item) <= value);
    &sorted[start..end]
}

/// Puts together what is of one image; both slices have images in rising order.
fn by_image<'a>(
    truths: &'a [Truth],
    detections: &'a [Detection],
) -> impl Iterator<Item = Group<'a>> {
    let mut truths = chunks(truths).peekable();
    let mut detections = chunks(detections).peekable();
    std::iter::from_fn(move || {
        let image = [image_of(&mut truths), image_of(&mut detections)]
            .into_iter()
            .flatten()
            .min()?;
        let is_next = |placed: usize| placed == image;
        Some(Group {
            truths: truths
                .next_if(|chunk| is_next(chunk[0].image))
                .unwrap_or_default(),
            detections: detections
                .next_if(|chunk| is_next(chunk[0].image))
                .unwrap_or_default(),
        })
    })
}

fn chunks<T>(placed: &[Placed<T>]) -> impl Iterator<Item = &[Placed<T>]> {
    placed.chunk_by(|one, other| one.image == other.image)
}

fn image_of<'a, T: 'a>(
    chunks: &mut Peekable<impl Iterator<Item = &'a [Placed<T>]>>,
) -> Option<usize> {
    chunks.peek().map(|chunk| chunk[0].image)
}
