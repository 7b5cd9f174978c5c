//! A few pixels found by differential evolution: the one-pixel attack (Su et al. 2019,
//! arXiv:1710.08864).

use super::checks::{at_least_one, not_negative};
use super::forms::scores_of;
use super::{Attack, AttackBatch};
use crate::{AttackedModel, Draw, Error, Images, Threat};

/// The least number of members: each child has three parents beside the one that it competes with.
const LEAST_POPULATION: usize = 4;

/// Changes a few pixels to any colour. Members of a population are pixels, each a row, a column and
/// a colour; a child is `a + F · (b − c)` of three others and takes its place's if the label's
/// probability is lower under it, with a target if the target's is higher.
///
/// It asks for scores alone, at most `population · (generations + 1) + 1` times for each image, and
/// leaves an image in the generation that it succeeded in. It gives the fittest member, successful
/// or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnePixel {
    pixels: usize,
    population: usize,
    generations: usize,
    factor: f64,
}

impl Default for OnePixel {
    fn default() -> Self {
        Self {
            pixels: 1,
            population: 400,
            generations: 100,
            factor: 0.5,
        }
    }
}

impl OnePixel {
    /// Default: one pixel, 400 members, 100 generations and `F = 0.5`, as in the paper.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many pixels it may change.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_pixels(self, pixels: usize) -> Result<Self, Error> {
        let pixels = at_least_one("pixels", pixels)?;
        Ok(Self { pixels, ..self })
    }

    /// How many members the population has.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are fewer than four.
    pub fn with_population(self, population: usize) -> Result<Self, Error> {
        if population < LEAST_POPULATION {
            return Err(Error::argument("population", population, "at least 4"));
        }
        Ok(Self { population, ..self })
    }

    /// The largest number of generations after the first.
    #[must_use]
    pub fn with_generations(self, generations: usize) -> Self {
        Self {
            generations,
            ..self
        }
    }

    /// How far a child goes along the difference of two members: `F`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_factor(self, factor: f64) -> Result<Self, Error> {
        let factor = not_negative("factor", factor)?;
        Ok(Self { factor, ..self })
    }

    /// Attacks a batch of one image.
    fn evolve(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut image = batch.images().clone();
        let genes = self.pixels * (2 + image.size()[2]);
        let sample = batch.samples()[0];
        let first = Draw::new("population", sample);
        let first = batch.draws().uniform(first, self.population * genes)?;
        let first = first.chunks_exact(genes).map(<[f64]>::to_vec).collect();
        let mut members = rate(model, batch, first)?;
        for generation in 0..self.generations {
            if members.iter().any(|member| member.succeeded) {
                break;
            }
            let draw = Draw::new("parents", sample).in_step(generation);
            let draws = batch.draws().uniform(draw, self.population * 3)?;
            let parents = draws.chunks_exact(3).enumerate();
            let children = parents.map(|(place, draws)| self.child(&members, place, draws));
            let children = rate(model, batch, children.collect())?;
            for (member, child) in members.iter_mut().zip(children) {
                if child.fitness > member.fitness || child.succeeded {
                    *member = child;
                }
            }
        }
        let rank = |member: &&Member| (member.succeeded, member.fitness);
        let best = members.iter().max_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        if let Some(best) = best {
            paint(&mut image, &best.genes);
        }
        Ok(image)
    }

    fn child(&self, members: &[Member], place: usize, draws: &[f64]) -> Vec<f64> {
        let [a, b, c] = others(members.len(), place, draws).map(|at| &members[at].genes);
        let genes = a.iter().zip(b.iter().zip(c));
        genes
            .map(|(a, (b, c))| (a + self.factor * (b - c)).clamp(0., 1.))
            .collect()
    }
}

impl Attack for OnePixel {
    fn name(&self) -> &'static str {
        "onepixel"
    }

    fn threat(&self) -> Option<Threat> {
        None
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let mut images = batch.images().clone();
        let clean = model.logits(&images)?;
        for index in super::pgd::failures(batch, &clean) {
            let found = self.evolve(model, &batch.select(&[index]))?;
            images.replace(&[index], &found);
        }
        Ok(images)
    }
}

/// A way to change an image.
struct Member {
    /// Row, column and colour of each pixel, all in 0..1.
    genes: Vec<f64>,
    fitness: f64,
    succeeded: bool,
}

fn rate(
    model: &dyn AttackedModel,
    batch: &AttackBatch<'_>,
    genes: Vec<Vec<f64>>,
) -> Result<Vec<Member>, Error> {
    let painted = |genes: &Vec<f64>| {
        let mut image = batch.images().clone();
        paint(&mut image, genes);
        image.values().to_vec()
    };
    let scores = scores_of(model, batch.images().size(), genes.iter().map(painted))?;
    let members = genes.into_iter().zip(scores);
    let rated = members.map(|(genes, scores)| Member {
        fitness: match batch.targets() {
            Some(targets) => probability(&scores, targets[0]),
            None => -probability(&scores, batch.labels()[0]),
        },
        succeeded: batch.is_success(0, &scores),
        genes,
    });
    Ok(rated.collect())
}

/// Paints the pixels of a member on the one image.
fn paint(image: &mut Images, genes: &[f64]) {
    let [height, width, channels] = image.size();
    let place = |gene: f64, length: usize| {
        let place = (gene * length as f64) as usize;
        place.min(length.saturating_sub(1))
    };
    for pixel in genes.chunks_exact(2 + channels) {
        let at = (place(pixel[0], height) * width + place(pixel[1], width)) * channels;
        image.image_mut(0)[at..][..channels].copy_from_slice(&pixel[2..]);
    }
}

/// Three different members other than that of a place, by three numbers in 0..1.
fn others(count: usize, place: usize, draws: &[f64]) -> [usize; 3] {
    let mut taken = vec![place];
    let mut found = [0; 3];
    for (found, draw) in found.iter_mut().zip(draws) {
        let free = count - taken.len();
        let mut at = ((draw * free as f64) as usize).min(free - 1);
        taken.sort_unstable();
        for &other in &taken {
            if at >= other {
                at += 1;
            }
        }
        taken.push(at);
        *found = at;
    }
    found
}

fn probability(scores: &[f64], class: u32) -> f64 {
    let of_class = scores[class as usize];
    1. / scores
        .iter()
        .map(|score| (score - of_class).exp())
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_three_others() {
        for place in 0..5 {
            for step in 0..125 {
                let draws = [step % 5, step / 5 % 5, step / 25].map(|step| f64::from(step) / 5.);
                let mut all = others(5, place, &draws).to_vec();
                all.push(place);
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), 4);
                assert!(all.iter().all(|&at| at < 5));
            }
        }
    }
}
