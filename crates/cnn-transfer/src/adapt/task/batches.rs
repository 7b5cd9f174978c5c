//! What an update reads of both domains.

use cnn_data::{Batch, Skipped};
use cnn_train::{Epoch, Error, TaskBatches, TrainingImages};

/// A batch of each domain that is read, and another view of the target's.
pub(in super::super) struct DomainBatch {
    pub(in super::super) source: Option<Batch>,
    pub(in super::super) target: Option<Batch>,
    /// The images of `target`, augmented more strongly.
    pub(in super::super) second_view: Option<Batch>,
}

impl DomainBatch {
    /// What was read of it.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Batch> {
        [&self.source, &self.target, &self.second_view]
            .into_iter()
            .flatten()
    }

    /// Images of one domain; none where images of any could not be read.
    pub(in super::super) fn samples(&self) -> usize {
        self.parts().map(Batch::len).min().unwrap_or(0)
    }
}

/// Where batches come from.
pub(super) struct DomainReaders {
    pub(super) source: Option<TrainingImages>,
    pub(super) target: Option<TrainingImages>,
    pub(super) second_view: Option<TrainingImages>,
}

impl DomainReaders {
    /// So many batches of an epoch. Both views of the target are in the same order.
    pub(super) fn batches<'a>(
        &'a self,
        epoch: &Epoch,
        count: usize,
    ) -> Result<TaskBatches<'a, DomainBatch>, Error> {
        let mut source = Reader::new(self.source.as_ref(), "source", epoch, count)?;
        let mut target = Reader::new(self.target.as_ref(), "target", epoch, count)?;
        let mut second = Reader::new(self.second_view.as_ref(), "target", epoch, count)?;
        let batches = (epoch.start..count).map(move |_| {
            Ok(DomainBatch {
                source: source.next()?,
                target: target.next()?,
                second_view: second.next()?,
            })
        });
        Ok(Box::new(batches))
    }

    /// The files that could not be read so far.
    pub(super) fn skipped(&self) -> Vec<Skipped> {
        let readers = [&self.source, &self.target, &self.second_view];
        let readers = readers.into_iter().flatten();
        let mut all = Vec::new();
        for skipped in readers.flat_map(TrainingImages::skipped) {
            // Both views of the target miss the same file.
            if !all.contains(&skipped) {
                all.push(skipped);
            }
        }
        all
    }

    /// The names of a batch's images.
    pub(super) fn names(&self, batch: &DomainBatch) -> Vec<String> {
        let source = self.source.as_ref().zip(batch.source.as_ref());
        let target = self.target.as_ref().zip(batch.target.as_ref());
        let read = [source, target].into_iter().flatten();
        read.flat_map(|(images, batch)| images.names(batch))
            .collect()
    }
}

/// The batches of a domain, if it is read.
struct Reader<'a>(Option<TaskBatches<'a, Batch>>);

impl<'a> Reader<'a> {
    fn new(
        images: Option<&'a TrainingImages>,
        domain: &str,
        epoch: &Epoch,
        count: usize,
    ) -> Result<Self, Error> {
        let key = epoch.key.stream(domain);
        let epoch = Epoch { key, ..*epoch };
        let batches = images.map(|images| images.repeated(&epoch, count));
        Ok(Self(batches.transpose()?))
    }

    fn next(&mut self) -> Result<Option<Batch>, Error> {
        self.0.as_mut().and_then(Iterator::next).transpose()
    }
}
