//! Schedules against PyTorch's lists of rates and against their closed forms.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::f64::consts::PI;

use cnn_train::{Plateau, PlateauState, Progress, Schedule, ScheduleKind};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/schedules.json");
const BASE_LR: f64 = 0.05;
const UPDATES: f64 = 40.;

fn golden(name: &str, key: &str) -> Vec<f64> {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let numbers = golden[name][key]
        .as_array()
        .unwrap_or_else(|| panic!("{name}: no {key}"));
    numbers
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn assert_close(found: f64, expected: f64, place: &str) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
        "{place}: found {found}, expected {expected}"
    );
}

/// One-cycle whose phases end where PyTorch's do, one update early, over `UPDATES − 1` epochs.
fn pytorchs_one_cycle() -> ScheduleKind {
    let ScheduleKind::OneCycle {
        div_factor,
        final_div_factor,
        momentum,
        ..
    } = ScheduleKind::named("one-cycle").unwrap()
    else {
        panic!("not a one-cycle")
    };
    ScheduleKind::OneCycle {
        peak: (0.3 * UPDATES - 1.) / (UPDATES - 1.),
        div_factor,
        final_div_factor,
        momentum,
    }
}

#[test]
fn rates_equal_pytorchs() {
    let plain = |kind| (Schedule::new(kind), UPDATES, false);
    let warm_cosine = Schedule::new(ScheduleKind::Cosine { end: 0. })
        .with_warmup(8.)
        .unwrap();
    let cyclical = ScheduleKind::Cyclical {
        period: 12.,
        lower: 0.25,
        momentum: Some([0.8, 0.9]),
    };
    // An epoch here is an update there.
    let cases = [
        (
            "step",
            plain(ScheduleKind::Step {
                every: 7.,
                gamma: 0.3,
            }),
        ),
        (
            "multi-step",
            plain(ScheduleKind::MultiStep {
                milestones: vec![5., 11., 30.],
                gamma: 0.5,
            }),
        ),
        (
            "exponential",
            plain(ScheduleKind::Exponential { gamma: 0.93 }),
        ),
        (
            "polynomial",
            plain(ScheduleKind::Polynomial { power: 2., end: 0. }),
        ),
        ("poly", plain("polynomial:power=0.9".parse().unwrap())),
        ("cosine", plain(ScheduleKind::Cosine { end: 0. })),
        ("cosine to 0.1", plain(ScheduleKind::Cosine { end: 0.1 })),
        (
            "one-cycle",
            (Schedule::new(pytorchs_one_cycle()), UPDATES - 1., true),
        ),
        ("cyclical", (Schedule::new(cyclical), UPDATES, true)),
        ("warm-up, cosine", (warm_cosine, UPDATES, false)),
    ];
    for (name, (schedule, epochs, has_momentum)) in cases {
        schedule.validate().unwrap();
        let lrs = golden(name, "lr");
        let momenta = golden(name, "momentum");
        assert_eq!(lrs.len(), UPDATES as usize);
        for (update, (lr, momentum)) in lrs.into_iter().zip(momenta).enumerate() {
            let rates = schedule.rates(
                BASE_LR,
                Progress {
                    epoch: update as f64,
                    epochs,
                },
                1.,
            );
            assert_close(rates.lr, lr, &format!("{name}, update {update}"));
            assert_eq!(rates.momentum.is_some(), has_momentum, "{name}");
            assert_close(
                rates.momentum.unwrap_or(momentum),
                momentum,
                &format!("{name}, momentum, update {update}"),
            );
        }
    }
}

#[test]
fn a_plateau_falls_where_pytorchs_does() {
    let plateau = Plateau {
        factor: 0.2,
        patience: 2,
        threshold: 1e-3,
        min_factor: 0.02,
    };
    let schedule = Schedule::new(ScheduleKind::Plateau(plateau));
    for name in ["plateau", "plateau of a loss"] {
        let mut state = PlateauState::default();
        let scores = golden(name, "scores");
        for (epoch, (score, lr)) in scores.into_iter().zip(golden(name, "lr")).enumerate() {
            state.update(&plateau, score);
            let rates = schedule.rates(
                BASE_LR,
                Progress {
                    epoch: epoch as f64,
                    epochs: 30.,
                },
                state.factor,
            );
            assert_close(rates.lr, lr, &format!("{name}, epoch {epoch}"));
            // What is saved is what goes on.
            state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        }
        assert_eq!(state.factor, 0.02);
    }
    let mut state = PlateauState::default();
    [f64::NAN, 1., f64::NAN]
        .into_iter()
        .for_each(|score| state.update(&plateau, score));
    assert_eq!((state.best, state.bad_epochs), (Some(1.), 1));
}

