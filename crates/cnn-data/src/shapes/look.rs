//! What a scene looks like in each domain.

use cnn_core::{Key, Rng};

use super::ShapesDomain;
use super::noise::mix;
use super::palette::{Color, between, tint};
use super::texture::{Material, Pattern, Texture};

/// Everything about an image that can be seen and is not geometry. Lengths are in pixels.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) ground: Material,
    /// One per object.
    pub(super) objects: Vec<Material>,
    /// The colours of the clutter behind and before the objects, taken in turn.
    pub(super) strokes: [Color; 3],
    /// Unit vector towards the light, in the image's plane.
    pub(super) light: [f32; 2],
    /// How much brighter the ground is at the side of the light than in the middle.
    pub(super) slope: f32,
    /// Opacity of the cast shadow.
    pub(super) shadow: f32,
    /// Strength of the light and dark edges that make an object look thick.
    pub(super) bevel: f32,
    /// How strongly objects shine on what is around them.
    pub(super) glow: f32,
    /// Colour and opacity of the line around objects.
    pub(super) outline: (Color, f32),
    /// Share of light lost in the corners.
    pub(super) vignette: f32,
    /// Standard deviation of the Gaussian blur.
    pub(super) blur: f32,
    /// Standard deviations of the noise common to the channels and of each channel's own.
    pub(super) noise: [f32; 2],
}

/// What a look depends on besides its key.
pub(super) struct Conditions<'a> {
    pub(super) domain: ShapesDomain,
    pub(super) difficulty: f32,
    /// The image's shorter side.
    pub(super) short: f32,
    /// The objects' radii.
    pub(super) radii: &'a [f32],
}

const GROUND_PATTERNS: [Pattern; 6] = [
    Pattern::Clouds,
    Pattern::Clouds,
    Pattern::Wood,
    Pattern::Gradient,
    Pattern::Stripes,
    Pattern::Checks,
];
const OBJECT_PATTERNS: [Pattern; 7] = [
    Pattern::Plain,
    Pattern::Stripes,
    Pattern::Checks,
    Pattern::Dots,
    Pattern::Gradient,
    Pattern::Wood,
    Pattern::Clouds,
];

impl Look {
    pub(super) fn draw(key: Key, conditions: &Conditions<'_>) -> Self {
        let mut rng = key.stream(conditions.domain.name()).rng();
        let (sin, cos) = libm::sincosf(between(&mut rng, -2.6, -0.5));
        let light = [cos, sin];
        let blur = between(&mut rng, 0.0, 0.016) * conditions.difficulty * conditions.short;
        let look = match conditions.domain {
            ShapesDomain::Day => day(&mut rng, conditions),
            ShapesDomain::Night => night(&mut rng, conditions),
            ShapesDomain::Sketch => sketch(&mut rng, conditions),
        };
        Self {
            light,
            blur,
            ..look
        }
    }
}

impl Conditions<'_> {
    fn ground(&self, rng: &mut Rng, patterns: &[Pattern]) -> Texture {
        Texture::draw(rng, patterns, [0.16 * self.short, 0.32 * self.short])
    }

    /// One material per object: a texture of `patterns`, its period within `periods` radii, between
    /// the colours that `colors` gives.
    fn objects(
        &self,
        rng: &mut Rng,
        patterns: &[Pattern],
        periods: [f32; 2],
        mut colors: impl FnMut(&mut Rng) -> [Color; 2],
    ) -> Vec<Material> {
        let material = |radius: &f32| Material {
            colors: colors(rng),
            texture: Texture::draw(rng, patterns, periods.map(|period| period * radius)),
        };
        self.radii.iter().map(material).collect()
    }
}

