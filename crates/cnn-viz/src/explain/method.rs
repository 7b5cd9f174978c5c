//! The methods of explanation by name.

use std::fmt;
use std::str::FromStr;

use cnn_core::did_you_mean;

use crate::Error;

/// A way to say which parts of an image a score rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Maps weighted by their mean gradient (Selvaraju et al. 2017, arXiv:1610.02391, equation 1).
    GradCam,
    /// Maps weighted by their positive gradients, each pixel by equation 19 of Chattopadhyay et al.
    /// 2018 (arXiv:1710.11063).
    GradCamPlusPlus,
    /// Each pixel of a map times its own gradient (Draelos & Carin 2020, arXiv:2011.08891).
    HiResCam,
    /// Each pixel of a map times its own gradient where that is positive (Jiang et al. 2021,
    /// doi:10.1109/TIP.2021.3089943).
    LayerCam,
    /// Maps weighted by their mean gradient, each pixel's by its share of the map (Fu et al. 2020,
    /// arXiv:2008.02312).
    XGradCam,
    /// The first principal component of the maps; knows no class (Muhammad & Yeasin 2020,
    /// arXiv:2008.00299).
    EigenCam,
    /// Maps weighted by the score of the image seen through each of them; no gradients (Wang et al.
    /// 2020, arXiv:1910.01279).
    ScoreCam,
    /// Maps weighted by how much the score falls without each of them; no gradients (Desai &
    /// Ramaswamy 2020).
    AblationCam,
    /// The score's derivative by each pixel (Simonyan et al. 2013, arXiv:1312.6034).
    Gradient,
    /// The derivative times the input (Shrikumar et al. 2016, arXiv:1605.01713).
    GradientXInput,
    /// The mean of the gradients of noisy copies (Smilkov et al. 2017, arXiv:1706.03825).
    SmoothGrad,
    /// The variance of the gradients of noisy copies (Adebayo et al. 2018, arXiv:1810.03307).
    VarGrad,
    /// The gradients on the way from a grey image, summed (Sundararajan et al. 2017,
    /// arXiv:1703.01365): adds up to the score's difference.
    IntegratedGradients,
    /// Positive gradients through active rectifiers alone (Springenberg et al. 2014,
    /// arXiv:1412.6806); insensitive to the weights, see the randomisation check.
    GuidedBackprop,
    /// Positive gradients through all rectifiers (Zeiler & Fergus 2013, arXiv:1311.2901);
    /// insensitive to the weights likewise.
    Deconvnet,
    /// How much the score falls when a grey square covers each place (Zeiler & Fergus 2013,
    /// arXiv:1311.2901); no gradients.
    Occlusion,
}

use Method::*;

/// The two families, so that whoever computes one of them has to know each of its methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cam(Cam),
    Attribution(Attribution),
}

/// How a class activation map weighs the maps of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cam {
    Grad,
    GradPlusPlus,
    HiRes,
    Layer,
    XGrad,
    Eigen,
    Score,
    Ablation,
}

impl Cam {
    pub(super) fn needs_gradients(self) -> bool {
        match self {
            Self::Grad | Self::GradPlusPlus | Self::HiRes | Self::Layer | Self::XGrad => true,
            Self::Eigen | Self::Score | Self::Ablation => false,
        }
    }
}

/// How a value for each pixel of the input comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribution {
    Gradient,
    GradientXInput,
    SmoothGrad,
    VarGrad,
    IntegratedGradients,
    GuidedBackprop,
    Deconvnet,
    Occlusion,
}

/// What is known of a method.
struct Entry {
    method: Method,
    name: &'static str,
    aliases: &'static [&'static str],
    title: &'static str,
}

const fn entry(
    method: Method,
    name: &'static str,
    aliases: &'static [&'static str],
    title: &'static str,
) -> Entry {
    Entry {
        method,
        name,
        aliases,
        title,
    }
}

