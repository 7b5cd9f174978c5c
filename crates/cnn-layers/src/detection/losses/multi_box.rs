//! The loss of SSD: classes of the objects' boxes and of the hardest others (Liu et al. 2016,
//! <https://arxiv.org/abs/1512.02325>, section 2.2).

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::cross_entropy::SoftmaxCrossEntropy;
use super::reduction::Reduction;
use super::smooth_l1::SmoothL1Loss;
use crate::Error;
use crate::detection::{
    BoxCoder, BoxEdges, Match, Matcher, check_count, check_positive, iou_matrix,
};

/// What SSD minimises, as torchvision's `SSD.compute_loss`: the smooth L1 loss of the codes of the
/// default boxes that stand for objects, and the cross-entropy of the classes of these and of the
/// background boxes that are taken for something else most (hard-negative mining). Both are sums
/// over the number of boxes that stand for objects, at least 1.
///
/// Most default boxes are background; of each image only so many of them count as
/// [`negatives`](Self::negatives) says, those with the greatest cross-entropy, the first among equal
/// ones. So an image without objects teaches nothing. Where there are not as many, all of them
/// count; torchvision then counts some of the objects' boxes twice.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::detection::losses::{LabelledBoxes, MultiBoxLoss};
///
/// // One image, three default boxes, two classes and the background before them.
/// let default_boxes = [[0., 0., 8., 8.], [8., 0., 16., 8.], [0., 8., 8., 16.]];
/// let codes = Tensor::zeros((1, 3, 4), DType::F64, &Device::Cpu)?;
/// let logits = Tensor::zeros((1, 3, 3), DType::F64, &Device::Cpu)?;
/// let objects = LabelledBoxes {
///     boxes: &[[8., 0., 16., 8.]],
///     classes: &[1],
/// };
/// let loss = MultiBoxLoss::new(0.5)?.loss(&codes, &logits, &default_boxes, &[objects])?;
/// // The box is right as it is; its class and both background boxes are guessed among three.
/// assert_eq!(loss.boxes.to_scalar::<f64>()?, 0.);
/// assert!((loss.classes.to_scalar::<f64>()? - 3. * 3f64.ln()).abs() < 1e-12);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiBoxLoss {
    /// Which default box stands for which object.
    pub matcher: Matcher,
    /// How boxes are coded; default [`BoxCoder::of_heads`].
    pub coder: BoxCoder,
    /// Background boxes of an image for each of its boxes that stand for objects, above 0; default 3.
    pub negatives: f64,
}

/// Objects of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledBoxes<'a> {
    /// Their edges, each with a width and a height.
    pub boxes: &'a [BoxEdges],
    /// Their classes, counted from 0 without a background.
    pub classes: &'a [usize],
}

/// The parts of a [`MultiBoxLoss`]: scalars of the predictions' element type.
#[derive(Debug, Clone)]
pub struct MultiBoxLosses {
    /// Of the codes.
    pub boxes: Tensor,
    /// Of the classes.
    pub classes: Tensor,
}

impl MultiBoxLoss {
    /// With the defaults; a default box stands for an object from this IoU on, SSD's is 0.5.
    ///
    /// # Errors
    /// If the threshold is NaN.
    pub fn new(iou_threshold: f32) -> std::result::Result<Self, Error> {
        Ok(Self {
            matcher: Matcher::ssd(iou_threshold)?,
            coder: BoxCoder::of_heads(),
            negatives: 3.,
        })
    }

