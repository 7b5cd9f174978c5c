//! `cargo xtask explain`: why a network decides as it does, as maps over the photos.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use cnn_core::{Key, did_you_mean, write_atomic};
use cnn_data::{BatchPlan, Dataset, Image, PhotoList, Skipped};
use cnn_layers::{Classifier, Context, FeatureMap, Mode, Segmenter};
use cnn_metrics::{Ranked, top_k};
use cnn_models::{Kind, NetworkOf};
use cnn_viz::{
    Explainable, Explained, ExplainedOverlay, ExplainedPhoto, Explainer, Explanation, Fact,
    Gallery, Method, Place, Region, Smoothing, Target, Trust, TrustCheck, TrustChecks,
    TrustVerdict, feature_maps, map_grid, overlay, thumbnail,
};
use cnn_weights::save_safetensors;
use serde_json::{Value, json};

use crate::args::{DType, NetworkArgs, Size, Unusable};
use crate::byline::byline;
use crate::memory::{self, Workload};
use crate::output::{self, Progress, quoted};
use crate::watched::Watched;
use crate::{inference, report};

const COMMAND: &str = "explain";
/// The summary in the run's directory, beside the page.
const SUMMARY: &str = "explain.json";
/// Classes named beside a photo.
const CLASSES: usize = 3;
/// The longer side of the copies that the page shows, and of those of a page with one photo.
const SIDE: usize = 384;
const SIDE_ALONE: usize = 640;

/// Show what a network's decision rests on: maps over the photos, with checks of whether they can
/// be trusted
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Image files, and folders that are searched for them
    #[arg(required = true, value_name = "IMAGE")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    network: NetworkArgs,

    /// Class activation maps: gradcam, gradcampp, hirescam, layercam, xgradcam, eigencam, scorecam,
    /// ablationcam; attributions: gradient, gradxinput, smoothgrad, vargrad, ig, guided, deconvnet,
    /// occlusion
    #[arg(
        long = "method",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "gradcam"
    )]
    methods: Vec<String>,

    /// The class to explain: `predicted`, its name or its number; of a network for pixels `predicted`
    /// is the class of most pixels, a background aside
    #[arg(long, value_name = "CLASS", default_value = "predicted")]
    target: String,

    /// Explain what sets the target apart from this class, by name or number
    #[arg(long, value_name = "CLASS")]
    against: Option<String>,

    /// Explain the score of this part of the network's view alone: from and to in shares of its
    /// height and width; of a network for pixels the mean score over it, in place of that over the
    /// pixels that the network gives to the class
    #[arg(
        long,
        value_name = "TOP,LEFT,BOTTOM,RIGHT",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true
    )]
    region: Vec<f64>,

    /// Where class activation maps are read: `last`, which the head reads (of a network for pixels
    /// the backbone's last), a stage's number, or its
    /// module; of several the mean
    #[arg(
        long = "stage",
        value_name = "STAGE",
        value_delimiter = ',',
        default_value = "last"
    )]
    stages: Vec<String>,

    /// Smooth class activation maps: over six changed copies of the photo, by their first principal
    /// component, or both
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    smooth: Vec<Smooth>,

    /// Also draw the feature maps of these stages or layers, as `stage2` or `layer1.0.conv1`
    #[arg(long, value_name = "LAYER", value_delimiter = ',')]
    maps: Vec<String>,

    /// Leave out the checks of trust, which take several times as long as the map itself
    #[arg(long)]
    no_checks: bool,

    /// Height and width of the network's input; default that of its weights
    #[arg(long, value_name = "H[xW]")]
    size: Option<Size>,

    /// Images per pass of the methods that need many: their memory is bounded by it
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Directory of the pictures; default a new one, `runs/explain/<model>-<n>`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Also write the maps before colouring: `map.<method>` (N, H, W), of attributions
    /// `attribution.<method>` (N, C, H, W), and `input` (N, C, H, W)
    #[arg(long, value_name = "FILE.safetensors")]
    raw: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// How class activation maps are smoothed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Smooth {
    /// The mean over the photo and its mirror image, each times 0.9, 1 and 1.1
    Augment,
    /// The first principal component of the weighted maps instead of their sum
    Eigen,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<()> {
        match self.network.kind()? {
            Kind::Segmentation => {
                self.explain::<dyn Segmenter>(self.network.load_sized(DType::F32, self.size)?)
            }
            _ => self.explain::<dyn Classifier>(self.network.load_sized(DType::F32, self.size)?),
        }
    }

    fn explain<M: Decides + ?Sized>(&self, network: NetworkOf<M>) -> Result<()> {
        let methods = self.methods()?;
        let photos: Arc<dyn Dataset> = Arc::new(PhotoList::open(&self.paths)?);
        memory::check(&network, 1, Workload::Forward)?;
        let names = cnn_transfer::class_names(&network);
        let session = Session {
            target: self.target(&names)?,
            places: self.places(network.model().explained())?,
            scorer: network.build(Mode::Inference)?,
            checks: if self.no_checks {
                None
            } else {
                Some(TrustChecks::new(&network, self.network.seed)?)
            },
            command: self,
            methods,
            names,
            network,
        };
        for name in &self.maps {
            session.check_layer(name)?;
        }
        let directory =
            output::directory(self.out.as_deref(), COMMAND, session.network.spec().name)?;
        let finished = session.explain(&photos, &directory).inspect_err(|_| {
            // Only where nothing was written into it.
            let _ = std::fs::remove_dir(&directory);
        })?;
        finished.write(&session, &directory)
    }

    fn methods(&self) -> Result<Vec<Method>> {
        let mut methods = Vec::new();
        for name in &self.methods {
            let method = name.parse().context(Unusable)?;
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        Ok(methods)
    }

    /// The class that is named.
    fn target(&self, names: &[String]) -> Result<Option<Target>> {
        // What is wrong with the other flags is said before any photo is read.
        self.aimed(Target::PREDICTED, names)?;
        match self.target.as_str() {
            "predicted" => Ok(None),
            name => Ok(Some(Target::class(class(name, names)?))),
        }
    }

    /// The target with what sets it apart, and where.
    fn aimed(&self, mut target: Target, names: &[String]) -> Result<Target> {
        if let Some(name) = &self.against {
            target = target.against(class(name, names)?);
        }
        match self.region.as_slice() {
            [] => Ok(target),
            &[top, left, bottom, right] => {
                Ok(target.within(Region::new(top, left, bottom, right).context(Unusable)?))
            }
            other => Err(anyhow!(
                "--region takes four numbers, found {}",
                other.len()
            ))
            .context(Unusable),
        }
    }

    fn places(&self, model: Explained<'_>) -> Result<Vec<Place>> {
        self.stages
            .iter()
            .map(|stage| Place::find(stage, model).context(Unusable))
            .collect()
    }
}

