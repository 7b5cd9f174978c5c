//! How well the objects of each class are found.

use cnn_metrics::{CocoClass, CocoResult, DetectionErrors, ErrorShare, ScoreCurve};

use super::class_table::MOST_ROWS;
use super::confusion::{Cells, ConfusedPairs, Matrix};
use super::format::{self, NOTHING, count, number, percent, short_number};
use super::score_curves::ScoreCurves;
use crate::{DetectionResults, Error};

/// The section of the objects.
pub(crate) struct Detections<'a> {
    pub(crate) evaluated_on: &'a str,
    pub(crate) images: String,
    pub(crate) objects: String,
    pub(crate) detections: String,
    /// Name, value and meaning of each average.
    pub(crate) averages: Vec<[String; 3]>,
    pub(crate) curves: Option<ScoreCurves>,
    /// The IoU from which on a detection is an object, for the curves and for the errors.
    pub(crate) curves_iou: String,
    pub(crate) errors_iou: String,
    /// The score with the highest mean F1 of the classes.
    pub(crate) best_mean: Option<[String; 2]>,
    pub(crate) confusion: Confusion<'a>,
    /// Name, meaning, number and cost of each kind.
    pub(crate) errors: Vec<[String; 4]>,
    pub(crate) rows: Vec<ObjectRow<'a>>,
    /// How many classes are not listed.
    pub(crate) left_out: usize,
    pub(crate) mean: ObjectRow<'static>,
}

/// Which class was taken for which.
pub(crate) struct Confusion<'a> {
    pub(crate) matrix: Option<Matrix<'a>>,
    pub(crate) pairs: ConfusedPairs<'a>,
    pub(crate) min_iou: String,
    pub(crate) min_score: String,
    /// Objects that were not found, and detections of nothing.
    pub(crate) missed: String,
    pub(crate) invented: String,
}

/// One class.
pub(crate) struct ObjectRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) objects: String,
    pub(crate) ap: String,
    /// AP as the length of a bar; `None` for a class without objects.
    pub(crate) bar: Option<String>,
    /// AP50, AP75, AR100, the highest F1 and its score.
    pub(crate) cells: [String; 5],
}

impl<'a> Detections<'a> {
    /// The section with the most frequent mistakes: so many beside a matrix, and without one.
    pub(crate) fn new(results: &'a DetectionResults, pairs: [usize; 2]) -> Result<Self, Error> {
        let DetectionResults { names, result, .. } = results;
        check(results)?;
        let best_mean = result.curves.best_mean_f1;
        let best_mean = best_mean.map(|best| [percent(best.f1), short_number(best.score)]);
        let of_classes = result.coco.per_class.iter().zip(&result.curves.per_class);
        let mut ordered: Vec<_> = of_classes.zip(names).collect();
        let order = |class: &CocoClass| class.ap.unwrap_or(f64::INFINITY);
        ordered.sort_by(|((a, _), _), ((b, _), _)| order(a).total_cmp(&order(b)));
        let left_out = ordered.len().saturating_sub(MOST_ROWS);
        let rows = ordered.into_iter().take(MOST_ROWS);
        Ok(Self {
            evaluated_on: &results.evaluated_on,
            images: count(result.samples),
            objects: count(result.objects),
            detections: count(result.detections),
            averages: averages(&result.coco),
            curves: ScoreCurves::new(&result.curves.overall)?,
            curves_iou: number(result.curves.min_iou),
            errors_iou: number(result.errors.min_iou),
            mean: mean(&result.coco, best_mean.clone()),
            best_mean,
            confusion: confusion(results, pairs),
            errors: errors(&result.errors),
            rows: rows
                .map(|((class, curve), name)| row(name, class, curve))
                .collect(),
            left_out,
        })
    }
}

/// Fails unless there are as many names as classes.
fn check(results: &DetectionResults) -> Result<(), Error> {
    let result = &results.result;
    let names = results.names.len();
    let counts = [
        result.coco.per_class.len(),
        result.curves.per_class.len(),
        // The last one is background.
        result.confusion.matrix.classes() - 1,
    ];
    match counts.into_iter().find(|&classes| classes != names) {
        Some(classes) => Err(Error::argument(
            "names",
            format!("{names} names"),
            format!("one for each of {classes} classes"),
        )),
        None => Ok(()),
    }
}