    /// The loss of a batch.
    ///
    /// # Shapes
    /// Codes `(N, K, 4)` and logits `(N, K, 1 + classes)`, of which the first is the background's,
    /// `K` default boxes and the objects of `N` images.
    ///
    /// # Errors
    /// If these do not fit, an object has no width or no height, or a class is not below their
    /// number.
    pub fn loss(
        &self,
        codes: &Tensor,
        logits: &Tensor,
        default_boxes: &[BoxEdges],
        objects: &[LabelledBoxes<'_>],
    ) -> Result<MultiBoxLosses> {
        check_positive("negatives", self.negatives)?;
        let (images, places, outputs) = logits.dims3()?;
        if codes.dims() != [images, places, 4] {
            let found = format!("shape {:?}", codes.dims());
            let expected = format!("shape {:?}", [images, places, 4]);
            return Err(Error::argument("codes", found, expected).into());
        }
        check_count("predictions", places, default_boxes.len())?;
        if objects.len() != images {
            let expected = format!("{images}, one for each image");
            return Err(Error::argument("objects", objects.len(), expected).into());
        }
        for objects in objects {
            objects.check(outputs.saturating_sub(1))?;
        }
        let logits = logits.reshape((images * places, outputs))?;
        let assigned = self.assign(default_boxes, objects);
        let classes = self.hardest(&logits, assigned.classes, places)?;
        let over = Reduction::over(assigned.rows.len().max(1) as f64);
        let rows = Tensor::from_vec(assigned.rows, assigned.count, codes.device())?;
        let codes = codes.reshape((images * places, 4))?;
        let codes = codes.index_select(&rows, 0)?;
        Ok(MultiBoxLosses {
            boxes: SmoothL1Loss::default().loss(&codes, &assigned.codes, &over)?,
            classes: SoftmaxCrossEntropy.loss(&logits, &classes, &over)?,
        })
    }

    fn assign(&self, default_boxes: &[BoxEdges], objects: &[LabelledBoxes<'_>]) -> Assigned {
        let of_image = |objects: &LabelledBoxes<'_>| -> Vec<Match> {
            let overlaps = iou_matrix(objects.boxes, default_boxes);
            self.matcher.assign(&overlaps)
        };
        let matches: Vec<Vec<Match>> = objects.par_iter().map(of_image).collect();
        let mut assigned = Assigned::default();
        for (image, (objects, matches)) in objects.iter().zip(matches).enumerate() {
            for (place, (matched, default_box)) in matches.iter().zip(default_boxes).enumerate() {
                assigned.classes.push(match matched {
                    Match::Object(object) => Some(objects.classes[*object] as u32 + 1),
                    Match::Background => Some(0),
                    Match::Ignored => None,
                });
                if let Match::Object(object) = *matched {
                    let code = self.coder.encode(&objects.boxes[object], default_box);
                    assigned.codes.extend(code);
                    let row = image * default_boxes.len() + place;
                    assigned.rows.push(row as u32);
                }
            }
        }
        assigned.count = assigned.rows.len();
        assigned
    }

    /// The classes of the boxes that count: without the background boxes of each image that are
    /// told best, beyond their number.
    fn hardest(
        &self,
        logits: &Tensor,
        mut classes: Vec<Option<u32>>,
        places: usize,
    ) -> Result<Vec<Option<u32>>> {
        let of_image = |(image, classes): (usize, &mut [Option<u32>])| -> Result<()> {
            let positives = classes.iter().flatten().filter(|class| **class > 0);
            let most = (self.negatives * positives.count() as f64).ceil() as usize;
            let background: Vec<Option<u32>> = classes
                .iter()
                .map(|class| class.filter(|class| *class == 0))
                .collect();
            let mut order: Vec<usize> = (0..places)
                .filter(|&place| background[place].is_some())
                .collect();
            if most > 0 {
                let logits = logits.narrow(0, image * places, places)?;
                let losses = SoftmaxCrossEntropy.each(&logits, &background)?;
                order.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]));
            }
            for place in order.into_iter().skip(most) {
                classes[place] = None;
            }
            Ok(())
        };
        let images = classes.par_chunks_mut(places.max(1)).enumerate();
        images.try_for_each(of_image)?;
        Ok(classes)
    }
}

impl LabelledBoxes<'_> {
    fn check(&self, num_classes: usize) -> std::result::Result<(), Error> {
        check_count("classes", self.classes.len(), self.boxes.len())?;
        if let Some(class) = self.classes.iter().find(|&&class| class >= num_classes) {
            let expected = format!("a number below {num_classes}");
            return Err(Error::argument("the class of an object", class, expected));
        }
        let has_area = |[x1, y1, x2, y2]: &&BoxEdges| x2 > x1 && y2 > y1;
        match self.boxes.iter().find(|edges| !has_area(edges)) {
            Some(edges) => {
                let expected = "edges with a width and a height";
                Err(Error::argument("an object", format!("{edges:?}"), expected))
            }
            None => Ok(()),
        }
    }
}

