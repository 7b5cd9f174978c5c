//! Guests that keep their parameters in candle-nn's `VarBuilder` (the feature `candle-nn`).

use candle_nn::VarBuilder;

use crate::Store;

impl Store {
    /// A store whose parameters come from candle's `VarBuilder`, for guests with a `VarMap` or
    /// files of their own; trainable variables stay shared with it. Names that the builder lacks
    /// start as in a new store of seed 0.
    pub fn from_var_builder(guest: VarBuilder<'static>) -> Self {
        let dtype = guest.dtype();
        let device = guest.device().clone();
        let tensor = move |name: &str, shape: &[usize]| {
            guest.contains_tensor(name).then(|| guest.get(shape, name))
        };
        Self::with_guest(dtype, &device, Box::new(tensor))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use candle_core::{DType, Device};

    use super::*;
    use crate::{Init, Mode};

    #[test]
    fn a_guest_keeps_its_variables() {
        let map = candle_nn::VarMap::new();
        let guest = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        guest
            .get_with_hints((2, 2), "w", candle_nn::Init::Const(3.))
            .unwrap();
        let builder = Store::from_var_builder(guest).builder(Mode::Train);
        let w = builder.param("w", &[2, 2], Init::ZEROS).unwrap();
        assert_eq!(w.to_vec2::<f32>().unwrap(), [[3., 3.], [3., 3.]]);
        let grads = w.sum_all().unwrap().backward().unwrap();
        assert!(
            grads
                .get(map.data().lock().unwrap()["w"].as_tensor())
                .is_some()
        );
        let own = builder.param("b", &[2], Init::ZEROS).unwrap();
        assert_eq!(own.to_vec1::<f32>().unwrap(), [0., 0.]);
    }
}
