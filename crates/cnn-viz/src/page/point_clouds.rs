//! Pictures of points, as SVG: one path for all points of a class and a kind, so that a thousand
//! points take ten kilobytes.

use std::fmt::Write as _;

use colorous::{SINEBOW, TABLEAU10};

use super::color::{BOUNDARY, INK};
use super::figure::Figure;
use crate::{CloudPoint, Error, PointCloud, PointClouds};

/// The side of a picture in units of its view box, and what stays free at its edges.
const SIDE: f64 = 1000.;
const MARGIN: f64 = 30.;
/// The diameter of a dot; a cross is a little smaller and its lines are thin, so that both weigh alike.
const DOT: u32 = 15;
const ARM: i32 = 6;
const LINE: u32 = 4;
/// Beyond this values are not drawn: their differences would overflow.
const LARGEST: f64 = 1e150;
/// More classes than these have colours that nobody tells apart by a key.
const MOST_NAMED: usize = 20;

/// The pictures with their key.
pub(crate) struct Clouds<'a> {
    pub(crate) figures: Vec<Figure>,
    pub(crate) kinds: &'a [String; 2],
    /// Name and colour of each class; none where there are too many.
    pub(crate) classes: Vec<(&'a str, String)>,
    /// Whether the class of a point is not known.
    pub(crate) has_unknown: bool,
}

impl<'a> Clouds<'a> {
    pub(crate) fn new(clouds: &'a PointClouds) -> Result<Self, Error> {
        let points = || clouds.clouds.iter().flat_map(|cloud| &cloud.points);
        let count = clouds.classes.len();
        if let Some(class) = points()
            .filter_map(|point| point.class)
            .find(|&c| c >= count)
        {
            let expected = format!("a number below {count}, the classes with a name");
            return Err(Error::argument("class", class, expected));
        }
        let named = clouds.classes.iter().filter(|_| count <= MOST_NAMED);
        let named = named.zip(0..);
        Ok(Self {
            figures: clouds
                .clouds
                .iter()
                .map(|cloud| figure(cloud, count))
                .collect(),
            kinds: &clouds.kinds,
            classes: named
                .map(|(name, class)| (name.as_str(), color(class, count)))
                .collect(),
            has_unknown: points().any(|point| point.class.is_none()),
        })
    }
}

/// The colour of a class: ten that are easy to tell apart, or else the rainbow.
fn color(class: usize, classes: usize) -> String {
    let color = match TABLEAU10.get(class).filter(|_| classes <= TABLEAU10.len()) {
        Some(color) => *color,
        None => SINEBOW.eval_rational(class, classes),
    };
    format!("#{color:x}")
}

fn figure(cloud: &PointCloud, classes: usize) -> Figure {
    let is_drawn = |point: &&CloudPoint| point.at.iter().all(|x| x.abs() <= LARGEST);
    let drawn: Vec<&CloudPoint> = cloud.points.iter().filter(is_drawn).collect();
    Figure {
        title: cloud.title.clone(),
        svg: svg(&drawn, classes),
        key: Vec::new(),
        marked: None,
        left_out: cloud.points.len() - drawn.len(),
        note: cloud.note.clone(),
    }
}

fn svg(points: &[&CloudPoint], classes: usize) -> String {
    let frame = Frame::around(points);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {SIDE} {SIDE}\" xmlns=\"http://www.w3.org/2000/svg\" fill=\"none\">\n\
         <rect x=\"2\" y=\"2\" width=\"{0}\" height=\"{0}\" stroke=\"{1}\" stroke-width=\"4\"/>\n",
        SIDE - 4.,
        hex(BOUNDARY)
    );
    // Where a class is not known nobody looks first: those lie below.
    let groups = std::iter::once(None).chain((0..classes).map(Some));
    for class in groups {
        for is_cross in [false, true] {
            let of_group =
                |point: &&&CloudPoint| point.class == class && point.is_cross == is_cross;
            let path: String = points
                .iter()
                .filter(of_group)
                .map(|point| mark(frame.place(point.at), is_cross))
                .collect();
            if path.is_empty() {
                continue;
            }
            let color = class.map_or_else(|| hex(INK), |class| color(class, classes));
            let width = if is_cross { LINE } else { DOT };
            // A text that grows has room for every line.
            let _ = writeln!(
                svg,
                "<path stroke=\"{color}\" stroke-width=\"{width}\" stroke-linecap=\"round\" \
                 stroke-opacity=\"0.75\" d=\"{path}\"/>"
            );
        }
    }
    svg + "</svg>"
}