fn day(rng: &mut Rng, conditions: &Conditions<'_>) -> Look {
    let hard = conditions.difficulty;
    let hue = between(rng, 0.0, 1.0);
    let level = between(rng, 0.25, 0.75);
    let chroma = between(rng, 0.12, 0.4);
    let spread = between(rng, 0.09, mix(0.16, 0.25, hard));
    let ground = Material {
        texture: conditions.ground(rng, &GROUND_PATTERNS),
        colors: [
            tint(hue, chroma, level - spread / 2.0),
            tint(hue + 0.03, chroma, level + spread / 2.0),
        ],
    };
    let objects = conditions.objects(rng, &OBJECT_PATTERNS, [0.4, 0.75], |rng| {
        let hue = hue + between(rng, 0.18, 0.82);
        let contrast = between(rng, mix(0.34, 0.1, hard), mix(0.45, 0.3, hard));
        // The luma moves mostly towards the side that has more room, as nothing is lighter than
        // white ground.
        let lighter = rng.bernoulli(f64::from(0.5 + 1.8 * (0.5 - level)));
        let level = if lighter {
            level + contrast
        } else {
            level - contrast
        }
        .clamp(0.06, 0.94);
        let spread = between(rng, 0.1, mix(0.18, 0.3, hard)) * if lighter { 1.0 } else { -1.0 };
        let chroma = between(rng, mix(0.6, 0.12, hard), mix(0.8, 0.5, hard));
        [
            tint(hue, chroma, level),
            tint(
                hue + between(rng, -0.06, 0.06),
                chroma,
                (level + spread).clamp(0.03, 0.97),
            ),
        ]
    });
    let strokes = [0.0, 0.33, 0.66].map(|turn| tint(hue + turn, 0.35, between(rng, 0.15, 0.85)));
    Look {
        ground,
        objects,
        strokes,
        light: [0.0, -1.0],
        slope: between(rng, 0.0, 0.18),
        shadow: between(rng, 0.3, 0.5),
        bevel: between(rng, 0.15, 0.3),
        glow: 0.0,
        outline: ([0.0; 3], 0.0),
        vignette: 0.0,
        blur: 0.0,
        noise: [mix(0.004, 0.035, hard), mix(0.004, 0.025, hard)],
    }
}

fn night(rng: &mut Rng, conditions: &Conditions<'_>) -> Look {
    let hard = conditions.difficulty;
    let hue = between(rng, 0.55, 0.78);
    let level = between(rng, 0.05, 0.12);
    let ground = Material {
        texture: conditions.ground(rng, &[Pattern::Clouds, Pattern::Wood, Pattern::Gradient]),
        colors: [
            tint(hue, 0.1, level),
            tint(hue + 0.05, 0.16, level + between(rng, 0.05, 0.12)),
        ],
    };
    let objects = conditions.objects(rng, &OBJECT_PATTERNS, [0.4, 0.75], |rng| {
        let hue = between(rng, 0.0, 1.0);
        let level = between(rng, mix(0.5, 0.22, hard), mix(0.65, 0.45, hard));
        [
            tint(hue, 0.8, level),
            tint(hue + 0.08, 0.7, level * between(rng, 0.55, 0.75)),
        ]
    });
    let strokes = [hue, hue + 0.3, hue + 0.5].map(|hue| tint(hue, 0.3, between(rng, 0.02, 0.4)));
    Look {
        ground,
        objects,
        strokes,
        light: [0.0, -1.0],
        slope: between(rng, 0.0, 0.4),
        shadow: 0.0,
        bevel: 0.1,
        glow: between(rng, 0.25, 0.45),
        outline: ([1.0; 3], 0.25),
        vignette: between(rng, 0.3, 0.6),
        blur: 0.0,
        noise: [mix(0.015, 0.05, hard), mix(0.02, 0.05, hard)],
    }
}

fn sketch(rng: &mut Rng, conditions: &Conditions<'_>) -> Look {
    let hard = conditions.difficulty;
    let paper = between(rng, 0.84, 0.95);
    let ground_patterns = [Pattern::Clouds, Pattern::Clouds, Pattern::Hatching];
    let shade = between(rng, 0.05, mix(0.08, 0.24, hard));
    let ground = Material {
        texture: Texture::draw(
            rng,
            &ground_patterns,
            [0.09 * conditions.short, 0.14 * conditions.short],
        ),
        colors: [tint(0.12, 0.08, paper), tint(0.1, 0.05, paper - shade)],
    };
    let object_patterns = [
        Pattern::Hatching,
        Pattern::Hatching,
        Pattern::Plain,
        Pattern::Clouds,
    ];
    let objects = conditions.objects(rng, &object_patterns, [0.16, 0.3], |rng| {
        let wash = tint(
            between(rng, 0.0, 1.0),
            between(rng, 0.0, 0.18),
            paper - between(rng, 0.0, 0.16),
        );
        [
            wash,
            tint(
                0.62,
                0.04,
                paper - between(rng, mix(0.45, 0.2, hard), mix(0.6, 0.45, hard)),
            ),
        ]
    });
    let strokes =
        [0.0, 0.1, 0.2].map(|lighter| tint(0.62, 0.04, 0.3 + lighter + between(rng, 0.0, 0.15)));
    Look {
        ground,
        objects,
        strokes,
        light: [0.0, -1.0],
        slope: between(rng, 0.0, 0.06),
        shadow: 0.0,
        bevel: 0.0,
        glow: 0.0,
        outline: (
            tint(0.62, 0.04, between(rng, 0.12, mix(0.2, 0.35, hard))),
            mix(0.95, 0.7, hard),
        ),
        vignette: 0.0,
        blur: 0.0,
        noise: [mix(0.012, 0.03, hard), 0.004],
    }
}
