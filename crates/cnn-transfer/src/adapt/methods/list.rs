//! The methods by name.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use cnn_core::did_you_mean;
use cnn_layers::Context;
use cnn_train::{Losses, log_softmax};

use super::super::losses::{
    CentralMoments, ClassConfusion, JointMmd, MultiKernelMmd, StepwiseFeatureNorm, coral, entropy,
    information_maximization,
};
use super::super::{DomainPair, Domains, TransferLoss};
use super::{ConditionalAdversarial, DomainAdversarial};
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
    /// How much its loss counts beside that of the source.
    pub trade_off: f64,
}

/// All methods.
pub const METHODS: &[MethodInfo] = &[
    MethodInfo {
        method: AdaptationMethod::SourceOnly,
        name: "source-only",
        about: "the source alone, to compare with",
        trade_off: 0.,
    },
    MethodInfo {
        method: AdaptationMethod::AdaBn,
        name: "adabn",
        about: "the source alone, then batch-norm statistics of the target",
        trade_off: 0.,
    },
    MethodInfo {
        method: AdaptationMethod::Dann,
        name: "dann",
        about: "features that deceive a discriminator of domains",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Bsp,
        name: "bsp",
        about: "dann, with the largest singular values of the features held down",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Cdan,
        name: "cdan",
        about: "features that deceive a discriminator which sees predictions, too",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::CdanE,
        name: "cdan+e",
        about: "cdan, where sure predictions count more",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Dan,
        name: "dan",
        about: "equal distributions of features by kernels (MMD)",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Jan,
        name: "jan",
        about: "equal joint distributions of features and predictions (JMMD)",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Coral,
        name: "coral",
        about: "equal covariances of features (Deep CORAL)",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Cmd,
        name: "cmd",
        about: "equal central moments of features",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Mcc,
        name: "mcc",
        about: "target predictions that do not confuse classes",
        trade_off: 1.,
    },
    MethodInfo {
        method: AdaptationMethod::Afn,
        name: "afn",
        about: "features of larger norm in both domains",
        trade_off: 0.05,
    },
    MethodInfo {
        method: AdaptationMethod::Entropy,
        name: "entropy",
        about: "sure target predictions",
        trade_off: 0.1,
    },
    MethodInfo {
        method: AdaptationMethod::InformationMaximization,
        name: "im",
        about: "sure target predictions of all classes",
        trade_off: 0.1,
    },
];

/// How much BSP's penalty counts; the paper's.
const SPECTRAL: f64 = 1e-4;
/// Hidden features of a discriminator; the Transfer-Learning-Library's for these features.
const HIDDEN: usize = 1024;

/// What a method is built for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) features: usize,
    pub(crate) classes: usize,
}

impl AdaptationMethod {
    /// What is known of it.
    pub fn info(self) -> &'static MethodInfo {
        let found = METHODS.iter().find(|info| info.method == self);
        found.unwrap_or(&METHODS[0])
    }

    /// What it adds to the loss of the source; `None` where that is nothing.
    pub(crate) fn transfer_loss(
        self,
        sizes: Sizes,
        seed: u64,
    ) -> Result<Option<Box<dyn TransferLoss>>, Error> {
        let Sizes { features, classes } = sizes;
        Ok(Some(match self {
            Self::SourceOnly | Self::AdaBn => return Ok(None),
            Self::Dann => Box::new(DomainAdversarial::new(features, HIDDEN, seed)?),
            Self::Bsp => {
                let dann = DomainAdversarial::new(features, HIDDEN, seed)?;
                Box::new(dann.with_spectral_penalty(SPECTRAL))
            }
            Self::Cdan => Box::new(ConditionalAdversarial::new(
                features, classes, HIDDEN, seed,
            )?),
            Self::CdanE => {
                let cdan = ConditionalAdversarial::new(features, classes, HIDDEN, seed)?;
                Box::new(cdan.by_entropy())
            }
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
        }))
    }
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
