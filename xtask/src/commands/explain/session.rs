//! The photos, one after another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_data::{BatchPlan, BoundingBox, Dataset, Image, Origin, Skipped};
use cnn_layers::FeatureMap;
use cnn_metrics::Ranked;
use cnn_models::NetworkOf;
use cnn_viz::{
    ExplainedOverlay, ExplainedPhoto, Explainer, Explanation, Method, PictureBox, Place, Smoothing,
    Target, Trust, TrustChecks, draw_boxes, feature_maps, map_grid, overlay, thumbnail,
};
use serde_json::{Value, json};

use super::decides::Decides;
use super::finished::Finished;
use super::{CLASSES, COMMAND, Explain, SIDE, SIDE_ALONE, Smooth};
use crate::args::Unusable;
use crate::output::Progress;

/// What stays the same over the photos.
pub(super) struct Session<'a, M: Decides + ?Sized> {
    pub(super) command: &'a Explain,
    pub(super) network: NetworkOf<M>,
    pub(super) scorer: Box<M>,
    pub(super) checks: Option<TrustChecks<M>>,
    pub(super) methods: Vec<Method>,
    /// `None` for what the network predicts.
    pub(super) target: Option<Target>,
    pub(super) places: Vec<Place>,
    pub(super) names: Vec<String>,
}

impl<M: Decides + ?Sized> Session<'_, M> {
    pub(super) fn explain(&self, photos: &Arc<dyn Dataset>, directory: &Path) -> Result<Finished> {
        let mut finished = Finished::default();
        let mut names = FileNames::default();
        let progress =
            RefCell::new(Progress::new(COMMAND, photos.len() * self.methods.len()).of("maps"));
        let mut batches = BatchPlan::new(photos.clone(), self.network.preprocessing().clone())
            .with_batch_size(1)
            .start()?;
        for batch in &mut batches {
            let batch = batch?;
            let path = photos.id(batch.indices[0]);
            let stem = names.of(Path::new(&path));
            let content = photos
                .content(batch.indices[0])
                .and_then(|content| content.into_image());
            let photo = match content {
                Ok(photo) => photo,
                Err(error) => {
                    finished.skipped.push(Skipped::new(path, &error));
                    continue;
                }
            };
            let input = FeatureMap::from_nhwc(&batch.images)?;
            let side = if photos.len() == 1 { SIDE_ALONE } else { SIDE };
            self.one(
                &Photo {
                    path,
                    stem,
                    photo,
                    input,
                    origin: batch.origins[0],
                    side,
                },
                directory,
                &progress,
                &mut finished,
            )?;
        }
        progress.borrow().finish();
        finished
            .skipped
            .splice(0..0, batches.skipped().iter().cloned());
        if finished.photos.is_empty() {
            let reasons = finished
                .skipped
                .iter()
                .map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
            bail!(
                "nothing readable: {}",
                reasons.take(3).collect::<Vec<_>>().join("; ")
            );
        }
        Ok(finished)
    }

    /// Explains one photo by all methods and writes its pictures.
    fn one(
        &self,
        photo: &Photo,
        directory: &Path,
        progress: &RefCell<Progress>,
        finished: &mut Finished,
    ) -> Result<()> {
        let mut classes = self.scorer.decision(&photo.input)?;
        let asked = match &self.target {
            None => M::predicted(&classes, &self.names),
            Some(target) => target.clone(),
        };
        let asked = self.command.aimed(asked, &self.names)?;
        classes.truncate(CLASSES);
        let mut overlays = Vec::new();
        let mut maps = Vec::new();
        let mut target = String::new();
        let mut object = None;
        for &method in &self.methods {
            let passes = |done: usize, total: usize| {
                progress.borrow_mut().within(method.name(), done, total)
            };
            let explainer = self.explainer().with_progress(&passes);
            let explanation =
                explainer.explain(method, &photo.input, std::slice::from_ref(&asked))?;
            let trust = self
                .checks
                .as_ref()
                .map(|checks| checks.check(&explainer, &photo.input, &explanation));
            let trust = trust.transpose()?;
            target = self.target_text(&explanation);
            let mut picture = overlay(
                &photo.photo,
                &explanation.maps[0],
                self.network.preprocessing(),
            )?;
            object = photo.object(&explanation);
            if let Some(object) = &object {
                let frame = PictureBox {
                    edges: object.edges(),
                    word: self.names[object.class].clone(),
                    color: object.class,
                    is_dashed: false,
                };
                picture = draw_boxes(&picture, &[frame])?;
            }
            let file = format!("{}.{}.png", photo.stem, method.name());
            picture.write_png(&directory.join(&file))?;
            maps.push(map_json(&explanation, &file, trust.as_ref()));
            overlays.push(ExplainedOverlay {
                title: method.title().to_string(),
                image: thumbnail(&picture, photo.side)?,
                colors: explanation.maps[0].color_map(),
                file: Some(file),
                completeness_gap: explanation.completeness_gaps.as_ref().map(|gaps| gaps[0]),
                trust,
            });
            if self.command.raw.is_some() {
                finished
                    .raw
                    .add(format!("map.{}", method.name()), explanation.to_tensor()?);
                if let Some(attribution) = &explanation.attribution {
                    finished.raw.add(
                        format!("attribution.{}", method.name()),
                        attribution.clone(),
                    );
                }
            }
            progress.borrow_mut().advance(1);
        }
        self.draw_feature_maps(photo, directory)?;
        if self.command.raw.is_some() {
            finished
                .raw
                .add("input".to_string(), photo.input.to_nchw()?);
        }
        let named = |ranked: &Ranked| (self.names[ranked.index].clone(), ranked.probability);
        let predicted = |ranked: &Ranked| {
            json!({
                "index": ranked.index,
                "label": self.names[ranked.index],
                M::SHARE: ranked.probability,
            })
        };
        let mut explained = json!({
            "path": photo.path,
            "predicted": classes.first().map(predicted),
            "target": target,
            "maps": maps,
        });
        if let Some(object) = object {
            explained["box"] = json!(object.edges());
        }
        finished.explanations.push(explained);
        finished.photos.push(ExplainedPhoto {
            path: photo.path.clone(),
            image: thumbnail(&photo.photo, photo.side)?,
            classes: classes.iter().map(named).collect(),
            target,
            overlays,
        });
        Ok(())
    }

    fn explainer(&self) -> Explainer<'_> {
        let smooth = |how| self.command.smooth.contains(&how);
        Explainer::new(self.network.model().explained())
            .with_scorer(self.scorer.explained())
            .with_places(self.places.clone())
            .with_smoothing(Smoothing {
                augment: smooth(Smooth::Augment),
                eigen: smooth(Smooth::Eigen),
            })
            .with_batch_size(self.command.batch.into())
            .with_key(Key::new(self.command.network.seed))
    }

    fn target_text(&self, explanation: &Explanation) -> String {
        let score = &explanation.scores[0];
        let against = score
            .against
            .map(|other| format!(" rather than {}", self.names[other]))
            .unwrap_or_default();
        let region = if score.region.is_some() {
            ", within the region"
        } else {
            ""
        };
        format!("{}{against}{region}", self.names[score.class])
    }

    fn draw_feature_maps(&self, photo: &Photo, directory: &Path) -> Result<()> {
        let layers: Vec<&str> = self.command.maps.iter().map(String::as_str).collect();
        for (name, maps) in layers.iter().zip(feature_maps(
            self.network.model().explained(),
            &photo.input,
            &layers,
        )?) {
            map_grid(&maps.get(0)?)?
                .write_png(&directory.join(format!("{}.maps.{name}.png", photo.stem)))?;
        }
        Ok(())
    }

    /// Refuses a layer that does not exist before any photo is read.
    pub(super) fn check_layer(&self, name: &str) -> Result<()> {
        let record = self.network.preprocessing();
        let black = Tensor::zeros(
            (1, record.height(), record.width(), record.channels()),
            DType::F32,
            &Device::Cpu,
        )?;
        feature_maps(
            self.network.model().explained(),
            &FeatureMap::from_nhwc(&black)?,
            &[name],
        )
        .context(Unusable)?;
        Ok(())
    }
}