fn averages(coco: &CocoResult) -> Vec<[String; 3]> {
    let rows = [
        ("AP", coco.ap, "over IoUs of 0.5, 0.55, … 0.95"),
        ("AP50", coco.ap50, "at an IoU of 0.5: roughly in place"),
        ("AP75", coco.ap75, "at an IoU of 0.75: well in place"),
        ("AP small", coco.ap_small, "of objects up to 32² pixels"),
        (
            "AP medium",
            coco.ap_medium,
            "of objects of 32² to 96² pixels",
        ),
        ("AP large", coco.ap_large, "of objects from 96² pixels on"),
        ("AR1", coco.ar1, "1 detection for each image and class"),
        ("AR10", coco.ar10, "at most 10 detections"),
        ("AR100", coco.ar100, "at most 100 detections"),
    ];
    rows.map(|(name, value, meaning)| [name.into(), share(value), meaning.into()])
        .into()
}

fn confusion(results: &DetectionResults, pairs: [usize; 2]) -> Confusion<'_> {
    let names = &results.names;
    let about = &results.result.confusion;
    let matrix = Matrix::new(names, &about.matrix, Cells::Objects);
    let sum = |cell: &dyn Fn(usize) -> u64| (0..names.len()).map(cell).sum();
    Confusion {
        pairs: ConfusedPairs::new(names, &about.matrix, pairs[usize::from(matrix.is_none())]),
        matrix,
        min_iou: number(about.min_iou),
        min_score: number(about.min_score),
        missed: count(sum(&|class| about.matrix.count(class, names.len()))),
        invented: count(sum(&|class| about.matrix.count(names.len(), class))),
    }
}

fn errors(errors: &DetectionErrors) -> Vec<[String; 4]> {
    let at = number(errors.min_iou);
    let near = number(errors.background_iou);
    let row = |name: &str, meaning: String, share_of: ErrorShare| {
        let ErrorShare { count, ap_gain } = share_of;
        [name.into(), meaning, format::count(count), share(ap_gain)]
    };
    vec![
        row(
            "wrong class",
            format!("an object in its place (IoU of {at} or more) that is called another class"),
            errors.classification,
        ),
        row(
            "wrong place",
            format!("the right class, but the box is off (IoU of {near} to {at})"),
            errors.location,
        ),
        row(
            "both wrong",
            "an object of another class, and the box is off".into(),
            errors.both,
        ),
        row(
            "found twice",
            "an object that another detection already has".into(),
            errors.duplicate,
        ),
        row(
            "nothing there",
            format!("a box on no object (IoU up to {near})"),
            errors.background,
        ),
        row(
            "missed",
            "an object without a detection, be it one of the wrong class or place".into(),
            errors.missed,
        ),
    ]
}

fn row<'a>(name: &'a str, class: &CocoClass, curve: &ScoreCurve) -> ObjectRow<'a> {
    let nothing = || NOTHING.to_string();
    ObjectRow {
        name,
        objects: count(class.objects),
        ap: share(class.ap),
        bar: class.ap.map(|ap| format!("{:.1}%", 100. * ap)),
        cells: [
            share(class.ap50),
            share(class.ap75),
            share(class.ar100),
            curve.best.map_or_else(nothing, |best| percent(best.f1)),
            curve
                .best
                .map_or_else(nothing, |best| short_number(best.score)),
        ],
    }
}

fn mean(coco: &CocoResult, best: Option<[String; 2]>) -> ObjectRow<'static> {
    let [f1, score] = best.unwrap_or_else(|| [NOTHING; 2].map(String::from));
    ObjectRow {
        name: "mean of the classes",
        objects: count(coco.per_class.iter().map(|class| class.objects).sum()),
        ap: share(coco.ap),
        bar: None,
        cells: [
            share(coco.ap50),
            share(coco.ap75),
            share(coco.ar100),
            f1,
            score,
        ],
    }
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| NOTHING.into(), percent)
}