/// A class by its name or one of its synonyms, whatever the case, or by its number.
fn class(name: &str, names: &[String]) -> Result<usize> {
    let those = |is_meant: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..names.len())
            .filter(|&class| is_meant(&names[class]))
            .collect()
    };
    let mut candidates = those(&|known| known.eq_ignore_ascii_case(name));
    if candidates.is_empty() {
        // ImageNet's names are lists of synonyms, as `tench, Tinca tinca`.
        candidates = those(&|known| {
            known
                .split(',')
                .any(|synonym| synonym.trim().eq_ignore_ascii_case(name))
        });
    }
    let number = name
        .parse::<usize>()
        .ok()
        .filter(|&number| number < names.len());
    match (&candidates[..], number) {
        (&[class], _) | ([], Some(class)) => Ok(class),
        ([], None) => {
            let nearest = did_you_mean(name, names.iter().map(String::as_str));
            let first = &names[0];
            let last = names.len() - 1;
            Err(anyhow!(
                "there is no class `{name}`; \
                 classes have names, as `{first}`, or numbers from 0 to {last}{nearest}"
            ))
        }
        (several, _) => {
            let described = |&class: &usize| format!("{class} ({})", names[class]);
            let several: Vec<String> = several.iter().map(described).collect();
            let count = several.len();
            let several = several.join(", ");
            Err(anyhow!(
                "`{name}` is the name of {count} classes: {several}"
            ))
        }
    }
    .context(Unusable)
}

/// A kind of network whose decisions are explained.
trait Decides: Watched + Explainable {
    /// What it takes a photo for: a few classes, the first one first, with their probabilities; of a
    /// network for pixels the shares of the pixels that they have.
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>>;

    /// The class that is explained where none is named.
    fn predicted(decision: &[Ranked], names: &[String]) -> usize;

    /// What the number of a [`Ranked`] class is.
    const SHARE: &'static str;
}

impl Decides for dyn Classifier {
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>> {
        let logits = self.forward(photo, &Context::eval())?;
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        Ok(top_k(&logits, CLASSES.min(logits.len()))?)
    }

    fn predicted(decision: &[Ranked], _: &[String]) -> usize {
        decision[0].index
    }

    const SHARE: &'static str = "probability";
}

