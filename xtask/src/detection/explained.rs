//! What boxes rest on: class activation maps of single objects, for the report.

use anyhow::Result;
use cnn_data::{Batch, BoundingBox, Image};
use cnn_layers::{DetectedObject, FeatureMap};
use cnn_models::DetectionNetwork;
use cnn_viz::{Explainer, ImagePrediction, Method, PictureBox, PictureGroup, Target, overlay};

use super::photo::PhotoResult;
use super::pictures::draw_readable;
use crate::conclusion::Run;
use crate::pictures::short;

/// The methods, and what is said of each.
const METHODS: [(Method, &str); 3] = [
    (
        Method::HiResCam,
        "The surest right box of each class, and the surest wrong ones. Right of each, what spoke for its score, place by place.",
    ),
    (
        Method::GradCam,
        "The same boxes. The maps' weights are means over the whole image, so that other objects of the class appear, too.",
    ),
    (
        Method::EigenCam,
        "The same boxes. The first principal component of the backbone's last maps, whatever the box: what the network looks at.",
    ),
];
/// Classes and wrong boxes that are shown at most.
const CLASSES: usize = 8;
const WRONG: usize = 4;
/// The longer side of a picture on the page.
const SIDE: usize = 192;

/// A box that is shown.
struct Shown<'a> {
    photo: usize,
    object: &'a DetectedObject,
    is_false: bool,
}

/// A box with its photo and what the network saw of it.
struct Prepared<'a> {
    shown: &'a Shown<'a>,
    photo: Image,
    input: FeatureMap,
    /// The box in pixels of the input.
    target: Target,
}

/// Maps of some of the boxes, by method.
pub(super) fn groups(
    run: &Run<'_>,
    network: &DetectionNetwork,
    photos: &[PhotoResult<'_>],
    names: &[String],
) -> Result<Vec<PictureGroup>> {
    let chosen = chosen(photos, names.len());
    let dataset = run.data.measured_on().images;
    let record = network.preprocessing();
    let mut prepared = Vec::new();
    for shown in &chosen {
        // One that has become unreadable meanwhile is left out.
        let Ok(sample) = dataset.read(shown.photo) else {
            continue;
        };
        let photo = sample.image;
        let batch = Batch::of_images(std::slice::from_ref(&photo), record)?;
        let in_photo = BoundingBox::new(shown.object.edges, shown.object.class);
        let in_input = in_photo.mapped(batch.origins[0].map());
        prepared.push(Prepared {
            shown,
            input: FeatureMap::from_nhwc(&batch.images)?,
            target: Target::class(shown.object.class).at(in_input.edges()),
            photo,
        });
    }
    let explainer = Explainer::new(network.model());
    let group = |(method, note): (Method, &str)| {
        let picture = |prepared: &Prepared<'_>| -> Result<ImagePrediction> {
            let Prepared {
                shown,
                photo,
                input,
                target,
            } = prepared;
            let explanation = explainer.explain(method, input, std::slice::from_ref(target))?;
            let draw = |picture: &Image| {
                let frame = PictureBox {
                    edges: shown.object.edges,
                    word: String::new(),
                    color: shown.object.class,
                    is_dashed: shown.is_false,
                };
                draw_readable(picture, SIDE, vec![frame])
            };
            let name = &names[shown.object.class];
            Ok(ImagePrediction {
                image: draw(photo)?,
                path: short(&dataset.id(shown.photo), run.data_name),
                label: if shown.is_false {
                    "nothing of it".to_string()
                } else {
                    name.clone()
                },
                prediction: name.clone(),
                probability: shown.object.score.into(),
                explanation: Some(draw(&overlay(photo, &explanation.maps[0], record)?)?),
            })
        };
        Ok(PictureGroup {
            title: format!("What boxes rest on: {}", method.title()),
            note: Some(note.to_string()),
            pictures: prepared.iter().map(picture).collect::<Result<_>>()?,
        })
    };
    METHODS.into_iter().map(group).collect()
}

/// The surest right box of each class, and the surest wrong ones.
fn chosen<'a>(photos: &'a [PhotoResult<'_>], classes: usize) -> Vec<Shown<'a>> {
    let boxes = photos.iter().flat_map(|photo| {
        photo.shown.iter().map(|(object, is_false)| Shown {
            photo: photo.index,
            object,
            is_false: *is_false,
        })
    });
    let (mut wrong, right): (Vec<_>, Vec<_>) = boxes.partition(|shown| shown.is_false);
    let mut surest: Vec<Option<Shown<'_>>> = (0..classes).map(|_| None).collect();
    for shown in right {
        let best = &mut surest[shown.object.class];
        if best
            .as_ref()
            .is_none_or(|best| shown.object.score > best.object.score)
        {
            *best = Some(shown);
        }
    }
    wrong.sort_by(|a, b| b.object.score.total_cmp(&a.object.score));
    let right = surest.into_iter().flatten().take(CLASSES);
    right.chain(wrong.into_iter().take(WRONG)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_right_box_of_each_class_and_the_surest_wrong_ones_are_chosen() {
        let object = |class, score| DetectedObject {
            edges: [0., 0., 1., 1.],
            class,
            score,
        };
        let right = [object(1, 0.5), object(1, 0.9), object(0, 0.3)];
        let wrong = [0.4, 0.8, 0.6, 0.7, 0.5].map(|score| object(2, score));
        let photos = [
            PhotoResult {
                index: 7,
                shown: right.iter().map(|object| (object, false)).collect(),
                objects: Vec::new(),
            },
            PhotoResult {
                index: 9,
                shown: wrong.iter().map(|object| (object, true)).collect(),
                objects: Vec::new(),
            },
        ];
        let found: Vec<_> = chosen(&photos, 3)
            .iter()
            .map(|shown| (shown.photo, shown.object.score, shown.is_false))
            .collect();
        let right = [(7, 0.3, false), (7, 0.9, false)];
        let wrong = [0.8, 0.7, 0.6, 0.5].map(|score| (9, score, true));
        assert_eq!(found, [&right[..], &wrong].concat());
    }
}
