//! What YOLOX minimises: section 2.1 of the paper, with the weights of its code.

use candle_core::{Result, Tensor};
use cnn_layers::detection::losses::{
    BinaryCrossEntropy, BinaryTargets, BoxFormat, BoxLoss, BoxLossKind, Reduction, SmoothL1Loss,
};
use cnn_layers::{DetectionTargets, ImageObjects, NamedLoss};
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::anchors::Anchor;
use super::assignment::{Assigned, Predictions, assign};
use super::head::HeadOutputs;
use crate::detection::places::numbers;

/// How much the loss of boxes counts.
const BOX_WEIGHT: f64 = 5.;

/// The losses of a batch.
pub(super) fn losses(outputs: &HeadOutputs, targets: &DetectionTargets) -> Result<Vec<NamedLoss>> {
    let anchors = Anchor::all(&outputs.levels);
    let batch = Learned::of(outputs, targets, &anchors)?;
    let count = batch.rows.len().max(1) as f64;
    let over = || Reduction::over(count);
    let is_object = BinaryTargets::Numbers(batch.is_object.clone());
    let objectness =
        BinaryCrossEntropy::default().loss(&outputs.objectness, &is_object, &over())?;
    let rows = Tensor::from_vec(batch.rows.clone(), batch.rows.len(), outputs.boxes.device())?;
    let learned = |values: &Tensor| -> Result<Tensor> {
        values.flatten_to(1)?.contiguous()?.index_select(&rows, 0)
    };
    let raw = learned(&outputs.boxes)?;
    let boxes = BoxLoss::new(BoxLossKind::SquaredIou).with_format(BoxFormat::CentreSize);
    let boxes = boxes.loss(&batch.decoded(&raw, &anchors)?, &batch.objects, &over())?;
    let classes = BinaryTargets::Numbers(batch.classes.clone());
    let classes =
        BinaryCrossEntropy::default().loss(&learned(&outputs.classes)?, &classes, &over())?;
    let l1 = if targets.is_late {
        SmoothL1Loss::l1().loss(&raw, &batch.encoded, &over())?
    } else {
        raw.zeros_like()?.sum_all()?
    };
    Ok(vec![
        NamedLoss::new("iou", (boxes * BOX_WEIGHT)?),
        NamedLoss::new("objectness", objectness),
        NamedLoss::new("class", classes),
        NamedLoss::new("l1", l1),
    ])
}

/// What the anchors of a batch are to learn.
struct Learned {
    /// Numbers of the anchors that learn an object, counted through the batch.
    rows: Vec<u32>,
    /// The same within their image.
    anchors: Vec<usize>,
    /// The edges of the object of each.
    objects: Vec<[f32; 4]>,
    /// The numbers that mean them.
    encoded: Vec<f32>,
    /// The scores of their classes: how well the box fits for the object's, else 0.
    classes: Vec<f32>,
    /// Of every anchor of the batch: whether it learns an object.
    is_object: Vec<f32>,
}

impl Learned {
    fn of(outputs: &HeadOutputs, targets: &DetectionTargets, anchors: &[Anchor]) -> Result<Self> {
        let num_classes = outputs.classes.dim(2)?;
        let boxes = numbers(&outputs.boxes)?;
        let objectness = numbers(&outputs.objectness)?;
        let classes = numbers(&outputs.classes)?;
        let places = anchors.len();
        let mut learned = Self {
            rows: Vec::new(),
            anchors: Vec::new(),
            objects: Vec::new(),
            encoded: Vec::new(),
            classes: Vec::new(),
            is_object: vec![0.; places * targets.images.len()],
        };
        let assign = |(image, objects): (usize, &ImageObjects)| {
            let of_image = |width: usize| image * places * width..(image + 1) * places * width;
            let predictions = Predictions {
                boxes: &boxes[of_image(4)],
                objectness: &objectness[of_image(1)],
                classes: &classes[of_image(num_classes)],
            };
            assign(objects, &predictions, anchors)
        };
        let images = targets.images.par_iter().enumerate();
        let assigned: Vec<Vec<Assigned>> = images.map(assign).collect();
        for (image, (objects, assigned)) in targets.images.iter().zip(assigned).enumerate() {
            for Assigned {
                anchor,
                object,
                iou,
            } in assigned
            {
                let row = image * places + anchor;
                learned.rows.push(row as u32);
                learned.anchors.push(anchor);
                learned.objects.push(objects.boxes[object]);
                let numbers = anchors[anchor].encode(&objects.boxes[object]);
                learned.encoded.extend(numbers);
                let mut scores = vec![0.; num_classes];
                scores[objects.classes[object]] = iou;
                learned.classes.extend(scores);
                learned.is_object[row] = 1.;
            }
        }
        Ok(learned)
    }

    /// The boxes that raw numbers of the learning anchors mean, as centre and size.
    fn decoded(&self, raw: &Tensor, anchors: &[Anchor]) -> Result<Tensor> {
        let of_each = |value: fn(&Anchor) -> [f32; 2]| -> Result<Tensor> {
            let values: Vec<f32> = self
                .anchors
                .iter()
                .flat_map(|&anchor| value(&anchors[anchor]))
                .collect();
            let values = Tensor::from_vec(values, (self.anchors.len(), 2), raw.device())?;
            values.to_dtype(raw.dtype())
        };
        let cells = of_each(|anchor| [anchor.column, anchor.row])?;
        let strides = of_each(|anchor| [anchor.stride; 2])?;
        let centres = ((raw.narrow(1, 0, 2)? + cells)? * &strides)?;
        let sizes = (raw.narrow(1, 2, 2)?.exp()? * &strides)?;
        Tensor::cat(&[centres, sizes], 1)
    }
}
