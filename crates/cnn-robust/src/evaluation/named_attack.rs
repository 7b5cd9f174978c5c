//! Attacks by name.

use cnn_core::suggest;

use super::JudgedAttack;
use crate::attack::{
    Apgd, Attack, AttackBatch, AutoAttack, CarliniWagner, DeepFool, FabT, Fgsm, HopSkipJump,
    MiFgsm, Motion, OnePixel, PatchTraining, Pgd, RFgsm, Spatial, Spsa, Square, Universal,
};
use crate::{AttackedModel, Error, Norm, Threat};

/// The share of an image that a patch covers.
const PATCH_SHARE: f64 = 0.05;

/// What an attack is built with; what is `None` is its own default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttackSettings {
    /// Which changes count.
    pub threat: Threat,
    /// Steps of an attack that takes them.
    pub steps: Option<usize>,
    /// How far a step of PGD goes.
    pub step_size: Option<f64>,
    /// Random starts of an attack that takes several.
    pub restarts: Option<usize>,
    /// Queries of Square Attack.
    pub queries: Option<usize>,
}

impl AttackSettings {
    /// Every attack's own defaults.
    pub fn new(threat: Threat) -> Self {
        Self {
            threat,
            steps: None,
            step_size: None,
            restarts: None,
            queries: None,
        }
    }
}

