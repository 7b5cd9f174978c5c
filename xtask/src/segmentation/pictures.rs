//! The pictures of a report: photos with their masks.

use anyhow::Result;
use cnn_data::{Image, Mask, MaskOverlay, MaskPalette, resize_mask};
use cnn_layers::Mode;
use cnn_models::SegmentationNetwork;
use cnn_train::{SegmentImage as _, SegmentOptions};
use cnn_viz::{MaskGroup, SegmentedPhoto, thumbnail};

use super::measure::PhotoScores;
use crate::conclusion::Run;
use crate::pictures::short;

/// Photos in a group.
const PHOTOS: usize = 8;
/// The longer side of a picture that is kept for the page at most.
const SIDE: usize = 320;
/// Of pixels that are wrong.
const WRONG: [u8; 3] = [213, 94, 0];

/// The worst photos, of which `photos` begins with the worst.
pub(super) fn worst(
    run: &Run<'_>,
    network: &SegmentationNetwork,
    photos: &[&PhotoScores],
    names: &[String],
) -> Result<MaskGroup> {
    let dataset = run.data.measured_on().images;
    let model = network.build(Mode::Inference)?;
    let mut seen = vec![false; names.len()];
    let mut group = MaskGroup {
        title: "Worst images".to_string(),
        note: Some(
            "Those with the lowest mean IoU of their classes. Errors are orange; pixels of no class are hatched."
                .to_string(),
        ),
        ..MaskGroup::default()
    };
    for scores in photos.iter().take(PHOTOS) {
        // One that has become unreadable meanwhile is left out.
        let Ok(sample) = dataset.read(scores.index) else {
            continue;
        };
        let Some(truth) = sample.mask else { continue };
        let options = SegmentOptions::default();
        let record = network.preprocessing();
        let predicted = model.segment_image(&sample.image, record, &options)?.mask;
        for &class in truth.bytes().iter().chain(predicted.bytes()) {
            if let Some(seen) = seen.get_mut(usize::from(class)) {
                *seen = true;
            }
        }
        let caption = format!(
            "mIoU {:.3}, {:.1} % of the pixels right",
            scores.mean_iou,
            100. * scores.pixel_accuracy
        );
        let path = short(&dataset.id(scores.index), run.data_name);
        group.photos.push(photo(
            path,
            caption,
            &sample.image,
            truth,
            predicted,
            names,
        )?);
    }
    // A background is left as it was photographed.
    if names[0].eq_ignore_ascii_case("background") {
        seen[0] = false;
    }
    let palette = MaskPalette::distinct();
    let classes = names.iter().zip(seen).enumerate();
    group.legend = classes
        .filter(|(_, (_, seen))| *seen)
        .map(|(class, (name, _))| (name.clone(), palette.color(class as u8)))
        .collect();
    Ok(group)
}

fn photo(
    path: String,
    caption: String,
    image: &Image,
    truth: Mask,
    predicted: Mask,
    names: &[String],
) -> Result<SegmentedPhoto> {
    let photo = thumbnail(image, SIDE)?;
    let [height, width] = [photo.height(), photo.width()];
    let truth = resize_mask(truth, height, width)?;
    let predicted = resize_mask(predicted, height, width)?;
    let overlay = MaskOverlay::new().for_classes(names);
    let of_errors = MaskOverlay::new()
        .with_clear(0)
        .with_palette(MaskPalette::distinct().with_colors(&[[0; 3], WRONG]))
        .with_opacity(0.8)?;
    Ok(SegmentedPhoto {
        path,
        caption,
        truth: overlay.draw(&photo, &truth)?,
        prediction: overlay.draw(&photo, &predicted)?,
        errors: of_errors.draw(&photo, &errors(&truth, &predicted)?)?,
        photo,
    })
}

/// 1 where they differ, 0 where they do not, and [`Mask::IGNORE`] where the truth is unknown.
fn errors(truth: &Mask, predicted: &Mask) -> Result<Mask, cnn_data::Error> {
    let pairs = truth.bytes().iter().zip(predicted.bytes());
    let errors = pairs.map(|(&truth, &predicted)| match truth {
        Mask::IGNORE => Mask::IGNORE,
        _ => u8::from(truth != predicted),
    });
    Mask::new(truth.height(), truth.width(), errors.collect())
}
