//! Random search by scores alone: Square Attack (Andriushchenko et al. 2020, arXiv:1912.00049); in
//! L1 as AutoAttack has it (Croce & Hein 2021, arXiv:2103.01208).

mod canvas;
mod hills;
mod schedule;
mod stripes;

use canvas::Canvas;
use schedule::side;

use super::pgd::failures;
use super::{Attack, AttackBatch, MarginLoss};
use crate::{AttackedModel, Draw, Error, Images, LogitLoss, Norm, Threat};

/// Changes squares at random places, and keeps a change that makes the [margin](MarginLoss) larger.
/// It asks for no gradient, so a masked one does not stop it.
///
/// An image that it succeeded on is asked about no more. Of another it gives the one of the largest
/// margin. Images that the model errs on beforehand are left alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Square {
    threat: Threat,
    queries: usize,
    rescaled: bool,
}

/// The best change of an image so far.
struct Search {
    /// Its place in the batch.
    index: usize,
    best: Vec<f64>,
    margin: f64,
    is_success: bool,
}

impl Square {
    /// Looks in a ball. Default: 5000 queries after that of the first change, with squares that
    /// become smaller by the paper's schedule for 10,000 queries, compressed to their number.
    pub fn new(threat: Threat) -> Self {
        Self {
            threat,
            queries: 5000,
            rescaled: true,
        }
    }

    /// How many changes are tried on each image after the first.
    #[must_use]
    pub fn with_queries(self, queries: usize) -> Self {
        Self { queries, ..self }
    }

    /// Whether the schedule for 10,000 queries is compressed to the number of queries, or broken
    /// off after them as in AutoAttack's standard version.
    #[must_use]
    pub fn with_rescaled_schedule(self, rescaled: bool) -> Self {
        Self { rescaled, ..self }
    }

    fn canvas<'a>(&self, batch: &'a AttackBatch<'_>, index: usize) -> Canvas<'a> {
        Canvas {
            threat: self.threat,
            size: batch.images().size(),
            clean: batch.images().image(index),
        }
    }

    fn start(&self, batch: &AttackBatch<'_>, index: usize) -> Result<Vec<f64>, Error> {
        let canvas = self.canvas(batch, index);
        let draw = Draw::new("start", batch.samples()[index]);
        let numbers = |count| batch.draws().uniform(draw, count);
        Ok(match self.threat.norm {
            Norm::Linf => {
                let count = stripes::numbers_of_start(&canvas);
                stripes::start(&canvas, &numbers(count)?)
            }
            Norm::L2 | Norm::L1 => {
                let count = hills::numbers_of_start(&canvas);
                hills::start(&canvas, &numbers(count)?)
            }
        })
    }

    fn step(
        &self,
        batch: &AttackBatch<'_>,
        search: &Search,
        query: usize,
    ) -> Result<Vec<f64>, Error> {
        let canvas = self.canvas(batch, search.index);
        let [height, width, _] = canvas.size;
        let scheduled = if self.rescaled {
            (query as f64 / self.queries as f64 * 10_000.) as usize
        } else {
            query
        };
        let side = side(self.threat.norm, scheduled, [height, width]);
        let draw = Draw::new("square", batch.samples()[search.index]).in_step(query);
        let numbers = |count| batch.draws().uniform(draw, count);
        Ok(match self.threat.norm {
            Norm::Linf => {
                let numbers = numbers(stripes::numbers_of_step(&canvas))?;
                stripes::step(&canvas, &search.best, side, &numbers)
            }
            Norm::L2 | Norm::L1 => {
                let numbers = numbers(hills::numbers_of_step(&canvas))?;
                hills::step(&canvas, &search.best, side, &numbers)
            }
        })
    }
}

/// Asks for the scores of one tried change of each image, and keeps those that are better.
fn judge(
    model: &dyn AttackedModel,
    batch: &AttackBatch<'_>,
    searches: &mut [Search],
    tried: &[Vec<f64>],
) -> Result<(), Error> {
    let values = tried.iter().flatten().copied().collect();
    let images = Images::new(tried.len(), batch.images().size(), values)?;
    let logits = model.logits(&images)?;
    let mut unused = vec![0.; logits.classes()];
    for (place, search) in searches.iter_mut().enumerate() {
        let row = logits.row(place);
        let margin = MarginLoss(batch).loss(search.index, row, &mut unused);
        search.is_success = batch.is_success(search.index, row);
        if margin > search.margin || search.is_success {
            search.margin = margin;
            search.best.clone_from(&tried[place]);
        }
    }
    Ok(())
}

impl Attack for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut images = batch.images().clone();
        let standing = failures(batch, &model.logits(&images)?);
        let search = |index| Search {
            index,
            best: batch.images().image(index).to_vec(),
            margin: f64::NEG_INFINITY,
            is_success: false,
        };
        let mut searches: Vec<Search> = standing.into_iter().map(search).collect();
        if searches.is_empty() {
            return Ok(images);
        }
        let tried = searches
            .iter()
            .map(|search| self.start(batch, search.index));
        let tried = tried.collect::<Result<Vec<_>, _>>()?;
        judge(model, batch, &mut searches, &tried)?;
        for query in 0..self.queries {
            searches.retain(|search| {
                images.image_mut(search.index).copy_from_slice(&search.best);
                !search.is_success
            });
            if searches.is_empty() {
                break;
            }
            let tried = searches
                .iter()
                .map(|search| self.step(batch, search, query));
            let tried = tried.collect::<Result<Vec<_>, _>>()?;
            judge(model, batch, &mut searches, &tried)?;
        }
        for search in searches {
            images.image_mut(search.index).copy_from_slice(&search.best);
        }
        Ok(images)
    }
}
