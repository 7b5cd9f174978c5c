//! The ten outlines as signed distance functions (I. Quilez, "2D distance functions", 2020).

/// An outline in the unit circle, upright, x to the right and y down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Circle,
    Ring,
    Heart,
    Crescent,
    Polygon(&'static [[f32; 2]]),
}

/// The classes' names and outlines in the order of their numbers.
pub(super) const FIGURES: [(&str, Figure); 10] = [
    ("circle", Figure::Circle),
    ("square", Figure::Polygon(&SQUARE)),
    ("triangle", Figure::Polygon(&TRIANGLE)),
    ("star", Figure::Polygon(&STAR)),
    ("cross", Figure::Polygon(&CROSS)),
    ("ring", Figure::Ring),
    ("heart", Figure::Heart),
    ("crescent", Figure::Crescent),
    ("arrow", Figure::Polygon(&ARROW)),
    ("bolt", Figure::Polygon(&BOLT)),
];

const CIRCLE_RADIUS: f32 = 0.84;
const RING_RADII: [f32; 2] = [0.48, 0.92];
const HEART_SCALE: f32 = 1.45;
/// The radius of the disc, the radius of the disc that is cut out of it, the distance of their
/// centres, and how far both are moved to the left.
const CRESCENT: [f32; 4] = [0.95, 0.76, 0.48, -0.04];

const SQUARE: [[f32; 2]; 4] = [[-0.7, -0.7], [0.7, -0.7], [0.7, 0.7], [-0.7, 0.7]];
const TRIANGLE: [[f32; 2]; 3] = [[0.0, -0.99], [0.857, 0.495], [-0.857, 0.495]];
// Five points at radius 0.98 and five notches at 0.43, 36 degrees apart.
const STAR: [[f32; 2]; 10] = [
    [0.0, -0.98],
    [0.2527, -0.3479],
    [0.932, -0.3028],
    [0.409, 0.1329],
    [0.576, 0.7928],
    [0.0, 0.43],
    [-0.576, 0.7928],
    [-0.409, 0.1329],
    [-0.932, -0.3028],
    [-0.2527, -0.3479],
];
const CROSS: [[f32; 2]; 12] = [
    [-0.29, -0.92],
    [0.29, -0.92],
    [0.29, -0.29],
    [0.92, -0.29],
    [0.92, 0.29],
    [0.29, 0.29],
    [0.29, 0.92],
    [-0.29, 0.92],
    [-0.29, 0.29],
    [-0.92, 0.29],
    [-0.92, -0.29],
    [-0.29, -0.29],
];
const ARROW: [[f32; 2]; 7] = [
    [-0.95, -0.25],
    [0.02, -0.25],
    [0.02, -0.74],
    [0.98, 0.0],
    [0.02, 0.74],
    [0.02, 0.25],
    [-0.95, 0.25],
];
const BOLT: [[f32; 2]; 6] = [
    [0.22, -0.97],
    [-0.6, 0.2],
    [-0.08, 0.2],
    [-0.26, 0.96],
    [0.6, -0.26],
    [0.08, -0.26],
];