/// A photo under explanation.
struct Photo {
    path: String,
    /// How its files begin.
    stem: String,
    photo: Image,
    input: FeatureMap,
    /// Where the input lies in the photo.
    origin: Origin,
    /// The longer side of the copies that the page shows.
    side: usize,
}

impl Photo {
    /// The object that is explained, in pixels of the photo; `None` of networks that find none.
    fn object(&self, explanation: &Explanation) -> Option<BoundingBox> {
        let score = &explanation.scores[0];
        let in_input = BoundingBox::new(score.edges?, score.class);
        Some(self.origin.to_photo_whole(&in_input))
    }
}

/// Gives each photo files of its own: those of the same name are numbered.
#[derive(Default)]
struct FileNames(BTreeSet<String>);

impl FileNames {
    fn of(&mut self, path: &Path) -> String {
        let stem = path.file_stem().map_or_else(
            || "photo".to_string(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        // File systems may take upper and lower case for the same.
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let free = std::iter::once(stem.clone())
            .chain(numbered)
            .find(|name| self.0.insert(name.to_lowercase()));
        free.expect("numbers do not end")
    }
}

fn map_json(explanation: &Explanation, file: &str, trust: Option<&Trust>) -> Value {
    let mut map = json!({ "method": explanation.method.name(), "overlay": file });
    if let Some(gaps) = &explanation.completeness_gaps {
        map["completeness_gap"] = json!(gaps[0]);
    }
    if let Some(trust) = trust {
        let randomized = |(layers, correlation): &(String, f64)| -> Value {
            json!({ "layers": layers, "rank_correlation": correlation })
        };
        map["checks"] = json!({
            "insertion_auc": trust.insertion_auc,
            "deletion_auc": trust.deletion_auc,
            "road": trust.road,
            "randomization": trust.randomization.iter().map(randomized).collect::<Vec<_>>(),
            "verdicts": trust.verdicts(),
        });
    }
    map
}
