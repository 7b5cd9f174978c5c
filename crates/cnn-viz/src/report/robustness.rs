//! What attacks leave of a classifier's accuracy.

use cnn_data::Image;

/// Attacks on a classifier: a table, a curve over the size, signs that the figures deceive,
/// pictures; and what is certain whatever the attack. What was not measured is left empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RobustnessResults {
    /// The images, as "1000 test images".
    pub evaluated_on: String,
    /// The accuracy without an attack, in 0..=1.
    pub clean: f64,
    /// The expected calibration error without an attack, likewise.
    pub clean_calibration_error: f64,
    /// The accuracy under the worst of all attacks, image by image, in 0..=1, with the ends of its
    /// interval.
    pub worst: [f64; 3],
    /// Each attack.
    pub attacks: Vec<AttackRow>,
    /// Sentences that say what looks wrong; none if nothing does.
    pub alarms: Vec<String>,
    /// On how many images was looked for such signs; 0 for not at all.
    pub diagnosed: usize,
    /// The accuracy over the size that the attack may use.
    pub sweep: Vec<SizePoint>,
    /// The attack and the norm of the sweep, as "pgd in linf".
    pub sweep_of: String,
    /// The accuracy that is certain whatever the attack, over the radius.
    pub certified: Vec<SizePoint>,
    /// How it was certified, and the norm of the radius.
    pub certified_of: String,
    /// Images before and after an attack.
    pub pictures: Vec<AttackedPicture>,
}

/// One attack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttackRow {
    /// Its name.
    pub name: String,
    /// Which changes count, as "linf 0.0314"; "any" where all do.
    pub limit: String,
    /// The accuracy under it, in 0..=1, with the ends of its interval.
    pub robust: [f64; 3],
    /// The accuracy under it where it was made on the network without its defence; `None` without
    /// one.
    pub transferred: Option<f64>,
    /// The share of the attacked images that it fools the network with.
    pub success_rate: f64,
    /// How sure the network is on average of all images as the attack leaves them, in 0..=1.
    pub confidence: f64,
    /// The expected calibration error on these, in 0..=1.
    pub calibration_error: f64,
    /// The mean of the largest change of a value, of images that it fooled.
    pub mean_linf: f64,
    /// The mean size of the change in L2, likewise.
    pub mean_l2: f64,
    /// Passes forward for each attacked image.
    pub queries: f64,
    /// How long it took.
    pub seconds: f64,
}

/// The accuracy at a size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SizePoint {
    /// The size.
    pub eps: f64,
    /// The accuracy that is left at it, in 0..=1, with the ends of its interval.
    pub robust: [f64; 3],
}

/// An image before and after an attack.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackedPicture {
    /// Its file.
    pub path: String,
    /// The attack.
    pub attack: String,
    /// The image, what was added to it and amplified, and the sum.
    pub images: [Image; 3],
    /// How much the middle picture is amplified.
    pub amplified: f64,
    /// What the network takes the image for before and after, with the probability.
    pub predictions: [(String, f64); 2],
    /// Where it saw that, over the image; `None` where that was not asked.
    pub overlays: Option<[Image; 2]>,
}
