//! The methods by name.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use cnn_core::did_you_mean;
use cnn_layers::Context;
use cnn_train::{Losses, log_softmax};

use super::super::losses::{
    CentralMoments, ClassConfusion, JointMmd, MultiKernelMmd, StepwiseFeatureNorm,
    confident_cross_entropy, coral, entropy, information_maximization,
};
use super::super::{DomainPair, Domains, FourierStyle, TransferLoss};
use super::{ConditionalAdversarial, DomainAdversarial, Recipe, Setting};
use crate::Error;

/// A method by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdaptationMethod {
    /// The source alone.
    SourceOnly,
    /// The source alone, then the batch-norm statistics of the target (Li et al. 2016,
    /// arXiv:1603.04779).
    AdaBn,
    /// [`DomainAdversarial`].
    Dann,
    /// The same with the spectral penalty (Chen et al. 2019).
    Bsp,
    /// [`ConditionalAdversarial`].
    Cdan,
    /// The same weighted by entropy.
    CdanE,
    /// [`MultiKernelMmd`] of the features (Long et al. 2015, arXiv:1502.02791).
    Dan,
    /// [`JointMmd`] of features and predictions (Long et al. 2017, arXiv:1605.06636).
    Jan,
    /// [`coral`] of the features (Sun & Saenko 2016, arXiv:1607.01719).
    Coral,
    /// [`CentralMoments`] of the features (Zellinger et al. 2017, arXiv:1702.08811).
    Cmd,
    /// [`ClassConfusion`] of the target (Jin et al. 2020, arXiv:1912.03699).
    Mcc,
    /// [`StepwiseFeatureNorm`] of both domains (Xu et al. 2019, arXiv:1811.07456).
    Afn,
    /// [`entropy`] of the target (Grandvalet & Bengio 2005).
    Entropy,
    /// [`information_maximization`] of the target (Liang et al. 2020, arXiv:2002.08546), with the
    /// source beside it.
    InformationMaximization,
    /// [`confident_cross_entropy`] of the target's own predictions (Lee 2013).
    PseudoLabels,
    /// The predictions of a weaker view for a stronger one (Sohn et al. 2020, "FixMatch",
    /// arXiv:2001.07685).
    FixMatch,
    /// The predictions of a moving average of the network for another view (French et al. 2018,
    /// arXiv:1706.05208).
    MeanTeacher,
    /// Two heads that disagree, and features that make them agree (Saito et al. 2018,
    /// arXiv:1712.02560).
    Mcd,
    /// Features of the target that a discriminator takes for the source's (Tzeng et al. 2017,
    /// arXiv:1702.05464).
    Adda,
    /// The source in the colours and light of the target (Yang & Soatto 2020, arXiv:2004.05498), as
    /// [`FourierStyle`] has it.
    Fda,
    /// Sure predictions by batch-norm's scales and shifts (Wang et al. 2021, arXiv:2006.10726).
    Tent,
    /// Features for a head that stays (Liang et al. 2020, arXiv:2002.08546).
    Shot,
}

/// What a method begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Any network; the labels of the source are learnt beside.
    Any,
    /// A network that has learnt from the source; images of the source are read, too.
    LearntWithSource,
    /// A network that has learnt from the source, which is not needed again.
    Learnt,
}

/// What is known of a method.
#[derive(Debug)]
pub struct MethodInfo {
    /// The method.
    pub method: AdaptationMethod,
    /// Its name, as `cdan+e`.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// How much its loss counts beside that of the source, or of labels that it suggests itself; 0
    /// where it weighs nothing.
    pub trade_off: f64,
    /// What it begins with.
    pub beginning: Beginning,
}

/// All methods.
pub const METHODS: &[MethodInfo] = &[
    MethodInfo {
        method: AdaptationMethod::SourceOnly,
        name: "source-only",
        about: "the source alone, to compare with",
        trade_off: 0.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::AdaBn,
        name: "adabn",
        about: "batch-norm statistics of the target, for a network that has learnt",
        trade_off: 0.,
        beginning: Beginning::Learnt,
    },
    MethodInfo {
        method: AdaptationMethod::Dann,
        name: "dann",
        about: "features that deceive a discriminator of domains",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Bsp,
        name: "bsp",
        about: "dann, with the largest singular values of the features held down",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Cdan,
        name: "cdan",
        about: "features that deceive a discriminator which sees predictions, too",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::CdanE,
        name: "cdan+e",
        about: "cdan, where sure predictions count more",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Adda,
        name: "adda",
        about: "features of the target that deceive a discriminator, in alternation",
        trade_off: 0.,
        beginning: Beginning::LearntWithSource,
    },
    MethodInfo {
        method: AdaptationMethod::Mcd,
        name: "mcd",
        about: "two heads that disagree, and features that make them agree",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Dan,
        name: "dan",
        about: "equal distributions of features by kernels (MMD)",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Jan,
        name: "jan",
        about: "equal joint distributions of features and predictions (JMMD)",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Coral,
        name: "coral",
        about: "equal covariances of features (Deep CORAL)",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Cmd,
        name: "cmd",
        about: "equal central moments of features",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Mcc,
        name: "mcc",
        about: "target predictions that do not confuse classes",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Afn,
        name: "afn",
        about: "features of larger norm in both domains",
        trade_off: 0.05,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Entropy,
        name: "entropy",
        about: "sure target predictions",
        trade_off: 0.1,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::InformationMaximization,
        name: "im",
        about: "sure target predictions of all classes",
        trade_off: 0.1,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::PseudoLabels,
        name: "pseudo-labels",
        about: "sure target predictions as labels",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::FixMatch,
        name: "fixmatch",
        about: "sure predictions as labels of a more strongly augmented view",
        trade_off: 1.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::MeanTeacher,
        name: "mean-teacher",
        about: "sure predictions of the network's moving average for another view",
        trade_off: 3.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Fda,
        name: "fda",
        about: "the source's images with the target's low frequencies",
        trade_off: 0.,
        beginning: Beginning::Any,
    },
    MethodInfo {
        method: AdaptationMethod::Tent,
        name: "tent",
        about: "sure predictions by batch-norm's scales and shifts, without the source",
        trade_off: 0.,
        beginning: Beginning::Learnt,
    },
    MethodInfo {
        method: AdaptationMethod::Shot,
        name: "shot",
        about: "information and suggested labels for a head that stays, without the source",
        trade_off: 1.,
        beginning: Beginning::Learnt,
    },
];

