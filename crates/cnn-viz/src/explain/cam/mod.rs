//! Class activation maps: the maps of a stage, weighted, summed over the channels, and brought to
//! the input's size.

mod ablation_cam;
mod eigen_cam;
mod grad_cam;
mod grad_cam_plus_plus;
mod hires_cam;
mod layer_cam;
mod score_cam;
mod xgrad_cam;

use candle_core::Tensor;

use super::method::Cam;
use super::place::Place;
use super::subject::{Subject, doubles};
use super::target::Score;
use crate::Error;
use crate::picture::{Heatmap, resize_values};
use eigen_cam::first_component;

/// The maps of one image and what the score's derivative by them is, `height · width` pixels of
/// `channels` values.
struct Maps<'a> {
    activations: &'a [f64],
    /// Empty for methods that need none.
    gradients: &'a [f64],
    channels: usize,
}

impl Maps<'_> {
    /// For each channel the sum of what `term` makes of its activation and gradient at each pixel.
    fn sums(&self, term: impl Fn(usize, f64, f64) -> f64) -> Vec<f64> {
        let mut sums = vec![0.; self.channels];
        for (activations, gradients) in self.pixels() {
            for (channel, (sum, (&activation, &gradient))) in sums
                .iter_mut()
                .zip(activations.iter().zip(gradients))
                .enumerate()
            {
                *sum += term(channel, activation, gradient);
            }
        }
        sums
    }

    /// The activations, each pixel's by its channel's weight.
    fn weighted(&self, weights: &[f64]) -> Vec<f64> {
        let weighted = |(activation, weight): (&f64, &f64)| activation * weight;
        self.activations
            .chunks_exact(self.channels)
            .flat_map(|pixel| pixel.iter().zip(weights).map(weighted))
            .collect()
    }

    fn pixels(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        self.activations
            .chunks_exact(self.channels)
            .zip(self.gradients.chunks_exact(self.channels))
    }

    fn pixel_count(&self) -> usize {
        self.activations.len() / self.channels
    }
}

/// How class activation maps are smoothed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Smoothing {
    /// The mean over six copies of the input: as it is and mirrored, each times 0.9, 1 and 1.1. Six
    /// times the cost.
    pub augment: bool,
    /// The first principal component of the weighted maps instead of their sum.
    pub eigen: bool,
}

/// The map of each image `(N, H, W, C)`, of the input's size, in 0..1: the mean over the places,
/// each brought to 0..1 before.
pub(crate) fn class_activation_maps(
    subject: &Subject<'_>,
    cam: Cam,
    places: &[Place],
    smoothing: Smoothing,
    images: &Tensor,
    targets: &[Score],
) -> Result<Vec<Vec<f32>>, Error> {
    let eigen = smoothing.eigen;
    if !smoothing.augment {
        return over_places(subject, cam, places, eigen, images, targets);
    }
    let (_, _, width, _) = images.dims4()?;
    let mirror: Vec<u32> = (0..width as u32).rev().collect();
    let mirrored = images.index_select(&Tensor::new(mirror, images.device())?, 2)?;
    let mut sums: Vec<Vec<f32>> = Vec::new();
    let of_mirrored: Vec<Score> = targets.iter().map(|score| score.mirrored(width)).collect();
    for (images, targets, is_mirrored) in
        [(images, targets, false), (&mirrored, &of_mirrored, true)]
    {
        for factor in [0.9, 1., 1.1] {
            let mut maps = over_places(subject, cam, places, eigen, &(images * factor)?, targets)?;
            if is_mirrored {
                maps.iter_mut()
                    .flat_map(|map| map.chunks_exact_mut(width))
                    .for_each(<[f32]>::reverse);
            }
            if sums.is_empty() {
                sums = maps;
            } else {
                add(&mut sums, &maps);
            }
        }
    }
    sums.iter_mut().flatten().for_each(|sum| *sum /= 6.);
    Ok(sums)
}

