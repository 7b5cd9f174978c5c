//! Joining feature maps: residual addition and concatenation over channels.

use candle_core::{Result, Tensor};

use crate::{Error, FeatureMap};

/// Element-wise sum of two maps of one shape, the residual connection (He et al. 2015). Differentiable.
///
/// # Errors
/// If the shapes differ: nothing is broadcast.
pub fn add(xs: &FeatureMap, ys: &FeatureMap) -> Result<FeatureMap> {
    if xs.dims() != ys.dims() {
        let expected = format!("{:?} as the first (N, H, W, C)", xs.dims());
        return Err(Error::Shape { op: "add", what: "the second map", found: ys.dims().to_vec(), expected }.into());
    }
    Ok(FeatureMap::wrap(xs.tensor().add(ys.tensor())?))
}

/// The channels of all maps one after another: `(N, H, W, C₁ + C₂ + …)`. Differentiable.
///
/// # Errors
/// If there is no map or batch, height or width differ.
pub fn concat(maps: &[&FeatureMap]) -> Result<FeatureMap> {
    let Some(first) = maps.first() else {
        let (found, expected) = ("0".to_string(), "at least 1".to_string());
        return Err(Error::Argument { op: "concat", what: "number of maps", found, expected }.into());
    };
    for map in maps {
        if map.dims()[..3] != first.dims()[..3] {
            let expected = format!("{:?} and any channels (N, H, W, C)", &first.dims()[..3]);
            return Err(Error::Shape { op: "concat", what: "a map", found: map.dims().to_vec(), expected }.into());
        }
    }
    let tensors: Vec<&Tensor> = maps.iter().map(|map| map.tensor()).collect();
    Ok(FeatureMap::wrap(Tensor::cat(&tensors, 3)?.contiguous()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device};

    fn map(shape: [usize; 4]) -> FeatureMap {
        FeatureMap::from_nhwc(&Tensor::ones(&shape[..], DType::F32, &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn shapes_must_agree() {
        assert_eq!(concat(&[&map([1, 2, 3, 4]), &map([1, 2, 3, 5])]).unwrap().dims(), [1, 2, 3, 9]);
        let message = concat(&[&map([1, 2, 3, 4]), &map([1, 3, 3, 4])]).unwrap_err().to_string();
        assert!(message.contains("a map has shape [1, 3, 3, 4], expected [1, 2, 3]"), "{message}");
        let message = add(&map([1, 2, 3, 4]), &map([1, 2, 3, 1])).unwrap_err().to_string();
        assert!(message.contains("[1, 2, 3, 1], expected [1, 2, 3, 4]"), "{message}");
        assert!(concat(&[]).is_err());
    }
}
