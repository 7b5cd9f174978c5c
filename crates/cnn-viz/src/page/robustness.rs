//! Attacks and certificates as a section of a page.

use super::color::{BLUE, INK};
use super::figure::{Figure, Key};
use super::format;
use super::line_chart::{Across, Bounds, LineChart, Series, Stroke};
use super::pictures::{LONGEST_SIDE, Thumbnail};
use crate::{AttackedPicture, Error, RobustnessResults, SizePoint};

/// The section.
pub(crate) struct Robustness<'a> {
    pub(crate) about: &'a RobustnessResults,
    pub(crate) clean: String,
    pub(crate) clean_calibration_error: String,
    pub(crate) worst: String,
    /// Name, limit, accuracy with its interval, success, confidence, calibration error, sizes,
    /// queries, seconds.
    pub(crate) rows: Vec<[String; 10]>,
    /// Attacks that do not know of the network's defence, with the accuracy under each.
    pub(crate) transferred: Vec<(String, String)>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) pictures: Vec<Attacked<'a>>,
}

/// An image before and after.
pub(crate) struct Attacked<'a> {
    pub(crate) about: &'a AttackedPicture,
    pub(crate) cells: Vec<AttackedCell>,
}

/// One of its pictures.
pub(crate) struct AttackedCell {
    pub(crate) thumbnail: Thumbnail,
    pub(crate) caption: String,
}

impl<'a> Robustness<'a> {
    pub(crate) fn new(results: &'a RobustnessResults) -> Result<Self, Error> {
        Ok(Self {
            about: results,
            clean: format::percent(results.clean),
            clean_calibration_error: format::percent(results.clean_calibration_error),
            worst: with_interval(results.worst),
            rows: results.attacks.iter().map(row).collect(),
            transferred: results.attacks.iter().filter_map(transferred).collect(),
            figures: figures(results)?,
            pictures: results
                .pictures
                .iter()
                .map(Attacked::new)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> Attacked<'a> {
    fn new(picture: &'a AttackedPicture) -> Result<Self, Error> {
        let thumbnail = |image| Thumbnail::new(image, &picture.path, LONGEST_SIDE);
        let said = |place: usize| {
            let (name, probability) = &picture.predictions[place];
            format!("{name} {}", format::percent(*probability))
        };
        let amplified = format::number(picture.amplified);
        let [clean, change, attacked] = &picture.images;
        let cell = |image, caption: String| {
            Ok::<_, Error>(AttackedCell {
                thumbnail: thumbnail(image)?,
                caption,
            })
        };
        let mut cells = vec![
            cell(clean, said(0))?,
            cell(change, format!("the change, {amplified} times"))?,
            cell(attacked, said(1))?,
        ];
        if let Some([before, after]) = &picture.overlays {
            cells.push(cell(
                before,
                format!("where {} was seen", picture.predictions[0].0),
            )?);
            cells.push(cell(
                after,
                format!("where {} was seen", picture.predictions[1].0),
            )?);
        }
        Ok(Self {
            about: picture,
            cells,
        })
    }
}

fn with_interval([share, low, high]: [f64; 3]) -> String {
    format!(
        "{} ({} to {})",
        format::percent(share),
        format::percent(low),
        format::percent(high)
    )
}

fn transferred(attack: &crate::AttackRow) -> Option<(String, String)> {
    let share = attack.transferred?;
    Some((attack.name.clone(), format::percent(share)))
}

fn row(attack: &crate::AttackRow) -> [String; 10] {
    [
        attack.name.clone(),
        attack.limit.clone(),
        with_interval(attack.robust),
        format::percent(attack.success_rate),
        format::percent(attack.confidence),
        format::percent(attack.calibration_error),
        format::number(attack.mean_linf),
        format::number(attack.mean_l2),
        format::number(attack.queries),
        format::seconds(attack.seconds),
    ]
}

/// The curves that were measured.
fn figures(results: &RobustnessResults) -> Result<Vec<Figure>, Error> {
    let curves = [
        Curve {
            title: "Accuracy over the size",
            points: &results.sweep,
            across: Across::sizes,
            of: &results.sweep_of,
        },
        Curve {
            title: "Certified accuracy over the radius",
            points: &results.certified,
            across: Across::radii,
            of: &results.certified_of,
        },
    ];
    let figures = curves.iter().map(|curve| curve.figure().transpose());
    figures.flatten().collect()
}

/// An accuracy over a size.
struct Curve<'a> {
    title: &'static str,
    points: &'a [SizePoint],
    across: fn(&mut dyn Iterator<Item = f64>) -> Across,
    /// What it is the accuracy of.
    of: &'a str,
}

impl Curve<'_> {
    /// The accuracy with its interval; `None` for fewer than two sizes.
    fn figure(&self) -> Result<Option<Figure>, Error> {
        if self.points.len() < 2 {
            return Ok(None);
        }
        let line = |color, stroke, of: usize| {
            let points = self.points.iter();
            Series::line(
                color,
                stroke,
                points.map(move |point| (point.eps, 100. * point.robust[of])),
            )
        };
        let chart = LineChart {
            name: self.title,
            across: (self.across)(&mut self.points.iter().map(|point| point.eps)),
            axis: "per cent",
            bounds: Bounds::Percent,
            series: vec![
                line(BLUE, Stroke::Dotted, 1),
                line(BLUE, Stroke::Dotted, 2),
                line(INK, Stroke::Solid, 0),
            ],
            phases: &[],
            marked: None,
        };
        let left_out = chart.series.iter().map(|series| series.left_out).sum();
        let Some(svg) = chart.to_svg()? else {
            return Ok(None);
        };
        Ok(Some(Figure {
            title: self.title.into(),
            key: vec![
                Key::new("accuracy", INK, Stroke::Solid),
                Key::new("95 % interval", BLUE, Stroke::Dotted),
            ],
            marked: None,
            svg,
            left_out,
            note: Some(format!("{}.", self.of)),
        }))
    }
}
