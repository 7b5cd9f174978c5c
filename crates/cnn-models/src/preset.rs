//! Preprocessing that several models share.

use cnn_core::{
    IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD, IMAGENET_MEAN, IMAGENET_STD, Interpolation,
    Preprocessing,
};

/// 224×224, bicubic, crop 0.875, ImageNet's mean and standard deviation.
pub fn imagenet() -> Preprocessing {
    Preprocessing {
        mean: IMAGENET_MEAN.to_vec(),
        std: IMAGENET_STD.to_vec(),
        ..Preprocessing::default()
    }
}

/// The same, bilinear.
pub fn imagenet_bilinear() -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..imagenet()
    }
}

/// 224×224, bicubic, crop 0.875, mean and standard deviation 0.5.
pub fn inception() -> Preprocessing {
    Preprocessing {
        mean: IMAGENET_INCEPTION_MEAN.to_vec(),
        std: IMAGENET_INCEPTION_STD.to_vec(),
        ..Preprocessing::default()
    }
}

/// The same, bilinear.
pub fn inception_bilinear() -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..inception()
    }
}

/// Photos of any size, ImageNet's mean and standard deviation, bilinear: what networks for pixels
/// read. They are trained on parts of 512×512.
pub fn segmentation() -> Preprocessing {
    Preprocessing {
        input_size: [3, 512, 512],
        crop_pct: 1.,
        ..imagenet_bilinear()
    }
}

/// The same at 520×520, where torchvision measures its networks.
pub(crate) fn torchvision_segmentation() -> Preprocessing {
    Preprocessing {
        input_size: [3, 520, 520],
        ..segmentation()
    }
}

/// A square of this side, into whose upper left corner photos are fitted beside the mean colour, with
/// ImageNet's mean and standard deviation, bilinear: what torchvision's detectors over a feature
/// pyramid read.
pub(crate) fn pyramid_detection(side: usize) -> Preprocessing {
    Preprocessing {
        input_size: [3, side, side],
        mean: IMAGENET_MEAN.to_vec(),
        std: IMAGENET_STD.to_vec(),
        ..Preprocessing::letterbox_of_mean()
    }
}

/// The same at 1088×1088: photos of 4:3 and 3:4 have their short side at 816, torchvision's at 800.
pub(crate) fn pyramid_detection_large() -> Preprocessing {
    pyramid_detection(1088)
}

/// The same at 512×512.
pub(crate) fn pyramid_detection_middle() -> Preprocessing {
    pyramid_detection(512)
}

/// 299×299, bicubic, crop 0.875, mean and standard deviation 0.5.
pub fn inception_299() -> Preprocessing {
    Preprocessing {
        input_size: [3, 299, 299],
        ..inception()
    }
}

/// 32×32, no crop, ImageNet's mean and standard deviation, with which the published CIFAR ResNets
/// were trained.
pub fn cifar10() -> Preprocessing {
    Preprocessing {
        input_size: [3, 32, 32],
        crop_pct: 1.,
        interpolation: Interpolation::Bilinear,
        ..imagenet()
    }
}

/// 28×28 grey, no crop, mean 0.1307 and standard deviation 0.3081.
pub fn mnist() -> Preprocessing {
    Preprocessing {
        input_size: [1, 28, 28],
        mean: vec![0.1307],
        std: vec![0.3081],
        ..cifar10()
    }
}
