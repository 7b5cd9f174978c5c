//! Which units of a network stay.

use crate::{Error, Group, Groups};

/// Which units of a network stay: by default all.
///
/// ```
/// use cnn_compress::{Groups, Selection};
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let groups = Groups::of(&network)?;
/// let mut selection = Selection::all(&groups);
/// selection.remove(3);
/// assert_eq!(selection.removed().count(), 1);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    stays: Vec<bool>,
}

impl Selection {
    /// All of a network's units.
    pub fn all(groups: &Groups) -> Self {
        Self {
            stays: vec![true; groups.units()],
        }
    }

    /// Says that a unit goes, by its number among those of all groups; one that is not there cannot.
    pub fn remove(&mut self, unit: usize) {
        if let Some(stays) = self.stays.get_mut(unit) {
            *stays = false;
        }
    }

    /// Whether a unit stays.
    pub fn stays(&self, unit: usize) -> bool {
        self.stays.get(unit).copied().unwrap_or(false)
    }

    /// How many units of a group stay.
    pub fn left_of(&self, group: &Group) -> usize {
        group.numbers().filter(|&unit| self.stays(unit)).count()
    }

    /// The numbers of the units that go.
    pub fn removed(&self) -> impl Iterator<Item = usize> {
        let numbered = self.stays.iter().enumerate();
        numbered.filter(|&(_, stays)| !stays).map(|(unit, _)| unit)
    }

    /// How many units are said of.
    pub fn len(&self) -> usize {
        self.stays.len()
    }

    /// Whether there is no unit to be said of.
    pub fn is_empty(&self) -> bool {
        self.stays.is_empty()
    }

    /// Whether it is of these groups, and leaves each of them something.
    ///
    /// # Errors
    /// [`Error::OtherGroups`], [`Error::NothingLeft`].
    pub(crate) fn check(&self, groups: &Groups) -> Result<(), Error> {
        if self.stays.len() != groups.units() {
            return Err(Error::OtherGroups {
                found: self.stays.len(),
                expected: groups.units(),
            });
        }
        let mut groups = groups.groups().iter();
        match groups.find(|group| self.left_of(group) == 0) {
            None => Ok(()),
            Some(group) => Err(Error::NothingLeft {
                layer: group.layers.first().cloned().unwrap_or_default(),
                units: group.units.len(),
            }),
        }
    }
}
