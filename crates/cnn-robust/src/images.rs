//! Images as attacks compute with them.

use candle_core::{DType, Device, Tensor};

use crate::Error;

/// A batch of images with values in 0..1, channels last, in f64 whatever the network computes in:
/// an attack's own arithmetic is nothing beside the network's.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    count: usize,
    /// Height, width, channels.
    size: [usize; 3],
    values: Vec<f64>,
}

impl Images {
    /// Images `(N, H, W, C)` of these values.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of values is another one.
    pub fn new(count: usize, size: [usize; 3], values: Vec<f64>) -> Result<Self, Error> {
        let expected = count * size.iter().product::<usize>();
        if values.len() != expected {
            let [h, w, c] = size;
            let wanted = format!("{expected} for {count} images of {h}x{w}x{c}");
            return Err(Error::argument("values", values.len(), wanted));
        }
        Ok(Self {
            count,
            size,
            values,
        })
    }

    /// Images without changes: zeros of the same shape.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self {
            values: vec![0.; self.values.len()],
            ..*self
        }
    }

    /// From a tensor `(N, H, W, C)` of any floating type.
    ///
    /// # Errors
    /// If it has another rank.
    pub fn from_nhwc(images: &Tensor) -> Result<Self, Error> {
        let (count, h, w, c) = images.dims4()?;
        let values = images.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Self::new(count, [h, w, c], values)
    }

    /// From a tensor `(N, C, H, W)`, PyTorch's order.
    ///
    /// # Errors
    /// If it has another rank.
    pub fn from_nchw(images: &Tensor) -> Result<Self, Error> {
        Self::from_nhwc(&images.permute((0, 2, 3, 1))?.contiguous()?)
    }

    /// A tensor `(N, H, W, C)`.
    ///
    /// # Errors
    /// If there is no such element type.
    pub fn to_nhwc(&self, dtype: DType) -> Result<Tensor, Error> {
        let [h, w, c] = self.size;
        let shape = (self.count, h, w, c);
        Ok(Tensor::from_slice(&self.values, shape, &Device::Cpu)?.to_dtype(dtype)?)
    }

    /// A tensor `(N, C, H, W)`.
    ///
    /// # Errors
    /// If there is no such element type.
    pub fn to_nchw(&self, dtype: DType) -> Result<Tensor, Error> {
        Ok(self.to_nhwc(dtype)?.permute((0, 3, 1, 2))?.contiguous()?)
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Height, width and channels of each.
    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    /// How many values an image has.
    pub fn values_per_image(&self) -> usize {
        self.size.iter().product()
    }

    /// All values, image after image.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// The values of one image, `(H, W, C)`.
    pub fn image(&self, index: usize) -> &[f64] {
        let values = self.values_per_image();
        &self.values[index * values..][..values]
    }

    /// The values of one image, to be changed.
    pub fn image_mut(&mut self, index: usize) -> &mut [f64] {
        let values = self.values_per_image();
        &mut self.values[index * values..][..values]
    }

    /// The images of these numbers, in their order.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let images = indices.iter().flat_map(|&index| self.image(index));
        Self {
            count: indices.len(),
            size: self.size,
            values: images.copied().collect(),
        }
    }

    /// Puts `images` in the places of these numbers.
    pub fn replace(&mut self, indices: &[usize], images: &Self) {
        for (from, &to) in indices.iter().enumerate() {
            self.image_mut(to).copy_from_slice(images.image(from));
        }
    }

    /// `self + factor · others`, value by value.
    #[must_use]
    pub fn plus(&self, others: &Self, factor: f64) -> Self {
        let pairs = self.values.iter().zip(&others.values);
        Self {
            values: pairs.map(|(a, b)| a + factor * b).collect(),
            ..*self
        }
    }

    /// What was added to `clean` to get these.
    #[must_use]
    pub fn minus(&self, clean: &Self) -> Self {
        self.plus(clean, -1.)
    }

    /// The function of each value.
    #[must_use]
    pub fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Self {
            values: self.values.iter().map(|&value| function(value)).collect(),
            ..*self
        }
    }

    /// The nearest values in 0..1.
    #[must_use]
    pub fn within_unit(&self) -> Self {
        self.map(|value| value.clamp(0., 1.))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_layouts_hold_the_same_images() {
        let values = (0..2 * 3 * 4 * 5).map(f64::from).collect();
        let images = Images::new(2, [3, 4, 5], values).unwrap();
        let nchw = images.to_nchw(DType::F64).unwrap();
        assert_eq!(nchw.dims(), [2, 5, 3, 4]);
        assert_eq!(Images::from_nchw(&nchw).unwrap(), images);
        let nhwc = images.to_nhwc(DType::F32).unwrap();
        assert_eq!(Images::from_nhwc(&nhwc).unwrap(), images);
    }

    #[test]
    fn some_images_are_taken_out_and_put_back() {
        let images = Images::new(3, [1, 1, 2], vec![0., 1., 2., 3., 4., 5.]).unwrap();
        let some = images.select(&[2, 0]);
        assert_eq!(some.values(), [4., 5., 0., 1.]);
        let mut zeros = images.zeros_like();
        zeros.replace(&[2, 0], &some);
        assert_eq!(zeros.values(), [0., 1., 0., 0., 4., 5.]);
        assert!(Images::new(3, [1, 1, 2], vec![0.; 5]).is_err());
    }
}