const ENTRIES: [Entry; 16] = [
    entry(GradCam, "gradcam", &["grad-cam"], "Grad-CAM"),
    entry(
        GradCamPlusPlus,
        "gradcampp",
        &["gradcam++", "grad-cam++"],
        "Grad-CAM++",
    ),
    entry(HiResCam, "hirescam", &["hires-cam"], "HiResCAM"),
    entry(LayerCam, "layercam", &["layer-cam"], "LayerCAM"),
    entry(XGradCam, "xgradcam", &["xgrad-cam"], "XGrad-CAM"),
    entry(EigenCam, "eigencam", &["eigen-cam"], "EigenCAM"),
    entry(ScoreCam, "scorecam", &["score-cam"], "Score-CAM"),
    entry(
        AblationCam,
        "ablationcam",
        &["ablation-cam"],
        "Ablation-CAM",
    ),
    entry(Gradient, "gradient", &["saliency", "vanilla"], "gradient"),
    entry(
        GradientXInput,
        "gradxinput",
        &["gradient-x-input", "input-x-gradient"],
        "gradient × input",
    ),
    entry(SmoothGrad, "smoothgrad", &[], "SmoothGrad"),
    entry(VarGrad, "vargrad", &[], "VarGrad"),
    entry(
        IntegratedGradients,
        "ig",
        &["integrated-gradients"],
        "Integrated Gradients",
    ),
    entry(
        GuidedBackprop,
        "guided",
        &["guided-backprop", "guided-backpropagation"],
        "guided backpropagation",
    ),
    entry(Deconvnet, "deconvnet", &["deconvolution"], "deconvnet"),
    entry(Occlusion, "occlusion", &[], "occlusion"),
];

impl Method {
    /// All methods, class activation maps first.
    pub const ALL: [Self; 16] = {
        let mut all = [GradCam; 16];
        let mut index = 0;
        while index < all.len() {
            all[index] = ENTRIES[index].method;
            index += 1;
        }
        all
    };

    /// The name on the command line and of raw maps, as `gradcam`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The name for people, as `Grad-CAM`.
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    /// Whether it is a class activation map: the maps of a stage, weighted and summed, rather than
    /// a value for each pixel of the input.
    pub fn is_cam(self) -> bool {
        matches!(self.kind(), Kind::Cam(_))
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            GradCam => Kind::Cam(Cam::Grad),
            GradCamPlusPlus => Kind::Cam(Cam::GradPlusPlus),
            HiResCam => Kind::Cam(Cam::HiRes),
            LayerCam => Kind::Cam(Cam::Layer),
            XGradCam => Kind::Cam(Cam::XGrad),
            EigenCam => Kind::Cam(Cam::Eigen),
            ScoreCam => Kind::Cam(Cam::Score),
            AblationCam => Kind::Cam(Cam::Ablation),
            Gradient => Kind::Attribution(Attribution::Gradient),
            GradientXInput => Kind::Attribution(Attribution::GradientXInput),
            SmoothGrad => Kind::Attribution(Attribution::SmoothGrad),
            VarGrad => Kind::Attribution(Attribution::VarGrad),
            IntegratedGradients => Kind::Attribution(Attribution::IntegratedGradients),
            GuidedBackprop => Kind::Attribution(Attribution::GuidedBackprop),
            Deconvnet => Kind::Attribution(Attribution::Deconvnet),
            Occlusion => Kind::Attribution(Attribution::Occlusion),
        }
    }

    /// Whether its maps have signs: parts that speak for the score and parts that speak against it.
    pub fn is_signed(self) -> bool {
        matches!(self, GradientXInput | IntegratedGradients | Occlusion)
    }

    /// Whether it needs gradients; the others run on a model that was built for inference.
    pub fn needs_gradients(self) -> bool {
        match self.kind() {
            Kind::Cam(cam) => cam.needs_gradients(),
            Kind::Attribution(rule) => rule != Attribution::Occlusion,
        }
    }

    fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl FromStr for Method {
    type Err = Error;

    /// Upper and lower case are the same, as are `-`, `_` and a space.
    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = text.trim().to_lowercase().replace(['_', ' '], "-");
        let known = |entry: &&Entry| entry.name == plain || entry.aliases.contains(&plain.as_str());
        if let Some(entry) = ENTRIES.iter().find(known) {
            return Ok(entry.method);
        }
        let names = ENTRIES.map(|entry| entry.name);
        let expected = format!("one of {}{}", names.join(", "), did_you_mean(&plain, names));
        Err(Error::argument("method", format!("`{text}`"), expected))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_method_is_found_by_its_names() {
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert_eq!(entry.method as usize, index);
            for name in entry.aliases.iter().chain([&entry.name, &entry.title]) {
                let found = name.to_uppercase().parse::<Method>();
                assert!(
                    found.is_ok_and(|found| found == entry.method) || name.contains('×'),
                    "{name}"
                );
            }
        }
        let message = "gradcamm".parse::<Method>().unwrap_err().to_string();
        assert!(
            message.contains("did you mean `gradcam`") && message.contains("ig, guided"),
            "{message}"
        );
    }
}
