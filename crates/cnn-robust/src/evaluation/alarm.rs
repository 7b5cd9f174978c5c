//! Signs that a robust accuracy is too good to be true.

use std::fmt;

/// A sign that attacks fail for another reason than robustness (Athalye et al. 2018,
/// arXiv:1802.00420, section 3.1; Carlini et al. 2019, arXiv:1902.06705).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// One step along the gradient fools more than many steps.
    OneStepBeatsMany,
    /// An attack without gradients fools what attacks with gradients do not.
    BlackBoxBeatsWhiteBox,
    /// An attack that may change everything does not fool everything.
    UnlimitedSizeLeavesAccuracy,
    /// Further random starts fool many more images.
    RestartsStillHelp,
    /// The gradient of the loss is zero.
    GradientsVanish,
    /// The loss does not change as its gradient says.
    LossIgnoresGradient,
    /// The same image has other scores each time.
    ScoresAreRandom,
}

impl AlarmKind {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::ScoresAreRandom,
        Self::GradientsVanish,
        Self::LossIgnoresGradient,
        Self::OneStepBeatsMany,
        Self::BlackBoxBeatsWhiteBox,
        Self::UnlimitedSizeLeavesAccuracy,
        Self::RestartsStillHelp,
    ];

    /// Its name: `gradients-vanish`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneStepBeatsMany => "one-step-beats-many",
            Self::BlackBoxBeatsWhiteBox => "black-box-beats-white-box",
            Self::UnlimitedSizeLeavesAccuracy => "unlimited-size-leaves-accuracy",
            Self::RestartsStillHelp => "restarts-still-help",
            Self::GradientsVanish => "gradients-vanish",
            Self::LossIgnoresGradient => "loss-ignores-gradient",
            Self::ScoresAreRandom => "scores-are-random",
        }
    }
}

/// A sign that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Which.
    pub kind: AlarmKind,
    /// What was found, in a sentence with its numbers.
    pub evidence: String,
    /// What it means for the figures, in a sentence.
    pub meaning: &'static str,
}

impl Alarm {
    pub(crate) fn new(kind: AlarmKind, evidence: String) -> Self {
        let meaning = match kind {
            AlarmKind::OneStepBeatsMany | AlarmKind::BlackBoxBeatsWhiteBox => {
                "The gradient leads attacks astray: the robust accuracy under attacks with gradients says nothing."
            }
            AlarmKind::UnlimitedSizeLeavesAccuracy => {
                "Any image can be made any other within this size, so the attack is broken, not the image safe."
            }
            AlarmKind::RestartsStillHelp => {
                "The attack has not converged: more restarts would leave less."
            }
            AlarmKind::GradientsVanish => {
                "Attacks with gradients stand still: the robust accuracy under them says nothing."
            }
            AlarmKind::LossIgnoresGradient => {
                "The gradient is not that of the scores: something between hides it."
            }
            AlarmKind::ScoresAreRandom => {
                "An attack has to average over the randomness, or its figures say nothing."
            }
        };
        Self {
            kind,
            evidence,
            meaning,
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.evidence, self.meaning)
    }
}
