//! Pascal VOC's XML: the objects in one photo.

use roxmltree::{Document, Node, ParsingOptions};

use super::faults::{Place, PlacedObject};
use crate::{AnnotatedObject, Limits};

/// The most elements of a file, with the texts between them.
const MOST_NODES: u32 = 1 << 20;
/// The largest file that is read, in bytes.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// What Pascal VOC's XML says of one photo: its size, and the names and edges of objects.
///
/// VOC counts pixels from 1, and both ends of a box belong to it. Here the left edge of the first
/// column is 0, as everywhere: the box is `x_min − 1`, `y_min − 1`, `x_max`, `y_max`.
///
/// ```
/// use cnn_data::VocAnnotation;
///
/// let xml = b"<annotation><size><width>40</width><height>30</height></size><object>
///     <name>cat</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>11</ymin><xmax>40</xmax>
///     <ymax>20</ymax></bndbox></object></annotation>";
/// let annotation = VocAnnotation::parse(xml)?;
/// assert_eq!(annotation.size(), Some([30, 40]));
/// let (name, object) = annotation.objects().next().expect("there is one");
/// assert_eq!((name, object.edges()), ("cat", [0.0, 10.0, 40.0, 20.0]));
/// assert!(object.is_difficult);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct VocAnnotation {
    size: Option<[usize; 2]>,
    /// Names, and objects whose class is not known yet.
    objects: Vec<(String, PlacedObject)>,
}

impl VocAnnotation {
    /// Understands a file. Of an object its own `name`, `bndbox` and `difficult` count, and not
    /// those of its parts. Edges the wrong way round are exchanged.
    ///
    /// # Errors
    ///
    /// A sentence that names the line: no XML with the root `annotation`, a document type
    /// definition (where entities could be defined), an object without a name or a box, an edge
    /// that is no finite number, a size beyond the default [`Limits`].
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("no UTF-8 text at byte {}", error.valid_up_to()))?;
        let options = ParsingOptions {
            nodes_limit: MOST_NODES,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| format!("no XML: {error}"))?;
        let root = document.root_element();
        if !root.has_tag_name(ROOT) {
            let found = root.tag_name().name();
            return Err(format!("its root is `{found}`, expected `{ROOT}`"));
        }
        let lines = Lines::of(text);
        let objects = root.children().filter(|node| node.has_tag_name("object"));
        let objects = objects.map(|node| object(node, &lines));
        Ok(Self {
            size: size(root, &lines)?,
            objects: objects.collect::<Result<_, _>>()?,
        })
    }

    /// Height and width of the photo; `None` where the file says nothing, or 0.
    pub fn size(&self) -> Option<[usize; 2]> {
        self.size
    }

    /// The names and places of objects in the order of the file. Their class is 0, as it is a
    /// place in a list of names that the file does not have.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &AnnotatedObject)> {
        let objects = self.objects.iter();
        objects.map(|(name, placed)| (name.as_str(), &placed.object))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn into_placed(self) -> Vec<(String, PlacedObject)> {
        self.objects
    }
}

const ROOT: &str = "annotation";

/// Whether a file begins like one of VOC's, without reading it as XML.
pub(super) fn is_voc(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // Declarations and comments may come before the root.
    while let Some(inside) = rest
        .strip_prefix("<?")
        .or_else(|| rest.strip_prefix("<!--"))
    {
        match inside.split_once('>') {
            Some((_, after)) => rest = after.trim_start(),
            None => return false,
        }
    }
    let name = rest.strip_prefix('<').unwrap_or_default();
    name.strip_prefix(ROOT)
        .is_some_and(|after| after.starts_with(['>', ' ', '\t', '\r', '\n', '/']))
}

fn size(root: Node<'_, '_>, lines: &Lines) -> Result<Option<[usize; 2]>, String> {
    let Some(size) = child(root, "size") else {
        return Ok(None);
    };
    let side = |name| {
        let Some(node) = child(size, name) else {
            return Ok(0);
        };
        let text = node.text().unwrap_or_default().trim();
        let found = text.parse::<u32>().map_err(|_| {
            let line = lines.of_node(node);
            format!(
                "line {line}: `{name}` is `{}`, expected pixels",
                shown(text)
            )
        });
        found.map(|side| side as usize)
    };
    let [width, height] = [side("width")?, side("height")?];
    if width == 0 || height == 0 {
        return Ok(None);
    }
    let checked = Limits::default().check(width as u64, height as u64);
    checked.map_err(|error| format!("line {}: the photo {error}", lines.of_node(size)))?;
    Ok(Some([height, width]))
}

fn object(node: Node<'_, '_>, lines: &Lines) -> Result<(String, PlacedObject), String> {
    let at = lines.of_node(node);
    let missing = |name: &str| format!("line {at}: an object without `{name}`");
    let name = child(node, "name").and_then(|name| name.text());
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| missing("name"))?;
    let bndbox = child(node, "bndbox").ok_or_else(|| missing("bndbox"))?;
    let edge = |edge: &str| {
        let node = child(bndbox, edge).ok_or_else(|| missing(edge))?;
        let text = node.text().unwrap_or_default().trim();
        let found = text.parse().ok().filter(|value: &f64| value.is_finite());
        found.ok_or_else(|| {
            let line = lines.of_node(node);
            format!(
                "line {line}: `{edge}` is `{}`, expected a number",
                shown(text)
            )
        })
    };
    let [x_min, y_min] = [edge("xmin")?, edge("ymin")?];
    let [x_max, y_max] = [edge("xmax")?, edge("ymax")?];
    let ((x, across), is_x_reversed) = span(x_min, x_max);
    let ((y, down), is_y_reversed) = span(y_min, y_max);
    let xywh = [x, y, across, down];
    let difficult = child(node, "difficult").and_then(|node| node.text());
    let is_difficult = difficult.is_some_and(|text| !matches!(text.trim(), "" | "0" | "false"));
    let placed = PlacedObject {
        place: Place::Line(at),
        object: AnnotatedObject::new(xywh, 0).with_difficult(is_difficult),
        is_reversed: is_x_reversed || is_y_reversed,
    };
    Ok((name.to_owned(), placed))
}

/// Where a box begins, counted from 0, and how long it is, from two pixels that are counted from 1
/// and belong to it. A box less than a pixel wide has an end below its beginning; further below,
/// they are the wrong way round.
fn span(first: f64, last: f64) -> ((f64, f64), bool) {
    let start = first - 1.0;
    if last >= start {
        return ((start, last - start), false);
    }
    let start = last - 1.0;
    ((start, first - start), true)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// Where lines end. Asked of the parser, each line would be counted from the start of the file.
struct Lines {
    ends: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let bytes = text.bytes().enumerate();
        Self {
            ends: bytes
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at)
                .collect(),
        }
    }

    fn of_node(&self, node: Node<'_, '_>) -> usize {
        let start = node.range().start;
        1 + self.ends.partition_point(|&end| end < start)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