/// Builds an attack; what learns one change for many images learns it of the batches.
type Build =
    fn(&AttackSettings, &dyn AttackedModel, &[AttackBatch<'_>]) -> Result<JudgedAttack, Error>;

/// An attack by name.
#[derive(Debug)]
pub struct NamedAttack {
    /// Its name, as `apgd-ce`.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// The norms that it works in.
    pub norms: &'static [Norm],
    /// Whether it learns one change for many images before it is made.
    pub learns: bool,
    build: Build,
}

impl NamedAttack {
    /// The attack. One that [`learns`](Self::learns) does so on `batches`; others do not look at
    /// them.
    ///
    /// # Errors
    /// [`Error::Argument`] if it does not work in the norm, and what learning reports.
    pub fn build(
        &self,
        settings: &AttackSettings,
        model: &dyn AttackedModel,
        batches: &[AttackBatch<'_>],
    ) -> Result<JudgedAttack, Error> {
        let norm = settings.threat.norm;
        if !self.norms.contains(&norm) {
            let norms: Vec<&str> = self.norms.iter().map(|norm| norm.name()).collect();
            let expected = format!("{} for {}", norms.join(" or "), self.name);
            return Err(Error::argument("norm", norm, expected));
        }
        (self.build)(settings, model, batches)
    }
}

/// What the cheap ensemble may be called for short.
const CHEAP: &str = "cheap";

/// The attack of a name; `cheap` is `autoattack-cheap`.
///
/// # Errors
/// [`Error::Argument`] that names the nearest one, and all.
pub fn find_attack(name: &str) -> Result<&'static NamedAttack, Error> {
    let is_meant = |attack: &&NamedAttack| {
        attack.name == name || name == CHEAP && attack.name == "autoattack-cheap"
    };
    if let Some(found) = ATTACKS.iter().find(is_meant) {
        return Ok(found);
    }
    let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
    let expected = match suggest(name, names.iter().copied()) {
        Some(nearest) => format!("did you mean {nearest}? All: {}", names.join(", ")),
        None => format!("one of {}", names.join(", ")),
    };
    Err(Error::argument("attack", name, expected))
}

const LINF: &[Norm] = &[Norm::Linf];
const L2_LINF: &[Norm] = &[Norm::Linf, Norm::L2];

/// All attacks, from one step to ensembles, then those without gradients, then those outside a
/// ball.
pub const ATTACKS: &[NamedAttack] = &[
    NamedAttack {
        name: "fgsm",
        about: "one step along the sign of the gradient",
        norms: LINF,
        learns: false,
        build: |settings, _, _| judged(Fgsm::new(settings.threat.eps)?),
    },
    NamedAttack {
        name: "ffgsm",
        about: "the same from a random point",
        norms: LINF,
        learns: false,
        build: |settings, _, _| judged(Fgsm::new(settings.threat.eps)?.with_random_start()),
    },
    NamedAttack {
        name: "rfgsm",
        about: "a random step, then steps along the gradient",
        norms: LINF,
        learns: false,
        build: |settings, _, _| {
            let attack = RFgsm::new(settings.threat.eps)?;
            judged(
                settings
                    .steps
                    .map_or(attack, |steps| attack.with_steps(steps)),
            )
        },
    },
    NamedAttack {
        name: "bim",
        about: "steps along the gradient from the image",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(pgd(settings)?.with_random_start(false)),
    },
    NamedAttack {
        name: "pgd",
        about: "steps along the gradient from random points",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(pgd(settings)?),
    },
    NamedAttack {
        name: "mifgsm",
        about: "steps along the gradient with momentum",
        norms: LINF,
        learns: false,
        build: |settings, _, _| {
            let attack = MiFgsm::new(settings.threat.eps)?;
            judged(
                settings
                    .steps
                    .map_or(attack, |steps| attack.with_steps(steps)),
            )
        },
    },
    NamedAttack {
        name: "apgd-ce",
        about: "PGD that chooses its steps, up the cross-entropy",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(apgd(settings, Apgd::cross_entropy(settings.threat))),
    },
    NamedAttack {
        name: "apgd-dlr",
        about: "the same up the difference of logits ratio",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(apgd(settings, Apgd::dlr(settings.threat))),
    },
    NamedAttack {
        name: "apgd-t",
        about: "the same towards each of several classes",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(apgd(settings, Apgd::targeted(settings.threat))),
    },
    NamedAttack {
        name: "fab-t",
        about: "the smallest change across each of several boundaries",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| {
            let attack = FabT::new(settings.threat);
            let attack = settings
                .steps
                .map_or(attack, |steps| attack.with_steps(steps));
            judged(
                settings
                    .restarts
                    .map_or(attack, |restarts| attack.with_restarts(restarts)),
            )
        },
    },
    NamedAttack {
        name: "deepfool",
        about: "the nearest boundary as if the network were linear",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| {
            let attack = DeepFool::new();
            let attack = settings
                .steps
                .map_or(attack, |steps| attack.with_steps(steps));
            smallest(settings, attack)
        },
    },
    NamedAttack {
        name: "cw",
        about: "the smallest change in L2 by Adam, after Carlini and Wagner",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| {
            let attack = CarliniWagner::new();
            let attack = settings
                .steps
                .map_or(attack, |steps| attack.with_steps(steps));
            smallest(settings, attack)
        },
    },
    NamedAttack {
        name: "autoattack",
        about: "apgd-ce, apgd-t, fab-t and square, as published",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(AutoAttack::standard(settings.threat)),
    },
    NamedAttack {
        name: "autoattack-cheap",
        about: "the same at a twelfth of the queries",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| judged(AutoAttack::cheap(settings.threat)),
    },
    NamedAttack {
        name: "square",
        about: "random squares, by scores alone",
        norms: &Norm::ALL,
        learns: false,
        build: |settings, _, _| {
            let attack = Square::new(settings.threat);
            judged(
                settings
                    .queries
                    .map_or(attack, |queries| attack.with_queries(queries)),
            )
        },
    },
    NamedAttack {
        name: "spsa",
        about: "gradients estimated from scores alone",
        norms: LINF,
        learns: false,
        build: |settings, _, _| {
            let attack = Spsa::new(settings.threat.eps)?;
            judged(
                settings
                    .steps
                    .map_or(attack, |steps| attack.with_steps(steps)),
            )
        },
    },
    NamedAttack {
        name: "hopskipjump",
        about: "the smallest change, by decisions alone",
        norms: L2_LINF,
        learns: false,
        build: |settings, _, _| {
            let attack = HopSkipJump::new(settings.threat.norm)?;
            let attack = match settings.steps {
                Some(steps) => attack.with_steps(steps),
                None => attack,
            };
            smallest(settings, attack)
        },
    },
    NamedAttack {
        name: "onepixel",
        about: "one pixel of any colour, by scores alone; no size bounds it",
        norms: &Norm::ALL,
        learns: false,
        build: |_, _, _| judged(OnePixel::new()),
    },
    NamedAttack {
        name: "universal",
        about: "one change for all images",
        norms: &Norm::ALL,
        learns: true,
        build: |settings, model, batches| {
            judged(Universal::new(settings.threat).find(model, batches)?)
        },
    },
    NamedAttack {
        name: "spatial",
        about: "rotations up to 30° and shifts up to a tenth; no size bounds them",
        norms: &Norm::ALL,
        learns: false,
        build: |_, _, batches| {
            let side = batches.first().map_or(0, |batch| batch.images().size()[0]);
            let shift = side as f64 / 10.;
            judged(Spatial::new(Motion {
                degrees: 30.,
                down: shift,
                right: shift,
            })?)
        },
    },
    NamedAttack {
        name: "patch",
        about: "a patch on a twentieth of the image; no size bounds it",
        norms: &Norm::ALL,
        learns: true,
        build: |_, model, batches| judged(PatchTraining::new(PATCH_SHARE)?.train(model, batches)?),
    },
];

fn judged(attack: impl Attack + 'static) -> Result<JudgedAttack, Error> {
    Ok(JudgedAttack::new(Box::new(attack)))
}

fn smallest(
    settings: &AttackSettings,
    attack: impl Attack + 'static,
) -> Result<JudgedAttack, Error> {
    Ok(JudgedAttack::new(Box::new(attack)).within(settings.threat))
}

fn pgd(settings: &AttackSettings) -> Result<Pgd, Error> {
    let mut attack = Pgd::new(settings.threat).with_early_stop(true);
    if let Some(steps) = settings.steps {
        attack = attack.with_steps(steps);
    }
    if let Some(step_size) = settings.step_size {
        attack = attack.with_step_size(step_size)?;
    }
    Ok(attack.with_restarts(settings.restarts.unwrap_or(1)))
}

fn apgd(settings: &AttackSettings, attack: Apgd) -> Apgd {
    let attack = settings
        .steps
        .map_or(attack, |steps| attack.with_steps(steps));
    let attack = attack.with_shrinking_ball(settings.threat.norm == Norm::L1);
    attack
        .with_restarts(settings.restarts.unwrap_or(1))
        .with_early_stop(true)
}