#[test]
fn rates_equal_closed_forms_within_epochs() {
    const EPOCHS: f64 = 9.;
    const PER_EPOCH: usize = 7;
    let named = |name| ScheduleKind::named(name).unwrap();
    let triangle = |t: f64| (if t % 2. < 1. { t % 1. } else { 1. - t % 1. }) * 0.6 + 0.4;
    let one_cycle = |t: f64| {
        let (x, high, low) = if t < 2.7 {
            (1. - t / 2.7, 1., 0.04)
        } else {
            ((t - 2.7) / 6.3, 1., 0.04 / 1e4)
        };
        low + (high - low) * (PI * x / 2.).cos().powi(2)
    };
    type Form<'a> = &'a dyn Fn(f64) -> f64;
    let cases: [(ScheduleKind, Form<'_>); 8] = [
        (named("constant"), &|_| 1.),
        (
            ScheduleKind::Step {
                every: 1.5,
                gamma: 0.5,
            },
            &|t| 0.5f64.powi(((t * 14.).round() / 21.).floor() as i32),
        ),
        (
            ScheduleKind::MultiStep {
                milestones: vec![1., 3.],
                gamma: 0.1,
            },
            &|t| match t {
                ..1. => 1.,
                ..3. => 0.1,
                _ => 0.01,
            },
        ),
        (ScheduleKind::Exponential { gamma: 0.9 }, &|t| {
            (t * 0.9f64.ln()).exp()
        }),
        (
            ScheduleKind::Polynomial {
                power: 0.5,
                end: 0.2,
            },
            &|t| 0.2 + 0.8 * (1. - t / EPOCHS).sqrt(),
        ),
        (ScheduleKind::Cosine { end: 0.1 }, &|t| {
            0.1 + 0.9 * (PI * t / (2. * EPOCHS)).cos().powi(2)
        }),
        (named("one-cycle"), &one_cycle),
        (
            ScheduleKind::Cyclical {
                period: 2.,
                lower: 0.4,
                momentum: None,
            },
            &triangle,
        ),
    ];
    for (kind, form) in cases {
        for warmup in [0., 1.5] {
            let schedule = Schedule::new(kind.clone())
                .with_warmup(warmup)
                .unwrap()
                .with_warmup_start(0.2)
                .unwrap();
            for update in 0..=(EPOCHS + warmup).ceil() as usize * PER_EPOCH {
                let epoch = update as f64 / PER_EPOCH as f64;
                if epoch > EPOCHS + warmup {
                    continue;
                }
                let progress = Progress {
                    epoch,
                    epochs: EPOCHS + warmup,
                };
                let expected = if epoch < warmup {
                    form(0.) * (0.2 + 0.8 * epoch / warmup)
                } else {
                    form(epoch - warmup)
                };
                let found = schedule.rates(2., progress, 0.3).lr / 2.;
                assert_close(
                    found,
                    expected,
                    &format!("{kind:?}, warm-up {warmup}, epoch {epoch}"),
                );
            }
        }
    }
}

#[test]
fn names_have_defaults_that_are_valid_and_survive_serialisation() {
    for name in ScheduleKind::NAMES {
        let schedule = Schedule::new(ScheduleKind::named(name).unwrap());
        schedule.validate().unwrap();
        let json = serde_json::to_value(&schedule).unwrap();
        assert_eq!(json["kind"]["name"], name);
        assert_eq!(serde_json::from_value::<Schedule>(json).unwrap(), schedule);
        for (epoch, epochs) in [(0., 10.), (3.3, 10.), (10., 10.), (12., 10.), (0., 0.)] {
            let rates = schedule.clone().with_warmup(2.).unwrap().rates(
                0.1,
                Progress { epoch, epochs },
                1.,
            );
            assert!(
                rates.lr >= 0. && rates.lr <= 0.1,
                "{name}: {rates:?} at {epoch} of {epochs}"
            );
        }
    }
    let message = ScheduleKind::named("cosin").unwrap_err().to_string();
    assert!(
        message.contains("found `cosin`, expected one of constant, step")
            && message.contains("did you mean `cosine`?")
    );
}

#[test]
fn what_is_out_of_range_is_named() {
    let one_cycle = |peak, div_factor, momentum| ScheduleKind::OneCycle {
        peak,
        div_factor,
        final_div_factor: 1e4,
        momentum,
    };
    let plateau = |factor, threshold, min_factor| Plateau {
        factor,
        threshold,
        min_factor,
        patience: 0,
    };
    let cases = [
        (
            ScheduleKind::Step {
                every: 0.,
                gamma: 0.1,
            },
            "every",
        ),
        (
            ScheduleKind::Step {
                every: 1.,
                gamma: f64::NAN,
            },
            "gamma",
        ),
        (
            ScheduleKind::MultiStep {
                milestones: vec![3., 2.],
                gamma: 0.1,
            },
            "milestones",
        ),
        (
            ScheduleKind::MultiStep {
                milestones: vec![-1.],
                gamma: 0.1,
            },
            "milestones",
        ),
        (ScheduleKind::Exponential { gamma: -1. }, "gamma"),
        (ScheduleKind::Polynomial { power: 0., end: 0. }, "power"),
        (ScheduleKind::Cosine { end: 1.1 }, "end"),
        (one_cycle(1., 25., None), "peak"),
        (one_cycle(0.3, 0.5, None), "div_factor"),
        (one_cycle(0.3, 25., Some([0.9, 0.8])), "momentum"),
        (
            ScheduleKind::Cyclical {
                period: f64::INFINITY,
                lower: 0.1,
                momentum: None,
            },
            "period",
        ),
        (
            ScheduleKind::Cyclical {
                period: 1.,
                lower: 0.1,
                momentum: Some([0.5, 1.]),
            },
            "momentum",
        ),
        (ScheduleKind::Plateau(plateau(1., 0., 0.)), "factor"),
        (ScheduleKind::Plateau(plateau(0.5, -1., 0.)), "threshold"),
        (ScheduleKind::Plateau(plateau(0.5, 0., 2.)), "min_factor"),
    ];
    for (kind, name) in cases {
        let message = Schedule::new(kind).validate().unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("`{name}`: found")),
            "{message}"
        );
    }
    let constant = Schedule::new(ScheduleKind::Constant);
    assert!(
        constant
            .clone()
            .with_warmup(-1.)
            .unwrap_err()
            .to_string()
            .contains("warmup_epochs")
    );
    assert!(
        constant
            .with_warmup_start(2.)
            .unwrap_err()
            .to_string()
            .contains("warmup_start")
    );
}