/// A line of no length with round ends is a dot.
fn mark([x, y]: [i32; 2], is_cross: bool) -> String {
    if is_cross {
        let [left, top] = [x - ARM, y - ARM];
        let side = 2 * ARM;
        format!("M{left} {top}l{side} {side}m0-{side}l-{side} {side}")
    } else {
        format!("M{x} {y}h0")
    }
}

/// As the style sheet names a colour of the charts.
fn hex(color: plotters::style::RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// The part of the plane that is seen.
struct Frame {
    middle: [f64; 2],
    /// View box units for each unit of the plane, of both axes.
    scale: f64,
}

impl Frame {
    fn around(points: &[&CloudPoint]) -> Self {
        let ends = [0, 1].map(|axis| {
            let places = points.iter().map(|point| point.at[axis]);
            places.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], place| {
                [low.min(place), high.max(place)]
            })
        });
        let span = ends
            .iter()
            .fold(0f64, |span, [low, high]| span.max(high - low));
        Self {
            middle: ends.map(|[low, high]| low / 2. + high / 2.),
            scale: if span > 0. {
                (SIDE - 2. * MARGIN) / span
            } else {
                1.
            },
        }
    }

    /// Where a point lies in the view box, whose second axis points down.
    fn place(&self, at: [f64; 2]) -> [i32; 2] {
        let [across, up] = [0, 1].map(|axis| self.scale * (at[axis] - self.middle[axis]));
        [SIDE / 2. + across, SIDE / 2. - up].map(|x| x.round() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64, class: Option<usize>, is_cross: bool) -> CloudPoint {
        CloudPoint {
            at: [x, y],
            class,
            is_cross,
        }
    }

    #[test]
    fn both_axes_have_one_scale_and_up_is_up() {
        let points = [
            point(-2., 1., Some(0), false),
            point(2., -1., Some(0), true),
        ];
        let svg = svg(&points.iter().collect::<Vec<_>>(), 1);
        // 940 units for a span of 4, from the middle at (0, 0): 235 for each.
        assert!(svg.contains("d=\"M30 265h0\""), "{svg}");
        assert!(svg.contains("d=\"M964 729l12 12m0-12l-12 12\""), "{svg}");
    }

    #[test]
    fn a_class_has_one_path_for_each_kind_and_one_colour() {
        let points: Vec<CloudPoint> = (0..60)
            .map(|n| {
                point(
                    f64::from(n),
                    0.,
                    (n % 3 > 0).then(|| n as usize % 3 - 1),
                    n % 2 > 0,
                )
            })
            .collect();
        let svg = svg(&points.iter().collect::<Vec<_>>(), 2);
        assert_eq!(svg.matches("<path").count(), 6);
        assert_eq!(svg.matches(&format!("\"{}\"", color(1, 2))).count(), 2);
        assert_eq!(svg.matches("\"#333F4D\"").count(), 2);
    }

    #[test]
    fn classes_have_colours_of_their_own() {
        for classes in [2, 10, 11, 200] {
            let mut colors: Vec<String> = (0..classes).map(|class| color(class, classes)).collect();
            colors.sort();
            colors.dedup();
            assert_eq!(colors.len(), classes);
        }
    }

    #[test]
    fn no_number_leaves_the_picture() {
        let values = [
            0.,
            -1e-300,
            1e150,
            -1e150,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
        ];
        for x in values {
            for y in values {
                let cloud = PointCloud {
                    points: vec![point(x, y, None, false), point(y, 3., None, true)],
                    ..PointCloud::default()
                };
                let svg = figure(&cloud, 0).svg;
                let numbers = svg
                    .split(|c: char| !(c.is_ascii_digit()))
                    .filter(|n| n.len() > 3);
                let large: Vec<&str> = numbers.filter(|n| *n != "1000" && *n != "2000").collect();
                assert!(large.is_empty() && !svg.contains("NaN"), "{svg}");
            }
        }
    }
}
