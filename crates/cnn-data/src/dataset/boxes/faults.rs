//! What can be wrong with boxes that are read all the same, and how often it was found.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::AnnotatedObject;

/// As far may a box reach beyond its photo, as a share of a side, before it is told: what decimals
/// in a file round away.
const ROUNDING: f64 = 1e-4;

/// Something wrong with boxes or their files, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dataset) enum Fault {
    Reversed,
    Empty,
    Outside,
    PartlyOutside,
    Twin,
    UnusableObject,
    UnusableFile,
}

impl Fault {
    fn note(self, count: usize) -> String {
        let [boxes, are, have] = match count {
            1 => ["1 box".to_owned(), "is".to_owned(), "has".to_owned()],
            _ => [format!("{count} boxes"), "are".into(), "have".into()],
        };
        match self {
            Self::Reversed => {
                format!("{boxes} {have} edges the wrong way round, which are exchanged")
            }
            Self::Empty => format!("{boxes} {are} of no width or no height and left out"),
            Self::Outside => format!("{boxes} {are} outside of the photo and left out"),
            Self::PartlyOutside => format!(
                "{boxes} {are} partly outside of the photo: what is inside is trained on, and what \
                 the file says is measured"
            ),
            Self::Twin => format!(
                "{boxes} {are} there twice, of one class with the same edges: trained on once, and \
                 measured as the file says"
            ),
            Self::UnusableObject => format!(
                "{count} photos have an object that cannot be used, and reading them says why"
            ),
            Self::UnusableFile => format!(
                "{count} files of annotations cannot be used, and reading their photos says why"
            ),
        }
    }
}

/// How often each fault was found, and where it was first.
#[derive(Debug, Default, PartialEq)]
pub(in crate::dataset) struct Tally {
    found: BTreeMap<Fault, (usize, String)>,
}

impl Tally {
    pub(in crate::dataset) fn add(&mut self, fault: Fault, place: impl FnOnce() -> String) {
        let (count, _) = self.found.entry(fault).or_insert_with(|| (0, place()));
        *count += 1;
    }

    /// A sentence for each fault.
    pub(in crate::dataset) fn notes(&self) -> Vec<String> {
        let notes = self.found.iter();
        notes
            .map(|(fault, (count, place))| format!("{}; the first is {place}", fault.note(*count)))
            .collect()
    }
}

/// Where in a file an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataset) enum Place {
    Line(usize),
    /// The number of an annotation of COCO's, if it has one.
    Annotation(Option<i64>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Annotation(Some(id)) => write!(f, "annotation {id}"),
            Self::Annotation(None) => f.write_str("an annotation without id"),
        }
    }
}

/// An object and its place.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dataset) struct PlacedObject {
    pub(in crate::dataset) place: Place,
    pub(in crate::dataset) object: AnnotatedObject,
    /// Whether its edges were the wrong way round in the file.
    pub(in crate::dataset) is_reversed: bool,
}

/// The objects of a photo without those that are nowhere in it; `size` is its width and height in
/// the unit of the boxes, and `file` names the file of annotations.
pub(in crate::dataset) fn mended(
    objects: Vec<PlacedObject>,
    [width, height]: [f64; 2],
    file: &str,
    tally: &mut Tally,
) -> Vec<AnnotatedObject> {
    let mut kept = Vec::with_capacity(objects.len());
    let mut seen = HashSet::new();
    for PlacedObject {
        place,
        object,
        is_reversed,
    } in objects
    {
        let mut tell = |fault| tally.add(fault, || format!("{file}, {place}"));
        let [x_min, y_min, x_max, y_max] = object.edges();
        let [_, _, across, down] = object.xywh;
        if is_reversed {
            tell(Fault::Reversed);
        }
        if across <= 0.0 || down <= 0.0 {
            tell(Fault::Empty);
            continue;
        }
        if x_max <= 0.0 || y_max <= 0.0 || x_min >= width || y_min >= height {
            tell(Fault::Outside);
            continue;
        }
        let is_inside = x_min >= -ROUNDING * width
            && y_min >= -ROUNDING * height
            && x_max <= width * (1.0 + ROUNDING)
            && y_max <= height * (1.0 + ROUNDING);
        if !is_inside {
            tell(Fault::PartlyOutside);
        }
        if !seen.insert((object.twin_key(), object.is_crowd)) {
            tell(Fault::Twin);
        }
        kept.push(object);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(line: usize, xywh: [f64; 4]) -> PlacedObject {
        PlacedObject {
            place: Place::Line(line),
            object: AnnotatedObject::new(xywh, 0),
            is_reversed: false,
        }
    }

    #[test]
    fn each_fault_is_counted_and_its_first_place_told() {
        let reversed = PlacedObject {
            is_reversed: true,
            ..placed(9, [1.0, 1.0, 2.0, 3.0])
        };
        let objects = vec![
            placed(1, [0.0, 0.0, 20.0, 10.0]),
            placed(2, [3.0, 3.0, 0.0, 4.0]),
            placed(3, [20.0, 3.0, 4.0, 4.0]),
            placed(4, [-4.0, 3.0, 4.0, 4.0]),
            placed(5, [-4.0, 3.0, 5.0, 4.0]),
            placed(6, [0.0, 0.0, 20.001, 10.0]),
            placed(7, [0.0, 0.0, 20.0, 10.0]),
            placed(8, [0.0, 0.0, 20.0, 10.0]),
            reversed,
        ];
        let mut tally = Tally::default();
        let kept = mended(objects, [20.0, 10.0], "a.txt", &mut tally);
        assert_eq!(kept.len(), 6);
        let notes = tally.notes();
        let expected = [
            ("1 box has edges", "a.txt, line 9"),
            ("1 box is of no width", "a.txt, line 2"),
            ("2 boxes are outside of the photo", "a.txt, line 3"),
            ("1 box is partly outside", "a.txt, line 5"),
            ("2 boxes are there twice", "a.txt, line 7"),
        ];
        assert_eq!(notes.len(), expected.len(), "{notes:#?}");
        for (note, (start, end)) in notes.iter().zip(expected) {
            assert!(note.starts_with(start) && note.ends_with(end), "{note}");
        }
    }
}