#[test]
fn kinds_are_read_as_they_are_written() {
    let defaults = ScheduleKind::NAMES.map(|name| ScheduleKind::named(name).unwrap());
    let others = [
        ScheduleKind::Step {
            every: 2.5,
            gamma: 1e-7,
        },
        ScheduleKind::MultiStep {
            milestones: vec![],
            gamma: 0.3,
        },
        ScheduleKind::MultiStep {
            milestones: vec![0.125, 7., 1e6],
            gamma: 0.3,
        },
        ScheduleKind::Exponential { gamma: 0.1 + 0.2 },
        ScheduleKind::Polynomial {
            power: 2.,
            end: 0.01,
        },
        ScheduleKind::Cosine {
            end: f64::MIN_POSITIVE,
        },
        ScheduleKind::OneCycle {
            peak: 0.2,
            div_factor: 10.,
            final_div_factor: 1.,
            momentum: None,
        },
        ScheduleKind::Cyclical {
            period: 3.,
            lower: 0.,
            momentum: Some([1e-5, 0.5]),
        },
        ScheduleKind::Plateau(Plateau {
            factor: 0.5,
            patience: 3,
            threshold: 1e-12,
            min_factor: 0.1,
        }),
    ];
    for kind in defaults.into_iter().chain(others) {
        let text = kind.to_string();
        assert_eq!(text.parse::<ScheduleKind>().unwrap(), kind, "{text}");
    }
}