impl Decides for dyn Segmenter {
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>> {
        let logits = self.forward(photo, &Context::eval())?.to_nhwc();
        let classes = match logits.dim(3)? {
            1 => logits.gt(0.)?.to_dtype(candle_core::DType::U32)?,
            _ => logits.argmax(3)?,
        };
        let classes = classes.flatten_all()?.to_vec1::<u32>()?;
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for &class in &classes {
            *counts.entry(class as usize).or_default() += 1;
        }
        let ranked = |(index, count): (usize, usize)| Ranked {
            index,
            probability: count as f64 / classes.len() as f64,
        };
        let mut ranked: Vec<Ranked> = counts.into_iter().map(ranked).collect();
        ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(ranked)
    }

    /// What most pixels are of, the background aside where there is anything else.
    fn predicted(decision: &[Ranked], names: &[String]) -> usize {
        let is_background =
            |class: &Ranked| class.index == 0 && names[0].eq_ignore_ascii_case("background");
        let object = decision.iter().find(|class| !is_background(class));
        object.unwrap_or(&decision[0]).index
    }

    const SHARE: &'static str = "share";
}

/// What stays the same over the photos.
struct Session<'a, M: Decides + ?Sized> {
    command: &'a Explain,
    network: NetworkOf<M>,
    scorer: Box<M>,
    checks: Option<TrustChecks<M>>,
    methods: Vec<Method>,
    /// `None` for what the network predicts.
    target: Option<Target>,
    places: Vec<Place>,
    names: Vec<String>,
}

/// What there is of all photos at the end.
#[derive(Default)]
struct Finished {
    photos: Vec<ExplainedPhoto>,
    explanations: Vec<Value>,
    skipped: Vec<Skipped>,
    raw: Raw,
}

/// Tensors of single photos by name.
#[derive(Default)]
struct Raw(BTreeMap<String, Vec<Tensor>>);

impl Raw {
    fn add(&mut self, name: String, tensor: Tensor) {
        self.0.entry(name).or_default().push(tensor);
    }

    fn write(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
        let tensor =
            |(name, parts): (&String, &Vec<Tensor>)| Ok((name.clone(), Tensor::cat(parts, 0)?));
        let tensors = self.0.iter().map(tensor).collect::<Result<Vec<_>>>()?;
        Ok(save_safetensors(path, &tensors, metadata)?)
    }
}

