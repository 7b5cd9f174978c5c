//! The end of a residual block.

use candle_core::Result;

use crate::{Activate, Add, Builder, Context, DropPath, Error, FeatureMap, Layer};

/// The last layer of a residual branch, which may take the sum behind it into one of its passes: a
/// [`ConvNormAct`](crate::ConvNormAct) or a [`ConvLayerScale`](crate::ConvLayerScale).
pub trait BranchEnd: Layer {
    /// `activation(self(xs) + shortcut)` without a pass of its own for the sum; `None` if it needs
    /// one, or the parts have to be seen one by one.
    fn forward_sum(
        &self,
        xs: &FeatureMap,
        shortcut: &FeatureMap,
        activation: Option<&Activate>,
        cx: &Context<'_>,
    ) -> Option<Result<FeatureMap>>;
}

/// The sum at the end of a residual block (He et al. 2015):
/// `activation(drop_path(last(xs)) + shortcut)`.
#[derive(Debug, Clone)]
pub struct ResidualSum {
    add: Add,
    drop_path: DropPath,
    activation: Option<Activate>,
}

impl ResidualSum {
    /// A sum at the block's place, with the probability of dropping the branch in training, and the
    /// activation after it or none.
    ///
    /// # Errors
    /// If the probability is not in `0..1`.
    pub fn new(drop_path: f64, activation: Option<Activate>, builder: &Builder) -> Result<Self> {
        let drop_path = DropPath::new(drop_path, &builder.pp("drop_path"))?;
        Ok(Self {
            add: Add::new(builder),
            drop_path,
            activation,
        })
    }

    /// Runs `last`, the last layer of the branch, on `xs` and adds the shortcut; in one of its
    /// passes where it can.
    ///
    /// # Errors
    /// If the shapes of branch and shortcut differ, and those of the layers.
    pub fn forward(
        &self,
        last: &impl BranchEnd,
        xs: &FeatureMap,
        shortcut: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let whole = !self.drops(cx);
        if let Some(sum) = whole
            .then(|| last.forward_sum(xs, shortcut, self.activation.as_ref(), cx))
            .flatten()
        {
            return sum;
        }
        self.join(&last.forward(xs, cx)?, shortcut, cx)
    }

    /// Whether a branch may be dropped in this context, so that it has to be computed alone.
    pub(super) fn drops(&self, cx: &Context<'_>) -> bool {
        self.drop_path.drops(cx)
    }

    /// The sum of what a branch gave and the shortcut, in passes of its own.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn join(
        &self,
        branch: &FeatureMap,
        shortcut: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let branch = self.drop_path.forward(branch, cx)?;
        let sum = self.add.forward(&branch, shortcut, cx)?;
        match &self.activation {
            Some(activation) => activation.forward(&sum, cx),
            None => Ok(sum),
        }
    }
}

/// Whether the sum of a block at `at` can be made: its branch gives as many channels as it reads.
///
/// # Errors
/// If a plan of widths changed one and not the other.
pub(super) fn check_residual(input: usize, output: usize, at: &Builder) -> Result<()> {
    if input == output {
        return Ok(());
    }
    Err(Error::Config {
        layer: at.path().to_string(),
        what: "the number of channels that its branch gives",
        found: output.to_string(),
        expected: format!("as many as its shortcut, {input}"),
    }
    .into())
}
