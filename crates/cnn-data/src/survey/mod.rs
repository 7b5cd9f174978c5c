//! What is in a dataset: counts, sizes, statistics, broken and duplicate samples.

mod boxes;
mod mask_counts;
mod moments;
mod report;
mod sample_facts;
mod take;

pub use boxes::{BoxClassCount, BoxSizes, BoxSurvey, Quantiles};
pub use moments::ChannelStatistics;
pub use report::{
    ClassCount, DuplicateGroup, KindCount, Location, MaskClassCount, MaskSurvey, Range, Sizes,
    SplitSurvey, Survey,
};
pub use take::{survey, survey_found, survey_parts};