fn over_places(
    subject: &Subject<'_>,
    cam: Cam,
    places: &[Place],
    eigen: bool,
    images: &Tensor,
    targets: &[Score],
) -> Result<Vec<Vec<f32>>, Error> {
    let (_, height, width, _) = images.dims4()?;
    let mut sums: Vec<Vec<f32>> = Vec::new();
    for &place in places {
        let at_place = at_place(subject, cam, place, eigen, images, targets)?;
        let resized = |map: &Heatmap| {
            resize_values(map.values(), [map.height(), map.width()], [height, width])
        };
        let maps = at_place
            .iter()
            .map(resized)
            .collect::<Result<Vec<_>, _>>()?;
        if sums.is_empty() {
            sums = maps;
        } else {
            add(&mut sums, &maps);
        }
    }
    let count = places.len() as f32;
    for map in &mut sums {
        map.iter_mut().for_each(|value| *value /= count);
        stretch(map);
    }
    Ok(sums)
}

/// The map of each image at one place, in 0..1.
fn at_place(
    subject: &Subject<'_>,
    cam: Cam,
    place: Place,
    eigen: bool,
    images: &Tensor,
    targets: &[Score],
) -> Result<Vec<Heatmap>, Error> {
    let place_of = |target: &Score| match (place, target.stage) {
        (Place::Last, Some(stage)) => Place::Stage(stage),
        _ => place,
    };
    if targets.iter().any(|target| place_of(target) != place) {
        // Each image's by itself: its maps may have another size than the others'.
        let one = |(image, target): (usize, &Score)| {
            let target = std::slice::from_ref(target);
            let place = place_of(&target[0]);
            let mut map = at_place(
                subject,
                cam,
                place,
                eigen,
                &images.narrow(0, image, 1)?,
                target,
            )?;
            Ok(map.remove(0))
        };
        return targets.iter().enumerate().map(one).collect();
    }
    let (maps, gradients) = if cam.needs_gradients() {
        subject
            .maps_and_gradient(place, images, targets)
            .map(|(maps, gradients)| (maps, Some(gradients)))?
    } else {
        (subject.maps(place, images)?, None)
    };
    let (_, height, width, channels) = maps.dims4()?;
    let mut found = Vec::with_capacity(targets.len());
    for (image, target) in targets.iter().enumerate() {
        let activations = doubles(&maps.get(image)?)?;
        let gradients = gradients
            .as_ref()
            .map(|all| doubles(&all.get(image)?))
            .transpose()?
            .unwrap_or_else(Vec::new);
        let image_maps = Maps {
            activations: &activations,
            gradients: &gradients,
            channels,
        };
        let weighted = match cam {
            Cam::Grad => grad_cam::weighted(&image_maps),
            Cam::GradPlusPlus => grad_cam_plus_plus::weighted(&image_maps),
            Cam::HiRes => hires_cam::weighted(&image_maps),
            Cam::Layer => layer_cam::weighted(&image_maps),
            Cam::XGrad => xgrad_cam::weighted(&image_maps),
            Cam::Score => {
                let input = images.get(image)?;
                let progress = (image * channels, targets.len() * channels);
                score_cam::weighted(
                    subject,
                    &image_maps,
                    [height, width],
                    &input,
                    target,
                    progress,
                )?
            }
            Cam::Ablation => {
                let progress = (image * channels, targets.len() * channels);
                let ablated = ablation_cam::Ablated {
                    place,
                    size: [height, width],
                    image: images.narrow(0, image, 1)?,
                    target,
                };
                ablation_cam::weighted(subject, &image_maps, &ablated, progress)?
            }
            Cam::Eigen => activations.clone(),
        };
        let mut map = if eigen || cam == Cam::Eigen {
            first_component(&weighted, channels)
        } else {
            weighted
                .chunks_exact(channels)
                .map(|pixel| pixel.iter().sum::<f64>() as f32)
                .collect()
        };
        map.iter_mut().for_each(|value| *value = value.max(0.));
        stretch(&mut map);
        found.push(Heatmap::new(height, width, map, false)?);
    }
    Ok(found)
}

/// Brings the values to 0..1; a constant map becomes 0.
fn stretch(map: &mut [f32]) {
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    map.iter_mut().for_each(|value| *value -= low);
    let high = map.iter().copied().fold(0f32, f32::max);
    map.iter_mut().for_each(|value| *value /= 1e-7 + high);
}

fn add(sums: &mut [Vec<f32>], maps: &[Vec<f32>]) {
    for (sum, value) in sums.iter_mut().flatten().zip(maps.iter().flatten()) {
        *sum += value;
    }
}