impl Figure {
    /// Distance of a point from the outline, negative inside.
    pub(super) fn distance(self, [x, y]: [f32; 2]) -> f32 {
        match self {
            Self::Circle => length(x, y) - CIRCLE_RADIUS,
            Self::Ring => {
                let [inner, outer] = RING_RADII;
                (length(x, y) - (outer + inner) / 2.0).abs() - (outer - inner) / 2.0
            }
            // The heart's own frame stands on its tip, y up, 1.1 high.
            Self::Heart => heart(x.abs() / HEART_SCALE, 0.55 - y / HEART_SCALE) * HEART_SCALE,
            Self::Crescent => crescent(x - CRESCENT[3], y.abs()),
            Self::Polygon(corners) => polygon(corners, x, y),
        }
    }
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

fn heart(x: f32, y: f32) -> f32 {
    if x + y > 1.0 {
        return length(x - 0.25, y - 0.75) - 0.125_f32.sqrt();
    }
    let along = 0.5 * (x + y).max(0.0);
    let nearest = length(x, y - 1.0).min(length(x - along, y - along));
    if x > y { nearest } else { -nearest }
}

fn crescent(x: f32, y: f32) -> f32 {
    let [outer, inner, apart, _] = CRESCENT;
    // The two circles meet in the crescent's tip.
    let tip_x = (outer * outer - inner * inner + apart * apart) / (2.0 * apart);
    let tip_y = (outer * outer - tip_x * tip_x).max(0.0).sqrt();
    if apart * (x * tip_y - y * tip_x) > apart * apart * (tip_y - y).max(0.0) {
        return length(x - tip_x, y - tip_y);
    }
    (length(x, y) - outer).max(inner - length(x - apart, y))
}

fn polygon(corners: &[[f32; 2]], x: f32, y: f32) -> f32 {
    let Some(&last) = corners.last() else {
        return f32::INFINITY;
    };
    let mut from = last;
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    for &to in corners {
        let edge = [to[0] - from[0], to[1] - from[1]];
        let point = [x - from[0], y - from[1]];
        let along =
            (point[0] * edge[0] + point[1] * edge[1]) / (edge[0] * edge[0] + edge[1] * edge[1]);
        let along = along.clamp(0.0, 1.0);
        let beside = [point[0] - edge[0] * along, point[1] - edge[1] * along];
        nearest = nearest.min(beside[0] * beside[0] + beside[1] * beside[1]);
        let left = edge[0] * point[1] > edge[1] * point[0];
        if (y >= from[1]) != (y >= to[1]) && left == (to[1] > from[1]) {
            inside = !inside;
        }
        from = to;
    }
    if inside {
        -nearest.sqrt()
    } else {
        nearest.sqrt()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::f32::consts::PI;

    use super::*;

    fn named(name: &str) -> Figure {
        FIGURES.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn grid() -> impl Iterator<Item = [f32; 2]> {
        (0..400).flat_map(|row| {
            (0..400).map(move |column| [column as f32, row as f32].map(|at| at / 160.0 - 1.2469))
        })
    }

    #[test]
    fn areas_are_those_of_elementary_geometry() {
        let cases = [
            ("circle", PI * 0.84 * 0.84),
            ("square", 1.4 * 1.4),
            ("triangle", 3.0 * 3.0_f32.sqrt() / 4.0 * 0.99 * 0.99),
            ("star", 5.0 * 0.98 * 0.43 * 0.587_785),
            ("cross", 4.0 * 0.58 * 0.92 - 0.58 * 0.58),
            ("ring", PI * (0.92 * 0.92 - 0.48 * 0.48)),
            // A square of side √½ on its corner and two half discs on its upper sides.
            ("heart", (0.5 + PI * 0.125) * 1.45 * 1.45),
            ("arrow", 0.97 * 0.5 + 0.96 * 0.74),
        ];
        for (name, expected) in cases {
            let area = grid().filter(|&at| named(name).distance(at) < 0.0).count() as f32
                / (160.0 * 160.0);
            assert!(
                (area - expected).abs() < 0.01 * expected,
                "{name}: {area}, expected {expected}"
            );
        }
    }

    #[test]
    fn outlines_fill_the_unit_circle_and_stay_inside() {
        for (name, figure) in FIGURES {
            let inside = grid()
                .filter(|&at| figure.distance(at) < 0.0)
                .map(|[x, y]| x.hypot(y));
            let farthest = inside.fold(0.0, f32::max);
            assert!((0.8..=1.0).contains(&farthest), "{name} reaches {farthest}");
        }
    }

    // |∇d| ≤ 1 makes anti-aliasing by distance possible.
    #[test]
    fn distances_grow_no_faster_than_the_point_moves() {
        for (name, figure) in FIGURES {
            for [x, y] in grid().step_by(7) {
                let change = (figure.distance([x + 0.01, y]) - figure.distance([x, y])).abs();
                assert!(change <= 0.0101, "{name} at {x} {y}: {change}");
            }
        }
    }

    #[test]
    fn directions_are_upright() {
        let cases = [
            ("triangle", [0.0, -0.9], true),
            ("triangle", [0.0, 0.6], false),
            ("heart", [0.0, 0.75], true),
            ("heart", [0.0, -0.7], false),
            ("arrow", [0.9, 0.0], true),
            ("crescent", [-0.8, 0.0], true),
            ("crescent", [0.5, 0.0], false),
            ("ring", [0.0, 0.0], false),
        ];
        for (name, at, inside) in cases {
            assert_eq!(named(name).distance(at) < 0.0, inside, "{name} at {at:?}");
        }
    }
}
