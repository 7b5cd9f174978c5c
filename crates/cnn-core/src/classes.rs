//! Names of classes that several crates know.

/// The classes of Pascal VOC's masks in the order of their numbers (Everingham et al. 2010).
pub const PASCAL_VOC_CLASSES: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// The classes of COCO's objects in the order of their ids, which have gaps (Lin et al. 2014,
/// arXiv:1405.0312).
pub const COCO_CLASSES: [&str; 80] = {
    let mut classes = [""; 80];
    let mut class = 0;
    let mut unused = 0;
    while class + unused < COCO_CATEGORIES.len() {
        let category = class + unused;
        if unused < UNUSED.len() && UNUSED[unused] == category + 1 {
            unused += 1;
        } else {
            classes[class] = COCO_CATEGORIES[category];
            class += 1;
        }
    }
    classes
};

/// The ids of the categories that no object has.
const UNUSED: [usize; 10] = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];

/// COCO's categories from id 1 to 90, those of torchvision's detectors: [`COCO_CLASSES`] and the ten
/// that the paper lists and no object of the published set has (torchvision calls them `N/A`).
pub const COCO_CATEGORIES: [&str; 90] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "street sign",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "hat",
    "backpack",
    "umbrella",
    "shoe",
    "eye glasses",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "plate",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "mirror",
    "dining table",
    "window",
    "desk",
    "toilet",
    "door",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "blender",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coco_has_eighty_classes_in_the_order_of_their_categories() {
        let kept = COCO_CATEGORIES.iter().enumerate();
        let kept = kept.filter(|(at, _)| !UNUSED.contains(&(at + 1)));
        assert!(kept.map(|(_, name)| name).eq(&COCO_CLASSES));
        let places = [(0, "person"), (10, "fire hydrant"), (11, "stop sign")];
        for (class, name) in places
            .into_iter()
            .chain([(60, "dining table"), (79, "toothbrush")])
        {
            assert_eq!(COCO_CLASSES[class], name);
        }
    }
}