impl<M: Decides + ?Sized> Session<'_, M> {
    fn explain(&self, photos: &Arc<dyn Dataset>, directory: &Path) -> Result<Finished> {
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
            None => Target::class(M::predicted(&classes, &self.names)),
            Some(target) => target.clone(),
        };
        let asked = self.command.aimed(asked, &self.names)?;
        classes.truncate(CLASSES);
        let mut overlays = Vec::new();
        let mut maps = Vec::new();
        let mut target = String::new();
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
            let picture = overlay(
                &photo.photo,
                &explanation.maps[0],
                self.network.preprocessing(),
            )?;
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
        finished.explanations.push(json!({
            "path": photo.path,
            "predicted": { "index": classes[0].index, "label": self.names[classes[0].index], M::SHARE: classes[0].probability },
            "target": target,
            "maps": maps,
        }));
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
    fn check_layer(&self, name: &str) -> Result<()> {
        let record = self.network.preprocessing();
        let black = Tensor::zeros(
            (1, record.height(), record.width(), record.channels()),
            candle_core::DType::F32,
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
    /// The longer side of the copies that the page shows.
    side: usize,
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

impl Finished {
    /// Writes the page, the summary and the raw maps, and prints the summary as JSON or for people.
    fn write<M: Decides + ?Sized>(self, session: &Session<'_, M>, directory: &Path) -> Result<()> {
        let Self {
            photos,
            explanations,
            skipped,
            raw,
        } = self;
        if let Some(path) = &session.command.raw {
            let paths: Vec<&str> = photos.iter().map(|photo| photo.path.as_str()).collect();
            let metadata = [("paths".to_string(), json!(paths).to_string())].into();
            raw.write(path, &metadata)?;
        }
        let model = session.network.spec().name;
        let summary = json!({
            "model": model,
            "weights": session.command.network.weights(),
            "run_dir": directory,
            "explanations": explanations,
            "skipped": skipped,
        });
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        write_atomic(&directory.join(SUMMARY), |file| {
            file.write_all(text.as_bytes())
        })?;
        let titles = session
            .methods
            .iter()
            .map(|method| method.title())
            .collect::<Vec<_>>()
            .join(", ");
        let methods = match session.methods.len() {
            1 => Fact::new("method", titles),
            count => Fact::new("methods", count.to_string()).with_note(titles),
        };
        let gallery = Gallery {
            title: format!("What {model} sees"),
            summary: vec![
                Fact::new("network", model),
                methods,
                Fact::new("photos", photos.len().to_string()),
            ],
            byline: Some(byline()),
            photos,
            skipped: skipped.clone(),
            command: Some(command_line()),
            ..Gallery::default()
        };
        let html = gallery.to_html()?;
        write_atomic(&directory.join(report::NAME), |file| {
            file.write_all(html.as_bytes())
        })?;
        if session.command.json {
            inference::print_skipped(&skipped);
            return output::json(&summary);
        }
        print(&gallery, &session.methods)?;
        inference::print_skipped(&skipped);
        println!("page: {}", directory.join(report::NAME).display());
        Ok(())
    }
}

/// Two decimals, without a sign where they are 0.
fn number(value: f64) -> String {
    format!("{:.2}", (100. * value).round() / 100. + 0.)
}

/// How the program was called.
fn command_line() -> String {
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| quoted(&argument.to_string_lossy()));
    format!(
        "{} {}",
        output::program(),
        arguments.collect::<Vec<_>>().join(" ")
    )
}

fn print(gallery: &Gallery, methods: &[Method]) -> Result<()> {
    let maps = || {
        gallery.photos.iter().flat_map(|photo| {
            photo
                .overlays
                .iter()
                .zip(methods)
                .map(move |map| (photo, map))
        })
    };
    let steps: Vec<&str> = maps()
        .find_map(|(_, (overlay, _))| overlay.trust.as_ref())
        .map_or_else(Vec::new, |trust| {
            trust
                .randomization
                .iter()
                .map(|(name, _)| name.as_str())
                .collect()
        });
    let random: Vec<String> = steps.iter().map(|step| format!("random {step}")).collect();
    let mut columns = vec![("photo", false), ("explained", false), ("method", false)];
    if !steps.is_empty() {
        columns.extend([("insertion", true), ("deletion", true), ("ROAD", true)]);
        columns.extend(random.iter().map(|column| (column.as_str(), true)));
        columns.push(("verdict", false));
    }
    let row = |(photo, (overlay, method)): (&ExplainedPhoto, (&ExplainedOverlay, &Method))| {
        let mut row = vec![
            photo.path.clone(),
            photo.target.clone(),
            method.name().to_string(),
        ];
        if let Some(trust) = &overlay.trust {
            row.extend([trust.insertion_auc, trust.deletion_auc, trust.road].map(number));
            row.extend(
                trust
                    .randomization
                    .iter()
                    .map(|(_, correlation)| number(*correlation)),
            );
            let failed: Vec<_> = failed(overlay)
                .iter()
                .map(|verdict| verdict.check.name())
                .collect();
            row.push(if failed.is_empty() {
                "passes".to_string()
            } else {
                format!("fails {}", failed.join(", "))
            });
        }
        row
    };
    output::table(&columns, &maps().map(row).collect::<Vec<_>>())?;
    if steps.is_empty() {
        return Ok(());
    }
    println!();
    for (photo, (overlay, method)) in maps() {
        for failed in failed(overlay) {
            println!(
                "{}, {}: fails {}: {}",
                photo.path,
                method.name(),
                failed.check.name(),
                failed.finding
            );
        }
    }
    TrustCheck::ALL
        .iter()
        .for_each(|check| println!("{}: {}", check.name(), check.rule()));
    Ok(())
}

/// The checks that a map fails.
fn failed(overlay: &ExplainedOverlay) -> Vec<TrustVerdict> {
    let verdicts = overlay
        .trust
        .as_ref()
        .map_or_else(Vec::new, Trust::verdicts);
    verdicts
        .into_iter()
        .filter(|verdict| !verdict.passed)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_class_is_found_by_name_synonym_or_number() {
        let names = [
            "tench, Tinca tinca",
            "crane",
            "crane",
            "goldfish, Carassius auratus",
        ]
        .map(String::from);
        for (said, expected) in [
            ("tench, Tinca tinca", 0),
            ("Tinca Tinca", 0),
            ("tench", 0),
            ("goldfish", 3),
            ("2", 2),
        ] {
            assert_eq!(class(said, &names).unwrap(), expected, "{said}");
        }
        let refusal = |said: &str| format!("{:#}", class(said, &names).unwrap_err());
        assert!(
            refusal("Crane").contains("the name of 2 classes: 1 (crane), 2 (crane)"),
            "{}",
            refusal("Crane")
        );
        assert!(
            refusal("gold").contains("did you mean `goldfish"),
            "{}",
            refusal("gold")
        );
        assert!(
            refusal("4").contains("numbers from 0 to 3"),
            "{}",
            refusal("4")
        );
    }
}
