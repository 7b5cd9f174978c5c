//! Paints a scene with a look, and says which object each pixel shows.

use super::canvas::{Canvas, cover};
use super::look::Look;
use super::palette::Color;
use super::scene::{Placed, Scene, Stroke};
use super::texture::Material;

/// The owner of pixels that show no object, but the ground or clutter before an object.
pub(super) const GROUND: u8 = 0;

/// A painted scene.
pub(super) struct Painting {
    pub(super) canvas: Canvas,
    /// For each pixel [`GROUND`], or 1 + the number of the object that covers at least half of it
    /// and is visible there.
    pub(super) owners: Vec<u8>,
}

impl Painting {
    pub(super) fn paint(size: [usize; 2], scene: &Scene, look: &Look) -> Self {
        let mut painting = Self {
            canvas: paint_ground(size, look),
            owners: vec![GROUND; size[0] * size[1]],
        };
        let colors = look.strokes.iter().cycle();
        for (stroke, color) in scene.behind.iter().zip(colors.clone()) {
            painting.stroke(stroke, *color);
        }
        for (number, (object, material)) in scene.objects.iter().zip(&look.objects).enumerate() {
            painting.object(object, material, number as u8 + 1, look);
        }
        for (stroke, color) in scene.front.iter().zip(colors.skip(1)) {
            painting.stroke(stroke, *color);
        }
        painting
    }

    fn stroke(&mut self, stroke: &Stroke, color: Color) {
        let [left, top, right, bottom] = stroke.bounds();
        let owners = &mut self.owners;
        self.canvas.within(
            [left - 1.0, top - 1.0, right + 1.0, bottom + 1.0],
            |index, at, below| {
                let distance = stroke.distance(at);
                cover(below, color, 0.5 - distance);
                if distance <= 0.0 {
                    owners[index] = GROUND;
                }
            },
        );
    }

    fn object(&mut self, object: &Placed, material: &Material, owner: u8, look: &Look) {
        let radius = object.radius;
        let outline = (0.045 * radius).max(0.6);
        let reach = if look.shadow > 0.0 || look.glow > 0.0 {
            1.7 * radius
        } else {
            radius
        } + 2.0
            + outline;
        let [x, y] = object.center;
        let owners = &mut self.owners;
        self.canvas.within(
            [x - reach, y - reach, x + reach, y + reach],
            |index, at, below| {
                let distance = object.distance(at);
                if distance > -1.0 {
                    cast_shadow(below, object, at, look);
                    shine(below, material.colors[0], distance / radius, look);
                }
                if distance < 1.0 {
                    let [u, v] = object.inward(at);
                    let light = if look.bevel > 0.0 {
                        bevel(object, at, distance, look)
                    } else {
                        1.0
                    };
                    cover(
                        below,
                        material.at(u, v).map(|value| value * light),
                        0.5 - distance,
                    );
                }
                if look.outline.1 > 0.0 {
                    let share = (0.5 + outline - (distance + outline / 2.0).abs()).clamp(0.0, 1.0);
                    cover(below, look.outline.0, share * look.outline.1);
                }
                if distance <= 0.0 {
                    owners[index] = owner;
                }
            },
        );
    }
}

fn paint_ground(size: [usize; 2], look: &Look) -> Canvas {
    let [height, width] = size.map(|side| side as f32);
    let [light_x, light_y] = look.light;
    Canvas::paint(size, |[x, y]| {
        // From the middle: a gradient's ramp lies around its origin.
        let right = x - width / 2.0;
        let down = y - height / 2.0;
        let light =
            1.0 + look.slope * (2.0 * right / width * light_x + 2.0 * down / height * light_y);
        look.ground.at(right, down).map(|value| value * light)
    })
}

/// Darkens what lies on the far side of an object from the light.
fn cast_shadow(below: &mut Color, object: &Placed, [x, y]: [f32; 2], look: &Look) {
    if look.shadow == 0.0 {
        return;
    }
    let shift = 0.16 * object.radius;
    let softness = 0.16 * object.radius + 2.0;
    let distance = object.distance([x + shift * look.light[0], y + shift * look.light[1]]);
    let share = (0.5 - distance / softness).clamp(0.0, 1.0) * look.shadow;
    *below = below.map(|value| value * (1.0 - share));
}

/// Adds an object's own light to a point that is `distance` times its radius away.
fn shine(below: &mut Color, color: Color, distance: f32, look: &Look) {
    let fall = distance.max(0.0) / 0.22;
    let strength = look.glow * (1.0 / (1.0 + fall * fall) - 0.06).max(0.0);
    for (value, color) in below.iter_mut().zip(color) {
        *value += color * strength;
    }
}

/// Brightness of an object's surface: lighter where its edge faces the light, darker where it turns
/// away.
fn bevel(object: &Placed, [x, y]: [f32; 2], distance: f32, look: &Look) -> f32 {
    let width = 0.2 * object.radius + 1.0;
    let edge = 1.0 + distance / width;
    if edge <= 0.0 {
        return 1.0;
    }
    let step = 0.5;
    let towards_light =
        object.distance([x + step * look.light[0], y + step * look.light[1]]) - distance;
    1.0 + look.bevel * edge.min(1.0) * (towards_light / step).clamp(-1.0, 1.0)
}