/// How much BSP's penalty counts; the paper's.
const SPECTRAL: f64 = 1e-4;
/// Hidden features of a discriminator; the Transfer-Learning-Library's for these features.
const HIDDEN: usize = 1024;

/// A prediction this sure is taken for a label.
const SURE: f64 = 0.9;

impl AdaptationMethod {
    /// What is known of it.
    pub fn info(self) -> &'static MethodInfo {
        let found = METHODS.iter().find(|info| info.method == self);
        found.unwrap_or(&METHODS[0])
    }

    /// Whether it does without images of the source.
    pub fn is_source_free(self) -> bool {
        self.info().beginning == Beginning::Learnt
    }

    /// What it asks of a run over so many images of the target.
    pub(in super::super) fn recipe(
        self,
        setting: &Setting<'_>,
        images: usize,
    ) -> Result<Recipe, Error> {
        match self {
            Self::SourceOnly => Ok(Recipe::source_only()),
            Self::AdaBn => Recipe::statistics(setting),
            Self::Tent => Recipe::tent(setting),
            Self::Shot => Recipe::shot(setting, images),
            Self::Adda => Recipe::adda(setting, HIDDEN),
            Self::Mcd => Recipe::mcd(setting),
            Self::FixMatch => Ok(Recipe::fixmatch(setting)),
            Self::MeanTeacher => Recipe::mean_teacher(setting),
            Self::Fda => Ok(Recipe::fourier_style(FourierStyle::default())),
            _ => {
                let transfer = self.transfer_loss(setting)?;
                Ok(Recipe::beside_source(transfer, setting.trade_off))
            }
        }
    }

    /// What it adds to the loss of the source.
    fn transfer_loss(self, setting: &Setting<'_>) -> Result<Box<dyn TransferLoss>, Error> {
        let Setting {
            features,
            classes,
            seed,
            ..
        } = *setting;
        let conditional = || ConditionalAdversarial::new(features, classes, HIDDEN, seed);
        let adversarial = || DomainAdversarial::new(features, HIDDEN, seed);
        Ok(match self {
            Self::Dann => Box::new(adversarial()?),
            Self::Bsp => Box::new(adversarial()?.with_spectral_penalty(SPECTRAL)),
            Self::Cdan => Box::new(conditional()?),
            Self::CdanE => Box::new(conditional()?.by_entropy()),
            Self::Dan => of(|pair| MultiKernelMmd::default().loss(pair.features)),
            Self::Jan => of(joint),
            Self::Coral => of(|pair| coral(pair.features)),
            Self::Cmd => of(|pair| CentralMoments::default().loss(pair.features)),
            Self::Mcc => of(|pair| ClassConfusion::default().loss(pair.logits.target)),
            Self::Afn => of(norms),
            Self::Entropy => of(|pair| entropy(pair.logits.target)),
            Self::InformationMaximization => {
                of(|pair| information_maximization(pair.logits.target))
            }
            Self::PseudoLabels => of(pseudo_labels),
            other => {
                let expected = "a method that adds to the loss of the source";
                return Err(Error::argument("method", other, expected));
            }
        })
    }
}

fn pseudo_labels(pair: &DomainPair<'_>) -> Result<Tensor, Error> {
    confident_cross_entropy(pair.logits.target, pair.logits.target, SURE)
}

fn joint(pair: &DomainPair<'_>) -> Result<Tensor, Error> {
    let probabilities = |logits| log_softmax(logits)?.exp();
    let source = probabilities(pair.logits.source)?;
    let target = probabilities(pair.logits.target)?;
    let predictions = Domains {
        source: &source,
        target: &target,
    };
    JointMmd::default().loss(&[pair.features, predictions])
}

fn norms(pair: &DomainPair<'_>) -> Result<Tensor, Error> {
    let afn = StepwiseFeatureNorm::default();
    let source = afn.loss(pair.features.source)?;
    Ok((source + afn.loss(pair.features.target)?)?)
}

/// A loss without parameters of its own.
struct Plain<F>(F);

fn of<F>(loss: F) -> Box<dyn TransferLoss>
where
    F: Fn(&DomainPair<'_>) -> Result<Tensor, Error> + Send + Sync + 'static,
{
    Box::new(Plain(loss))
}

impl<F> TransferLoss for Plain<F>
where
    F: Fn(&DomainPair<'_>) -> Result<Tensor, Error> + Send + Sync,
{
    fn loss(&self, pair: &DomainPair<'_>, _: &Context<'_>) -> Result<Losses, Error> {
        Ok(Losses::new((self.0)(pair)?))
    }
}

impl fmt::Display for AdaptationMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.info().name)
    }
}

impl FromStr for AdaptationMethod {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some(info) = METHODS.iter().find(|info| info.name == name) {
            return Ok(info.method);
        }
        let names = METHODS.iter().map(|info| info.name);
        let nearest = did_you_mean(name, names.clone());
        let all: Vec<&str> = names.collect();
        let expected = format!("one of {}{nearest}", all.join(", "));
        Err(Error::argument("method", name, expected))
    }
}
