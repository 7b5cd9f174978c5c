//! `cargo xtask explain`: why a network decides as it does, as maps over the photos.

mod decides;
mod finished;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};
use cnn_core::did_you_mean;
use cnn_data::{Dataset, PhotoList};
use cnn_layers::{Classifier, Detector, Mode, Segmenter};
use cnn_models::{Kind, NetworkOf};
use cnn_viz::{Explained, Method, Place, Region, Target, TrustChecks};

use self::decides::Decides;
use self::session::Session;
use crate::args::{DType, Size, Unusable};
use crate::memory::{self, Workload};
use crate::network_args::NetworkArgs;
use crate::output;

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
    /// occlusion; default gradcam, of networks that find objects hirescam, which does not mix what the
    /// score takes from other places into an object's map
    #[arg(long = "method", value_name = "NAME", value_delimiter = ',')]
    methods: Vec<String>,

    /// The class to explain: `predicted`, its name or its number; of a network for pixels `predicted`
    /// is the class of most pixels, a background aside; of one that finds objects the object of the
    /// class that it is surest of is explained
    #[arg(long, value_name = "CLASS", default_value = "predicted")]
    target: String,

    /// Explain what sets the target apart from this class, by name or number
    #[arg(long, value_name = "CLASS")]
    against: Option<String>,

    /// Explain the score of this part of the network's view alone: from and to in shares of its
    /// height and width; of a network for pixels the mean score over it, in place of that over the
    /// pixels that the network gives to the class; of one that finds objects the score of one whose
    /// centre is in it
    #[arg(
        long,
        value_name = "TOP,LEFT,BOTTOM,RIGHT",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true
    )]
    region: Vec<f64>,

    /// Where class activation maps are read: `last`, which the head reads (of a network for pixels
    /// the backbone's last, of one that finds objects the last that the object's score depends on), a
    /// stage's number, or its module; of several the mean
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
            Kind::Detection => {
                self.explain::<dyn Detector>(self.network.load_sized(DType::F32, self.size)?)
            }
            _ => self.explain::<dyn Classifier>(self.network.load_sized(DType::F32, self.size)?),
        }
    }

    fn explain<M: Decides + ?Sized>(&self, network: NetworkOf<M>) -> Result<()> {
        let methods = self.methods(M::METHOD)?;
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

    /// Those that are named, or else this one.
    fn methods(&self, default: Method) -> Result<Vec<Method>> {
        if self.methods.is_empty() {
            return Ok(vec![default]);
        }
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
