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
    /// The attack. One that [`learns`](Self::learns) does so on `batches`; others do not look at them.
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

/// An attack on each image by itself.
const fn each(
    name: &'static str,
    about: &'static str,
    norms: &'static [Norm],
    build: Build,
) -> NamedAttack {
    NamedAttack {
        name,
        about,
        norms,
        learns: false,
        build,
    }
}

/// An attack that learns one change for many images.
const fn learning(
    name: &'static str,
    about: &'static str,
    norms: &'static [Norm],
    build: Build,
) -> NamedAttack {
    NamedAttack {
        learns: true,
        ..each(name, about, norms, build)
    }
}

/// All attacks, from one step to ensembles, then those without gradients, then those outside a ball.
pub const ATTACKS: &[NamedAttack] = &[
    each(
        "fgsm",
        "one step along the sign of the gradient",
        LINF,
        |settings, _, _| judged(Fgsm::new(settings.threat.eps)?),
    ),
    each(
        "ffgsm",
        "the same from a random point",
        LINF,
        |settings, _, _| judged(Fgsm::new(settings.threat.eps)?.with_random_start()),
    ),
    each(
        "rfgsm",
        "a random step, then steps along the gradient",
        LINF,
        |settings, _, _| {
            let attack = RFgsm::new(settings.threat.eps)?;
            judged(
                settings
                    .steps
                    .map_or(attack, |steps| attack.with_steps(steps)),
            )
        },
    ),
    each(
        "bim",
        "steps along the gradient from the image",
        &Norm::ALL,
        |settings, _, _| judged(pgd(settings)?.with_random_start(false)),
    ),
    each(
        "pgd",
        "steps along the gradient from random points",
        &Norm::ALL,
        |settings, _, _| judged(pgd(settings)?),
    ),
    each(
        "mifgsm",
        "steps along the gradient with momentum",
        LINF,
        |settings, _, _| {
            let attack = MiFgsm::new(settings.threat.eps)?;
            judged(
                settings
                    .steps
                    .map_or(attack, |steps| attack.with_steps(steps)),
            )
        },
    ),
    each(
        "apgd-ce",
        "PGD that chooses its steps, up the cross-entropy",
        &Norm::ALL,
        |settings, _, _| judged(apgd(settings, Apgd::cross_entropy(settings.threat))),
    ),
    each(
        "apgd-dlr",
        "the same up the difference of logits ratio",
        &Norm::ALL,
        |settings, _, _| judged(apgd(settings, Apgd::dlr(settings.threat))),
    ),
    each(
        "apgd-t",
        "the same towards each of several classes",
        &Norm::ALL,
        |settings, _, _| judged(apgd(settings, Apgd::targeted(settings.threat))),
    ),
    each(
        "fab-t",
        "the smallest change across each of several boundaries",
        &Norm::ALL,
        |settings, _, _| {
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
    ),
    each(
        "deepfool",
        "the nearest boundary as if the network were linear",
        &Norm::ALL,
        |settings, _, _| {
            let attack = DeepFool::new();
            let attack = settings
                .steps
                .map_or(attack, |steps| attack.with_steps(steps));
            smallest(settings, attack)
        },
    ),
    each(
        "cw",
        "the smallest change in L2 by Adam, after Carlini and Wagner",
        &Norm::ALL,
        |settings, _, _| {
            let attack = CarliniWagner::new();
            let attack = settings
                .steps
                .map_or(attack, |steps| attack.with_steps(steps));
            smallest(settings, attack)
        },
    ),
    each(
        "autoattack",
        "apgd-ce, apgd-t, fab-t and square, as published",
        &Norm::ALL,
        |settings, _, _| judged(AutoAttack::standard(settings.threat)),
    ),
    each(
        "autoattack-cheap",
        "the same at a twelfth of the queries",
        &Norm::ALL,
        |settings, _, _| judged(AutoAttack::cheap(settings.threat)),
    ),
    each(
        "square",
        "random squares, by scores alone",
        &Norm::ALL,
        |settings, _, _| {
            let attack = Square::new(settings.threat);
            judged(
                settings
                    .queries
                    .map_or(attack, |queries| attack.with_queries(queries)),
            )
        },
    ),
    each(
        "spsa",
        "gradients estimated from scores alone",
        LINF,
        |settings, _, _| {
            let attack = Spsa::new(settings.threat.eps)?;
            judged(
                settings
                    .steps
                    .map_or(attack, |steps| attack.with_steps(steps)),
            )
        },
    ),
    each(
        "hopskipjump",
        "the smallest change, by decisions alone",
        L2_LINF,
        |settings, _, _| {
            let attack = HopSkipJump::new(settings.threat.norm)?;
            let attack = match settings.steps {
                Some(steps) => attack.with_steps(steps),
                None => attack,
            };
            smallest(settings, attack)
        },
    ),
    each(
        "onepixel",
        "one pixel of any colour, by scores alone; no size bounds it",
        &Norm::ALL,
        |_, _, _| judged(OnePixel::new()),
    ),
    learning(
        "universal",
        "one change for all images",
        &Norm::ALL,
        |settings, model, batches| judged(Universal::new(settings.threat).find(model, batches)?),
    ),
    each(
        "spatial",
        "rotations up to 30° and shifts up to a tenth; no size bounds them",
        &Norm::ALL,
        |_, _, batches| {
            let side = batches.first().map_or(0, |batch| batch.images().size()[0]);
            let shift = side as f64 / 10.;
            judged(Spatial::new(Motion {
                degrees: 30.,
                down: shift,
                right: shift,
            })?)
        },
    ),
    learning(
        "patch",
        "a patch on a twentieth of the image; no size bounds it",
        &Norm::ALL,
        |_, model, batches| judged(PatchTraining::new(PATCH_SHARE)?.train(model, batches)?),
    ),
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
