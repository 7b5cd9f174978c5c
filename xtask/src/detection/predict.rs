//! What `predict` makes of photos with a network that finds objects.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cnn_data::{BoundingBox, Dataset, Image};
use cnn_layers::{DetectedObject, DetectionLimits, Mode};
use cnn_models::DetectionNetwork;
use cnn_train::DetectImages as _;
use serde_json::{Value, json};

use super::pictures::{crop, draw};
use crate::{inference, output};

/// What is to be found, and what is made of it.
pub(crate) struct BoxPrediction<'a> {
    pub(crate) network: &'a DetectionNetwork,
    pub(crate) photos: &'a dyn Dataset,
    pub(crate) limits: DetectionLimits,
    /// Where photos with boxes are written, and with `crops` what is within each box.
    pub(crate) out: &'a Path,
    pub(crate) crops: bool,
    pub(crate) weights: &'a str,
    pub(crate) json: bool,
}

/// Finds objects in photos, and draws their boxes.
pub(crate) fn predict(prediction: &BoxPrediction<'_>) -> Result<()> {
    let BoxPrediction {
        network,
        photos,
        limits,
        out,
        ..
    } = *prediction;
    let model = network.build(Mode::Inference)?;
    let names = cnn_transfer::class_names(network);
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut predictions = Vec::new();
    let name = network.spec().name;
    let skipped = inference::for_each_photo(name, photos, |index, path, image| {
        let images = std::slice::from_ref(&image);
        let found = model.detect_images(images, network.preprocessing(), &limits)?;
        let found: Vec<_> = found
            .into_iter()
            .flatten()
            .filter_map(|object| within(object, &image))
            .collect();
        let stem = inference::picture_stem(index, path);
        let picture = out.join(format!("{stem}.png"));
        draw(&image, &found, &names)?.write_png(&picture)?;
        let crops = if prediction.crops {
            write_crops(&image, &found, &names, &out.join(&stem))?
        } else {
            Vec::new()
        };
        let objects = found.iter().enumerate().map(|(place, object)| {
            let mut json = json!({
                "label": names[object.class],
                "index": object.class,
                "score": object.score,
                "box": object.edges,
            });
            if let Some(path) = crops.get(place) {
                json["crop"] = path.as_str().into();
            }
            json
        });
        predictions.push(json!({
            "path": path,
            "width": image.width(),
            "height": image.height(),
            "objects": objects.collect::<Vec<Value>>(),
            "picture": picture,
        }));
        Ok(())
    })?;
    if predictions.is_empty() {
        inference::print_skipped(&skipped);
        bail!("no photo could be read");
    }
    if prediction.json {
        let weights = prediction.weights;
        return output::json(
            &json!({"weights": weights, "predictions": predictions, "skipped": skipped}),
        );
    }
    for prediction in &predictions {
        let text = |value: &Value| value.as_str().unwrap_or("").to_string();
        let objects = prediction["objects"].as_array().into_iter().flatten();
        let said: Vec<String> = objects
            .map(|object| {
                let score = object["score"].as_f64().unwrap_or(0.);
                format!("{} {:.1} %", text(&object["label"]), 100. * score)
            })
            .collect();
        let said = if said.is_empty() {
            "nothing".to_string()
        } else {
            said.join("; ")
        };
        println!(
            "{}: {said}; {}",
            text(&prediction["path"]),
            text(&prediction["picture"])
        );
    }
    inference::print_skipped(&skipped);
    Ok(())
}

/// The part of an object that is in the photo.
fn within(object: DetectedObject, photo: &Image) -> Option<DetectedObject> {
    let whole = BoundingBox::new(object.edges, object.class);
    let part = whole.clip(photo.height(), photo.width());
    (part.area() > 0.).then(|| DetectedObject {
        edges: part.edges(),
        ..object
    })
}

/// Writes what is within each box, and gives the paths.
fn write_crops(
    image: &Image,
    found: &[DetectedObject],
    names: &[String],
    stem: &Path,
) -> Result<Vec<String>> {
    let write = |(number, object): (usize, &DetectedObject)| -> Result<String> {
        let label: String = names[object.class]
            .chars()
            .map(|letter| {
                if letter.is_alphanumeric() {
                    letter
                } else {
                    '_'
                }
            })
            .collect();
        let path = format!("{}-{number:02}-{label}.png", stem.display());
        crop(image, object)?.write_png(Path::new(&path))?;
        Ok(path)
    };
    found.iter().enumerate().map(write).collect()
}