/// What the default boxes of a batch stand for.
#[derive(Default)]
struct Assigned {
    /// Of each default box: 0 for the background, from 1 on for objects; `None` for what takes no
    /// part.
    classes: Vec<Option<u32>>,
    /// The numbers of the boxes that stand for objects, counted through the batch.
    rows: Vec<u32>,
    /// How many these are.
    count: usize,
    /// The codes of their objects, four each.
    codes: Vec<f32>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device, Var};

    /// A row of boxes side by side, eight pixels each.
    fn row(count: usize) -> Vec<BoxEdges> {
        let place = |at: usize| [8. * at as f32, 0., 8. * at as f32 + 8., 8.];
        (0..count).map(place).collect()
    }

    fn one<'a>(boxes: &'a [BoxEdges], classes: &'a [usize]) -> [LabelledBoxes<'a>; 1] {
        [LabelledBoxes { boxes, classes }]
    }

    fn scalar(tensor: &Tensor) -> f64 {
        tensor.to_scalar().unwrap()
    }

    #[test]
    fn the_three_hardest_of_the_background_count() {
        let boxes = row(6);
        // How sure each box is of class 0, where the last one stands for an object of it.
        let sure = [0.5, 3., -1., 2., 1., 0.];
        let logits: Vec<f64> = sure.iter().flat_map(|&logit| [0., logit]).collect();
        let logits = Var::from_vec(logits, (1, 6, 2), &Device::Cpu).unwrap();
        let codes = Tensor::zeros((1, 6, 4), DType::F64, &Device::Cpu).unwrap();
        let loss = MultiBoxLoss::new(0.5).unwrap();
        let objects = one(&boxes[5..], &[0]);
        let found = loss.loss(&codes, &logits, &boxes, &objects).unwrap();
        let of_background = |logit: f64| (1. + logit.exp()).ln();
        let hardest = [3., 2., 1.].map(of_background).iter().sum::<f64>();
        let expected = 2f64.ln() + hardest;
        assert!((scalar(&found.classes) - expected).abs() < 1e-12);
        let grads = found.classes.backward().unwrap();
        let gradient = grads.get(&logits).unwrap().flatten_all().unwrap();
        let gradient: Vec<f64> = gradient.to_vec1().unwrap();
        let learns: Vec<bool> = gradient.chunks(2).map(|row| row[1] != 0.).collect();
        assert_eq!(learns, [false, true, false, true, true, true]);
    }

    #[test]
    fn codes_are_those_of_the_objects_over_their_number() {
        let boxes = row(3);
        let codes = Tensor::zeros((1, 3, 4), DType::F64, &Device::Cpu).unwrap();
        let logits = Tensor::zeros((1, 3, 2), DType::F64, &Device::Cpu).unwrap();
        let loss = MultiBoxLoss::new(0.5).unwrap();
        // Two pixels further to the right: a quarter of the box, of which a code has ten times.
        let objects = [[2., 0., 10., 8.], [16., 0., 24., 8.]];
        let objects = one(&objects, &[0, 0]);
        let found = loss.loss(&codes, &logits, &boxes, &objects).unwrap();
        assert!((scalar(&found.boxes) - (2.5 - 0.5) / 2.).abs() < 1e-6);
        // The only background box counts once, not as often as it might.
        assert!((scalar(&found.classes) - 3. * 2f64.ln() / 2.).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_find_costs_nothing_and_has_gradients() {
        let boxes = row(2);
        let codes = Var::zeros((1, 2, 4), DType::F32, &Device::Cpu).unwrap();
        let logits = Var::zeros((1, 2, 3), DType::F32, &Device::Cpu).unwrap();
        let loss = MultiBoxLoss::new(0.5).unwrap();
        let found = loss.loss(&codes, &logits, &boxes, &one(&[], &[])).unwrap();
        let sum = (found.boxes + found.classes).unwrap();
        assert_eq!(sum.to_scalar::<f32>().unwrap(), 0.);
        let grads = sum.backward().unwrap();
        for var in [&codes, &logits] {
            let gradient = grads.get(var).unwrap().sqr().unwrap().sum_all().unwrap();
            assert_eq!(gradient.to_scalar::<f32>().unwrap(), 0.);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let boxes = row(2);
        let codes = Tensor::zeros((1, 2, 4), DType::F32, &Device::Cpu).unwrap();
        let logits = Tensor::zeros((1, 2, 3), DType::F32, &Device::Cpu).unwrap();
        let loss = MultiBoxLoss::new(0.5).unwrap();
        let message = |objects: &[LabelledBoxes<'_>], boxes: &[BoxEdges]| {
            let error = loss.loss(&codes, &logits, boxes, objects).unwrap_err();
            error.to_string()
        };
        let unit = [0., 0., 1., 1.];
        for (objects, expected) in [
            (one(&[unit], &[2]), "found 2, expected a number below 2"),
            (one(&[unit], &[]), "`classes`: found 0 of them"),
            (one(&[[0., 0., 0., 1.]], &[0]), "a width and a height"),
        ] {
            let message = message(&objects, &boxes);
            assert!(message.contains(expected), "{message}");
        }
        assert!(message(&[], &boxes).contains("1, one for each image"));
        assert!(message(&one(&[], &[]), &boxes[..1]).contains("`predictions`"));
        assert!(MultiBoxLoss::new(f32::NAN).is_err());
    }
}
