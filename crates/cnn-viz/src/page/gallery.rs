//! The page of explained photos.

use askama::Template;

use super::color;
use super::format::{NOTHING, percent};
use super::pictures::Thumbnail;
use super::template_filters as filters;
use crate::{
    ColorMap, Error, ExplainedOverlay, ExplainedPhoto, Gallery, Trust, TrustCheck, TrustVerdict,
};

/// The longer side of a picture at most, and of those of a page with one photo, which has more
/// room.
const LONGEST_SIDE: usize = 384;
const LONGEST_SIDE_ALONE: usize = 640;
/// More pictures than these beside each other become too small on a desktop.
const MOST_COLUMNS: usize = 4;

#[derive(Template)]
#[template(path = "gallery.html")]
pub(crate) struct GalleryPage<'a> {
    gallery: &'a Gallery,
    photos: Vec<Photo<'a>>,
    /// Whether each photo has so few maps that two photos have room beside each other.
    paired: bool,
    /// Name and rule of each check, where there are checks.
    rules: Vec<(&'static str, String)>,
}

struct Photo<'a> {
    about: &'a ExplainedPhoto,
    thumbnail: Thumbnail,
    classes: Vec<(&'a str, String)>,
    overlays: Vec<Overlay<'a>>,
    /// How many pictures stand beside each other so that rows are filled as evenly as can be.
    columns: usize,
    /// How many columns the photo takes so that the last row is full.
    span: usize,
    checks: Option<Checks<'a>>,
}

struct Overlay<'a> {
    about: &'a ExplainedOverlay,
    thumbnail: Thumbnail,
    legend: color::Legend,
    gap: Option<String>,
    verdicts: Vec<TrustVerdict>,
    /// The names of the checks that it fails, with commas.
    failed: Option<String>,
}

/// The numbers behind the verdicts, method by method.
struct Checks<'a> {
    /// What was randomised.
    steps: Vec<&'a str>,
    rows: Vec<CheckRow<'a>>,
}

struct CheckRow<'a> {
    title: &'a str,
    cells: Vec<CheckCell>,
    failed: Option<String>,
}

struct CheckCell {
    text: String,
    failed: bool,
}

impl<'a> GalleryPage<'a> {
    pub(crate) fn new(gallery: &'a Gallery) -> Result<Self, Error> {
        let side = if gallery.photos.len() == 1 {
            LONGEST_SIDE_ALONE
        } else {
            LONGEST_SIDE
        };
        let photos = gallery
            .photos
            .iter()
            .map(|photo| Photo::new(photo, side))
            .collect::<Result<Vec<_>, _>>()?;
        let checked = photos.iter().any(|photo| photo.checks.is_some());
        let rule = |check: TrustCheck| (check.name(), check.rule());
        Ok(Self {
            gallery,
            paired: photos.len() > 1 && photos.iter().all(|photo| photo.overlays.len() <= 1),
            photos,
            rules: if checked {
                TrustCheck::ALL.map(rule).into()
            } else {
                Vec::new()
            },
        })
    }
}

impl<'a> Photo<'a> {
    fn new(about: &'a ExplainedPhoto, side: usize) -> Result<Self, Error> {
        let pictures = about.overlays.len() + 1;
        let rows = pictures.div_ceil(MOST_COLUMNS);
        let columns = pictures.div_ceil(rows);
        Ok(Self {
            about,
            thumbnail: Thumbnail::new(&about.image, &about.path, side)?,
            classes: about
                .classes
                .iter()
                .map(|(name, share)| (name.as_str(), percent(*share)))
                .collect(),
            overlays: about
                .overlays
                .iter()
                .map(|overlay| Overlay::new(overlay, &about.path, side))
                .collect::<Result<_, _>>()?,
            columns,
            span: 1 + rows * columns - pictures,
            checks: Checks::new(&about.overlays),
        })
    }
}

impl<'a> Overlay<'a> {
    fn new(about: &'a ExplainedOverlay, path: &str, side: usize) -> Result<Self, Error> {
        let verdicts = about.trust.as_ref().map_or_else(Vec::new, Trust::verdicts);
        Ok(Self {
            about,
            thumbnail: Thumbnail::new(&about.image, path, side)?,
            legend: color::Legend::of(about.colors),
            gap: about.completeness_gap.map(percent),
            failed: failed(&verdicts),
            verdicts,
        })
    }
}

impl<'a> Checks<'a> {
    /// `None` where no map was checked.
    fn new(overlays: &'a [ExplainedOverlay]) -> Option<Self> {
        let checked = || {
            overlays
                .iter()
                .filter_map(|overlay| Some((overlay.title.as_str(), overlay.trust.as_ref()?)))
        };
        let mut steps: Vec<&str> = Vec::new();
        for (name, _) in checked().flat_map(|(_, trust)| &trust.randomization) {
            if !steps.contains(&name.as_str()) {
                steps.push(name);
            }
        }
        let rows: Vec<_> = checked()
            .map(|(title, trust)| CheckRow::new(title, trust, &steps))
            .collect();
        (!rows.is_empty()).then_some(Self { steps, rows })
    }
}

impl<'a> CheckRow<'a> {
    fn new(title: &'a str, trust: &Trust, steps: &[&str]) -> Self {
        let verdicts = trust.verdicts();
        let fails = |check| {
            verdicts
                .iter()
                .any(|verdict| verdict.check == check && !verdict.passed)
        };
        let score = fails(TrustCheck::InsertionDeletion);
        let random = fails(TrustCheck::Randomization);
        let cell = |value: f64, failed| CheckCell {
            text: decimals(value),
            failed,
        };
        let mut cells = vec![
            cell(trust.insertion_auc, score),
            cell(trust.deletion_auc, score),
            cell(trust.road, fails(TrustCheck::Road)),
        ];
        cells.extend(steps.iter().map(|step| {
            let correlation = trust
                .randomization
                .iter()
                .find(|(name, _)| name == step)
                .map(|(_, value)| *value);
            let nothing = || CheckCell {
                text: NOTHING.into(),
                failed: false,
            };
            correlation.map_or_else(nothing, |value| {
                cell(value, random && !Trust::changes_enough(value))
            })
        }));
        Self {
            title,
            cells,
            failed: failed(&verdicts),
        }
    }
}

/// The names of the checks that are failed, with commas; `None` if none is.
fn failed(verdicts: &[TrustVerdict]) -> Option<String> {
    let names: Vec<_> = verdicts
        .iter()
        .filter(|verdict| !verdict.passed)
        .map(|verdict| verdict.check.name())
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Two decimals, without a sign where they are 0.
fn decimals(value: f64) -> String {
    if value.is_finite() {
        format!("{:.2}", (100. * value).round() / 100. + 0.)
    } else {
        NOTHING.into()
    }
}

impl color::Legend {
    fn of(colors: ColorMap) -> Self {
        let [low, high] = match colors {
            ColorMap::Sequential => ["unimportant", "important"],
            ColorMap::Diverging => ["speaks against", "speaks for"],
        };
        Self {
            gradient: colors.css_gradient(),
            low,
            high,
        }
    }
}
