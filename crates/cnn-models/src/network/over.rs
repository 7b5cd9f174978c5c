//! A network of another kind over a loaded classifier.

use cnn_core::Preprocessing;

use crate::segmentation::AsBackbone;
use crate::{Error, Kind, ModelConfig, ModelKind, ModelSpec, Network, NetworkOf, find};

impl<M: ModelKind + ?Sized> NetworkOf<M> {
    /// A network for pixels or for objects over a loaded classifier: `spec` is a model whose backbone
    /// the configuration chooses, as `smp_unet` or `ssdlite`. The backbone has the classifier's
    /// weights and arguments, the rest fresh ones, which `seed` decides; images are normalised as the
    /// classifier wants them. Over a classifier, another one (`bottleneck`) wants their size and crop
    /// as it does, too. [`NetworkOf::weights_file`] and [`NetworkOf::loaded_from`] are the
    /// classifier's.
    ///
    /// ```
    /// use cnn_models::{ModelConfig, Network, SegmentationNetwork, find};
    ///
    /// let classifier = Network::new("mobilenetv2_035", &ModelConfig::default(), 0)?;
    /// let config = ModelConfig { num_classes: Some(3), ..ModelConfig::default() };
    /// let network = SegmentationNetwork::over(*find("smp_unet")?, &classifier, &config, 0)?;
    /// let stem = network.store().get("encoder.model.conv_stem.weight")?;
    /// let own = classifier.store().get("conv_stem.weight")?;
    /// assert_eq!(stem.flatten_all()?.to_vec1::<f32>()?, own.flatten_all()?.to_vec1::<f32>()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoBackbone`] if `spec` is no such model or the classifier is not registered, and as
    /// [`NetworkOf::of`](crate::NetworkOf::of).
    pub fn over(
        spec: ModelSpec,
        classifier: &Network,
        config: &ModelConfig,
        seed: u64,
    ) -> Result<Self, Error> {
        let Some(body) = spec.body else {
            return Err(Error::NoBackbone { model: spec.name });
        };
        let of_classifier = find(classifier.spec.name)?;
        let backbone = AsBackbone::of(of_classifier, body.path);
        let mut config = ModelConfig {
            in_channels: Some(classifier.preprocessing().channels()),
            widths: backbone.widths(&classifier.config.model.widths)?,
            ..config.clone()
        }
        .with_arg(body.arg, of_classifier.name);
        if M::KIND == Kind::Classification {
            let [_, height, width] = classifier.preprocessing().input_size;
            config.input_size.get_or_insert([height, width]);
        }
        let mut args = classifier.config.model.args.clone();
        // Of the head, which stays behind.
        for of_head in ["drop_rate", "aux_logits"] {
            args.shift_remove(of_head);
        }
        if !args.is_empty() {
            config = config.with_arg(format!("{}_args", body.arg), args);
        }
        let mut network = Self::of(spec, &config, seed)?;
        backbone.take_weights(&network.store, &classifier.store)?;
        let own = &network.config.preprocessing;
        let of_classifier = Preprocessing {
            input_size: own.input_size,
            ..classifier.preprocessing().clone()
        };
        network.config.preprocessing = match M::KIND {
            Kind::Classification => of_classifier,
            _ => Preprocessing {
                crop_pct: own.crop_pct,
                crop_mode: own.crop_mode,
                letterbox_fill: own.letterbox_fill,
                ..of_classifier
            },
        };
        network.loaded_from = classifier.loaded_from.clone();
        network.weights_file = classifier.weights_file.clone();
        Ok(network)
    }
}
