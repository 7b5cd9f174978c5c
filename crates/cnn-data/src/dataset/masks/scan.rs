//! Which numbers occur in the masks of a dataset.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cnn_core::Key;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::image::stored::{StoredValues, png_sides, stored_png};

/// How many pixels are looked at: more than those of CamVid's 701 masks.
const MOST_PIXELS: u64 = 1 << 27;
/// As many bytes of a PNG tell its size.
const HEADER: u64 = 33;

/// What was found in the masks that were looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct MaskScan {
    /// How many masks there are.
    pub(super) masks: usize,
    /// How many of them were looked at and could be read.
    pub(super) read: usize,
    /// The numbers that occur in masks of grey values or palettes.
    pub(super) numbers: BTreeSet<u16>,
    /// The first mask that stores colors.
    pub(super) colored: Option<PathBuf>,
}

impl MaskScan {
    /// Looks at masks drawn from all of them, until [`MOST_PIXELS`] are reached. Files that cannot
    /// be read are passed over here, and are errors when their samples are read.
    pub(super) fn of(masks: &[&Path]) -> Self {
        let order = Key::new(0)
            .stream("mask-scan")
            .rng()
            .permutation(masks.len());
        let mut left = MOST_PIXELS;
        let mut chosen = Vec::new();
        for index in order {
            let Some(pixels) = declared_pixels(masks[index]) else {
                continue;
            };
            if pixels > left && !chosen.is_empty() {
                break;
            }
            left = left.saturating_sub(pixels);
            chosen.push(index);
        }
        chosen.sort_unstable();
        let found: Vec<Self> = chosen
            .into_par_iter()
            .map(|index| Self::of_one(masks[index]))
            .collect();
        let whole = Self {
            masks: masks.len(),
            ..Self::default()
        };
        found.into_iter().fold(whole, |mut whole, one| {
            whole.read += one.read;
            whole.numbers.extend(one.numbers);
            whole.colored = whole.colored.or(one.colored);
            whole
        })
    }

    fn of_one(mask: &Path) -> Self {
        let mut scan = Self::default();
        let stored = std::fs::read(mask)
            .ok()
            .and_then(|bytes| stored_png(&bytes).ok());
        match stored.map(|stored| stored.values) {
            None => return scan,
            Some(StoredValues::Numbers(numbers)) => {
                let mut is_there = vec![false; 1 << 16];
                for number in numbers {
                    is_there[usize::from(number)] = true;
                }
                let numbers = (0..=u16::MAX).filter(|&number| is_there[usize::from(number)]);
                scan.numbers.extend(numbers);
            }
            Some(StoredValues::Colors(_)) => scan.colored = Some(mask.to_owned()),
        }
        scan.read = 1;
        scan
    }

    /// Whether the numbers are 0 and 255, and no others.
    pub(super) fn is_binary(&self) -> bool {
        self.colored.is_none() && self.numbers.iter().eq(&[0, 255])
    }

    /// The largest number beside 255.
    pub(super) fn largest(&self) -> Option<u16> {
        self.numbers
            .iter()
            .rev()
            .copied()
            .find(|&number| number != 255)
    }

    /// "all 64 masks", or how many of them.
    pub(super) fn looked_at(&self) -> String {
        if self.read == self.masks {
            format!("all {} masks", self.masks)
        } else {
            format!("{} of {} masks", self.read, self.masks)
        }
    }
}

fn declared_pixels(mask: &Path) -> Option<u64> {
    let mut start = Vec::new();
    File::open(mask)
        .and_then(|file| file.take(HEADER).read_to_end(&mut start))
        .ok()?;
    let [width, height] = png_sides(&start)?;
    width.checked_mul(height)
}
