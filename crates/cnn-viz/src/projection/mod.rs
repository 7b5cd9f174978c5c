//! Features of many images as points of a plane.

mod affinities;
mod principal_components;
mod tsne;

use crate::Error;

pub use principal_components::{PrincipalComponents, principal_components};
pub use tsne::{MOST_TSNE_POINTS, Tsne, TsneConfig, tsne};

/// The number of rows of features, where there are `at_least` so many whole ones of finite numbers.
fn rows(features: &[f32], columns: usize, at_least: usize) -> Result<usize, Error> {
    if columns == 0 || !features.len().is_multiple_of(columns) {
        let expected = format!(
            "at least 1 and a divisor of {}, the numbers",
            features.len()
        );
        return Err(Error::argument("columns", columns, expected));
    }
    if let Some(value) = features.iter().find(|value| !value.is_finite()) {
        return Err(Error::argument("features", value, "finite numbers"));
    }
    let rows = features.len() / columns;
    if rows < at_least {
        let found = format!("{rows} rows");
        return Err(Error::argument(
            "features",
            found,
            format!("at least {at_least}"),
        ));
    }
    Ok(rows)
}