#[test]
fn settings_change_what_they_name_and_nothing_else() {
    let table = [
        (
            "step",
            ScheduleKind::Step {
                every: 30.,
                gamma: 0.1,
            },
        ),
        (
            "step:every=10",
            ScheduleKind::Step {
                every: 10.,
                gamma: 0.1,
            },
        ),
        (
            "step: gamma=0.5, every=1e1",
            ScheduleKind::Step {
                every: 10.,
                gamma: 0.5,
            },
        ),
        (
            "multi-step:milestones=3+5.5",
            ScheduleKind::MultiStep {
                milestones: vec![3., 5.5],
                gamma: 0.1,
            },
        ),
        (
            "cyclical:momentum=none",
            ScheduleKind::Cyclical {
                period: 8.,
                lower: 0.25,
                momentum: None,
            },
        ),
        (
            "cyclical:momentum=0.7-0.8",
            ScheduleKind::Cyclical {
                period: 8.,
                lower: 0.25,
                momentum: Some([0.7, 0.8]),
            },
        ),
        (
            "plateau:min-factor=0.1",
            ScheduleKind::Plateau(Plateau {
                min_factor: 0.1,
                ..Plateau::default()
            }),
        ),
        (
            "plateau:patience=2",
            ScheduleKind::Plateau(Plateau {
                patience: 2,
                ..Plateau::default()
            }),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<ScheduleKind>().unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_not_understood_is_named_with_what_is_accepted() {
    let table: [(&str, &[&str]); 14] = [
        (
            "step,every=10",
            &["`step,every=10`", "`NAME:KEY=VALUE,KEY=VALUE`"],
        ),
        (
            "stp:every=10",
            &["`stp`", "one of constant", "did you mean `step`?"],
        ),
        ("", &["``", "one of constant"]),
        (
            "step:evry=10",
            &[
                "`evry=10` of `step`",
                "every, gamma",
                "did you mean `every`?",
            ],
        ),
        (
            "constant:gamma=1",
            &["`gamma=1` of `constant`", "no settings"],
        ),
        ("step:", &["`` of `step`", "every, gamma"]),
        ("step:every", &["`every` of `step`", "`every=NUMBER`"]),
        ("step:every=ten", &["`every=ten`", "`every=NUMBER`"]),
        ("step:every=0", &["`every`: found 0", "above 0"]),
        ("step:gamma=nan", &["`gamma`: found NaN"]),
        (
            "multi-step:milestones=3,5",
            &["`5` of `multi-step`", "milestones, gamma"],
        ),
        (
            "multi-step:milestones=3+x",
            &["`milestones=3+x`", "joined by `+`"],
        ),
        (
            "one-cycle:momentum=0.9",
            &["`momentum=0.9`", "0.85-0.95", "`none`"],
        ),
        (
            "plateau:patience=1.5",
            &["`patience=1.5`", "a whole number"],
        ),
    ];
    for (text, words) in table {
        let message = text.parse::<ScheduleKind>().unwrap_err().to_string();
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{text}: {message}"
        );
    }
}

#[test]
fn a_warm_up_that_leaves_no_epochs_still_rises() {
    for name in ScheduleKind::NAMES {
        let schedule = Schedule::new(ScheduleKind::named(name).unwrap())
            .with_warmup(8.)
            .unwrap();
        let lr = |epoch, epochs| schedule.rates(0.1, Progress { epoch, epochs }, 1.).lr;
        for epochs in [5., 8.] {
            let rates: Vec<f64> = (0..5).map(|epoch| lr(f64::from(epoch), epochs)).collect();
            // As in a longer training, which ends its warm-up at the same rate.
            assert_eq!(
                rates,
                (0..5)
                    .map(|epoch| lr(f64::from(epoch), 80.))
                    .collect::<Vec<_>>(),
                "{name}"
            );
            assert!(
                rates.is_sorted() && rates[4] > 10. * rates[0] && rates[0] > 0.,
                "{name}: {rates:?}"
            );
        }
    }
}
