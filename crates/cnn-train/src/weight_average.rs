//! A moving average of the weights, which often does better on new data than the last ones.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, Var, WithDType};
use cnn_layers::Store;
use rayon::prelude::*;

use crate::Error;
use crate::run_tensors::copied;

/// Elements that one thread takes at least.
const CHUNK: usize = 1 << 14;

/// The exponential moving average of all tensors of a store, running statistics included
/// (Polyak & Juditsky 1992; the form of timm's `ModelEmaV3`): after each update
/// `average ← average + (1 − decay)·(weights − average)`.
///
/// The first updates count for more, lest the average keep the weights that training began with:
/// the decay of update n, counted from 0, is at most (1 + n) / (10 + n).
pub(crate) struct WeightAverage {
    decay: f64,
    tensors: Vec<(String, Var)>,
}

impl WeightAverage {
    /// Begins with these values.
    pub(crate) fn new(decay: f64, tensors: Vec<(String, Tensor)>) -> Result<Self, Error> {
        let tensors = copied(tensors)?
            .into_iter()
            .map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor)?)))
            .collect::<Result<_, candle_core::Error>>()?;
        Ok(Self { decay, tensors })
    }

    pub(crate) fn decay(&self) -> f64 {
        self.decay
    }

    /// Takes in the store's values after `updates` earlier updates.
    pub(crate) fn update(&self, store: &Store, updates: u64) -> Result<(), Error> {
        let updates = updates as f64;
        let decay = self.decay.min((1. + updates) / (10. + updates));
        for (name, average) in &self.tensors {
            let value = store.get(name)?;
            if matches!(value.dtype(), DType::F32 | DType::F64) {
                average.inplace_op2(&value, &MoveTowards { weight: 1. - decay })?;
            } else {
                average.set(&value.copy()?)?;
            }
        }
        Ok(())
    }

    pub(crate) fn tensors(&self) -> Vec<(String, Tensor)> {
        let detached =
            |(name, average): &(String, Var)| (name.clone(), average.as_detached_tensor());
        self.tensors.iter().map(detached).collect()
    }

    /// Does something while the store holds the average, and gives it its own values back.
    pub(crate) fn in_place_of<R>(
        &self,
        store: &Store,
        body: impl FnOnce() -> Result<R, Error>,
    ) -> Result<R, Error> {
        let own = copied(store.tensors())?;
        for (name, average) in self.tensors() {
            store.set(&name, &average)?;
        }
        let result = body();
        for (name, value) in own {
            store.set(&name, &value)?;
        }
        result
    }
}

/// `average + weight·(value − average)`, which leaves equal numbers as they are.
struct MoveTowards {
    weight: f64,
}

impl MoveTowards {
    fn run<T: WithDType>(&self, average: &mut [T], values: &[T]) {
        let weight = T::from_f64(self.weight);
        average
            .par_chunks_mut(CHUNK)
            .zip(values.par_chunks(CHUNK))
            .for_each(|(average, values)| {
                for (average, &value) in average.iter_mut().zip(values) {
                    *average += weight * (value - *average);
                }
            });
    }
}

impl InplaceOp2 for MoveTowards {
    fn name(&self) -> &'static str {
        "weight-average"
    }

    fn cpu_fwd(
        &self,
        average: &mut CpuStorage,
        average_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> candle_core::Result<()> {
        let not_contiguous = || candle_core::Error::RequiresContiguous {
            op: "weight-average",
        };
        let (a0, a1) = average_layout
            .contiguous_offsets()
            .ok_or_else(not_contiguous)?;
        let (v0, v1) = values_layout
            .contiguous_offsets()
            .ok_or_else(not_contiguous)?;
        match (average, values) {
            (CpuStorage::F32(average), CpuStorage::F32(values)) => {
                self.run(&mut average[a0..a1], &values[v0..v1]);
            }
            (CpuStorage::F64(average), CpuStorage::F64(values)) => {
                self.run(&mut average[a0..a1], &values[v0..v1]);
            }
            _ => candle_core::bail!("weight-average: the average has another element type"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::Device;
    use cnn_layers::{Init, Mode};

    use super::*;

    fn store(value: f64) -> Store {
        let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
        let builder = store.builder(Mode::Train);
        builder
            .param("weight", &[3], Init::Constant(value))
            .unwrap();
        store
    }

    fn values(tensors: &[(String, Tensor)]) -> Vec<f64> {
        tensors[0].1.to_vec1().unwrap()
    }

    #[test]
    fn it_follows_the_weights_by_the_decay() {
        let store = store(0.);
        let average = WeightAverage::new(0.9, store.tensors()).unwrap();
        let one = Tensor::new(&[1f64, 2., 0.], &Device::Cpu).unwrap();
        store.set("weight", &one).unwrap();
        // A decay of 1/10, then of 2/11; far later of 0.9.
        average.update(&store, 0).unwrap();
        assert_eq!(values(&average.tensors()), [0.9, 1.8, 0.]);
        average.update(&store, 1).unwrap();
        let expected = 0.9 + (9. / 11.) * 0.1;
        assert!((values(&average.tensors())[0] - expected).abs() < 1e-15);
        let before = values(&average.tensors())[1];
        average.update(&store, 1_000_000).unwrap();
        let expected = before + 0.1 * (2. - before);
        assert!((values(&average.tensors())[1] - expected).abs() < 1e-15);
        assert_eq!(values(&average.tensors())[2], 0.);
    }

    #[test]
    fn the_store_holds_it_for_a_while() {
        let store = store(1.);
        let average = WeightAverage::new(0.5, store.tensors()).unwrap();
        store
            .set("weight", &Tensor::new(&[2f64; 3], &Device::Cpu).unwrap())
            .unwrap();
        let seen = average
            .in_place_of(&store, || Ok(values(&store.tensors())))
            .unwrap();
        assert_eq!(seen, [1.; 3]);
        let failed: Result<(), Error> = average.in_place_of(&store, || Err(Error::not_finite("x")));
        assert!(failed.is_err());
        assert_eq!(values(&store.tensors()), [2.; 3]);
    }
}
